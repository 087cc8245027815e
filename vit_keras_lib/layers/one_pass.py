"""Training with TensorFlow on a CPU: fewer passes over memory.

There each operation goes over the whole of its tensors before the next one begins. JAX and a GPU
need no such help, because XLA compiles the whole step.
"""

import functools

import keras


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
