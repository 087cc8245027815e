"""Splits decided by what is in a file, not by its name or by a shuffle."""

from collections.abc import Sequence

import numpy as np

SPLITS = ("train", "validation", "test")
# A picture's place on [0, 1), read from its hash, falls into one of these.
BOUNDS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}


def place(content_hash: str) -> float:
    """Maps a hash of a file's bytes to a number in [0, 1), evenly.

    Args:
        content_hash: Hexadecimal digest of at least 12 digits.

    Returns:
        The place; equal for equal bytes.
    """
    return int(content_hash[:12], 16) / 16**12


def split_by_content(
    hashes: Sequence[str], labels: Sequence[int], class_names: Sequence[str]
) -> np.ndarray:
    """Splits pictures 80/10/10 by the hash of their bytes.

    Equal bytes lie at the same place, so a picture copied under two names never straddles two
    splits; and a picture's place does not depend on the others, so adding pictures moves none.

    One exception keeps small folders usable: where a class would have no picture in a split, the
    one that lies nearest to that split is lent to it, until the class gets one of its own.

    Args:
        hashes: Hexadecimal digest of each picture's bytes, N of them.
        labels: Class of each picture, 0 .. classes - 1, N of them.
        class_names: Names of the classes, for messages.

    Returns:
        The split of each picture, an array of N strings out of "train", "validation", "test".

    Raises:
        ValueError: A class has fewer than 3 different pictures.
    """
    labels = np.asarray(labels)
    places = np.array([place(content_hash) for content_hash in hashes])
    splits = np.full(len(places), "train", dtype="<U10")
    for split, (low, high) in BOUNDS.items():
        splits[(places >= low) & (places < high)] = split
    for label, name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        different = np.unique(places[members])
        if len(different) < 3:
            raise ValueError(
                f"Class {name!r} has {len(members)} usable pictures, {len(different)} of them "
                "different; at least 3 different ones are needed, one each for train, "
                "validation and test. Add pictures, or remove the class."
            )
        for split, (low, high) in BOUNDS.items():
            if (splits[members] == split).any():
                continue
            # The lender is the fullest split of this class: it has two pictures at least.
            counts = {s: len(np.unique(places[members[splits[members] == s]])) for s in SPLITS}
            lender = max(counts, key=counts.get)
            offered = np.unique(places[members[splits[members] == lender]])
            lent = offered[np.abs(offered - (low + high) / 2).argmin()]
            splits[members[places[members] == lent]] = split
    return splits
