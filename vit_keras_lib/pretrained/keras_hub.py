"""KerasHub's ViTBackbone and ViTImageClassifier: objects, presets by name, preset folders.

KerasHub itself reads them (https://keras.io/keras_hub): it must be installed. Its ViT has the
exact GELU.
"""

from pathlib import Path

import numpy as np
from keras import ops

from vit_keras_lib.pretrained.checkpoint import Checkpoint
from vit_keras_lib.pretrained.reading import one_error, read_json

EMBEDDING, ENCODER = "vit_patching_and_embedding", "vit_encoder"
BLOCK = f"{ENCODER}/transformer_block_{{next}}"
ATTENTION = f"{BLOCK}/mha"

TABLE = {
    "encoder/projection/kernel": (
        f"{EMBEDDING}/patch_embedding/kernel",
        "ph pw C dim -> (ph pw C) dim",
    ),
    "encoder/projection/bias": (f"{EMBEDDING}/patch_embedding/bias", "dim"),
    "encoder/class_token": (f"{EMBEDDING}/class_token", "1 1 dim"),
    "block{i}/norm1/gamma": (f"{BLOCK}/ln_1/gamma", "dim"),
    "block{i}/norm1/beta": (f"{BLOCK}/ln_1/beta", "dim"),
    "block{i}/attention/qkv/kernel": (
        f"{ATTENTION}/query/kernel {ATTENTION}/key/kernel {ATTENTION}/value/kernel",
        "dim k d -> dim (k d)",
    ),
    "block{i}/attention/qkv/bias": (
        f"{ATTENTION}/query/bias {ATTENTION}/key/bias {ATTENTION}/value/bias",
        "k d -> (k d)",
    ),
    "block{i}/attention/projection/kernel": (
        f"{ATTENTION}/attention_output/kernel",
        "k d dim -> (k d) dim",
    ),
    "block{i}/attention/projection/bias": (f"{ATTENTION}/attention_output/bias", "dim"),
    "block{i}/norm2/gamma": (f"{BLOCK}/ln_2/gamma", "dim"),
    "block{i}/norm2/beta": (f"{BLOCK}/ln_2/beta", "dim"),
    "block{i}/mlp_hidden/kernel": (f"{BLOCK}/mlp/dense_1/kernel", "dim mlp"),
    "block{i}/mlp_hidden/bias": (f"{BLOCK}/mlp/dense_1/bias", "mlp"),
    "block{i}/mlp_output/kernel": (f"{BLOCK}/mlp/dense_2/kernel", "mlp dim"),
    "block{i}/mlp_output/bias": (f"{BLOCK}/mlp/dense_2/bias", "dim"),
    "norm/gamma": (f"{ENCODER}/ln/gamma", "dim"),
    "norm/beta": (f"{ENCODER}/ln/beta", "dim"),
    "pre_logits/kernel": ("pre_logits/kernel", "dim rep"),
    "pre_logits/bias": ("pre_logits/bias", "rep"),
    "head/kernel": ("predictions/kernel", "features classes"),
    "head/bias": ("predictions/bias", "classes"),
}
# Which of our weights are zeros when a backbone goes without biases.
BIASES = {
    "use_patch_bias": ("encoder/projection/bias",),
    "use_mha_bias": ("block{i}/attention/qkv/bias", "block{i}/attention/projection/bias"),
    "use_mlp_bias": ("block{i}/mlp_hidden/bias", "block{i}/mlp_output/bias"),
}
# All that a preset of a ViT may ask Keras to create.
CLASSES = {
    "ViTBackbone",
    "ViTImageClassifier",
    "ViTImageClassifierPreprocessor",
    "ViTImageConverter",
    "DTypePolicy",
}


def is_model(source):
    """Whether `source` is a model of KerasHub's ViT."""
    names = {f"{cls.__module__}.{cls.__name__}" for cls in type(source).__mro__}
    package = "keras_hub.src.models.vit"
    return not names.isdisjoint(
        {
            f"{package}.vit_backbone.ViTBackbone",
            f"{package}.vit_image_classifier.ViTImageClassifier",
        }
    )


def check_preset(folder):
    """Raises a ValueError when a preset folder would create anything but a ViT."""
    for path in sorted(folder.glob("*.json")):
        objects = [read_json(path)]
        for value in objects:  # grows while it is walked
            name = value.get("class_name") if isinstance(value, dict) else None
            module = str(value.get("module", "keras")) if isinstance(value, dict) else "keras"
            known = name in CLASSES and module.partition(".")[0] in ("keras", "keras_hub")
            if not (name is None or known):
                raise ValueError(
                    f"{path.name} asks for {module}.{name}, expected a ViT: one of "
                    f"{sorted(CLASSES)}."
                )
            inner = value.values() if isinstance(value, dict) else value
            objects += [v for v in inner if isinstance(v, (dict, list))]


def read_preset(source):
    """Returns KerasHub's model of a preset, with its head if there is one, and its converter.

    Args:
        source: a preset's name, or its folder.

    Returns:
        A `ViTImageClassifier` or `ViTBackbone`, and its `ViTImageConverter` or None.

    Raises:
        ImportError: without KerasHub.
        ValueError: when KerasHub cannot read it.
    """
    import keras_hub

    folder, source = Path(source), str(source)

    def may_have(name):
        return not folder.is_dir() or (folder / name).is_file()

    with one_error(folder, "a preset of KerasHub"):
        if may_have("task.json"):
            try:
                model = keras_hub.models.ViTImageClassifier.from_preset(source)
                return model, model.preprocessor and model.preprocessor.image_converter
            except TypeError as error:  # it asks for num_classes where the preset has no head
                if "num_classes" not in str(error):
                    raise
        model, converter = keras_hub.models.ViTBackbone.from_preset(source), None
        if may_have("image_converter.json"):
            converter = keras_hub.layers.ViTImageConverter.from_preset(source)
        return model, converter


def understand(model, converter=None):
    """Makes a `Checkpoint` of KerasHub's model.

    Missing biases are zeros. Mean and standard deviation of the pixels and the rule of resizing are
    those of the image converter; without one they are 127.5, as with all of KerasHub's own ViT
    presets, and None.

    Raises:
        ValueError: for a classifier that pools or ends otherwise than `ViT` does.
    """
    backbone = getattr(model, "backbone", model)
    class_token = backbone.use_class_token
    pooling = getattr(model, "pooling", "token" if class_token else "gap")
    if (pooling, class_token) not in (("token", True), ("gap", False)):
        raise ValueError(
            f"pooling={pooling!r} with use_class_token={class_token}: ViT reads the class token, "
            "or, without one, the mean of the patches."
        )
    if getattr(model, "activation", None) not in (None, "linear"):
        raise ValueError(f"activation={model.activation!r}: ViT returns logits.")
    table = dict(TABLE)
    for flag, ours in BIASES.items():
        if not getattr(backbone, flag):
            table.update(dict.fromkeys(ours, ("", "")))
    ours = "encoder/class_position encoder/position_table"
    table[ours if class_token else ours.split()[1]] = (
        f"{EMBEDDING}/position_embedding/embeddings",
        "T dim",
    )
    H, W, channels = backbone.image_shape
    ph, pw = backbone.patch_size
    mean = std = 127.5
    rule = None
    if converter is not None:
        known = converter.interpolation in ("nearest", "bilinear", "bicubic")
        if known and not converter.pad_to_aspect_ratio:
            fit = "crop" if converter.crop_to_aspect_ratio else "squash"
            rule = (fit, 1.0, converter.interpolation)
        scale = np.float64(1.0 if converter.scale is None else converter.scale)
        offset = np.float64(0.0 if converter.offset is None else converter.offset)
        mean, std = (-offset / scale).tolist(), (1 / scale).tolist()
    config = {
        "image_size": (H, W),
        "patch_size": (ph, pw),
        "channels": channels,
        "dim": backbone.hidden_dim,
        "depth": backbone.num_layers,
        "num_heads": backbone.num_heads,
        "mlp_dim": backbone.mlp_dim,
        "pool": "cls" if class_token else "mean",
        "position": "learned",
        "class_token": class_token,
        "representation_size": getattr(model, "intermediate_dim", None),
        "num_classes": getattr(model, "num_classes", None),
        "activation": "gelu",
        "epsilon": backbone.layer_norm_epsilon,
        "pixel_mean": mean,
        "pixel_std": std,
        "resize_rule": rule,
    }
    tensors = {w.path: np.asarray(ops.convert_to_numpy(w), "float32") for w in model.weights}
    rows = (H // ph) * (W // pw) + class_token
    return Checkpoint(tensors, table, config, rows, head=("predictions/", "pre_logits/"))
