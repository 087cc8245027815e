"""Models built from the layers."""

from vit_keras_lib.models.vit import VARIANTS, ViT

__all__ = ["VARIANTS", "ViT"]
