"""Trained models in."""

from pathlib import Path

import keras

import vit_keras_lib
from vit_keras_lib.models import ViT

# Beside the package in the repository, as the embedded photos are.
_SHIPPED = {"flowers": "flowers_vit.keras"}


def load_pretrained(source="flowers", image_size=None, num_classes=None):
    """Loads a trained ViT in float32.

    Args:
        source: "flowers", the small model trained on the embedded flowers that comes with the
            repository, or the path of a `.keras` file that holds a `ViT`.
        image_size: int or (H, W) to resize the position table to, or None to keep the model's.
        num_classes: for a new head (random, as it knows nothing yet), or None to keep the model's.

    Returns:
        A `ViT`.

    Raises:
        ValueError: for an unknown source, or a file that holds something else.
    """
    root = Path(vit_keras_lib.__file__).parents[1] / "data"
    path = root / _SHIPPED[source] if source in _SHIPPED else Path(source)
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError(
            f"No trained model {str(source)!r}: expected one of {sorted(_SHIPPED)} (they come with "
            "the repository; a copy of the package alone does not hold them) or the path of an "
            "existing .keras file."
        )
    stored = keras.models.load_model(path, compile=False)
    if not isinstance(stored, ViT):
        raise ValueError(f"{path.name} holds a {type(stored).__name__}, expected a ViT.")
    config = {**stored.get_config(), "dtype": "float32"}
    if num_classes is not None:
        config["num_classes"] = num_classes
    model = ViT.from_config(config)
    for old, new in zip(stored.layers, model.layers, strict=True):
        if num_classes is None or old.name != "head":
            new.set_weights([w.astype("float32") for w in old.get_weights()])
    return model if image_size is None else model.with_image_size(image_size)
