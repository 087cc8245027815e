"""Keras' layer norm, which trains faster with TensorFlow on a CPU."""

import functools

import keras
from keras import ops

from vit_keras_lib.layers.one_pass import in_one_pass, on_tensorflow_cpu


def layer_norm(x, gamma, beta, epsilon):
    """Gives tokens mean 0 and variance 1, then scales and shifts: (..., dim) -> (..., dim).

    Equation 4 of arXiv 1607.06450, over one token's channels. XLA on a CPU is slow at sums along
    the last axis and fast at products of matrices: a mean is one with a column of 1 / dim.
    """
    dim = x.shape[-1]
    column = ops.full((dim, 1), 1 / dim, dtype="float32")
    tokens = ops.cast(ops.reshape(x, (-1, dim)), "float32")  # (..., dim) -> (N, dim)
    centred = tokens - ops.matmul(tokens, column)
    variance = ops.matmul(ops.square(centred), column)  # (N, 1)
    y = centred * ops.rsqrt(variance + epsilon) * ops.cast(gamma, "float32")
    y = ops.cast(y + ops.cast(beta, "float32"), x.dtype)
    return ops.reshape(y, ops.shape(x))  # (N, dim) -> (..., dim)


@functools.cache
def _in_one_pass(epsilon):
    return in_one_pass(functools.partial(layer_norm, epsilon=epsilon))


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis: (..., dim) -> (..., dim).

    Takes its `epsilon` and has its weights, `gamma` and `beta`. Training with TensorFlow on a CPU
    takes about half its time, see `layers/one_pass.py`.
    """

    def call(self, x, training=None):
        """Normalizes each token by itself; `training` changes the way, not the result."""
        if training and on_tensorflow_cpu():
            return _in_one_pass(self.epsilon)(x, self.gamma, self.beta)
        return super().call(x)
