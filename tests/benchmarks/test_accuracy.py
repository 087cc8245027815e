"""The two examples that benchmarks/accuracy.py trains beside ours."""

import types

import numpy as np
import pytest


@pytest.fixture
def accuracy(script):
    return script("accuracy")


@pytest.fixture
def flowers():
    tf = pytest.importorskip("tensorflow")
    photos = np.random.default_rng(0).integers(0, 99, (8, 96, 96, 3), "uint8")
    train = tf.data.Dataset.from_tensor_slices((photos, np.zeros(8, "int64")))
    return types.SimpleNamespace(image_size=(96, 96), num_classes=5, train=train, photos=photos)


def test_the_keras_io_example_has_its_own_sizes(accuracy, flowers):
    """144 patches of 6 x 6, 8 blocks of 4 heads of 64; nearly all weights behind the blocks."""
    model = accuracy.keras_io(flowers)
    core = model.layers[-1]
    attention = [layer for layer in core.layers if "attention" in layer.name]
    assert len(attention) == 8
    assert {(layer.num_heads, layer.key_dim) for layer in attention} == {(4, 64)}
    flat = next(layer for layer in core.layers if "flatten" in layer.name)
    assert flat.output.shape[1] == 144 * 64
    first = 144 * 64 * 2048 + 2048  # the first Dense behind it
    assert 0.85 < first / model.count_params() < 0.95
    photos = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    assert model(photos).shape == (2, 5)


def test_the_keras_io_example_normalizes_by_the_photos_it_learns_from(accuracy, flowers):
    core = accuracy.keras_io(flowers).layers[-1]
    (normalization,) = (layer for layer in core.layers if layer.name[:13] == "normalization")
    found = normalization(flowers.photos.astype("float32"))
    np.testing.assert_allclose(np.mean(found, axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(np.std(found, axis=(0, 1, 2)), 1, atol=1e-3)


def test_the_tutorial_has_three_convolutions_and_a_dense(accuracy, flowers):
    model = accuracy.tensorflow_tutorial(flowers)
    convolutions = 3 * 9 * 16 + 16 + 16 * 9 * 32 + 32 + 32 * 9 * 64 + 64
    assert model.count_params() == convolutions + 12 * 12 * 64 * 128 + 128 + 128 * 5 + 5
    assert model.output_shape == (None, 5)


def test_both_are_trained_without_what_the_ladder_adds(accuracy):
    plain = accuracy.PLAIN
    assert (plain.augment, plain.mix, plain.ema, plain.decay) == ("none", False, None, False)
    assert plain.schedule(10) == plain.learning_rate == 1e-3
