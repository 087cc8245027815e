"""The checks of notebook 06: right answers in other words, planted bugs, and the library's own."""

import numpy as np
import pytest

from vit_keras_lib import class_attention, interpret, mean_attention_distance
from vit_keras_lib.exercises import attention_maps as page

# --- Right answers, written in other ways than the reference ----------------------------------


def map_by_cutting_the_end(weights, grid, num_prefix):
    rows, columns = grid
    means = np.mean(weights, axis=0) / (1 / weights.shape[1])
    return np.array(np.split(means[0][-rows * columns :], rows))


def map_patch_by_patch(weights, grid, num_prefix):
    heat = np.zeros(grid)
    for r in range(grid[0]):
        for c in range(grid[1]):
            key = num_prefix + r * grid[1] + c
            heat[r, c] = np.average([head[0, key] for head in weights]) * len(weights[0])
    return heat


def lift_by_average(heat, cover):
    return np.average(cover, weights=heat) / np.mean(cover)


def lift_by_dot(heat, cover):
    share = heat.ravel() @ cover.ravel() / np.sum(heat)
    area = cover.sum() / cover.size
    return float(share / area)


def mask_one_value_at_a_time(heat, share):
    for value in np.unique(heat)[::-1]:
        mask = heat >= value
        if heat[mask].sum() >= share * heat.sum() - 1e-9:
            return mask
    return None


def mask_from_below(heat, share):
    mask = np.ones(heat.shape, bool)
    for value in np.unique(heat):
        smaller = heat > value
        if heat[smaller].sum() < share * heat.sum() - 1e-9:
            break
        mask = smaller
    return mask


def distance_by_loops(weights, grid, patch_size, num_prefix):
    places = [(r, c) for r in range(grid[0]) for c in range(grid[1])]
    means = []
    for i, (r, c) in enumerate(places):
        row = weights[num_prefix + i, num_prefix:]
        pixels = [patch_size * ((r - s) ** 2 + (c - d) ** 2) ** 0.5 for s, d in places]
        means.append(np.average(pixels, weights=row))
    return float(np.mean(means))


def distance_by_complex_numbers(weights, grid, patch_size, num_prefix):
    down, right = np.indices(grid) * patch_size
    place = (down + 1j * right).ravel()
    kept = weights[num_prefix:, num_prefix:]
    far = np.abs(np.subtract.outer(place, place))
    return np.mean(np.einsum("qk,qk->q", kept, far) / kept.sum(1))


# Judged in test_pages.py.
RIGHT = {
    page.check_class_map: [map_by_cutting_the_end, map_patch_by_patch],
    page.check_lift: [lift_by_average, lift_by_dot],
    page.check_keep_mass: [mask_one_value_at_a_time, mask_from_below],
    page.check_mean_distance: [distance_by_loops, distance_by_complex_numbers],
}


def test_mass_is_divided_before_or_after_with_the_same_mask(capsys):
    """A plain `>=`, without a margin for rounding, is right on the inputs of the check."""

    def plain(heat, share):
        ordered = np.sort(heat.ravel())[::-1]
        return heat >= ordered[np.searchsorted(ordered.cumsum(), share * heat.sum())]

    page.check_keep_mass(plain)
    assert "✓ all 6 rungs hold" in capsys.readouterr().out


# --- The references are what the library does -------------------------------------------------


def random_attention(*shape):
    weights = np.random.default_rng(0).uniform(size=shape)
    return weights / weights.sum(-1, keepdims=True)


def test_the_map_is_that_of_the_library():
    weights = random_attention(3, 17, 17)
    theirs = class_attention(weights, (2, 6), num_prefix_tokens=5).mean(axis=0) * 17
    np.testing.assert_allclose(page.class_map(weights, (2, 6), 5), theirs)


def test_the_distance_is_that_of_the_library():
    weights = random_attention(17, 17)
    theirs = mean_attention_distance(weights, (2, 6), 8, num_prefix_tokens=5)
    assert page.mean_distance(weights, (2, 6), 8, 5) == pytest.approx(theirs)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.6, 0.99, 1.0])
def test_the_mask_is_that_of_the_library(share):
    for heat in (random_attention(4, 7), np.eye(3) + 1, np.array([[0.0, 2, 2], [1, 2, 1]])):
        np.testing.assert_array_equal(page.keep_mass(heat, share), interpret.keep_mass(heat, share))


# --- What went wrong --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_cause():
    sets, _ = page.broken_maps()
    return {cause: sets[name] for name, cause in page.DIAGNOSIS.truth.items()}


def test_the_sound_maps_are_brightest_on_their_flower():
    weights, flowers = page.toy_photos()
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    sets, shown = page.broken_maps()
    assert list(sets) == ["sound", *page.DIAGNOSIS.truth]
    np.testing.assert_array_equal(shown, flowers)
    assert not flowers[-1].any()
    for heat, flower in zip(sets["sound"][:-1], flowers, strict=False):
        assert flower.sum() == 4
        assert heat[flower].min() > 3 * heat[~flower].max()
    assert sets["sound"][-1].max() < 1.1
    theirs = class_attention(weights, page.GRID, num_prefix_tokens=3) * weights.shape[-1]
    np.testing.assert_allclose(sets["sound"], theirs)


def test_a_transposed_grid_moves_patches_and_keeps_the_first(by_cause):
    sound, maps = page.broken_maps()[0]["sound"], by_cause["grid transposed"]
    np.testing.assert_array_equal(maps[:, 0, 0], sound[:, 0, 0])
    for a, b in zip(maps, sound, strict=True):
        np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))
    lit = np.argwhere(maps[0] > 2)
    assert sorted(4 * c + r for r, c in lit) == [4, 5, 10, 11]  # counted by columns
    assert (lit != np.argwhere(sound[0] > 2)).any()


def test_a_scale_for_each_map_moves_nothing_and_lights_the_photo_without_a_flower(by_cause):
    sound, maps = page.broken_maps()[0]["sound"], by_cause["a scale for each map"]
    for a, b in zip(maps, sound, strict=True):
        np.testing.assert_array_equal(np.argsort(a, axis=None), np.argsort(b, axis=None))
        assert a.min() == 0
        assert a.max() == sound.max()
    assert (maps[-1] > 2 * sound[-1]).mean() > 0.3


def test_columns_are_dark_on_the_flower(by_cause):
    _, flowers = page.toy_photos()
    maps = by_cause["columns for rows"]
    assert (maps > 2).mean() > 0.8  # most of the photo is lit
    for heat, flower in zip(maps[:-1], flowers, strict=False):
        assert heat[flower].max() < 0.5 < 2 < heat[~flower].min()


def test_a_register_that_is_left_in_lights_the_corner_and_shifts_the_rest(by_cause):
    sound, maps = page.broken_maps()[0]["sound"], by_cause["registers not skipped"]
    assert (maps[:, 0, 0] > 2).all()
    flat = maps.reshape(4, -1)
    np.testing.assert_array_equal(flat[:, 2:], sound.reshape(4, -1)[:, :-2])
    assert flat[-1, 0] > 4 * flat[-1, 1:].max()
    assert ((flat[:-1, 1:] > 2).sum(axis=1) == 4).all()  # no flower falls off the end
