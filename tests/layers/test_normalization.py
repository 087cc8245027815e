import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib.layers.normalization import LayerNormalization, layer_norm

TOLERANCES = {"float32": 1e-5, "bfloat16": 4e-2, "float16": 4e-3}
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="elsewhere it is Keras' layer and no more"
)


def draws(*shapes, dtype="float32"):
    rng = np.random.default_rng(0)
    return [ops.cast(rng.normal(size=shape).astype("float32"), dtype) for shape in shapes]


def in_float32(tensors):
    return [ops.convert_to_numpy(ops.cast(tensor, "float32")) for tensor in tensors]


def test_layer(check_layer):
    check_layer(LayerNormalization, {"epsilon": 1e-6}, (7, 24), (7, 24), weights=2)


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("shape", [(2, 7, 24), (5, 24), (2, 3, 4, 8)])
def test_equals_keras_layer(shape, dtype):
    x, gamma, beta = draws(shape, shape[-1:], shape[-1:], dtype=dtype)
    x = 3 * x + 5  # away from what the norm makes of it
    theirs = keras.layers.LayerNormalization(epsilon=1e-6)
    theirs.build(shape)
    theirs.set_weights(in_float32([gamma, beta]))
    y = layer_norm(x, gamma, beta, 1e-6)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    expected = ops.convert_to_numpy(theirs(ops.cast(x, "float32")))
    np.testing.assert_allclose(in_float32([y])[0], expected, atol=TOLERANCES[dtype])


@on_tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_trains_as_keras_layer_does(policy):
    import tensorflow as tf

    dtype = policy.removeprefix("mixed_")
    x, slope, gamma, beta = draws((4, 7, 24), (4, 7, 24), (24,), (24,))
    found = {}
    for kind, how in ((LayerNormalization, policy), (keras.layers.LayerNormalization, "float32")):
        layer = kind(epsilon=1e-6, dtype=how)
        layer.build(x.shape)
        layer.set_weights(in_float32([gamma, beta]))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True) if kind is LayerNormalization else layer(x)
        gradients = tape.gradient(y, [x, *layer.trainable_weights], ops.cast(slope, y.dtype))
        found[kind] = in_float32([y, *gradients])
    for ours, theirs in zip(*found.values(), strict=True):
        scale = max(1, np.abs(theirs).max())
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=TOLERANCES[dtype])


def test_all_norms_of_a_vit_are_of_this_kind(tiny_vit):
    vit = tiny_vit(stem="shifted")
    norms = [
        layer
        for layer in vit._flatten_layers()
        if isinstance(layer, keras.layers.LayerNormalization)
    ]
    assert len(norms) == 1 + 2 * 2 + 1
    assert all(isinstance(layer, LayerNormalization) for layer in norms)
