"""The exercises of notebook 01_flowers: right answers, known mistakes and checks."""

import hashlib
import random
from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(0)

# --- 1. How many of each ----------------------------------------------------------------------


def class_shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the share of each class among the labels.

    Args:
        labels: (N,) whole numbers, 0 .. num_classes - 1.
        num_classes: K.

    Returns:
        (K,) shares; a class without a photo has 0.
    """
    return np.bincount(labels, minlength=num_classes) / len(labels)


def _counts(labels, num_classes):
    return np.bincount(labels, minlength=num_classes)


CLASS_SHARES = Exercise(
    class_shares,
    hand_sized=[
        Case("labels [3 1 1 3 0 3 1 0] of 5 classes", (np.array([3, 1, 1, 3, 0, 3, 1, 0]), 5)),
        Case("labels [2 2 2] of 3 classes", (np.array([2, 2, 2]), 3)),
    ],
    random=[
        Case(f"{n} labels of {k} classes", (_RNG.integers(0, k - 1, n), k))
        for n, k in ((50, 7), (31, 4))
    ],
    invariants={
        "every share is 0 or more": lambda shares, *_: (shares >= 0).all(),
        "the shares sum to 1": lambda shares, *_: np.isclose(shares.sum(), 1),
    },
    mistakes=[
        Mistake("Counts, not shares", "They grow with the number of photos.", _counts),
        Mistake(
            "Classes without a photo are dropped",
            "np.unique lists what it sees; later classes move up one place.",
            lambda y, k: np.unique(y, return_counts=True)[1] / len(y),
        ),
        Mistake(
            "The last classes are cut off",
            "np.bincount ends at the largest label, unless told otherwise.",
            lambda y, k: np.bincount(y) / len(y),
        ),
        Mistake(
            "Divided by the number of classes",
            "A share is a part of all photos: what is the whole?",
            lambda y, k: _counts(y, k) / k,
        ),
        Mistake(
            "Percent",
            "Shares lie between 0 and 1; formats such as {:.0%} multiply when printing.",
            lambda y, k: 100 * class_shares(y, k),
        ),
        Mistake(
            "Relative to the commonest class",
            "The largest entry is then always 1, even in a balanced set.",
            lambda y, k: _counts(y, k) / _counts(y, k).max(),
        ),
        Mistake(
            "The same share for every class",
            "That is what a balanced set would have; count this one.",
            lambda y, k: np.full(k, 1 / k),
        ),
        Mistake(
            "Sorted by size",
            "Entry c belongs to class c, wherever it would stand in a ranking.",
            lambda y, k: np.sort(class_shares(y, k))[::-1],
        ),
    ],
    insight="the largest share is the accuracy of always answering the commonest class,\n"
    "the number every accuracy of this course should be read against.",
)

# --- 2. A square out of a photo ---------------------------------------------------------------


def crop_box(height: int, width: int) -> tuple[int, int, int]:
    """Returns the largest centred square of a photo.

    Args:
        height: Rows of the photo.
        width: Columns of the photo.

    Returns:
        (top, left, side) in pixels; an odd pixel left over goes to the bottom or the right.
    """
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def _inside(box, height, width):
    top, left, side = box
    return min(top, left) >= 0 and top + side <= height and left + side <= width


CROP_BOX = Exercise(
    crop_box,
    hand_sized=[
        Case(f"a photo of {h} rows, {w} columns", (h, w))
        for h, w in ((4, 6), (9, 4), (5, 5), (1, 3))
    ],
    random=[
        Case(f"a photo of {h} rows, {w} columns", (h, w))
        for h, w in _RNG.integers(50, 900, (8, 2)).tolist()
    ],
    invariants={"the square lies inside the photo": _inside},
    mistakes=[
        Mistake(
            "Rows and columns swapped",
            "Height comes first: a wide photo loses columns, not rows.",
            lambda h, w: crop_box(w, h),
        ),
        Mistake(
            "The top left corner",
            "The right size, but not centred: flowers seldom grow in corners.",
            lambda h, w: (0, 0, min(h, w)),
        ),
        Mistake(
            "The bottom right corner",
            "All that is left over was put on one side.",
            lambda h, w: (h - min(h, w), w - min(h, w), min(h, w)),
        ),
        Mistake(
            "The longer side",
            "That square sticks out of the photo, and its corner is negative.",
            lambda h, w: ((h - max(h, w)) // 2, (w - max(h, w)) // 2, max(h, w)),
        ),
        Mistake(
            "Floats",
            "A slice such as photo[top:] takes whole numbers; / makes floats.",
            lambda h, w: ((h - min(h, w)) / 2, (w - min(h, w)) / 2, min(h, w)),
        ),
        Mistake(
            "The centre, not the corner",
            "top and left say where the square begins.",
            lambda h, w: (h // 2, w // 2, min(h, w)),
        ),
        Mistake(
            "The end, not the side",
            "The third number is a length, not the last row.",
            lambda h, w: (*crop_box(h, w)[:2], crop_box(h, w)[0] + min(h, w)),
        ),
    ],
    insight="a 3:2 photo loses a third of its pixels here. Squeezing it instead keeps them all\n"
    "but makes round flowers oval. load_flowers crops.",
)

# --- 3. A split that cannot leak --------------------------------------------------------------


def split_of(digest: str) -> str:
    """Returns the split a file belongs to, by what is in it.

    Args:
        digest: Hexadecimal digest of the file's bytes, 64 digits.

    Returns:
        "train", "validation" or "test".
    """
    return _by_place(int(digest[:12], 16) / 16**12)


def _by_place(place, validation=0.8, test=0.9):
    return "train" if place < validation else "validation" if place < test else "test"


def _changes(split):
    """Tells whether a second call gives another answer; one of 64 digests will show it."""
    digests = [f"{i:064x}" for i in range(64)]
    return [split(d) for d in digests] != [split(d) for d in digests]


def _digests():
    # The first digits lie on both sides of 0.8 and 0.9; the last ones point somewhere else.
    heads = ("0" * 12, "c" * 12, "c" * 11 + "d", "e" + "6" * 11, "e" + "6" * 10 + "7", "f" * 12)
    for head, tail in zip(heads, ("f", "e", "0", "f", "d", "2"), strict=True):
        yield Case(f"the digest {head}...{tail * 3}", (head + tail * 52,))


CHOICES = ("train", "validation", "test")
SPLIT_OF = Exercise(
    split_of,
    hand_sized=list(_digests()),
    random=[
        Case(f"the digest {d[:12]}...", (d,))
        for d in (hashlib.sha256(bytes([i])).hexdigest() for i in range(60))
    ],
    invariants={"a split is train, validation or test": lambda split, _: split in CHOICES},
    mistakes=[
        Mistake(
            "Drawn at random",
            "The next run draws again, and copies of one file draw apart.",
            lambda d: random.choices(CHOICES, (8, 1, 1))[0],
            sign=_changes,
        ),
        Mistake(
            "Python's hash()",
            "For text it changes each time Python starts, and the split with it.",
            lambda d: _by_place(hash(d) % 1000 / 1000),
            sign=lambda split: "hash" in split.__code__.co_names,
        ),
        Mistake(
            "The last digits",
            "Just as even, but not the rule, and two programs must agree.",
            lambda d: _by_place(int(d[-12:], 16) / 16**12),
        ),
        Mistake(
            "Only the first digit",
            "One digit knows sixteen places, and 0.8 lies between two of them.",
            lambda d: _by_place(int(d[0], 16) / 16),
        ),
        Mistake(
            "90/5/5",
            "Each of the two smaller splits gets a tenth.",
            lambda d: _by_place(int(d[:12], 16) / 16**12, 0.9, 0.95),
        ),
        Mistake(
            "No validation",
            "Settings would have to be chosen on the test photos.",
            lambda d: _by_place(int(d[:12], 16) / 16**12, 0.8, 0.8),
        ),
        Mistake(
            "Test before validation",
            "Going up from 0 the order is train, validation, test.",
            lambda d: dict(zip(CHOICES, ("train", "test", "validation"), strict=True))[split_of(d)],
        ),
        Mistake(
            "The whole digest over 16**12",
            "64 digits make a far larger number: the place must stay below 1.",
            lambda d: _by_place(int(d, 16) / 16**12),
        ),
    ],
    insight="the place of a file does not depend on the other files, so a growing folder keeps\n"
    "its test photos: last year's accuracy and this year's are about the same question.",
)

# --- 4. How much of a patch is flower ---------------------------------------------------------


def flower_cover(parts: np.ndarray, patch_size: int) -> np.ndarray:
    """Returns how much of each patch is petal or centre.

    Args:
        parts: (H, W) mask: 0 background, 1 stem and leaf, 2 petal, 3 centre.
        patch_size: P, a divisor of H and W.

    Returns:
        (H / P, W / P) shares.
    """
    return _patch_means(parts >= 2, patch_size)


def _patches(values, P):
    """Cuts (H, W) into (H / P, W / P, P * P)."""
    H, W = values.shape
    return values.reshape(H // P, P, W // P, P).swapaxes(1, 2).reshape(H // P, W // P, P * P)


def _patch_means(values, P):
    return _patches(values, P).mean(-1)


_HAND_MASK = np.array(
    [[0, 2, 3, 3, 1, 1], [1, 2, 3, 3, 1, 0], [2, 2, 0, 0, 2, 1], [0, 3, 0, 0, 2, 2]]
)

FLOWER_COVER = Exercise(
    flower_cover,
    hand_sized=[
        Case("a mask of 4 x 6 with P = 2", (_HAND_MASK, 2)),
        Case("the same mask with P = 1", (_HAND_MASK, 1)),
    ],
    random=[
        Case(f"a random mask {h} x {w} with P = {p}", (_RNG.integers(0, 4, (h, w), "uint8"), p))
        for h, w, p in ((12, 20, 4), (15, 9, 3))
    ],
    invariants={
        "shares lie between 0 and 1": lambda cover, *_: cover.min() >= 0 and cover.max() <= 1,
        "the shares average to that of the whole mask": (
            lambda cover, parts, _: np.isclose(cover.mean(), (parts >= 2).mean(), atol=1e-5)
        ),
    },
    mistakes=[
        Mistake(
            "Leaves count as flower",
            "Stem and leaf have a number of their own in the mask.",
            lambda m, p: _patch_means(m >= 1, p),
        ),
        Mistake(
            "Petals only",
            "A bloom has one more part; sunflowers are told by it.",
            lambda m, p: _patch_means(m == 2, p),
        ),
        Mistake(
            "Centres only",
            "A bloom has one more part; tulips show little else.",
            lambda m, p: _patch_means(m == 3, p),
        ),
        Mistake(
            "The mask itself is averaged",
            "Its numbers are names of parts: twice a leaf is not a petal.",
            _patch_means,
        ),
        Mistake(
            "Reshape without transpose",
            "The shape is right, but a patch now holds a strip, not a square.",
            lambda m, p: (m >= 2).reshape(m.shape[0] // p, m.shape[1] // p, p * p).mean(-1),
        ),
        Mistake(
            "The grid is transposed",
            "Patch rows run down the photo and come first.",
            lambda m, p: flower_cover(m, p).T,
        ),
        Mistake(
            "Any flower at all",
            "A single petal pixel makes this 1; the question is how much.",
            lambda m, p: _patches(m >= 2, p).any(-1).astype(float),
        ),
        Mistake(
            "Pixels are counted",
            "Patches twice as long would score four times as much.",
            lambda m, p: _patches(m >= 2, p).sum(-1).astype(float),
        ),
        Mistake(
            "A vote for each patch",
            "Rounding to 0 or 1 forgets the mixed patches along the edges.",
            lambda m, p: (flower_cover(m, p) > 0.5).astype(float),
        ),
    ],
    insight="a patch between 0 and 1 must say flower and meadow in one token. On this very grid\n"
    "later pages ask whether the attention of a model lies on the flower.",
)

# --- 5. What went wrong -----------------------------------------------------------------------


def toy_flowers(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws small flowers of five kinds, told apart by their number of petals, 3 to 7.

    Args:
        count: N.
        seed: Of everything random.

    Returns:
        (N, 24, 24, 3) pixels 0 to 255, and (N,) labels; kinds take turns.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 5
    y, x = np.mgrid[-1:1:24j, -1:1:24j]
    turn = rng.uniform(-0.8, 0.8, (count, 1, 1))
    rays = np.cos((labels[:, None, None] + 3) * (np.arctan2(y, x) - turn))  # (N, 24, 24)
    flower = (np.hypot(y, x) < 0.6 + 0.08 * rays)[..., None]
    soil = rng.uniform(30, 110, (count, 1, 1, 3))
    petal = rng.uniform(120, 255, (count, 1, 1, 3))
    noisy = rng.normal(np.where(flower, petal, soil), 25)  # (N, 24, 24, 3)
    return noisy.clip(0, 255).astype("uint8"), labels


def broken_sets() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Makes a sound set of toy flowers and three with a planted bug.

    Returns:
        "sound", "A", "B", "C" -> training pictures and labels, test pictures and labels.
    """
    train, y = toy_flowers(250, seed=0)
    test, z = toy_flowers(200, seed=1)
    twins = np.concatenate([train[:-120], test[:120]]), np.concatenate([y[:-120], z[:120]])
    return {
        "sound": (train, y, test, z),
        "A": (train, y, test / 255, z),
        "B": (*twins, test, z),
        "C": (train, y, test, (z + 1) % 5),
    }


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={"A": "divided twice", "B": "twins", "C": "shifted labels"},
    mistakes=[
        Mistake(
            "Dark test photos taken for twins",
            "A twin is a neighbour at distance 0; here every neighbour is far off.",
            ("divided twice", "twins"),
        ),
        Mistake(
            "Dark test photos taken for shifted labels",
            "Then the answers would be as mixed as before; here all are one class.",
            ("divided twice", "shifted labels"),
        ),
        Mistake(
            "Twins taken for dark test photos",
            "On another scale they would find nothing nearby; here most find an equal photo.",
            ("twins", "divided twice"),
        ),
        Mistake(
            "Twins taken for shifted labels",
            "Shifted labels turn right answers wrong; this accuracy is above the sound one.",
            ("twins", "shifted labels"),
        ),
        Mistake(
            "Shifted labels taken for dark test photos",
            "A wrong scale would move photos far off; these distances are sound.",
            ("shifted labels", "divided twice"),
        ),
        Mistake(
            "Shifted labels taken for twins",
            "Twins make an accuracy too good; this one is worse than guessing.",
            ("shifted labels", "twins"),
        ),
    ],
    insight="the dangerous one is the one that looks best. A result that is too good deserves as\n"
    "much suspicion as one that is too bad.",
)

EXERCISES = (CLASS_SHARES, CROP_BOX, SPLIT_OF, FLOWER_COVER, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_class_shares(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(CLASS_SHARES, answer))


def check_crop_box(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(CROP_BOX, answer))


def check_split_of(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(SPLIT_OF, answer))


def check_flower_cover(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(FLOWER_COVER, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each set of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
