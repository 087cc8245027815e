"""timm's layout, by its published names, against NumPy."""

import json

import numpy as np
import pytest
from keras import ops

from vit_keras_lib import load_pretrained

PUBLISHED = {  # config.json of timm/vit_base_patch16_224.augreg2_in21k_ft_in1k, in small
    "architecture": "vit_base_patch16_224",
    "num_classes": 5,
    "num_features": 24,
    "global_pool": "token",
    "model_args": {"num_heads": 3},
    "pretrained_cfg": {
        "input_size": [3, 16, 24],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


@pytest.fixture
def save(tmp_path, safetensors_bytes):
    """Returns a writer of a model's file, with or without its config.json."""

    def write(tensors, config=None):
        (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(tensors))
        if config is None:
            return tmp_path / "model.safetensors"
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return write


def logits(model, images):
    return ops.convert_to_numpy(model(images))


def test_a_bare_file(flax_params, flax_forward, raw_images, timm_tensors, save):
    params, images = flax_params(), raw_images(24, 24)
    model = load_pretrained(save(timm_tensors(params)), num_heads=3)
    expected = flax_forward(params, images / 127.5 - 1, exact_gelu=True)
    np.testing.assert_allclose(logits(model, images), expected, atol=1e-5)


def test_a_folder_of_the_hub(flax_params, flax_forward, raw_images, timm_tensors, save):
    params, images = flax_params(grid=(2, 3)), raw_images(16, 24)
    model = load_pretrained(save(timm_tensors(params), PUBLISHED))
    cfg = PUBLISHED["pretrained_cfg"]
    pixels = (images / 255 - np.array(cfg["mean"])) / np.array(cfg["std"])
    expected = flax_forward(params, pixels, exact_gelu=True)
    np.testing.assert_allclose(logits(model, images), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, ("crop", 0.9, "bicubic")),
        ({"crop_mode": "squash", "crop_pct": 1.0}, ("squash", 1.0, "bicubic")),
        ({"crop_mode": "border"}, None),
        ({"interpolation": "random"}, None),
        ({"crop_pct": None}, None),
        ({"crop_mode": ["center"]}, None),
    ],
)
def test_photos_are_resized_as_the_config_says(flax_params, timm_tensors, save, changes, rule):
    config = {**PUBLISHED, "pretrained_cfg": {**PUBLISHED["pretrained_cfg"], **changes}}
    model = load_pretrained(save(timm_tensors(flax_params(grid=(2, 3))), config))
    assert model.resize_rule == rule


def test_heads_have_64_channels_unless_told(flax_params, timm_tensors, save):
    wide = flax_params(dim=128, heads=4, mlp=32, depth=1)
    assert load_pretrained(save(timm_tensors(wide))).num_heads == 2
    with pytest.raises(ValueError, match=r"num_heads=None does not divide dim=24: pass num_heads="):
        load_pretrained(save(timm_tensors(flax_params())))


def test_registers_layer_scale_and_a_class_token_without_a_place(
    flax_params, raw_images, timm_tensors, save
):
    """As in vit_base_patch14_reg4_dinov2: against the same tensors without what they add."""
    tensors, images = timm_tensors(flax_params()), raw_images(24, 24)
    plain = load_pretrained(save(tensors), num_heads=3)
    tensors["cls_token"] = tensors["cls_token"] + tensors["pos_embed"][:, :1]
    tensors["pos_embed"] = tensors["pos_embed"][:, 1:]
    for i in range(2):
        for scale, dense in (("ls1", "attn.proj"), ("ls2", "mlp.fc2")):
            # A branch scaled by 4 is the branch of a last layer four times as large.
            tensors[f"blocks.{i}.{scale}.gamma"] = np.full(24, 4, "float32")
            tensors[f"blocks.{i}.{dense}.weight"] /= 4
            tensors[f"blocks.{i}.{dense}.bias"] /= 4
    model = load_pretrained(save(tensors), num_heads=3)
    np.testing.assert_allclose(logits(model, images), logits(plain, images), atol=1e-5)
    tensors["reg_token"] = np.random.default_rng(0).normal(size=(1, 4, 24)).astype("float32")
    model = load_pretrained(save(tensors), num_heads=3)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.get_layer("encoder").register_vectors), tensors["reg_token"]
    )
    assert np.abs(logits(model, images) - logits(plain, images)).max() > 1e-3


def test_the_mean_of_the_patches(flax_params, flax_forward, raw_images, timm_tensors, save):
    params, images = flax_params(class_token=False), raw_images(24, 24)
    model = load_pretrained(save(timm_tensors(params)), num_heads=3)
    expected = flax_forward(params, images / 127.5 - 1, exact_gelu=True)
    np.testing.assert_allclose(logits(model, images), expected, atol=1e-5)


def test_without_biases_of_query_key_and_value(flax_params, timm_tensors, save):
    tensors = timm_tensors(flax_params())
    for i in range(2):
        del tensors[f"blocks.{i}.attn.qkv.bias"]
    model = load_pretrained(save(tensors), num_heads=3)
    assert not ops.convert_to_numpy(model.get_layer("block1").attention.qkv.bias).any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fc_norm.weight", r"a norm behind the pooling"),
        ("attn_pool.latent", r"attention pooling"),
        ("norm_pre.weight", r"a norm before the blocks"),
        ("dist_token", r"a distillation token"),
        ("blocks.0.attn.q_norm.weight", r"blocks.0.attn.q_norm.weight is not known"),
        ("head_dist.weight", r"head_dist.weight is not known"),
    ],
)
def test_what_a_vit_has_not_is_named(flax_params, timm_tensors, save, name, message):
    tensors = {**timm_tensors(flax_params()), name: np.zeros(3, "float32")}
    with pytest.raises(ValueError, match=message):
        load_pretrained(save(tensors), num_heads=3)


@pytest.mark.parametrize("name", ["blocks.1.attn.qkv.bias", "cls_token", "norm.weight"])
def test_a_missing_tensor_is_named(flax_params, timm_tensors, save, name):
    tensors = timm_tensors(flax_params())
    del tensors[name]
    with pytest.raises(ValueError, match=name):
        load_pretrained(save(tensors), num_heads=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"global_pool": "map"}, r"global_pool must be token"),
        ({"model_args": {"mlp_layer": "SwiGLUPacked"}}, r"model_args has \['mlp_layer'\]"),
        ({"model_args": {"act_layer": "silu"}}, r"act_layer='silu'"),
        ({"model_args": []}, None),
        ({"model_args": "none"}, r"must be objects"),
        ({"architecture": "vit_base_patch16_clip_quickgelu_224"}, r"quickgelu"),
        ({"model_args": {"num_heads": 5}}, r"num_heads=5 does not divide"),
        ({"pretrained_cfg": {"input_size": [3, 32, 32]}}, r"pos_embed has 10 rows"),
    ],
)
def test_a_config_that_does_not_fit(flax_params, timm_tensors, save, changes, message):
    path = save(timm_tensors(flax_params()), {"architecture": "vit_base_patch16_224", **changes})
    if message is None:
        assert load_pretrained(path, num_heads=3).num_heads == 3
    else:
        with pytest.raises(ValueError, match=message):
            load_pretrained(path)
