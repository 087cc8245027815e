import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import TransformerBlock
from vit_keras_lib.layers import normalization, one_pass, transformer_block
from vit_keras_lib.layers.transformer_block import ACTIVATIONS

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="elsewhere the step is compiled as it is"
)
DTYPES = ["float32", "bfloat16", "float16"]


def draws(*shapes, dtype="float32"):
    rng = np.random.default_rng(0)
    return [ops.cast(rng.normal(size=shape).astype("float32"), dtype) for shape in shapes]


def slopes(function, inputs, slope):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = function(*inputs)
    found = tape.gradient(y, inputs, slope)
    return [ops.convert_to_numpy(ops.cast(g, "float32")) for g in found]


def test_only_tensorflow_on_a_cpu_needs_help(monkeypatch):
    here = keras.backend.backend() == "tensorflow"
    assert one_pass.on_tensorflow_cpu() is here
    if here:
        import tensorflow as tf

        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
        assert not one_pass.on_tensorflow_cpu()


@on_tensorflow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_one_pass_is_the_same_function_with_the_same_gradient(name, dtype):
    function = ACTIVATIONS[name]
    x, slope = draws((5, 40), (5, 40), dtype=dtype)
    compiled = one_pass.in_one_pass(function)
    assert compiled is one_pass.in_one_pass(function)  # else each block would compile its own
    tolerance = {"float32": 1e-5, "bfloat16": 3e-2, "float16": 4e-3}[dtype]
    difference = ops.cast(compiled(x), "float32") - ops.cast(function(x), "float32")
    assert compiled(x).dtype == x.dtype
    assert np.abs(difference).max() <= tolerance
    expected = slopes(function, [ops.cast(x, "float32")], ops.cast(slope, "float32"))
    np.testing.assert_allclose(slopes(compiled, [x], slope), expected, atol=4 * tolerance)


@on_tensorflow
def test_one_pass_of_several_tensors():
    def function(x, y):
        return x * ops.exp(y)

    inputs, slope = draws((5, 4), (5, 4)), draws((5, 4))[0]
    compiled = one_pass.in_one_pass(function)
    np.testing.assert_allclose(compiled(*inputs), function(*inputs), rtol=1e-5)
    found = slopes(compiled, inputs, slope)
    for ours, theirs in zip(found, slopes(function, inputs, slope), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@on_tensorflow
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("jit", [False, True])
def test_a_step_is_the_step_without_it(monkeypatch, jit, remat):
    x, stepped = ops.convert_to_numpy(draws((4, 7, 24))[0]), {}
    for compiled in (False, True):
        for module in (transformer_block, normalization):
            monkeypatch.setattr(module, "on_tensorflow_cpu", lambda on=compiled: on)
        keras.utils.set_random_seed(0)
        inputs = keras.Input(x.shape[1:])
        block = TransformerBlock(3, 40, layer_scale=0.5, remat=remat)
        model = keras.Model(inputs, block(inputs))
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit)
        before = model.get_weights()
        model.train_on_batch(x, np.ones_like(x))
        stepped[compiled] = [b - a for a, b in zip(before, model.get_weights(), strict=True)]
    for ours, theirs in zip(stepped[True], stepped[False], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert np.abs(theirs).max() > 0


@on_tensorflow
def test_what_does_not_train_is_free_of_it():
    """What is served, exported or explained has the operations of the equations alone."""
    import tensorflow as tf

    block = TransformerBlock(3, 40)
    block.build((None, 7, 24))

    def compiled(part, **how):
        run = tf.function(lambda x: part(x, **how)).get_concrete_function(tf.zeros((2, 7, 24)))
        nodes = run.graph.as_graph_def().node
        return any("_XlaMustCompile" in node.attr for node in nodes) or any(
            "_gradient_op_type" in node.attr for node in nodes
        )

    for part in (block.norm1, block.mlp):
        assert compiled(part, training=True)
    assert not compiled(block) and not compiled(block, training=False)
