"""Makes single examples of the data set: seeded, and without TensorFlow."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from . import drawing
from .scene import REMOVALS, SPECIES, SPLIT_SIZES, Scene, possible_species, sample_scene

SEED = 20
WITH_COUNTERFACTUALS = ("validation", "test")
_REMOVAL_ODDS = (0.0, 0.4, 0.4, 0.2)  # in the order of REMOVALS


def png(pixels: np.ndarray) -> bytes:
    """Packs pixels without loss: uint8 (H, W) or (H, W, 3) to PNG bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


# Stands where a split has no counterfactuals: TFDS gives every split the same features.
_NOT_DRAWN = png(np.zeros((drawing.SIDE, drawing.SIDE, 3), np.uint8))


def scene_of(split: str, index: int, spurious: bool = False) -> tuple[Scene, str]:
    """Finds the scene of an example and what is taken out of it.

    Args:
        split: One of `SPLIT_SIZES`.
        index: Number of the example within the split, from 0. Species take turns.
        spurious: Tie backgrounds to species.

    Returns:
        The scene and one of `REMOVALS`.
    """
    if split not in SPLIT_SIZES:
        raise ValueError(f"split is {split!r}; choose one of {', '.join(SPLIT_SIZES)}.")
    if not 0 <= index < SPLIT_SIZES[split]:
        raise ValueError(
            f"index is {index}; the split {split!r} has examples 0 to {SPLIT_SIZES[split] - 1}."
        )
    rng = np.random.default_rng([SEED, list(SPLIT_SIZES).index(split), index])
    scene = sample_scene(rng, SPECIES[index % len(SPECIES)], spurious)
    removed = "nothing"
    if split == "interventions":
        removed = str(rng.choice(REMOVALS, p=_REMOVAL_ODDS))
    return scene, removed


def make_example(split: str, index: int, spurious: bool = False) -> dict:
    """Draws one example.

    Args:
        split: One of `SPLIT_SIZES`.
        index: Number of the example within the split, from 0.
        spurious: Tie backgrounds to species.

    Returns:
        The example as the builder's features expect it; pictures are JPEG or PNG bytes.
    """
    scene, removed = scene_of(split, index, spurious)
    whole = drawing.render(scene)
    shown = whole if removed == "nothing" else drawing.render(scene, removed)

    def photo(picture: drawing.Picture) -> bytes:
        return drawing.compress(picture.image, scene.jpeg_quality)

    drawn = split in WITH_COUNTERFACTUALS
    return {
        "id": f"{split}-{index:04d}",
        "image": photo(shown),
        "label": scene.species,
        "possible": possible_species(scene.species, removed),
        "removed": removed,
        "parts": png(shown.parts),
        "has_counterfactuals": drawn,
        "without_flower": photo(drawing.render(scene, "flower")) if drawn else _NOT_DRAWN,
        "without_petals": photo(drawing.render(scene, "petals")) if drawn else _NOT_DRAWN,
        "factors": {
            "petal_shape": scene.petal_shape,
            "petal_colour": scene.petal_colour,
            "petal_rgb": np.array(scene.petal_rgb, np.float32),
            "centre_colour": scene.centre_colour,
            "centre_rgb": np.array(scene.centre_rgb, np.float32),
            "centre_size": scene.centre_size,
            "background": scene.background,
            "spurious": scene.spurious,
            "bloom_boxes": whole.boxes,
            "blur": max(bloom.blur for bloom in scene.blooms),
            "light": scene.light,
            "sun": scene.sun,
        },
    }
