import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import residual_stream, run_from
from vit_keras_lib.interpret import logit_lens, predict_without
from vit_keras_lib.interpret.residual import run_chain

KINDS = [{}, {"pool": "mean", "class_token": False}, {"pool": "mean", "register_tokens": 2}]


def images(B=3, H=24, W=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (B, H, W, 3), dtype="uint8")


def logits(model, x):
    return ops.convert_to_numpy(model(x))


@pytest.mark.parametrize("kind", KINDS)
def test_joints_are_what_the_layers_hand_on(tiny_vit, kind):
    model = tiny_vit(**kind, dropout=0.5)
    stream = residual_stream(model, images())
    T = model.num_prefix_tokens + 6
    assert (stream.shape, stream.dtype) == ((3, 3, T, 24), np.float32)
    x = images()
    for name in ("rescale", "patches", "encoder"):
        x = model.get_layer(name)(x)
    for j in range(3):
        np.testing.assert_allclose(stream[:, j], ops.convert_to_numpy(x), atol=1e-5)
        if j < 2:
            x = model.get_layer(f"block{j}")(x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("j", [0, 1, 2])
def test_patching_all_tokens_gives_clean_logits_and_none_corrupt_ones(tiny_vit, kind, j):
    model = tiny_vit(**kind)
    clean, corrupt = images(seed=1), images(seed=2)
    tokens = [residual_stream(model, x)[:, j] for x in (clean, corrupt)]
    T = tokens[0].shape[1]

    def patched(taken):
        return run_from(model, j, np.where(taken[:, None], *tokens))

    every, none = np.full(T, True), np.full(T, False)
    np.testing.assert_allclose(patched(every), logits(model, clean), atol=1e-5)
    np.testing.assert_allclose(patched(none), logits(model, corrupt), atol=1e-5)
    last = np.arange(T) == T - 1
    # Behind the last block the class token alone is read.
    unread = j == 2 and model.pool == "cls"
    assert np.allclose(patched(last), logits(model, corrupt), atol=1e-5) == unread


def test_batches_change_nothing(tiny_vit):
    model = tiny_vit()
    stream = residual_stream(model, images())
    np.testing.assert_allclose(residual_stream(model, images(), batch_size=2), stream, atol=1e-5)
    for found in (
        run_from(model, 1, stream[:, 1], batch_size=2),
        logit_lens(model, images(), batch_size=2)[:, -1],
    ):
        np.testing.assert_allclose(found, logits(model, images()), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_logit_lens_is_norm_pool_and_head_of_every_block(tiny_vit, kind):
    model = tiny_vit(**kind)
    for name in ("norm", "head"):  # of a fresh norm and head the biases are 0
        weights = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([w + 0.1 * np.random.randn(*w.shape) for w in weights])
    lens = logit_lens(model, images())
    assert (lens.shape, lens.dtype) == ((3, 2, 5), np.float32)

    x = residual_stream(model, images())[:, 1:]  # (B, depth, T, dim)
    scale, shift = model.get_layer("norm").get_weights()
    kernel, bias = model.get_layer("head").get_weights()
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / np.sqrt(variance + 1e-6) * scale + shift
    prefix = model.num_prefix_tokens
    x = x[:, :, 0] if model.pool == "cls" else x[:, :, prefix:].mean(2)
    np.testing.assert_allclose(lens, x @ kernel + bias, atol=1e-5)
    np.testing.assert_allclose(lens[:, -1], logits(model, images()), atol=1e-5)
    assert not np.allclose(lens[:, 0], lens[:, 1], atol=1e-3)


def test_half_precision_is_cut_without_loss(tiny_vit):
    model = tiny_vit(dtype="mixed_bfloat16")
    stream = residual_stream(model, images())
    assert stream.dtype == np.float32
    for j in range(3):
        np.testing.assert_allclose(
            run_from(model, j, stream[:, j]), logits(model, images()), atol=1e-2
        )


def test_cutting_leaves_nothing_behind_in_the_layers(tiny_vit):
    model = tiny_vit()
    before = [len(layer._inbound_nodes) for layer in model.layers]
    run_from(model, 1, residual_stream(model, images())[:, 1])
    logit_lens(model, images())
    assert [len(layer._inbound_nodes) for layer in model.layers] == before


def test_bad_input(tiny_vit):
    model = tiny_vit()
    tokens = residual_stream(model, images())[:, 0]
    for block in (3, -1):
        with pytest.raises(
            ValueError, match=rf"no block {block} to start from: vit has 2, .*from 0"
        ):
            run_from(model, block, tokens)
    with pytest.raises(ValueError, match=r"\(B, T, dim\) = \(B, 7, 24\), got \(7, 24\)"):
        run_from(model, 0, tokens[0])
    with pytest.raises(ValueError, match=r"= \(B, 7, 24\), got \(3, 6, 24\).*residual_stream"):
        run_from(model, 0, tokens[:, 1:])
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    part = keras.Model(model.input, model.output)
    for function in (residual_stream, logit_lens):
        with pytest.raises(ValueError, match=r"\(B, 24, 16, 3\), got \(1, 16, 24, 3\)"):
            function(model, images(1, 16, 24))
        with pytest.raises(ValueError, match=r"no TransformerBlock.*Dense"):
            function(dense, images())
        with pytest.raises(ValueError, match=r"is a Functional and not a ViT"):
            function(part, images())
    with pytest.raises(ValueError, match=r"no TransformerBlock.*Dense"):
        run_from(dense, 0, tokens)


@pytest.mark.parametrize("kind", [{}, {"pool": "mean", "class_token": False, "register_tokens": 2}])
def test_dropping_patches_equals_a_run_on_the_tokens_that_stay(tiny_vit, kind):
    model = tiny_vit(**kind)
    x = np.random.default_rng(0).uniform(0, 255, (3, 24, 16, 3)).astype("float32")
    predict = predict_without(model, x, [0, 1, 4])
    whole = ops.convert_to_numpy(ops.softmax(model(x)))[[0, 1, 2], [0, 1, 4]]
    np.testing.assert_allclose(predict(np.ones((3, 3, 2), bool)), whole, atol=1e-6)

    kept = np.zeros((3, 6), bool)
    for row, patches in enumerate([(0, 3), (1, 5), (2, 4)]):
        kept[row, list(patches)] = True
    answers = predict(kept.reshape(3, 3, 2))
    prefix = model.num_prefix_tokens
    tokens = residual_stream(model, x)[1, 0]  # (T, dim), of the second image
    few = np.concatenate([tokens[:prefix], tokens[prefix + 1 : prefix + 2], tokens[prefix + 5 :]])
    by_hand = run_chain(model, model.get_layer("block0"), ops.convert_to_tensor(few[None]))
    by_hand = ops.convert_to_numpy(ops.softmax(by_hand))[0, 1]
    np.testing.assert_allclose(answers[1], by_hand, atol=1e-6)
    assert np.abs(answers - whole).max() > 1e-4


def test_dropping_asks_about_the_predicted_class_and_refuses_what_does_not_fit(tiny_vit):
    model = tiny_vit()
    x = np.random.default_rng(0).uniform(0, 255, (2, 24, 16, 3)).astype("float32")
    whole = ops.convert_to_numpy(ops.softmax(model(x)))
    everything = np.ones((2, 3, 2), bool)
    np.testing.assert_allclose(predict_without(model, x)(everything), whole.max(axis=1), atol=1e-6)
    uneven = everything.copy()
    uneven[0, 0, 0] = False
    for kept in (uneven, ~everything, everything[:1], np.ones((2, 6), bool)):
        with pytest.raises(ValueError, match="as many in each image and at least one"):
            predict_without(model, x)(kept)
    for wrong in (5, -1, 1.0, [0, 1, 2]):
        with pytest.raises(ValueError, match="whole numbers from 0 to 4, got"):
            predict_without(model, x, wrong)
