"""The layers of a Vision Transformer, in the order in which a picture meets them."""

from vit_keras_lib.layers.attention import SelfAttention
from vit_keras_lib.layers.patch_encoder import PatchEncoder
from vit_keras_lib.layers.patches import Patches, ShufflePatches, patch_grid, patchify, unpatchify
from vit_keras_lib.layers.positions import resize_position_table, sincos2d_table
from vit_keras_lib.layers.stem import ConvStem, ShiftedPatches
from vit_keras_lib.layers.transformer_block import TransformerBlock

__all__ = [
    "ConvStem",
    "PatchEncoder",
    "Patches",
    "SelfAttention",
    "ShiftedPatches",
    "ShufflePatches",
    "TransformerBlock",
    "patch_grid",
    "patchify",
    "resize_position_table",
    "sincos2d_table",
    "unpatchify",
]
