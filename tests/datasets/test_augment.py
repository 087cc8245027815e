import keras
import numpy as np
import pytest
import tensorflow as tf

from vit_keras_lib.datasets.augment import STRENGTHS, _augment_batch, batcher

CHANGING = STRENGTHS[1:]


@pytest.fixture
def pictures(smooth):
    """24 different pictures (32, 40, 3) of 3 classes."""
    images = np.stack([smooth(i, 32, 40) for i in range(24)])
    labels = np.eye(3, dtype=np.float32)[np.arange(24) % 3]
    return tf.data.Dataset.from_tensor_slices((images, labels))


def augmented_batches(pictures, batch_size, strength="none", mix=False, **options):
    return batcher(strength, mix)(pictures, batch_size, **options)


def epoch(batches):
    parts = list(batches.as_numpy_iterator())
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_shapes_types_and_range(strength, pictures):
    batches = augmented_batches(pictures, 10, strength=strength, seed=3)
    assert len(batches) == 3
    images, labels = epoch(batches)
    assert images.shape == (24, 32, 40, 3) and images.dtype == np.float32
    assert labels.shape == (24, 3) and labels.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 255
    assert images.std() > 20  # raw pixels, neither rescaled nor washed out
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    one_hot = [y for _, y in pictures.as_numpy_iterator()]
    np.testing.assert_array_equal(labels, one_hot)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_mixing_goes_with_every_strength(strength, pictures):
    images, labels = epoch(augmented_batches(pictures, 10, strength=strength, mix=True, seed=3))
    assert images.min() >= 0 and images.max() <= 255
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    assert ((labels > 0.05) & (labels < 0.95)).any()
    again = epoch(augmented_batches(pictures, 10, strength=strength, mix=True, seed=3))
    np.testing.assert_array_equal(images, again[0])


def test_drop_remainder(pictures):
    batches = augmented_batches(pictures, 10, strength="light", drop_remainder=True)
    assert [len(x) for x, _ in batches] == [10, 10]


@pytest.mark.parametrize("strength", CHANGING)
def test_the_seed_decides_everything(strength, pictures):
    one, two = (augmented_batches(pictures, 8, strength=strength, seed=5) for _ in range(2))
    first = epoch(one)[0]
    np.testing.assert_array_equal(epoch(one)[0], first)
    np.testing.assert_array_equal(epoch(two)[0], first)


def test_another_seed_gives_other_pictures(pictures):
    one, two = (augmented_batches(pictures, 8, strength="light", seed=s) for s in (5, 6))
    assert not np.array_equal(epoch(one)[0], epoch(two)[0])


@pytest.mark.parametrize("strength", CHANGING)
def test_pictures_of_a_batch_change_differently(strength, smooth):
    same = tf.data.Dataset.from_tensors((smooth(0, 32, 32), [1.0, 0.0])).repeat(8)
    images, _ = epoch(augmented_batches(same, 8, strength=strength))
    assert len({image.tobytes() for image in images}) >= 7


def test_half_precision_policy_does_not_touch_pixels(pictures):
    full = epoch(augmented_batches(pictures, 8, strength="strong"))[0]
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = epoch(augmented_batches(pictures, 8, strength="strong"))[0]
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(half, full)


def test_none_changes_nothing(pictures):
    images, labels = epoch(augmented_batches(pictures, 8))
    for got, want in zip(images, pictures.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(got, want[0])
    assert set(labels.ravel()) == {0, 1}


def test_light_keeps_a_shifted_or_mirrored_picture(smooth):
    """Every result is, away from the border, a shift of the picture or of its mirror image."""
    pixels = smooth(0, 48, 48).astype(float)
    same = tf.data.Dataset.from_tensors((pixels, [1.0, 0.0])).repeat(16)
    images, _ = epoch(augmented_batches(same, 16, strength="light"))
    mirrored = 0
    for image in images:
        differences = {
            flip: min(
                np.abs(image[6:-6, 6:-6] - source[6 + y : 42 + y, 6 + x : 42 + x]).mean()
                for y in range(-3, 4)
                for x in range(-3, 4)
            )
            for flip, source in ((False, pixels), (True, pixels[:, ::-1]))
        }
        assert min(differences.values()) < 1
        mirrored += differences[True] < differences[False]
    assert 2 <= mirrored <= 14


def test_mixed_labels_tell_the_share_of_each_class():
    """Black is class 0, white class 1: a mixture is as bright as its label says."""
    black_and_white = np.repeat(np.array([0.0, 255.0], "float32"), 16)[:, None, None, None]
    images = tf.constant(np.broadcast_to(black_and_white, (32, 32, 32, 3)))
    labels = tf.one_hot(np.repeat([0, 1], 16), 2)
    mix = tf.function(_augment_batch("none", mix=True))
    mixed, soft = mix((images, labels), tf.constant([1, 2], tf.int64))
    brightness = mixed.numpy().mean((1, 2, 3)) / 255
    share = soft.numpy()[:, 1]
    assert ((share > 0.1) & (share < 0.9)).sum() >= 4
    # The label counts the area of the pasted box, the picture its whole pixels: a row, a column.
    np.testing.assert_allclose(brightness, share, atol=2 / 32)


def test_unknown_strength(pictures):
    with pytest.raises(ValueError, match=r"'wild'.*none, light, medium, strong"):
        augmented_batches(pictures, 8, strength="wild")
