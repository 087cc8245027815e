"""The checks of notebook 07: right answers in other words, planted bugs, and the library's own."""

import numpy as np
import pytest

from vit_keras_lib import interpret
from vit_keras_lib.exercises import is_the_map_true as page

# --- Right answers, written in other ways than the reference ----------------------------------


def lift_map_by_map(maps, flower):
    lifts = []
    for heat, on in zip(maps.clip(min=0), flower, strict=True):
        lifts.append(np.average(on, weights=heat) / on.mean() if heat.any() else np.nan)
    return np.array(lifts)


def lift_by_einsum(maps, flower):
    heat = np.where(maps > 0, maps, 0)
    under = heat.sum((1, 2)) * flower.sum((1, 2))
    return np.einsum("brc,brc->b", heat, flower) * flower[0].size / under


def auc_by_ranks(values, positive):
    below = (values[:, None] > values).sum(1)
    ranks = below + ((values[:, None] == values).sum(1) + 1) / 2
    p = positive.sum()
    return (ranks[positive].sum() - p * (p + 1) / 2) / (p * (len(values) - p))


def auc_by_the_curve(values, positive):
    cuts = np.append(np.inf, np.unique(values)[::-1])
    hits = np.array([(values[positive] >= cut).mean() for cut in cuts])
    alarms = np.array([(values[~positive] >= cut).mean() for cut in cuts])
    return (np.diff(alarms) * (hits[1:] + hits[:-1]) / 2).sum()


def rollout_by_division(maps):
    result = np.eye(maps.shape[-1])
    for block in maps:
        mixed = block.mean(axis=0) + np.eye(maps.shape[-1])
        result = mixed / mixed.sum(axis=1, keepdims=True) @ result
    return result


def rollout_from_the_end(maps):
    blocks = 0.5 * maps.mean(1) + 0.5 * np.eye(maps.shape[-1])
    return blocks[0] if len(blocks) == 1 else np.linalg.multi_dot(list(blocks[::-1]))


def interval_by_percentile(a, b, draws):
    means = [np.mean([a[i] - b[i] for i in draw]) for draw in draws]
    return np.percentile(means, [2.5, 97.5])


def interval_by_two_means(a, b, draws):
    means = a[draws].mean(axis=1) - b[draws].mean(axis=1)
    return np.array([np.quantile(means, 0.025), np.quantile(means, 0.975)])


# Judged in test_pages.py.
RIGHT = {
    page.check_lift: [lift_map_by_map, lift_by_einsum],
    page.check_auc: [auc_by_ranks, auc_by_the_curve],
    page.check_rollout: [rollout_by_division, rollout_from_the_end],
    page.check_paired_interval: [interval_by_percentile, interval_by_two_means],
}

# --- The references are what the library does -------------------------------------------------


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    maps, flower = rng.normal(size=(4, 3, 5)), rng.random((4, 3, 5))
    flower[:, 0] = 0
    return maps, flower, interpret.map_scores(maps, flower)


def test_lift_is_that_of_the_library(scored):
    maps, flower, scores = scored
    np.testing.assert_allclose(page.lift(maps, flower), scores["lift"])
    with np.errstate(invalid="ignore"):
        assert np.isnan(page.lift(-np.ones((1, 2, 3)), np.ones((1, 2, 3)))).all()


def test_auc_is_that_of_the_library(scored):
    maps, flower, scores = scored
    pairs = zip(np.maximum(maps, 0), flower > 0.5, strict=True)
    areas = [page.auc(heat.ravel(), on.ravel()) for heat, on in pairs]
    np.testing.assert_allclose(areas, scores["auc"])


def test_rollout_is_that_of_the_library():
    maps = np.random.default_rng(0).random((1, 3, 2, 5, 5))
    maps /= maps.sum(-1, keepdims=True)
    np.testing.assert_allclose(page.rollout(maps[0]), interpret.attention_rollout(maps)[0])


def test_the_interval_is_that_of_the_library():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    theirs = interpret.paired_interval(a, b, np.random.default_rng(1), resamples=50)
    again = np.random.default_rng(1)
    draws = np.stack([again.integers(0, 20, 20) for _ in range(50)])
    np.testing.assert_allclose(page.paired_interval(a, b, draws), theirs[1:3])


# --- What went wrong --------------------------------------------------------------------------


def test_the_truth_is_not_in_the_order_of_the_list():
    assert set(page.DIAGNOSIS.truth.values()) == set(page.CAUSES)
    named = page.DIAGNOSIS.truth.values()
    assert all(a != b for a, b in zip(named, page.CAUSES, strict=True))


def test_the_planted_bugs_show_what_the_messages_say():
    judges = page.broken_judges()
    assert list(judges) == ["sound", *page.DIAGNOSIS.truth]
    by_cause = {cause: judges[name] for name, cause in page.DIAGNOSIS.truth.items()}
    sound = judges["sound"]
    part, lift = page.CHANCE
    assert sound[part]["true map"] == 1
    assert sound[part]["uniform"] == pytest.approx(1 / 3)
    assert sound[lift]["uniform"] == pytest.approx(1)
    assert sound[part]["random"] == pytest.approx(1 / 3, abs=0.06)
    for measure in page.CHANCE:
        chance = page.CHANCE[measure]
        assert chance + 0.2 < sound[measure]["signed map"] < sound[measure]["true map"]
        ceilings = [judge[measure]["true map"] for judge in judges.values()]
        np.testing.assert_allclose(ceilings, ceilings[0])

    ties = by_cause["ties are hits"]
    assert ties[part]["uniform"] == 1
    assert {**ties[part], "uniform": 0} == {**sound[part], "uniform": 0}
    assert ties[lift] == sound[lift]

    sums = by_cause["sums, not densities"]
    assert sums[part]["uniform"] < 0.02
    assert sums[part]["random"] < 0.1
    assert sums[lift] == sound[lift]

    signs = by_cause["negative values kept"]
    assert signs[lift]["signed map"] > 1.1 * signs[lift]["true map"]
    for measure in page.CHANCE:
        for kind in ("random", "uniform"):
            assert signs[measure][kind] == pytest.approx(sound[measure][kind])

    best = by_cause["best head per picture"]
    for measure in page.CHANCE:
        assert best[measure]["random"] > 1.1 * sound[measure]["random"]
        assert best[measure]["uniform"] == pytest.approx(sound[measure]["uniform"])
