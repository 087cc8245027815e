"""The two examples that benchmarks/accuracy.py trains beside ours."""

import types

import numpy as np
import pytest

FLOWERS = types.SimpleNamespace(image_size=(96, 96), num_classes=5)


@pytest.fixture
def accuracy(script):
    return script("accuracy")


def test_the_keras_io_example_has_its_own_sizes(accuracy):
    """144 patches of 6 x 6, 8 blocks of 4 heads of 64; nearly all weights behind the blocks."""
    model = accuracy.keras_io(FLOWERS)
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


def test_the_tutorial_has_three_convolutions_and_a_dense(accuracy):
    model = accuracy.tensorflow_tutorial(FLOWERS)
    convolutions = 3 * 9 * 16 + 16 + 16 * 9 * 32 + 32 + 32 * 9 * 64 + 64
    assert model.count_params() == convolutions + 12 * 12 * 64 * 128 + 128 + 128 * 5 + 5
    assert model.output_shape == (None, 5)


def test_both_are_trained_without_what_the_ladder_adds(accuracy):
    plain = accuracy.PLAIN
    assert (plain.augment, plain.mix, plain.ema, plain.decay) == ("none", False, None, False)
    assert plain.schedule(10) == plain.learning_rate == 1e-3
