"""Models on their way out: other formats, and eight bits."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import ViT, load_flowers, load_pretrained

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exported from the TensorFlow backend"
)
WITH_ALL = dict(pool="mean", register_tokens=2, layer_scale=0.1, dropout=0.1, drop_path=0.1)
KINDS = {
    "plain": {},
    "with all": WITH_ALL,
    "conv stem": {"stem": "conv"},
    "many tokens": {"patch_size": (2, 1)},
    "shifted": {"stem": "shifted", "locality": True},
    "tanh": {"activation": "gelu_tanh", "representation_size": 10},
}


@pytest.fixture(params=KINDS)
def model(request, tiny_vit):
    """A model whose biases, norms and statistics matter too."""
    model, rng = tiny_vit(**KINDS[request.param]), np.random.default_rng(1)
    for weight in model.weights:
        around = weight.name in ("gamma", "moving_variance", "temperature")
        weight.assign(rng.normal(0, 0.1, weight.shape) + around)
    return model


def images(B, H=24, W=16):
    return np.random.default_rng(0).integers(0, 256, (B, H, W, 3)).astype("float32")


def outputs(model, x):
    return ops.convert_to_numpy(model(x))


def in_litert(path, x):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(takes["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(takes["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(gives["index"])


@on_tensorflow
def test_a_saved_model_gives_the_same_outputs(model, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model.export(tmp_path / "model", verbose=False)
    served = tf.saved_model.load(tmp_path / "model")
    for B in (1, 3):
        x = images(B)
        np.testing.assert_allclose(served.serve(x), outputs(model, x), atol=1e-4)


@on_tensorflow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_parity(model, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx (extra: export) is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="(extra: export) is not installed")
    expected = {B: outputs(model, images(B)) for B in (1, 3)}
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (takes,) = session.get_inputs()
    for B in (1, 3):
        (logits,) = session.run(None, {takes.name: images(B)})
        np.testing.assert_allclose(logits, expected[B], atol=1e-4)
    np.testing.assert_array_equal(outputs(model, images(3)), expected[3])  # no trace is left


@on_tensorflow
def test_litert_parity(model, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="LiteRT (extra: export) is not installed")
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13):
        pytest.skip("Keras exports to LiteRT from 3.13 on")
    tf = pytest.importorskip("tensorflow")
    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    for B in (1, 3):
        x = images(B)
        np.testing.assert_allclose(
            in_litert(tmp_path / "model.tflite", x), outputs(model, x), atol=1e-4
        )
    small = dict(format="litert", verbose=False, optimizations=[tf.lite.Optimize.DEFAULT])
    model.export(tmp_path / "small.tflite", **small)
    sizes = [os.path.getsize(tmp_path / f"{name}.tflite") for name in ("small", "model")]
    assert sizes[0] < sizes[1]
    got, expected = in_litert(tmp_path / "small.tflite", images(3)), outputs(model, images(3))
    np.testing.assert_allclose(got, expected, atol=0.05 * np.abs(expected).max())


FRESH = """
import sys, numpy as np, vit_keras_lib, keras
model = keras.models.load_model(sys.argv[1] + "/model.keras")
np.save(sys.argv[1] + "/y.npy", keras.ops.convert_to_numpy(model(np.load(sys.argv[1] + "/x.npy"))))
"""


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_model_survives_saving_and_another_size(tiny_vit, tmp_path):
    model, x = tiny_vit(**WITH_ALL), images(3)
    model.save(tmp_path / "full.keras")
    full = outputs(model, x)
    model.quantize("int8")
    y = outputs(model, x)
    assert 0 < np.abs(y - full).max() < 0.05 * np.abs(full).max()
    model.save(tmp_path / "model.keras")
    assert os.path.getsize(tmp_path / "model.keras") < os.path.getsize(tmp_path / "full.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, x), y)
    same = again.with_image_size((24, 16))
    np.testing.assert_array_equal(outputs(same, x), y)
    wide = again.with_image_size((16, 48))
    assert wide.get_layer("head").quantization_mode == "int8"
    assert outputs(wide, images(2, 16, 48)).shape == (2, 5)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_only_what_was_quantized_is_quantized_in_the_loaded_model(tiny_vit, tmp_path):
    model = tiny_vit()
    for block in ("block0", "block1"):
        model.get_layer(block).mlp_hidden.quantize("int8")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    modes = {layer.path for layer in again._flatten_layers() if layer.quantization_mode}
    assert modes == {"block0/mlp_hidden", "block1/mlp_hidden"}
    np.testing.assert_array_equal(outputs(again, images(2)), outputs(model, images(2)))
    assert "quantized" not in tiny_vit().get_config()


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_eight_bits_a_weight_keep_the_answers_of_the_shipped_model(tmp_path):
    """And a fresh process loads them."""
    pytest.importorskip("tensorflow_datasets")
    model = load_pretrained("flowers")
    assert isinstance(model, ViT)
    flowers = load_flowers(image_size=model.image_size)
    x, labels = next(iter(flowers.batches("test", 50).as_numpy_iterator()))
    full = outputs(model, x)
    model.save(tmp_path / "full.keras")
    model.quantize("int8")
    y = outputs(model, x)
    model.save(tmp_path / "model.keras")
    sizes = [os.path.getsize(tmp_path / f"{name}.keras") for name in ("model", "full")]
    assert sizes[0] < 0.3 * sizes[1]
    hits = [(z.argmax(-1) == labels.argmax(-1)).mean() for z in (full, y)]
    assert abs(hits[0] - hits[1]) <= 0.04
    assert (full.argmax(-1) == y.argmax(-1)).mean() >= 0.96
    np.save(tmp_path / "x.npy", x)
    subprocess.run([sys.executable, "-c", FRESH, tmp_path], check=True, timeout=240)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), y)
