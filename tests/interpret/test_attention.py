import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import SelfAttention, ViT, attention_maps, class_attention
from vit_keras_lib.interpret import keep_mass
from vit_keras_lib.interpret.attention import _run


def images(B=3, H=24, W=16):
    return np.random.default_rng(0).integers(0, 256, (B, H, W, 3), dtype="uint8")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return ViT((24, 16), 5, patch_size=8, dim=24, depth=3, num_heads=3, mlp_dim=48)


def test_shape_dtype_and_rows(model):
    maps = attention_maps(model, images())
    assert (maps.shape, maps.dtype) == ((3, 3, 3, 7, 7), np.float32)
    np.testing.assert_allclose(maps.sum(-1), 1.0, atol=1e-5)
    assert (maps >= 0).all()


def test_tokens_are_the_same_with_and_without_maps(model):
    ((tokens, _),) = _run(model, images(), None, 32, False)
    plain = keras.Model(model.input, model.get_layer("block2").output)(images())
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (tokens, plain)), atol=1e-5)


def test_maps_leave_no_trace_in_the_model(model):
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    attention_maps(model, images())
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes


def test_maps_are_those_of_keras_multi_head_attention(model):
    """Block by block: what Keras' own layer says of the tokens that reach the block."""
    maps = attention_maps(model, images())
    for i in range(3):
        block = model.get_layer(f"block{i}")
        tokens = block.norm1(keras.Model(model.input, block.input)(images()))
        kernel, bias = (ops.convert_to_numpy(w) for w in block.attention.qkv.weights)
        theirs = keras.layers.MultiHeadAttention(3, 8)
        theirs.build(tokens.shape, tokens.shape)
        for part, dense in enumerate([theirs._query_dense, theirs._key_dense, theirs._value_dense]):
            columns = slice(part * 24, part * 24 + 24)
            dense.set_weights([kernel[:, columns].reshape(24, 3, 8), bias[columns].reshape(3, 8)])
        _, scores = theirs(tokens, tokens, return_attention_scores=True)
        np.testing.assert_allclose(maps[:, i], ops.convert_to_numpy(scores), atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "same_as"), [(-1, [2]), ([0, 2], [0, 2]), ([2, 0], [2, 0]), ((-3,), [0])]
)
def test_layers_are_chosen_by_index(model, layers, same_as):
    every = attention_maps(model, images())
    chosen = attention_maps(model, images(), layers)
    np.testing.assert_allclose(chosen, every[:, same_as], atol=1e-6)
    assert not np.allclose(every[:, 0], every[:, -1])


def test_batches_change_nothing(model):
    every = attention_maps(model, images())
    np.testing.assert_allclose(attention_maps(model, images(), batch_size=2), every, atol=1e-5)


def test_a_token_is_found_where_it_was_planted(model):
    """Queries and keys made of one channel: every token must look at patch (2, 1) only."""
    chosen = 1 + 2 * 2 + 1
    layer = SelfAttention(1)
    layer.build((1, 7, 2))
    layer.qkv.set_weights([np.array([[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]), np.zeros(6)])
    tokens = np.zeros((1, 7, 2), "float32")
    tokens[..., 1] = 1.0  # every query asks for channel 0
    tokens[0, chosen, 0] = 50.0
    on_grid = class_attention(ops.convert_to_numpy(layer.scores(tokens)), (3, 2))
    assert on_grid.shape == (1, 1, 3, 2)
    assert on_grid[0, 0, 2, 1] > 0.999


def test_class_attention_refuses_another_grid(model):
    with pytest.raises(ValueError, match=r"T=7 tokens.*2 x 2 = 4 patches.*model.grid"):
        class_attention(attention_maps(model, images()), (2, 2))


def test_class_attention_refuses_a_model_without_a_class_token(tiny_vit):
    model = tiny_vit(pool="mean", class_token=False)
    maps = attention_maps(model, images())
    with pytest.raises(ValueError, match=r"num_prefix_tokens=0.*no class token.*class_relevance"):
        class_attention(maps, model.grid, model.num_prefix_tokens)


def test_blocks_are_named_by_any_whole_number(model):
    maps = attention_maps(model, images())
    for layers, expected in ((np.int64(1), [1]), (np.array([2, 0]), [2, 0]), (-1, [2])):
        got = attention_maps(model, images(), layers)
        np.testing.assert_allclose(got, maps[:, expected], atol=1e-6)


def test_bad_input(model):
    with pytest.raises(ValueError, match=r"no block 3: the model has 3, numbered 0 to 2"):
        attention_maps(model, images(), 3)
    with pytest.raises(ValueError, match=r"no block -4"):
        attention_maps(model, images(), [0, -4])
    with pytest.raises(ValueError, match=r"\(B, 24, 16, 3\), got \(1, 16, 24, 3\)"):
        attention_maps(model, images(1, 16, 24))
    with pytest.raises(ValueError, match=r"no TransformerBlock.*Dense"):
        attention_maps(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), images())


@pytest.mark.parametrize(
    ("heat", "share", "kept"),
    [
        ([[2, 16, 4], [2, 0, 8]], 0.75, [[0, 1, 0], [0, 0, 1]]),  # reached exactly
        ([[2, 16, 4], [2, 0, 8]], 0.8, [[0, 1, 1], [0, 0, 1]]),
        ([[4, 1, 2], [2, 2, 1]], 0.5, [[1, 0, 1], [1, 1, 0]]),  # ties stay together
        ([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]], 0.3, [[1, 1, 1], [1, 1, 1]]),
        ([[2, 16, 4], [2, 0, 8]], 1.0, [[1, 1, 1], [1, 0, 1]]),
    ],
)
def test_a_mask_keeps_its_share_of_the_mass(heat, share, kept):
    mask = keep_mass(np.array(heat, "float32"), share)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.array(kept, bool))


def test_masks_of_many_maps_are_those_of_each():
    maps = np.random.default_rng(0).uniform(size=(2, 3, 4, 5))
    masks = keep_mass(maps, 0.6)
    assert masks.shape == maps.shape
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(masks[i, j], keep_mass(maps[i, j], 0.6))
        held = np.sort(maps[i, j][masks[i, j]])
        assert held.sum() >= 0.6 * maps[i, j].sum() > held[1:].sum()  # no patch too many


@pytest.mark.parametrize(
    ("heat", "share", "message"),
    [
        ([[1, 2]], 0, r"`share` must be above 0 and at most 1, got 0"),
        ([[1, 2]], 60, r"`share` must be above 0 and at most 1, got 60"),
        ([[1, -2]], 0.6, r"got -2 to 1\. Rectify"),
        ([[0, 0]], 0.6, r"not all 0: got 0 to 0"),
    ],
)
def test_a_mask_of_what_has_no_mass_is_refused(heat, share, message):
    with pytest.raises(ValueError, match=message):
        keep_mass(np.array(heat), share)
