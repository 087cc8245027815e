"""The Vision Transformer, one flower photo at a time.

Pixels -> patches -> tokens with a place -> encoder blocks -> a class -> a map of what decided it.
"""

import importlib

from vit_keras_lib import _quiet  # noqa: F401  (first: it decides how Keras is imported)
from vit_keras_lib.interpret import (
    attention_explorer,
    attention_maps,
    attention_rollout,
    class_attention,
    class_relevance,
    map_scores,
    mean_attention_distance,
    residual_stream,
    run_from,
)
from vit_keras_lib.layers import (
    PatchEncoder,
    Patches,
    SelfAttention,
    TransformerBlock,
    patch_grid,
    patchify,
    resize_position_table,
    sincos2d_table,
    unpatchify,
)
from vit_keras_lib.models import VARIANTS, ViT
from vit_keras_lib.pretrained import load_pretrained
from vit_keras_lib.training import Recipe, train

# These need TensorFlow's tf.data, also on another backend: loaded on first use.
_NEEDS_TF_DATA = ("Flowers", "load_flowers", "load_scenes")

__all__ = [
    "VARIANTS",
    "Flowers",
    "PatchEncoder",
    "Patches",
    "Recipe",
    "SelfAttention",
    "TransformerBlock",
    "ViT",
    "attention_explorer",
    "attention_maps",
    "attention_rollout",
    "class_attention",
    "class_relevance",
    "load_flowers",
    "load_pretrained",
    "load_scenes",
    "map_scores",
    "mean_attention_distance",
    "patch_grid",
    "patchify",
    "residual_stream",
    "resize_position_table",
    "run_from",
    "sincos2d_table",
    "train",
    "unpatchify",
]


def __getattr__(name):
    if name in _NEEDS_TF_DATA:
        return getattr(importlib.import_module("vit_keras_lib.datasets"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
