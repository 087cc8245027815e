"""TensorFlow on a CPU: fewer passes over memory.

There each operation goes over the whole of its tensors before the next one begins. JAX and a GPU
need no such help, because XLA compiles the whole step.
"""

import functools

import keras


def on_tensorflow_cpu():
    """Whether Keras computes with TensorFlow, and that has no GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@functools.cache
def in_one_pass(function):
    """Returns `function`, of one or more tensors, compiled by XLA.

    Forward and backward are one pass each: the gradient computes what it needs from the inputs
    again, instead of reading back what each operation of the forward pass would leave.
    """
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def gradient(slope, *inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
        return tape.gradient(y, inputs, slope)

    forward = tf.function(function, jit_compile=True)

    @tf.custom_gradient
    def run(*inputs):
        return forward(*inputs), lambda slope: gradient(slope, *inputs)

    # Variables become tensors first, or TensorFlow would ask `run` for their gradients apart.
    return lambda *inputs: run(*map(tf.convert_to_tensor, inputs))
