"""Training: a recipe, one function, results that say where they come from."""

from vit_keras_lib.training.compare import compare
from vit_keras_lib.training.fit import History, train
from vit_keras_lib.training.recipe import Recipe
from vit_keras_lib.training.results import device_name, provenance, read_json, write_json

__all__ = [
    "History",
    "Recipe",
    "compare",
    "device_name",
    "provenance",
    "read_json",
    "train",
    "write_json",
]
