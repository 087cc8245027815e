import numpy as np
import pytest
from keras import ops

from vit_keras_lib import PatchEncoder, sincos2d_table


@pytest.mark.parametrize(
    ("config", "prefix", "weights"),
    [
        ({}, 1, 5),
        ({"class_token": False}, 0, 3),
        ({"register_tokens": 2}, 3, 6),
        ({"position": "none"}, 1, 3),
        ({"position": "sincos2d", "grid": (2, 3), "register_tokens": 1}, 2, 5),
    ],
)
def test_layer(check_layer, config, prefix, weights):
    check_layer(PatchEncoder, {"dim": 16, **config}, (6, 12), (prefix + 6, 16), weights)


def built(**config):
    layer = PatchEncoder(16, **config)
    layer.build((None, 6, 12))
    return layer


def by_name(layer, name):
    return next(ops.convert_to_numpy(w) for w in layer.weights if w.name == name)


def test_tokens_are_projection_plus_place_behind_the_prefix():
    layer = built(register_tokens=2)
    patches = np.random.default_rng(1).normal(size=(3, 6, 12)).astype("float32")
    tokens = ops.convert_to_numpy(layer(patches))
    kernel, bias = by_name(layer, "kernel"), by_name(layer, "bias")
    expected = patches @ kernel + bias + by_name(layer, "position_table")
    np.testing.assert_allclose(tokens[:, 3:], expected, atol=1e-5)
    class_token = by_name(layer, "class_token") + by_name(layer, "class_position")
    np.testing.assert_allclose(tokens[:, :1], np.repeat(class_token, 3, 0), atol=1e-6)
    registers = by_name(layer, "register_tokens")
    np.testing.assert_allclose(tokens[:, 1:3], np.repeat(registers, 3, 0), atol=1e-6)
    assert not np.allclose(registers[0, 0], registers[0, 1])


def test_permuting_patches_permutes_tokens_only_without_positions():
    patches = np.random.default_rng(1).normal(size=(1, 6, 12)).astype("float32")
    order = [3, 1, 5, 0, 2, 4]
    for position, equal in [("none", True), ("learned", False), ("sincos2d", False)]:
        layer = built(position=position, class_token=False, grid=(2, 3))
        tokens = ops.convert_to_numpy(layer(patches))[:, order]
        permuted = ops.convert_to_numpy(layer(patches[:, order]))
        assert np.allclose(tokens, permuted, atol=1e-6) == equal, position


def test_sincos_table_is_fixed_and_the_papers():
    layer = built(position="sincos2d", grid=(2, 3))
    np.testing.assert_array_equal(by_name(layer, "position_table"), sincos2d_table((2, 3), 16))
    assert "position_table" not in {w.name for w in layer.trainable_weights}


def test_another_number_of_patches_is_refused():
    layer = built()
    with pytest.raises(ValueError, match=r"6 patches, got 8.*with_image_size"):
        layer(np.zeros((1, 8, 12)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"position": "rotary"}, "learned.*sincos2d.*none.*rotary"),
        ({"position": "sincos2d"}, r"grid=\(rows, columns\)"),
    ],
)
def test_bad_arguments(config, message):
    with pytest.raises(ValueError, match=message):
        PatchEncoder(16, **config)


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\) has 4 places, but 6"):
        built(grid=(2, 2))
