"""The checks of notebook 01: right answers in other words, and what the planted bugs show."""

import hashlib
from collections import Counter

import numpy as np

from vit_keras_lib.datasets.splits import BOUNDS, place
from vit_keras_lib.exercises import flowers

# --- Right answers, written in other ways than the reference ----------------------------------


def shares_by_comparing(labels, num_classes):
    return (labels[:, None] == np.arange(num_classes)).mean(axis=0)


def shares_by_counting(labels, num_classes):
    counts = Counter(labels.tolist())
    return np.array([counts[c] / len(labels) for c in range(num_classes)], "float32")


def box_by_margins(height, width):
    surplus = height - width
    return max(surplus, 0) // 2, max(-surplus, 0) // 2, height - max(surplus, 0)


def box_by_cases(height, width):
    if height > width:
        return np.int64((height - width) // 2), 0, width
    return 0, (width - height) // 2, height


def split_by_integers(digest):
    tenths = int(digest[:12], 16) * 10
    return "train" if tenths < 8 * 16**12 else "validation" if tenths < 9 * 16**12 else "test"


def split_by_bounds(digest):
    names = np.array(["train", "validation", "test"])
    return names[np.searchsorted([0.8, 0.9], float.fromhex("0." + digest[:12]), side="right")]


def cover_by_slices(parts, patch_size):
    flower = np.isin(parts, (2, 3))
    corners = [flower[i::patch_size, j::patch_size] for i, j in np.ndindex(patch_size, patch_size)]
    return np.mean(corners, axis=0)


def cover_by_loops(parts, patch_size):
    rows, columns = np.array(parts.shape) // patch_size
    cover = np.zeros((rows, columns), "float32")
    for r, c in np.ndindex(rows, columns):
        top, left = r * patch_size, c * patch_size
        cover[r, c] = (parts[top : top + patch_size, left : left + patch_size] > 1).mean()
    return cover


# Judged in test_pages.py.
RIGHT = {
    flowers.check_class_shares: [shares_by_comparing, shares_by_counting],
    flowers.check_crop_box: [box_by_margins, box_by_cases],
    flowers.check_split_of: [split_by_integers, split_by_bounds],
    flowers.check_flower_cover: [cover_by_slices, cover_by_loops],
}


def test_variants_of_hash_and_random_are_recognised(capsys):
    names = np.array(["train", "validation", "test"])
    flowers.check_split_of(lambda d: str(names[np.searchsorted([8, 9], hash(d[:12]) % 10)]))
    assert "Python's hash()" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    flowers.check_split_of(lambda d: str(rng.choice(names)))
    assert "Drawn at random" in capsys.readouterr().out


def test_the_split_is_the_one_of_load_flowers():
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(200)]
    digests += [case.args[0] for case in flowers.SPLIT_OF.hand_sized]
    for digest in digests:
        (right,) = [s for s, (low, high) in BOUNDS.items() if low <= place(digest) < high]
        assert flowers.split_of(digest) == right


# --- What went wrong --------------------------------------------------------------------------


def symptoms(train, train_labels, test, test_labels):
    """Return the accuracy, the share of the commonest answer and the median distance."""
    a, b = (x.reshape(len(x), -1) / 255 for x in (train, test))
    squares = (a**2).sum(1) - 2 * b @ a.T + (b**2).sum(1)[:, None]  # (test, train)
    answers = train_labels[squares.argmin(1)]
    distance = np.sqrt(squares.min(1).clip(0) / a.shape[1])
    commonest = np.bincount(answers).max() / len(answers)
    return (answers == test_labels).mean(), commonest, np.median(distance)


def test_the_planted_bugs_show_what_the_messages_say():
    found = {name: symptoms(*data) for name, data in flowers.broken_sets().items()}
    accuracy, commonest, distance = found.pop("sound")
    assert 0.7 < accuracy < 0.85
    assert commonest < 0.3
    by_cause = {flowers.DIAGNOSIS.truth[name]: symptom for name, symptom in found.items()}
    assert by_cause["twins"][0] > accuracy + 0.1
    assert by_cause["twins"][2] < 0.01
    assert by_cause["shifted labels"][0] < 0.1
    assert by_cause["shifted labels"][1:] == (commonest, distance)
    assert by_cause["divided twice"][:2] == (0.2, 1)
    assert by_cause["divided twice"][2] > 1.5 * distance
