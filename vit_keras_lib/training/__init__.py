"""Training: a recipe, one function, results that say where they come from."""

from vit_keras_lib.training.calibration import Calibration, calibration
from vit_keras_lib.training.compare import compare
from vit_keras_lib.training.device import Device, DeviceSetup, choose_setup, prepare_device
from vit_keras_lib.training.distributed import initialize_processes, train_data_parallel
from vit_keras_lib.training.fit import History, train
from vit_keras_lib.training.recipe import Recipe, ladder
from vit_keras_lib.training.results import device_name, provenance, read_json, write_json

__all__ = [
    "Calibration",
    "Device",
    "DeviceSetup",
    "History",
    "Recipe",
    "calibration",
    "choose_setup",
    "compare",
    "device_name",
    "initialize_processes",
    "ladder",
    "prepare_device",
    "provenance",
    "read_json",
    "train",
    "train_data_parallel",
    "write_json",
]
