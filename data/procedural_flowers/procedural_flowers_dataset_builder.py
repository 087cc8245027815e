"""TFDS builder of the procedural flowers; needed to draw them anew, not to read them."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from .scene import (
    BACKGROUNDS,
    CENTRE_COLOURS,
    PETAL_COLOURS,
    PETAL_SHAPES,
    REMOVALS,
    SPECIES,
    SPLIT_SIZES,
)


def _draw(index: int, split: str, spurious: bool) -> dict:
    """Draws one example in a worker, the only place that needs the drawing library."""
    from .examples import make_example

    return make_example(split, index, spurious)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Flowers drawn from seeded scenes, with part masks, counterfactuals and factors."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - the form TFDS asks for

    def __init__(self, *, spurious: bool = False, **kwargs):
        """Makes the builder.

        Args:
            spurious: Tie every background to the species, in all splits.
            **kwargs: For `tfds.core.GeneratorBasedBuilder`, `data_dir` among them.
        """
        self._spurious = spurious
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Names the features; every split has all of them."""
        features = tfds.features
        photo = functools.partial(
            features.Image, shape=(128, 128, 3), dtype=np.uint8, encoding_format="jpeg"
        )

        def choice(names):
            return features.ClassLabel(names=list(names))

        return self.dataset_info_from_configs(
            features=features.FeaturesDict(
                {
                    "id": features.Text(),
                    "image": photo(),
                    "label": choice(SPECIES),
                    "possible": features.Tensor(shape=(len(SPECIES),), dtype=np.uint8),
                    "removed": choice(REMOVALS),
                    "parts": features.Image(
                        shape=(128, 128, 1), dtype=np.uint8, encoding_format="png"
                    ),
                    "has_counterfactuals": features.Scalar(dtype=np.bool_),
                    "without_flower": photo(),
                    "without_petals": photo(),
                    "factors": {
                        "petal_shape": choice(PETAL_SHAPES),
                        "petal_colour": choice(PETAL_COLOURS),
                        "petal_rgb": features.Tensor(shape=(3,), dtype=np.float32),
                        "centre_colour": choice(CENTRE_COLOURS),
                        "centre_rgb": features.Tensor(shape=(3,), dtype=np.float32),
                        "centre_size": features.Scalar(dtype=np.float32),
                        "background": choice(BACKGROUNDS),
                        "spurious": features.Scalar(dtype=np.bool_),
                        "bloom_boxes": features.Tensor(shape=(None, 4), dtype=np.float32),
                        "blur": features.Scalar(dtype=np.float32),
                        "light": features.Scalar(dtype=np.float32),
                        "sun": features.Scalar(dtype=np.float32),
                    },
                }
            ),
            supervised_keys=("image", "label"),
            # Kept in the order of the ids: species take turns, so any run of five is balanced.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        """Names the splits; nothing is downloaded."""
        return {split: self._generate_examples(split) for split in SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        """Draws a split on all cores, in order."""
        count = SPLIT_SIZES[split]
        draw = functools.partial(_draw, split=split, spurious=self._spurious)
        # Spawned, not forked: TensorFlow's threads do not survive a fork.
        with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, 8)) as pool:
            drawn = pool.imap(draw, range(count), chunksize=8)
            yield from enumerate(tqdm(drawn, total=count, desc=split, unit="picture"))
