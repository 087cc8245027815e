"""Multiply-adds: by hand, and as TensorFlow's own profiler counts them."""

import keras
import pytest

from vit_keras_lib.models import CNN, ViT, multiply_adds

# TensorFlow's counter needs TensorFlow.
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the profiler is TensorFlow's"
)


def as_profiled(model):
    """Multiply-adds of matrix products and convolutions in the model's graph."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    graph = convert_to_constants.convert_variables_to_constants_v2(
        tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    ).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options = {**options, "output": "none", "account_type_regexes": [".*MatMul.*", "Conv2D"]}
    profile = tf.compat.v1.profiler.profile(graph, options=options)

    def walk(node):
        yield node
        for child in node.children:
            yield from walk(child)

    return sum(node.float_ops for node in walk(profile) if not node.children) // 2


def test_a_dense_layer_and_a_convolution_by_hand():
    images = keras.Input((6, 4, 3))
    x = keras.layers.Conv2D(5, 3, strides=2, padding="same")(images)  # (B, 3, 2, 5)
    x = keras.layers.Dense(7)(keras.layers.Flatten()(x))  # (B, 30) -> (B, 7)
    assert multiply_adds(keras.Model(images, x)) == 3 * 2 * (3 * 3 * 3) * 5 + 30 * 7


@tensorflow_only
@pytest.mark.parametrize(
    "model",
    [
        lambda: ViT(32, 5, patch_size=8, dim=24, depth=2, num_heads=3, mlp_dim=48),
        lambda: ViT((16, 32), 5, patch_size=8, dim=24, depth=1, num_heads=3, stem="conv",
                    pool="mean", class_token=False, mlp_dim=40),
        lambda: ViT(32, 5, patch_size=8, dim=24, depth=2, num_heads=3, mlp_dim=48, pool="mean"),
        lambda: CNN((32, 48), 5, widths=(4, 8)),
    ],
    ids=["patches", "convolutional stem", "mean of tokens", "CNN"],
)  # fmt: skip
def test_the_profiler_counts_the_same(model):
    model = model()
    assert multiply_adds(model) == as_profiled(model)


def test_an_unknown_layer_is_named():
    images = keras.Input((6, 4, 3))
    model = keras.Model(images, keras.layers.SeparableConv2D(4, 3, name="odd")(images))
    with pytest.raises(ValueError, match="odd"):
        multiply_adds(model)
