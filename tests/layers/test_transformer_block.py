import math

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import TransformerBlock
from vit_keras_lib.layers.transformer_block import ACTIVATIONS


def tokens(B=2, T=7, dim=24):
    return np.random.default_rng(0).normal(size=(B, T, dim)).astype("float32")


@pytest.mark.parametrize(
    ("extra", "weights"),
    [({}, 12), ({"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.2}, 12),
     ({"layer_scale": 0.1}, 14), ({"remat": True}, 12)],
)  # fmt: skip
def test_layer(check_layer, extra, weights):
    config = {"num_heads": 3, "mlp_dim": 40, **extra}
    check_layer(TransformerBlock, config, (7, 24), (7, 24), weights)


def test_is_pre_norm_with_residuals_and_a_linear_last_dense():
    block, x = TransformerBlock(3, 40), tokens()
    block.build(x.shape)
    x = ops.convert_to_tensor(x)
    middle = x + block.attention(block.norm1(x))
    kernel1, bias1, kernel2, bias2 = (
        ops.convert_to_tensor(w) for w in (*block.mlp_hidden.weights, *block.mlp_output.weights)
    )
    hidden = ops.gelu(ops.matmul(block.norm2(middle), kernel1) + bias1, approximate=False)
    expected = middle + ops.matmul(hidden, kernel2) + bias2
    np.testing.assert_allclose(block(x), expected, atol=1e-5)


def test_with_both_branches_at_zero_the_block_is_the_identity():
    block, x = TransformerBlock(3, 40, layer_scale=0.0), tokens()
    np.testing.assert_array_equal(block(x), x)


def test_scores_and_output_are_those_of_the_plain_run():
    block, x = TransformerBlock(3, 40), tokens()
    y, scores = block(x, return_attention_scores=True)
    np.testing.assert_allclose(y, block(x), atol=1e-5)
    np.testing.assert_array_equal(scores, block.attention_scores(x))
    assert scores.shape == (2, 3, 7, 7)


@pytest.mark.parametrize("extra", [{}, {"layer_scale": 0.5}, {"remat": True}])
def test_some_queries_get_what_they_get_among_all(extra):
    block, x = TransformerBlock(3, 40, **extra), tokens()
    y, scores = block(x, return_attention_scores=True)
    few, few_scores = block(x, return_attention_scores=True, num_queries=2)
    assert (few.shape, few_scores.shape) == ((2, 2, 24), (2, 3, 2, 7))
    np.testing.assert_allclose(few, y[:, :2], atol=1e-5)
    np.testing.assert_allclose(few_scores, scores[:, :, :2], atol=1e-6)
    for training in (False, True):
        few = block(x, training=training, num_queries=1)
        np.testing.assert_allclose(few, block(x, training=training)[:, :1], atol=1e-5)
    symbolic = block(keras.Input((7, 24)), num_queries=2)
    assert symbolic.shape == (None, 2, 24)


def test_drop_path_skips_whole_images_in_training():
    block, x = TransformerBlock(3, 40, drop_path=0.5), tokens(B=64)
    y = ops.convert_to_numpy(block(x, training=True))
    untouched = (y == x).all(axis=(1, 2))  # both branches skipped: about a quarter
    assert 4 <= untouched.sum() <= 32
    assert (untouched == (y == x).any(axis=(1, 2))).all()  # never a part of an image
    assert not (ops.convert_to_numpy(block(x)) == x).all(axis=(1, 2)).any()


@pytest.mark.parametrize("jit", [False, True])
def test_remat_changes_no_step_also_with_drop_path(jit):
    x, stepped = tokens(B=8), {}
    for remat in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(x.shape[1:])
        block = TransformerBlock(3, 40, drop_path=0.5, layer_scale=0.5, remat=remat)
        model = keras.Model(inputs, block(inputs))
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit)
        before = model.get_weights()
        for _ in range(2):
            model.train_on_batch(x, np.ones_like(x))
        stepped[remat] = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
    for plain, recomputed in zip(stepped[False], stepped[True], strict=True):
        np.testing.assert_allclose(recomputed, plain, atol=1e-5)
    trained = [abs(change).max() for change in stepped[True]]
    assert min(trained) > 0


def test_remat_refuses_dropout_inside_the_branches():
    for rates in ({"dropout": 0.1}, {"attention_dropout": 0.1}):
        with pytest.raises(ValueError, match=r"needs dropout=0 and attention_dropout=0"):
            TransformerBlock(3, 40, remat=True, **rates)


def test_heads_must_divide_dim():
    with pytest.raises(ValueError, match=r"num_heads=7 does not divide dim=24"):
        TransformerBlock(7, 40)(tokens())


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 3e-4), ("float16", 3e-3), ("bfloat16", 2e-2)]
)
def test_gelu_is_exact_in_its_left_tail_too(dtype, tolerance):
    x = np.linspace(-3.5, 4, 31, dtype="float32")
    x = ops.convert_to_numpy(ops.cast(ops.cast(x, dtype), "float32"))  # what this dtype can hold
    expected = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    found = ops.cast(ACTIVATIONS["gelu"](ops.cast(x, dtype)), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=tolerance)
