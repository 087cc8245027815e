"""Models built from the layers."""

from vit_keras_lib.models.cnn import CNN
from vit_keras_lib.models.cost import multiply_adds
from vit_keras_lib.models.vit import VARIANTS, ViT

__all__ = ["CNN", "VARIANTS", "ViT", "multiply_adds"]
