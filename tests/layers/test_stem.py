import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib.layers import ConvStem, ShiftedPatches


def images(B=2, H=24, W=16, C=3):
    return np.random.default_rng(0).normal(size=(B, H, W, C)).astype("float32")


def test_conv_stem_makes_one_feature_vector_for_each_patch():
    stem = ConvStem(8, 24)
    y = stem(images())
    assert tuple(y.shape) == (2, 6, 24) == stem.compute_output_shape((2, 24, 16, 3))
    assert [c.filters for c in stem.convolutions] == [6, 12, 24]


def test_conv_stem_equals_the_convolutions_one_after_another():
    stem = ConvStem(4, 8)
    x = images()
    y = np.array(stem(x))
    for convolution, norm in zip(stem.convolutions, stem.norms, strict=True):
        x = ops.conv(x, convolution.kernel, strides=2, padding="same")  # (B, h, w, c) -> halved
        x = ops.relu(x / np.sqrt(1 + norm.epsilon))  # a batch norm that has seen nothing yet
    np.testing.assert_allclose(y, np.array(x).reshape(2, -1, 8), atol=1e-5)


def test_conv_stem_tokens_keep_their_place():
    """What changes in one corner reaches that corner's token, and not the one far away."""
    stem = ConvStem(8, 24)
    x, changed = images(1, 48, 40), images(1, 48, 40)
    changed[:, :8, :8] += 1
    moved = np.abs(np.array(stem(x)) - np.array(stem(changed))).max(-1).reshape(6, 5)
    assert moved[0, 0] > 0.01
    assert moved[3:].max() == moved[:, 3:].max() == 0


def test_conv_stem_learns_its_batch_statistics():
    stem = ConvStem(4, 8)
    stem(100 + images(), training=True)
    assert all(np.abs(np.array(norm.moving_mean)).max() > 0 for norm in stem.norms)
    assert len(stem.trainable_variables) == 6  # a kernel, a scale and a shift each


@pytest.mark.parametrize("patch_size", [6, (8, 4), 1])
def test_conv_stem_refuses_a_patch_it_cannot_halve(patch_size):
    with pytest.raises(ValueError, match=r"`patch_size` must be 2, 4, 8, 16, ..., got"):
        ConvStem(patch_size, 24)


def test_conv_stem_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"`dim` to be a multiple of 4, got 30"):
        ConvStem(8, 30)
    with pytest.raises(ValueError, match=r"20.*8"):
        ConvStem(8, 24)(images(H=20))


def test_shifted_patches_are_five_views_of_a_place_normalised():
    layer, x = ShiftedPatches((4, 2)), images(1, 8, 6)
    y = np.array(layer(x))
    assert y.shape == (1, 6, 5 * 4 * 2 * 3) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-3)


def test_shifted_patches_see_half_a_patch_over_their_edge():
    """The patch in row 1, column 1 of 4 x 2 pixels, and its views, taken by hand."""
    layer, x = ShiftedPatches((4, 2)), images(1, 12, 8)
    views = [
        x[0, 4 + y : 8 + y, 2 + z : 4 + z] for y, z in ((0, 0), (-2, -1), (-2, 1), (2, -1), (2, 1))
    ]
    by_hand = np.concatenate([view.ravel() for view in views])
    by_hand = (by_hand - by_hand.mean()) / np.sqrt(by_hand.var() + 1e-6)
    np.testing.assert_allclose(np.array(layer(x))[0, 1 * 4 + 1], by_hand, atol=1e-4)


@pytest.mark.parametrize("make", [lambda: ConvStem(8, 24), lambda: ShiftedPatches((8, 4))])
def test_a_stem_survives_saving(make, tmp_path):
    x = images()
    model = keras.Sequential([keras.Input(x.shape[1:]), make()])
    model.save(tmp_path / "stem.keras")
    again = keras.models.load_model(tmp_path / "stem.keras")
    np.testing.assert_array_equal(np.array(model(x)), np.array(again(x)))
    assert again.layers[0].get_config() == model.layers[0].get_config()
