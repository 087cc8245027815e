import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import load_pretrained


def images(H, W):
    return np.random.default_rng(0).integers(0, 256, (2, H, W, 3), dtype="uint8")


@pytest.fixture
def stored(tiny_vit, tmp_path):
    model = tiny_vit(dtype="float16")
    model.save(tmp_path / "small.keras")
    return model, str(tmp_path / "small.keras")


def test_a_float16_file_becomes_a_float32_model_with_the_same_weights(stored):
    model, path = stored
    loaded = load_pretrained(path)
    assert loaded.dtype_policy.name == "float32"
    assert {v.dtype for v in loaded.variables} == {"float32"}
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a.astype("float32"), b)


def test_another_size_and_another_head(stored):
    _, path = stored
    loaded = load_pretrained(path)
    other = load_pretrained(path, image_size=(32, 48), num_classes=9)
    assert other(images(32, 48)).shape == (2, 9)
    for layer in ("block0", "block1", "norm"):
        for a, b in zip(
            loaded.get_layer(layer).weights, other.get_layer(layer).weights, strict=True
        ):
            np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def test_a_new_head_for_as_many_other_classes(stored):
    model, path = stored
    kept = load_pretrained(path, num_classes=model.num_classes)
    for num_classes in (None, model.num_classes):
        other = load_pretrained(path, num_classes=num_classes, new_head=True)
        assert other.num_classes == model.num_classes
        for layer, same in (("block1", True), ("head", False)):
            a, b = (m.get_layer(layer).get_weights()[0] for m in (kept, other))
            assert np.array_equal(a, b) == same


@pytest.mark.parametrize("source", ["roses", "no/such/file.keras", "__init__.py"])
def test_an_unknown_source_is_refused(source):
    with pytest.raises(ValueError, match=r"No trained model .*'flowers'.*\.keras"):
        load_pretrained(source)


def test_another_kind_of_model_is_refused(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "dense.keras")
    with pytest.raises(ValueError, match=r"holds a Sequential, expected a ViT"):
        load_pretrained(tmp_path / "dense.keras")


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_new_head_on_a_quantized_and_frozen_model_can_be_trained(tiny_vit, tmp_path):
    model = tiny_vit()
    model.trainable = False
    model.quantize("int8")
    model.save(tmp_path / "int8.keras")
    loaded = load_pretrained(tmp_path / "int8.keras", num_classes=3)
    assert loaded.get_layer("block0").mlp_hidden.quantization_mode == "int8"
    assert [w.path for w in loaded.trainable_weights] == ["head/kernel", "head/bias"]
