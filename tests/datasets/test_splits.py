import hashlib

import numpy as np
import pytest

from vit_keras_lib.datasets.splits import SPLITS, place, split_by_content

NAMES = ("daisy", "roses")


def hashes(count, start=0):
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + count)]


def test_shares_are_80_10_10():
    splits = split_by_content(hashes(20_000), np.arange(20_000) % 2, NAMES)
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert np.mean(splits == split) == pytest.approx(share, abs=0.01)


def test_places_lie_in_the_unit_interval_and_repeat():
    places = [place(h) for h in hashes(1000)]
    assert min(places) >= 0 and max(places) < 1
    assert places == [place(h) for h in hashes(1000)]
    assert place("f" * 64) < 1 and place("0" * 64) == 0


def test_copies_never_straddle():
    some = hashes(300)
    splits = split_by_content(some * 3, list(np.arange(300) % 2) * 3, NAMES)
    np.testing.assert_array_equal(splits.reshape(3, 300), np.tile(splits[:300], (3, 1)))


@pytest.mark.parametrize("seed", range(5))
def test_adding_pictures_moves_none(seed):
    old, new = hashes(400, 10_000 * seed), hashes(600, 10_000 * seed + 400)
    labels = np.arange(1000) % 2
    before = split_by_content(old, labels[:400], NAMES)
    order = np.random.default_rng(seed).permutation(1000)
    after = np.empty(1000, before.dtype)
    after[order] = split_by_content([(old + new)[i] for i in order], labels[order], NAMES)
    np.testing.assert_array_equal(after[:400], before)


@pytest.mark.parametrize("count", [3, 4, 5, 8, 13])
def test_every_class_is_in_every_split(count):
    labels = np.repeat([0, 1], count)
    for start in range(0, 5000, 100):
        splits = split_by_content(hashes(2 * count, start), labels, NAMES)
        for label in (0, 1):
            assert set(splits[labels == label]) == set(SPLITS)


def test_lending_takes_all_copies_along():
    few = hashes(3) * 2
    splits = split_by_content(few + hashes(50, 100), [0] * 6 + [1] * 50, NAMES)
    assert list(splits[:3]) == list(splits[3:6])
    assert set(splits[:3]) == set(SPLITS)


@pytest.mark.parametrize("few", [hashes(2), hashes(2) * 4, []], ids=["2", "2 with copies", "0"])
def test_too_small_class(few):
    many = hashes(10, 100)
    with pytest.raises(ValueError, match=r"'roses'.*at least 3 different.*Add pictures"):
        split_by_content(many + few, [0] * 10 + [1] * len(few), NAMES)
