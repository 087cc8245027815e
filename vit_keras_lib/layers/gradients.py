"""Training with TensorFlow on a CPU: gradients in fewer passes over memory.

TensorFlow runs one operation after another, each over the whole of its tensors. XLA, JAX and
PyTorch's attention need no such help: everywhere else gradients are the backend's own.
"""

import functools

import keras
from keras import ops


def trains_on_tensorflow_cpu(training):
    """Whether this is training with TensorFlow on a CPU.

    Nothing but training takes gradients of weights, and what is exported or explained stays free
    of them.
    """
    if not training or keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@functools.cache
def in_one_pass(function):
    """Returns `function`, which maps a tensor element by element, compiled by XLA.

    Forward and backward are one pass each: the gradient computes what it needs from the input
    again, instead of reading back what each operation of the forward pass would leave.
    """
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def gradient(slope, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, slope)

    forward = tf.function(function, jit_compile=True)
    return tf.custom_gradient(lambda x: (forward(x), lambda slope: gradient(slope, x)))


def attend(query, key, value):
    """Returns `softmax(query key^T) value` and its gradient, as `keras.ops.custom_gradient` asks.

    For a slope s of the weights the softmax passes on `weights * (s - sum(weights * s))`. That sum
    over T keys is also one over d channels, of what is returned times its slope
    (FlashAttention, arXiv 2205.14135, appendix B.2): one pass over (T, T) less.
    In half precision the outcome is rounded before it is summed: that sum would be less exact.

    Args:
        query: (B, k, T, d), float32, scaled.
        key: (B, k, T, d).
        value: (B, k, T, d).

    Returns:
        (B, k, T, d), and a function from a slope of that to the slopes of the arguments.
    """
    logits = ops.matmul(query, ops.swapaxes(key, -1, -2))  # (B, k, T, T)
    weights = ops.softmax(logits, axis=-1)
    heads = ops.matmul(weights, value)  # (B, k, T, d)

    def gradient(slope):
        shift = ops.sum(slope * heads, axis=-1, keepdims=True)  # (B, k, T, d) -> (B, k, T, 1)
        of_weights = ops.matmul(slope, ops.swapaxes(value, -1, -2))  # (B, k, T, T)
        of_logits = weights * (of_weights - shift)
        return (
            ops.matmul(of_logits, key),
            ops.matmul(ops.swapaxes(of_logits, -1, -2), query),
            ops.matmul(ops.swapaxes(weights, -1, -2), slope),
        )

    return heads, gradient
