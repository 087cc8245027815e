"""Trained models in."""

import os
import re
from pathlib import Path

import keras

import vit_keras_lib
from vit_keras_lib.models import ViT
from vit_keras_lib.pretrained import download, hugging_face, keras_hub, npz, timm
from vit_keras_lib.pretrained.checkpoint import check_changes
from vit_keras_lib.pretrained.reading import one_error, read_json, read_npz, read_safetensors

# Beside the package in the repository, as the embedded photos are.
_SHIPPED = {"flowers": "flowers_vit.keras", "flowers-conv": "flowers_conv_vit.keras"}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def load_pretrained(source="flowers", image_size=None, num_classes=None, new_head=False, **changes):
    """Loads a trained ViT in float32.

    The format is recognised by what the source holds; patch, dim, depth, heads, image size, class
    token, register tokens, head, activation, epsilon and the pixels' mean and deviation are read
    from it. The model takes raw pixels from 0 to 255, whatever the checkpoint was trained with. How
    photos were brought to their size is its `resize_rule`, for `load_flowers`.

    Args:
        source: one of

            - "flowers" or "flowers-conv", small models trained on the embedded flowers that come
              with the repository: one on plain patches, and a better one with a convolutional
              stem;
            - a `.keras` file that holds a `ViT`;
            - a `.npz` file of google-research (vision_transformer, big_vision), or its address:
              "gs://vit_models/augreg/....npz", "https://...";
            - a folder of Hugging Face's ViT, DINOv2 or DINOv2 with registers, or of timm's ViT
              (`config.json`, `model.safetensors`), or the name of one on the hub,
              "google/vit-base-patch16-224"; or a `.safetensors` file of timm's ViT alone;
            - a model of KerasHub (`ViTBackbone`, `ViTImageClassifier`), the name of a preset,
              "vit_base_patch16_224_imagenet", or the folder of one.
        image_size: int or (H, W) to resize the position table to, or None to keep the
            checkpoint's.
        num_classes: number of logits, or None to keep the checkpoint's. Where it differs, or there
            is no head, the whole prediction head makes way for a new one, random, as it knows
            nothing yet.
        new_head: whether it makes way even where the number is the same, as it should for as many
            other classes.
        **changes: arguments of `ViT` over what the checkpoint says: `num_heads`, `activation`,
            `epsilon`, `pixel_mean`, `pixel_std`, `resize_rule` where a file is silent about them;
            `dropout`, `attention_dropout`, `drop_path`, `remat`, `dtype`, `name` for training on.

    Returns:
        A `ViT`.

    Raises:
        ValueError: for an unknown source; for a damaged file, or one that holds pickles, which
            could run code; for another architecture; for a tensor that is missing, left over or
            of another shape. The message names it.
        ConnectionError: when a server cannot be reached.
        OSError: when a download cannot be stored.
        ImportError: for a preset of KerasHub without KerasHub.
    """
    check_changes(changes)
    if keras_hub.is_model(source):
        converter = getattr(getattr(source, "preprocessor", None), "image_converter", None)
        checkpoint = keras_hub.understand(source, converter)
    elif not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"`source` is a {type(source).__name__}, expected a name or a path.")
    elif str(source) in _SHIPPED or Path(source).suffix == ".keras":
        return _load_keras(source, image_size, num_classes, new_head, changes)
    else:
        checkpoint = _read(source)
    return checkpoint.to_vit(image_size, num_classes, changes, new_head)


def _read(source):
    """Returns the `Checkpoint` that a name or path stands for."""
    path = download.fetch_url(source) if download.is_url(source) else Path(source)
    if not path.exists():
        if re.fullmatch(r"(kaggle://.+|vit_\w+)", str(source)):
            return keras_hub.understand(*keras_hub.read_preset(source))
        if download.is_hub_name(source) and path.suffix not in (".npz", ".safetensors", *_PICKLES):
            path = download.fetch_model(source)
    if path.is_dir():
        if "registered_name" in _config_beside(path / "model.weights.h5"):
            keras_hub.check_preset(path)
            return keras_hub.understand(*keras_hub.read_preset(path))
        found = sorted(p.name for p in path.iterdir() if p.suffix in _PICKLES)
        path = path / "model.safetensors"
        if found and not path.is_file():
            path = path.with_name(found[0])
    if path.suffix in _PICKLES:
        raise ValueError(
            f"{path.name} would be read as a pickle, which can run code: refused. Save the weights "
            "as model.safetensors, or take a checkpoint that comes as such."
        )
    if path.is_file() and path.suffix == ".npz":
        return npz.understand(read_npz(path))
    if path.is_file() and path.suffix == ".safetensors":
        return _read_safetensors(path)
    raise _unknown(source)


def _read_safetensors(path):
    """Returns the `Checkpoint` of a `.safetensors` file and the configurations beside it."""
    tensors, config = read_safetensors(path), _config_beside(path)
    if "model_type" in config:
        processor = path.with_name("preprocessor_config.json")
        return hugging_face.understand(
            tensors, config, read_json(processor) if processor.is_file() else None
        )
    if "architecture" in config or "patch_embed.proj.weight" in tensors:
        return timm.understand(tensors, config)
    raise ValueError(
        f"{path.name} is of an unknown architecture: no timm ViT, and without a config.json beside "
        f"it no Hugging Face ViT. It begins with {sorted(tensors)[:4]}."
    )


def _config_beside(path):
    """Returns what `config.json` in the same folder says; nothing where there is none."""
    config = path.with_name("config.json")
    return read_json(config) if config.is_file() else {}


def _load_keras(source, image_size, num_classes, new_head, changes):
    """Loads a `.keras` file."""
    root = Path(vit_keras_lib.__file__).parents[1] / "data"
    path = root / _SHIPPED[str(source)] if str(source) in _SHIPPED else Path(source)
    if not path.is_file():
        raise _unknown(source)
    with one_error(path, "a .keras file"):
        stored = keras.models.load_model(path, compile=False)
    if not isinstance(stored, ViT):
        raise ValueError(f"{path.name} holds a {type(stored).__name__}, expected a ViT.")
    config = {**stored.get_config(), "dtype": "float32", **changes}
    if num_classes is None:
        num_classes = stored.num_classes
    new_head = new_head or num_classes != stored.num_classes
    if new_head:  # which is neither quantized nor frozen
        config.update(num_classes=num_classes, representation_size=None, trainable=True)
        own = ("head", "pre_logits")
        config["quantized"] = {k: v for k, v in config.get("quantized", {}).items() if k not in own}
        config["frozen"] = [name for name in config.get("frozen", ()) if name not in own]
    model = ViT.from_config(config)
    for layer in model.layers:
        if layer.weights and not (new_head and layer.name == "head"):
            old = stored.get_layer(layer.name).get_weights()
            layer.set_weights([w.astype("float32") for w in old])
    return model if image_size is None else model.with_image_size(image_size)


def _unknown(source):
    return ValueError(
        f"No trained model {str(source)!r}: expected one of {sorted(_SHIPPED)} (they come with "
        "the repository; a copy of the package alone does not hold them), the path of an "
        "existing .keras, .npz or .safetensors file or of a model's folder, OWNER/NAME of "
        "Hugging Face's hub, or a preset of KerasHub."
    )
