"""KerasHub's ViT: objects and preset folders."""

import json

import numpy as np
import pytest
from keras import ops

from vit_keras_lib import load_pretrained
from vit_keras_lib.models import VARIANTS
from vit_keras_lib.pretrained import keras_hub as keras_hub_format

TINY = dict(patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=48)


@pytest.fixture
def make():
    """Returns a maker of KerasHub classifiers whose biases and norms matter, too."""
    keras_hub = pytest.importorskip("keras_hub", reason="extra peers is not installed")

    def make(size=(24, 24), classes=5, converter=None, backbone=None, **task):
        backbone = {"layer_norm_epsilon": 1e-6, **TINY, **(backbone or {})}
        model = keras_hub.models.ViTBackbone((*size, 3), **backbone)
        if classes:
            if converter:
                task["preprocessor"] = keras_hub.models.ViTImageClassifierPreprocessor(
                    keras_hub.layers.ViTImageConverter(image_size=size, **converter)
                )
            model = keras_hub.models.ViTImageClassifier(model, num_classes=classes, **task)
        rng = np.random.default_rng(0)
        for weight in model.weights:
            fan_in = weight.shape[0] if "kernel" in weight.path else 100
            noise = rng.standard_normal(weight.shape, "float32") / fan_in**0.5
            weight.assign(noise + ("gamma" in weight.path))
        return model

    return make


def difference(ours, model, images, pixels):
    expected = ops.convert_to_numpy(model(pixels.astype("float32")))
    return np.abs(ops.convert_to_numpy(ours(images)) - expected).max()


@pytest.mark.parametrize("size", ["Ti", "S", "B"])
def test_parity_at_published_sizes(make, raw_images, size):
    v = VARIANTS[size]
    sizes = dict(hidden_dim=v["dim"], num_layers=v["depth"], num_heads=v["num_heads"])
    model = make((48, 48), 1000, backbone={**sizes, "mlp_dim": v["mlp_dim"], "patch_size": 16})
    images = raw_images(48, 48, B=1)
    ours = load_pretrained(model)
    found = difference(ours, model, images, images / 127.5 - 1)
    print(f"{size}: {found:.1e}")
    assert found <= 1e-4
    assert ours.count_params() == model.count_params()


@pytest.mark.parametrize(
    ("config", "pool"),
    [
        (dict(intermediate_dim=16), "cls"),
        (dict(backbone=dict(use_class_token=False), pooling="gap"), "mean"),
        (dict(backbone=dict(use_mha_bias=False, use_mlp_bias=False, use_patch_bias=False)), "cls"),
    ],
    ids=["pre_logits", "gap", "no biases"],
)
def test_parity_of_a_preset_folder(make, raw_images, tmp_path, config, pool):
    converter = dict(scale=[1 / 50, 1 / 60, 1 / 70], offset=[-2.0, -1.9, -1.8])
    model = make((16, 24), converter=converter, **config)
    model.save_to_preset(tmp_path)
    ours, images = load_pretrained(tmp_path), raw_images(16, 24)
    pixels = images * np.array(converter["scale"]) + np.array(converter["offset"])
    assert difference(ours, model, images, pixels) <= 1e-4
    assert (ours.pool, ours.grid) == (pool, (2, 3))
    assert ours.resize_rule == ("crop", 1.0, "bilinear")


def test_parity_of_a_backbone_without_a_head(make, raw_images, tmp_path):
    keras_hub = pytest.importorskip("keras_hub", reason="extra peers is not installed")
    import keras

    model = make(classes=None)
    model.save_to_preset(tmp_path)
    assert load_pretrained(tmp_path, num_classes=3).pixel_std == 127.5
    keras_hub.layers.ViTImageConverter(scale=1 / 255).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match=r"no prediction head: pass num_classes"):
        load_pretrained(tmp_path)
    ours, images = load_pretrained(tmp_path, num_classes=3), raw_images(24, 24)
    assert (ours.pixel_mean, ours.pixel_std) == (0.0, pytest.approx(255))
    tokens = keras.Model(ours.input, ours.get_layer("norm").output)
    assert difference(tokens, model, images, images / 255) <= 1e-4


def test_parity_needs_a_head_that_reads_what_ours_reads(make):
    with pytest.raises(ValueError, match=r"pooling='gap' with use_class_token=True"):
        load_pretrained(make(pooling="gap"))
    with pytest.raises(ValueError, match=r"activation='softmax': ViT returns logits"):
        load_pretrained(make(activation="softmax"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_name": "Lambda", "module": "keras.layers"}, r"keras.layers.Lambda, expected"),
        ({"class_name": "ViTBackbone", "module": "os"}, r"asks for os.ViTBackbone, expected"),
    ],
)
def test_a_preset_that_would_create_something_else_is_refused(tmp_path, changes, message):
    good = {"module": "keras_hub.src.models.vit.vit_backbone", "class_name": "ViTBackbone"}
    config = {**good, "registered_name": "x", "config": {"layers": [{"config": {}, **changes}]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["vit_base_patch16_224_imagenet", "kaggle://keras/vit/keras/x/1"])
def test_parity_of_a_presets_name(make, monkeypatch, name):
    """KerasHub would download it: that is left out here."""
    asked, model = [], make()

    def read_preset(source):
        asked.append(source)
        return model, None

    monkeypatch.setattr(keras_hub_format, "read_preset", read_preset)
    assert load_pretrained(name).num_classes == 5
    assert asked == [name]


def test_parity_of_a_damaged_preset(make, tmp_path):
    make().save_to_preset(tmp_path)
    for path in tmp_path.glob("*.h5"):
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cannot be read as a preset of KerasHub"):
        load_pretrained(tmp_path)


def test_another_object_is_refused():
    with pytest.raises(ValueError, match=r"`source` is a list, expected a name or a path"):
        load_pretrained([1])
