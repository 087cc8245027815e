"""Hugging Face's ViT, DINOv2 and DINOv2 with registers: `config.json` and `model.safetensors`.

Names are those of the published files, which `save_pretrained` still writes. What shapes cannot
tell comes from `config.json`: heads, epsilon, activation, image size.
"""

import numpy as np

from vit_keras_lib.pretrained.checkpoint import Checkpoint, count_blocks, shape_of

BLOCK = "encoder.layer.{i}"
ATTENTION = f"{BLOCK}.attention.attention"

SHARED = {
    "encoder/projection/kernel": (
        "embeddings.patch_embeddings.projection.weight",
        "dim C ph pw -> (ph pw C) dim",
    ),
    "encoder/projection/bias": ("embeddings.patch_embeddings.projection.bias", "dim"),
    "encoder/class_token": ("embeddings.cls_token", "1 1 dim"),
    "encoder/class_position encoder/position_table": (
        "embeddings.position_embeddings",
        "1 T dim",
    ),
    "block{i}/attention/qkv/kernel": (
        f"{ATTENTION}.query.weight {ATTENTION}.key.weight {ATTENTION}.value.weight",
        "out dim -> dim out",
    ),
    "block{i}/attention/qkv/bias": (
        f"{ATTENTION}.query.bias {ATTENTION}.key.bias {ATTENTION}.value.bias",
        "dim",
    ),
    "block{i}/attention/projection/kernel": (
        f"{BLOCK}.attention.output.dense.weight",
        "out dim -> dim out",
    ),
    "block{i}/attention/projection/bias": (f"{BLOCK}.attention.output.dense.bias", "dim"),
    "norm/gamma": ("layernorm.weight", "dim"),
    "norm/beta": ("layernorm.bias", "dim"),
    "head/kernel": ("classifier.weight", "classes dim -> dim classes"),
    "head/bias": ("classifier.bias", "classes"),
}
VIT = {
    **SHARED,
    "block{i}/norm1/gamma": (f"{BLOCK}.layernorm_before.weight", "dim"),
    "block{i}/norm1/beta": (f"{BLOCK}.layernorm_before.bias", "dim"),
    "block{i}/norm2/gamma": (f"{BLOCK}.layernorm_after.weight", "dim"),
    "block{i}/norm2/beta": (f"{BLOCK}.layernorm_after.bias", "dim"),
    "block{i}/mlp_hidden/kernel": (f"{BLOCK}.intermediate.dense.weight", "mlp dim -> dim mlp"),
    "block{i}/mlp_hidden/bias": (f"{BLOCK}.intermediate.dense.bias", "mlp"),
    "block{i}/mlp_output/kernel": (f"{BLOCK}.output.dense.weight", "dim mlp -> mlp dim"),
    "block{i}/mlp_output/bias": (f"{BLOCK}.output.dense.bias", "dim"),
}
DINOV2 = {
    **SHARED,
    "encoder/register_tokens": ("embeddings.register_tokens", "1 R dim"),
    "block{i}/norm1/gamma": (f"{BLOCK}.norm1.weight", "dim"),
    "block{i}/norm1/beta": (f"{BLOCK}.norm1.bias", "dim"),
    "block{i}/scale1": (f"{BLOCK}.layer_scale1.lambda1", "dim"),
    "block{i}/norm2/gamma": (f"{BLOCK}.norm2.weight", "dim"),
    "block{i}/norm2/beta": (f"{BLOCK}.norm2.bias", "dim"),
    "block{i}/mlp_hidden/kernel": (f"{BLOCK}.mlp.fc1.weight", "mlp dim -> dim mlp"),
    "block{i}/mlp_hidden/bias": (f"{BLOCK}.mlp.fc1.bias", "mlp"),
    "block{i}/mlp_output/kernel": (f"{BLOCK}.mlp.fc2.weight", "dim mlp -> mlp dim"),
    "block{i}/mlp_output/bias": (f"{BLOCK}.mlp.fc2.bias", "dim"),
    "block{i}/scale2": (f"{BLOCK}.layer_scale2.lambda1", "dim"),
}
# model_type: its table, and mean and deviation of pixels where no processor says them.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Behind them how photos are resized where no processor says it, as with the published models.
SQUASHED = {"size": {"height": 224, "width": 224}, "resample": 2, "do_center_crop": False}
CROPPED = {"size": {"shortest_edge": 256}, "crop_size": 224, "resample": 3, "do_center_crop": True}
FAMILIES = {
    "vit": (VIT, ((0.5,) * 3, (0.5,) * 3), SQUASHED),
    "dinov2": (DINOV2, IMAGENET, CROPPED),
    "dinov2_with_registers": (DINOV2, IMAGENET, CROPPED),
}
# Pillow's numbers of the filters that `load_flowers` knows.
FILTERS = {"0": "nearest", "1": "lanczos", "2": "bilinear", "3": "bicubic"}
# "gelu" is exact there; the two others are the approximation with a tanh.
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


def understand(tensors, config, processor=None):
    """Makes a `Checkpoint` of a Hugging Face model.

    The pooler of `ViTModel` counts as a part of the head. DINOv2's classifier reads the class
    token beside the mean of the patches, which `ViT` does not: it counts as no head. The mask
    token, of use in pre-training only, is left out.

    Args:
        tensors: from `model.safetensors`.
        config: of `config.json`.
        processor: of `preprocessor_config.json`, for mean and standard deviation of the pixels
            and the rule of resizing; None for the defaults of the family: 0.5 and 0.5, squashed,
            for ViT; ImageNet's, and a centred crop of 224 out of 256, for DINOv2.

    Raises:
        ValueError: for another architecture, or a config that contradicts the tensors.
    """
    family = config.get("model_type")
    if str(family) not in FAMILIES:
        raise ValueError(
            f"config.json says model_type={family!r}, expected one of {sorted(FAMILIES)}."
        )
    if config.get("use_swiglu_ffn"):
        raise ValueError("config.json says use_swiglu_ffn: ViT has no SwiGLU, only GELU.")
    if _get(config, "hidden_act", str) not in ACTIVATIONS:
        raise ValueError(
            f"config.json says hidden_act={config['hidden_act']!r}, expected one of "
            f"{sorted(ACTIVATIONS)}."
        )
    table, statistics, resizing = FAMILIES[family]
    tensors = {name.removeprefix(f"{family}."): tensor for name, tensor in tensors.items()}
    tensors.pop("embeddings.mask_token", None)
    if not config.get("qkv_bias", True):
        table = {**table, "block{i}/attention/qkv/bias": ("", "")}

    dim, channels, ph, pw = shape_of(tensors, "embeddings.patch_embeddings.projection.weight", 4)
    hidden = table["block{i}/mlp_hidden/kernel"][0].format(i=0)
    rows = shape_of(tensors, "embeddings.position_embeddings", 3)[1]
    registers = 0
    if family == "dinov2_with_registers":
        registers = shape_of(tensors, "embeddings.register_tokens", 3)[1]
    depth = count_blocks(tensors, r"encoder\.layer\.(\d+)\.")
    image_size = _pair(config, "image_size")
    H, W = image_size
    for key, said, found in (
        ("hidden_size", config.get("hidden_size"), dim),
        ("num_hidden_layers", config.get("num_hidden_layers"), depth),
        ("patch_size", _pair(config, "patch_size"), (ph, pw)),
        ("num_channels", config.get("num_channels", 3), channels),
        ("image_size, with the class token,", (H // ph) * (W // pw) + 1, rows),
    ):
        if said != found:
            raise ValueError(f"config.json's {key} gives {said}, but the tensors say {found}.")
    classes = None
    if family == "vit" and "classifier.weight" in tensors:
        classes = shape_of(tensors, "classifier.weight", 2)[0]
    mean, std = pixel_statistics(processor or {}, channels, *statistics)
    vit = {
        "image_size": image_size,
        "patch_size": (ph, pw),
        "channels": channels,
        "dim": dim,
        "depth": depth,
        "num_heads": _get(config, "num_attention_heads", int),
        "mlp_dim": shape_of(tensors, hidden, 2)[0],
        "pool": "cls",
        "position": "learned",
        "class_token": True,
        "register_tokens": registers,
        "layer_scale": None if family == "vit" else 1.0,
        "num_classes": classes,
        "activation": ACTIVATIONS[config["hidden_act"]],
        "epsilon": _get(config, "layer_norm_eps", float),
        "pixel_mean": mean,
        "pixel_std": std,
        "resize_rule": resize_rule({**resizing, **(processor or {})}),
    }
    return Checkpoint(tensors, table, vit, rows, head=("classifier.", "pooler."))


def resize_rule(processor):
    """Returns the rule of resizing, as `ViT.resize_rule`, of an image processor's configuration.

    Args:
        processor: `do_resize`, `size`, `resample`, `do_center_crop`, `crop_size`.

    Returns:
        None where it does not resize, or in a way that `load_flowers` does not know.
    """
    size, name = processor["size"], FILTERS.get(str(processor["resample"]))
    if not processor.get("do_resize", True) or name is None:
        return None
    squash = not isinstance(size, dict) or "height" in size
    taken, share = _sides(size), 1.0
    if processor["do_center_crop"]:
        cut = _sides(processor.get("crop_size"))
        if not taken or not cut:
            return None
        share = cut[0] / taken[0]
        if share > 1 or (squash and cut[1] / taken[1] != share):
            return None
    return ("squash" if squash else "crop", share, name) if taken else None


def _sides(size):
    """Returns (height, width) of a size as processors write it; None for what is none."""
    if isinstance(size, dict):
        if "shortest_edge" in size:
            size = size["shortest_edge"]
        else:
            size = (size.get("height"), size.get("width"))
    pair = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    return pair if len(pair) == 2 and all(type(v) is int and v > 0 for v in pair) else None


def pixel_statistics(processor, channels, mean, std):
    """Returns what pixels from 0 to 255 lose and are divided by: numbers, or one for each channel.

    Args:
        processor: an image processor's configuration: `do_rescale`, `rescale_factor`,
            `do_normalize`, `image_mean`, `image_std`.
        channels: how many.
        mean: of the pixels after rescaling, where the processor does not say.
        std: likewise.

    Raises:
        ValueError: for values that cannot be.
    """

    def numbers(key, default, least):
        value = processor.get(key, default)
        values = value if isinstance(value, (list, tuple)) else [value]
        if len(values) not in (1, channels) or not all(
            type(v) in (int, float) and least < v < 1e9 for v in values
        ):
            raise ValueError(
                f"{key} is {value!r}, expected a number between {least} and 1e9, or {channels}."
            )
        return np.float64(value)

    factor = np.float64(1)
    if processor.get("do_rescale", True):
        factor = numbers("rescale_factor", 1 / 255, 1e-9)
    if not processor.get("do_normalize", True):
        return 0.0, (1 / factor).tolist()
    mean, std = numbers("image_mean", mean, -1e9), numbers("image_std", std, 1e-9)
    return (mean / factor).tolist(), (std / factor).tolist()


def _get(config, key, kind):
    if not isinstance(config.get(key), kind) or isinstance(config[key], bool):
        raise ValueError(f"config.json says {key}={config.get(key)!r}; that cannot be.")
    return config[key]


def _pair(config, key):
    """Returns a size as a pair (height, width) of positive integers."""
    value = config.get(key)
    pair = tuple(value) if isinstance(value, list) else (value, value)
    if len(pair) != 2 or not all(type(v) is int and v > 0 for v in pair):
        raise ValueError(f"config.json says {key}={value!r}; that cannot be.")
    return pair
