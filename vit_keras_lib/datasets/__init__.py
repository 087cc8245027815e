"""Data: one door for the embedded set, the real sets and a folder; splits; augmentation."""

from vit_keras_lib.datasets.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from vit_keras_lib.datasets.flowers import Flowers, load_flowers, load_scenes

__all__ = ["CORRUPTIONS", "SEVERITIES", "Flowers", "corrupt", "load_flowers", "load_scenes"]
