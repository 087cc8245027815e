import json

import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score

from vit_keras_lib import map_scores
from vit_keras_lib.interpret import (
    CONTROLS,
    SCORES,
    Scores,
    against_controls,
    class_contrast,
    clears,
    controls,
    deletion_curve,
    log_odds,
    map_correlation,
    paired_interval,
    part_coverage,
    part_scores,
    summarise,
    true_map,
)

GRID = (4, 6)
STEM, PETAL, CENTRE = 1, 2, 3


def rng(seed=0):
    return np.random.default_rng(seed)


def scenes(B=60, grid=GRID, patch=8):
    """Discs (petals) with a disc inside (centre) on a stem: masks, pictures, effects."""
    random = rng(7)
    H, W = grid[0] * patch, grid[1] * patch
    y, x = np.mgrid[:H, :W]
    parts = np.zeros((B, H, W), int)
    for mask in parts:
        cy, cx, radius = random.uniform(8, H - 8), random.uniform(8, W - 8), random.uniform(7, 11)
        distance = np.hypot(y - cy, x - cx)
        mask[(np.abs(x - cx) < 2) & (y > cy)] = STEM
        mask[distance < radius] = PETAL
        mask[distance < radius * 0.55] = CENTRE
    images = random.integers(0, 256, (B, H, W, 3), dtype="uint8")  # edges everywhere
    centre_counts = random.random(B) < 0.5
    effects = np.zeros((B, 3))
    effects[np.arange(B), np.where(centre_counts, CENTRE, PETAL) - 1] = random.uniform(2, 5, B)
    effects += random.uniform(0, 0.1, effects.shape)
    return parts, images, effects


@pytest.fixture(scope="module")
def scene():
    parts, images, effects = scenes()
    return part_coverage(parts, GRID, 4), images, effects


def scored(maps, scene):
    coverage, _, effects = scene
    return map_scores(maps, coverage, effects, flower=(PETAL, CENTRE), epsilon=0.5)


def noise(B=5, grid=GRID, seed=0):
    return rng(seed).random((B, *grid))


# --- Coverage ---------------------------------------------------------------------------------


def test_coverage_counts_pixels():
    mask = np.array([[[0, 0, 1, 1, 2, 0], [0, 1, 1, 1, 0, 0]]])
    coverage = part_coverage(mask, (1, 3), 4)
    expected = [[3 / 4, 0, 3 / 4], [1 / 4, 1, 0], [0, 0, 1 / 4], [0, 0, 0]]
    np.testing.assert_array_equal(coverage[0, :, 0], expected)


@pytest.mark.parametrize("grid", [(4, 6), (8, 3), (1, 1), (32, 48)])
def test_coverage_adds_up(grid):
    parts = scenes(5)[0]
    coverage = part_coverage(parts[..., None].astype("uint8"), grid, 5)
    assert coverage.shape == (5, 5, *grid)
    np.testing.assert_allclose(coverage.sum(axis=1), 1)
    areas = [(parts == k).mean(axis=(1, 2)) for k in range(5)]
    np.testing.assert_allclose(coverage.mean(axis=(2, 3)), np.stack(areas, axis=1))


def test_number_of_parts_is_the_largest_unless_given():
    mask = np.zeros((1, 4, 4), int)
    mask[0, 0, 0] = 2
    assert part_coverage(mask, (2, 2)).shape == (1, 3, 2, 2)
    assert part_coverage(mask, (2, 2), 6).shape == (1, 6, 2, 2)


@pytest.mark.parametrize(
    ("parts", "grid", "num_parts", "message"),
    [
        (np.zeros((2, 8, 8), "float32"), (2, 2), None, r"integers.*float32 \(2, 8, 8\)"),
        (np.zeros((2, 8, 8, 3), int), (2, 2), None, r"\(2, 8, 8, 3\)"),
        (np.full((2, 8, 8), -1), (2, 2), None, r"from -1 to -1"),
        (np.full((2, 8, 8), 4), (2, 2), 4, r"from 4 to 4; with num_parts=4 .* 0 to 3"),
        (np.zeros((2, 8, 9), int), (2, 2), None, r"2 x 2 patches does not divide 8 x 9 pixels"),
        (np.zeros((2, 8, 8), int), (2, 0), None, r"`grid`.*\(2, 0\)"),
    ],
)
def test_bad_masks(parts, grid, num_parts, message):
    with pytest.raises(ValueError, match=message):
        part_coverage(parts, grid, num_parts)


# --- Known answers ----------------------------------------------------------------------------


def test_by_hand():
    coverage = np.array([[[[0, 0, 1, 1]], [[1, 0.5, 0, 0]], [[0, 0.5, 0, 0]]]])
    maps = np.array([[[4.0, 3.0, 1.0, 1.0]]])  # 4 on part 1 and 2 on part 2 make the 3 between
    scores = map_scores(maps, coverage, [[3.0, 0.1]], epsilon=0.2)
    assert scores["lift"] == pytest.approx((7 / 9) / (2 / 4))
    assert scores["auc"] == 1
    assert scores["agreement"] == 1
    assert scores["part_hit"] == 1
    assert scores["idle_mass"] == pytest.approx(2 * 0.5 / (2 * 0.5 + 4 * 1.5))
    np.testing.assert_allclose(part_scores(maps, coverage), [[1 / 2.25, 4 / 2.25, 2 / 2.25]])
    only = map_scores(maps, coverage, flower=[2])
    assert only["lift"] == pytest.approx((1.5 / 9) / (0.5 / 4))
    assert only["auc"] == pytest.approx(2 / 3)  # 3 beats 1 and 1, not 4


def test_density_not_sum():
    """A large part with more mass in all, but thinner, is not the one the map points at."""
    coverage = np.zeros((1, 3, 1, 6))
    coverage[0, 1, 0, :5], coverage[0, 2, 0, 5] = 1, 1
    maps = np.array([[[1, 1, 1, 1, 1, 3.0]]])
    assert map_scores(maps, coverage, [[0.0, 2.0]], epsilon=0.1)["part_hit"] == 1
    assert map_scores(maps, coverage, [[2.0, 0.0]], epsilon=0.1)["agreement"] == -1


def test_part_scores_are_means_where_no_patch_is_shared():
    owner = rng().integers(0, 3, (6, *GRID))
    coverage = np.stack([owner == k for k in range(4)], axis=1)
    maps = noise(6)
    scores = part_scores(maps, coverage)
    means = [[maps[b][owner[b] == k].mean() for k in range(3)] for b in range(6)]
    np.testing.assert_allclose(scores[:, :3], means / maps.mean(axis=(1, 2))[:, None])
    assert np.isnan(scores[:, 3]).all()  # nowhere in sight
    assert np.isnan(part_scores(-maps, coverage)).all()


@pytest.mark.parametrize("grid", [(4, 6), (2, 3), (8, 12)])
def test_part_scores_give_back_what_was_painted(grid):
    """Also on patches larger than the parts, where plain means would mix the parts."""
    coverage = part_coverage(scenes(20)[0], grid, 4)
    painted = rng().uniform(0.5, 3, (20, 4))
    maps = np.einsum("bk,bkrc->brc", painted, coverage)
    told_apart = np.linalg.matrix_rank(coverage.reshape(20, 4, -1), tol=1e-3) == 4
    assert told_apart.sum() > 5
    expected = painted / maps.mean(axis=(1, 2))[:, None]
    np.testing.assert_allclose(part_scores(maps, coverage)[told_apart], expected[told_apart])


def test_a_density_below_zero_is_no_mass():
    coverage = np.array([[[[0, 0, 1, 1]], [[1, 0.5, 0, 0]], [[0, 0.5, 0, 0]]]])
    maps = np.array([[[4.0, 1.0, 1.0, 1.0]]])  # 4 and -2 make the 1 between
    assert part_scores(maps, coverage)[0, 2] == pytest.approx(-2 / 1.75)
    assert map_scores(maps, coverage, [[3.0, 0.1]], epsilon=0.2)["idle_mass"] == 0


def test_the_true_map_shows_what_spoke_for_the_class():
    coverage = part_coverage(scenes(3)[0], GRID, 4)
    flower = coverage[:, PETAL] + coverage[:, CENTRE]
    np.testing.assert_allclose(true_map(coverage, (PETAL, CENTRE)), flower)
    np.testing.assert_allclose(true_map(coverage), 1 - coverage[:, 0])
    truth = true_map(coverage, effects=np.tile([2.0, -3.0], (3, 1)), parts=(CENTRE, PETAL))
    np.testing.assert_allclose(truth, 2 * coverage[:, CENTRE])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_parts_that_the_grid_cannot_tell_apart_tie(share):
    coverage = np.zeros((1, 3, 1, 4))
    coverage[0, :, 0] = [[0, 1, 1, 1], [share, 0, 0, 0], [1 - share, 0, 0, 0]]
    scores = part_scores(np.array([[[5.0, 1, 1, 1]]]), coverage)
    np.testing.assert_allclose(scores, [[0.5, 2.5, 2.5]])
    hit = map_scores([[[5.0, 1, 1, 1]]], coverage, [[1.0, 3.0]], epsilon=0.1)["part_hit"]
    assert hit == 0.5


@pytest.mark.parametrize("constant", [1.0, 1 / 24, 0.1, 1e-30, 7e30])
def test_uniform_is_exactly_at_chance(scene, constant):
    coverage, _, _ = scene
    scores = scored(np.full((len(coverage), *GRID), constant), scene)
    for name in ("lift", "auc", "agreement"):
        defined = scores[name][~np.isnan(scores[name])]
        assert len(defined) > 50
        assert (defined == SCORES[name]["chance"]).all(), name
    in_sight = (coverage[:, 1:].sum(axis=(2, 3)) > 0).sum(axis=1)
    np.testing.assert_array_equal(scores["part_hit"], 1 / in_sight)
    areas = coverage[:, 1:].sum(axis=(2, 3))
    idle = (areas * (scene[2] < 0.5)).sum(axis=1) / areas.sum(axis=1)
    np.testing.assert_allclose(scores["idle_mass"], idle)


@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_auc_is_that_of_scikit_learn(scene, levels):
    """With 2 or 4 levels nearly all values are tied."""
    maps = rng().integers(0, levels, (60, *GRID)) + 1.0
    flower = scene[0][:, [PETAL, CENTRE]].sum(axis=1)
    ours = map_scores(maps, flower)["auc"]
    for score, heat, truth in zip(ours, maps, flower, strict=True):
        assert score == pytest.approx(roc_auc_score(truth.ravel() >= 0.5, heat.ravel()))


def test_auc_takes_half_covered_patches_in():
    coverage = np.array([[[1 / 36, 0.4]], [[17 / 36, 0.0]]], "float32")[None, :, 0, None]
    coverage = np.concatenate([1 - coverage.sum(1, keepdims=True), coverage], axis=1)
    assert map_scores(np.array([[[2.0, 1.0]]]), coverage)["auc"] == 1


@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_agreement_is_kendalls_tau_of_scipy(levels):
    """One patch a part, so that the densities are the values of the map."""
    maps = rng(1).integers(0, levels, (40, 1, 5)) + 1.0
    maps[0] = 1.0
    effects = rng(2).integers(0, levels, (40, 5)).astype(float)
    coverage = np.tile(np.eye(5)[None, :, None], (40, 1, 1, 1))
    scores = map_scores(maps, coverage, effects, parts=range(5), epsilon=0.5)["agreement"]
    compared = 0
    for score, heat, effect in zip(scores[1:], maps[1:, 0], effects[1:], strict=True):
        tau = stats.kendalltau(heat, effect).statistic
        if np.ptp(heat) and np.ptp(effect):
            assert score == pytest.approx(tau)
            compared += 1
    assert compared > 25
    assert scores[0] == 0  # a silent map: chance


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_correlation_is_spearmans_of_scipy(levels):
    a, b = (rng(s).integers(-levels, levels, (20, 3, 5)).astype(float) for s in (1, 2))
    ours = map_correlation(a, b)["correlation"]
    theirs = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ours, theirs)
    np.testing.assert_allclose(map_correlation(a, a**3)["correlation"], 1)
    np.testing.assert_allclose(map_correlation(a, -a)["correlation"], -1)


def test_correlation_of_a_constant_map_is_counted():
    a = noise(3)
    a[1] = 2.0
    scores = map_correlation(a, noise(3, seed=1))
    np.testing.assert_array_equal(np.isnan(scores["correlation"]), [False, True, False])
    assert summarise(scores)["correlation"]["left_out"] == {"a map is constant": 1}


def test_ties_share_the_hit():
    coverage = np.tile(np.eye(3)[None, :, None], (3, 1, 1, 1))
    maps = np.array([[[5.0, 2, 2]], [[5.0, 2, 1]], [[0.0, 0, 0]]])
    maps[2] = [5.0, 0, 0]  # all of it on the background: the parts tie at zero
    scores = map_scores(maps, coverage, [[1.0, 0], [0, 1.0], [1.0, 0]], epsilon=0.1)
    np.testing.assert_array_equal(scores["part_hit"], [0.5, 0, 0.5])
    np.testing.assert_array_equal(scores["agreement"], [0, -1, 0])
    np.testing.assert_array_equal(scores["idle_mass"], [0.5, 2 / 3, np.nan])
    assert list(scores.reasons["idle_mass"]) == ["", "", "no mass on these parts"]


def test_a_part_out_of_sight_is_left_out_of_its_image():
    coverage = np.zeros((1, 4, 1, 4))
    coverage[0, 0, 0, :2], coverage[0, 1, 0, 2], coverage[0, 3, 0, 3] = 1, 1, 1
    maps = np.array([[[0, 0, 1.0, 2.0]]])
    scores = map_scores(maps, coverage, [[0.3, 9.0, 1.0]], epsilon=0.5)
    assert scores["agreement"] == 1
    assert scores["part_hit"] == 1
    assert scores["idle_mass"] == pytest.approx(1 / 3)


# --- Properties -------------------------------------------------------------------------------


def test_the_truth_beats_every_control(scene):
    coverage, images, effects = scene
    truth = scored(true_map(coverage, effects=effects), scene)
    six = controls(images, GRID, noise(60), noise(60, seed=1), rng())
    rivals = {name: scored(maps, scene) for name, maps in six.items()}
    beaten = clears(truth, rivals, rng())
    assert {name: all(row.values()) for name, row in beaten.items()} == dict.fromkeys(truth, True)
    assert (truth["part_hit"] == 1).all()
    flower = map_scores(true_map(coverage, (PETAL, CENTRE)), coverage, flower=(PETAL, CENTRE))
    assert np.nanmin(flower["auc"]) == 1
    assert np.nanmin(flower["lift"]) > 1


def test_a_control_does_not_clear_the_controls(scene):
    six = controls(scene[1], GRID, noise(60), noise(60, seed=1), rng())
    rivals = {name: scored(maps, scene) for name, maps in six.items()}
    random = scored(noise(60, seed=5), scene)
    for row in clears(random, rivals, rng()).values():
        assert not all(row.values())


@pytest.mark.parametrize("axis", [1, 2])
def test_flipping_picture_and_map_changes_nothing(axis):
    parts, images, effects = scenes(20)
    maps = noise(20)
    scores, flipped = (
        map_scores(m, part_coverage(p, GRID, 4), effects, (PETAL, CENTRE), epsilon=0.5)
        for m, p in ((maps, parts), (np.flip(maps, axis), np.flip(parts, axis)))
    )
    for name in scores:
        np.testing.assert_allclose(flipped[name], scores[name], atol=1e-12)
    for name in ("uniform", "centre", "sobel"):
        here, there = (
            controls(i, GRID, maps, maps, rng())[name] for i in (images, np.flip(images, axis))
        )
        np.testing.assert_allclose(there, np.flip(here, axis), atol=1e-9)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_the_scale_of_a_map_does_not_matter(scene, factor):
    maps = noise(60)
    scores, scaled = scored(maps, scene), scored(factor * maps, scene)
    for name in scores:
        np.testing.assert_allclose(scaled[name], scores[name], atol=1e-9)


@pytest.mark.parametrize("patches", [1, 3, 8, 20])
def test_lift_does_not_follow_the_area_at_fixed_density(patches):
    flower = np.zeros(24)
    flower[:patches] = 1
    flower = rng().permutation(flower).reshape(1, *GRID)
    heat = np.where(flower, 1.15, (24 - 1.15 * patches) / (24 - patches))
    assert map_scores(heat, flower)["lift"] == pytest.approx(1.15)


def test_float32_and_boolean_arrays_are_welcome(scene):
    coverage = scene[0][:, PETAL].round().astype(bool)
    maps = noise(60).astype("float32")
    a, b = map_scores(maps, coverage), map_scores(maps.astype(float), coverage.astype(float))
    np.testing.assert_array_equal(a["lift"], b["lift"])
    np.testing.assert_array_equal(a["auc"], b["auc"])


# --- Pitfalls of the usual code -----------------------------------------------------------------


def corner(first):
    mask = np.zeros((1, *GRID))
    mask[0, :2, :2] = 1
    return mask if first else mask[:, ::-1, ::-1]


def test_a_constant_map_points_at_nothing():
    scores = map_scores(np.full((1, *GRID), 0.3), corner(True))
    assert (scores["lift"], scores["auc"]) == (1, 0.5)


@pytest.mark.parametrize("block", [(4, 6), (2, 3), (1, 2)])
def test_storage_order_decides_nothing(block):
    """Maps that are constant over blocks, as upsampled ones are."""
    coarse = rng().random((1, GRID[0] // block[0], GRID[1] // block[1]))
    maps = coarse.repeat(block[0], 1).repeat(block[1], 2)
    first, last = map_scores(maps, corner(True)), map_scores(maps[:, ::-1, ::-1], corner(False))
    for name in first:
        np.testing.assert_allclose(first[name], last[name])


def test_signed_maps_are_rectified():
    maps = np.array([[[3.0, -1.0, -1.5, 0.0]]])  # sums to 0.5: a "share" of 3 / 0.5 = 6
    flower = np.array([[[1, 0, 0, 0]]])
    signed, positive = map_scores(maps, flower), map_scores(np.maximum(maps, 0), flower)
    assert signed["lift"] == positive["lift"] == 4  # all mass on a quarter of the area
    low = np.array([[[-3.0, -2.0, -1.0, 1.0]]])
    assert map_scores(low, flower)["auc"] == pytest.approx((0.5 + 0.5 + 0) / 3)


@pytest.mark.parametrize("area", [0, 1])
def test_no_flower_or_nothing_else_is_undefined_and_counted(area):
    flower = np.concatenate([corner(True), np.full((2, *GRID), area)])
    scores = map_scores(noise(3), flower)
    np.testing.assert_array_equal(np.isnan(scores["auc"]), [False, True, True])
    why = "every patch is half flower" if area else "no patch is half flower"
    table = summarise(scores)
    assert table["auc"]["left_out"] == {why: 2}
    assert table["auc"]["images"] == 1
    assert table["auc"]["mean"] == pytest.approx(scores["auc"][0])
    if area:
        np.testing.assert_array_equal(scores["lift"][1:], 1)
    else:
        assert table["lift"]["left_out"] == {"no flower in the picture": 2}


def test_every_reason_is_counted():
    coverage = np.tile(np.eye(3)[None, :, None], (7, 1, 1, 1))
    coverage[1, 2, 0, 2], coverage[1, 0, 0, 2] = 0, 1  # part 2 out of sight
    maps = np.tile([3.0, 2.0, 1.0], (7, 1, 1))
    maps[0] = [-1, 0, -2]
    effects = np.array([[1, 2], [1, 2], [0.1, -0.1], [2, 2], [-1, -2], [0.1, 2], [-0.3, 0.1]])
    table = summarise(map_scores(maps, coverage, effects, epsilon=0.2))
    silent = {"the map is nowhere positive": 1}
    few = {"fewer than two parts in sight": 1}
    assert table["lift"]["left_out"] == silent
    same = {"all parts have the same effect": 1}
    assert table["agreement"]["left_out"] == silent | few | {"no removal changes epsilon": 1} | same
    assert table["part_hit"]["left_out"] == silent | few | {"no removal costs epsilon": 3} | same
    assert table["idle_mass"]["left_out"] == silent | {"every removal changes epsilon": 3}
    assert all(row["images"] + sum(row["left_out"].values()) == 7 for row in table.values())
    assert json.loads(json.dumps(table)) == table


def test_nothing_defined_has_no_mean():
    table = summarise(map_scores(np.zeros((2, *GRID)), np.ones((2, *GRID))))
    assert table["lift"] == {
        "mean": None,
        "images": 0,
        "left_out": {"the map is nowhere positive": 2},
    }


# --- Two classes ------------------------------------------------------------------------------


def two_flowers():
    a, b = np.zeros((4, *GRID)), np.zeros((4, *GRID))
    a[:, :2, :2], b[:, 2:, 4:] = 1, 1
    return a, b


def test_class_contrast_knows_whose_map_it_is():
    a, b = two_flowers()
    faint = noise(4) * 0.1
    np.testing.assert_array_equal(class_contrast(a + faint, b + faint, a, b)["class_contrast"], 1)
    np.testing.assert_array_equal(class_contrast(b + faint, a + faint, a, b)["class_contrast"], 0)


def test_each_flower_counts_half():
    a, b = two_flowers()
    other = 1 - a - b
    right_on_a = class_contrast(2 * a + b + other, a + b + 6 * other, a, b)
    np.testing.assert_array_equal(right_on_a["class_contrast"], 0.5)  # on b it is wrong
    tied_on_b = class_contrast(a + b, 0.5 * a + b + 0.5 * other / 4, a, b)
    np.testing.assert_array_equal(tied_on_b["class_contrast"], 0.75)


@pytest.mark.parametrize("factor", [1.0, 0.1, 3.0])
def test_class_agnostic_maps_get_one_half(factor):
    a, b = two_flowers()
    maps = noise(4)
    scores = class_contrast(maps, factor * maps, a, b)["class_contrast"]
    np.testing.assert_array_equal(scores, 0.5)


def test_class_contrast_counts_what_it_cannot_score():
    a, b = two_flowers()
    maps = noise(4)
    maps[0] = -1
    b[1] = 0
    left_out = summarise(class_contrast(maps, noise(4), a, b))["class_contrast"]["left_out"]
    assert left_out == {"a map is nowhere positive": 1, "a flower is not in the picture": 1}
    with pytest.raises(ValueError, match=r"all be \(B, rows, columns\).*\(4, 6, 4\)"):
        class_contrast(maps, noise(4), a, b.transpose(0, 2, 1))


# --- Dropping patches -------------------------------------------------------------------------


def sum_of_kept(weights):
    """A "model" whose probability is the share of the weights that it still sees."""
    shares = weights / weights.sum(axis=(1, 2), keepdims=True)
    return lambda kept: np.minimum((shares * kept).sum(axis=(1, 2)), 1)


def test_deletion_ranks_true_above_random_above_reversed():
    weights = noise(30) ** 4
    areas = {
        name: deletion_curve(sum_of_kept(weights), maps, 12, rng()).area_between.mean()
        for name, maps in (("true", weights), ("noise", noise(30, seed=3)), ("last", -weights))
    }
    assert areas["true"] > 0.2
    assert abs(areas["noise"]) < 0.05
    assert areas["last"] < -0.2


def test_deletion_by_hand():
    weights = np.array([[[0.5, 0.3, 0.2]]])
    seen = []

    def predict(kept):
        seen.append(kept.copy())
        return sum_of_kept(weights)(kept)

    curve = deletion_curve(predict, weights, 2, rng(1))
    np.testing.assert_allclose(curve.dropped, [0, 1 / 3, 2 / 3])
    np.testing.assert_allclose(curve.by_map, [[1, 0.5, 0.2]])
    gap = curve.at_random[0] - curve.by_map[0]
    assert gap[1:].any()
    np.testing.assert_allclose(curve.area_between, (gap[1] + gap[0]) / 4 + (gap[2] + gap[1]) / 4)
    assert [kept.sum() for kept in seen] == [3, 2, 1, 2, 1]
    assert all(kept.shape == (1, 1, 3) and kept.dtype == bool for kept in seen)


def test_every_image_keeps_the_same_number():
    def predict(kept):
        assert len(set(kept.sum(axis=(1, 2)))) == 1
        assert kept.any()
        return np.ones(len(kept))

    curve = deletion_curve(predict, noise(7), 5, rng())
    assert curve.by_map.shape == curve.at_random.shape == (7, 6)
    np.testing.assert_array_equal(curve.area_between, 0)


def test_ties_are_dropped_by_lot_and_by_seed():
    weights = np.zeros((400, 1, 4))
    weights[:, 0, 0] = 1  # in storage order the flat map would always lose it first
    flat = np.ones((400, 1, 4))
    curve = deletion_curve(sum_of_kept(weights), flat, 3, rng())
    np.testing.assert_allclose(curve.by_map.mean(axis=0), [1, 3 / 4, 1 / 2, 1 / 4], atol=0.08)
    assert abs(curve.area_between.mean()) < 0.08
    again = deletion_curve(sum_of_kept(weights), flat, 3, rng())
    np.testing.assert_array_equal(again.by_map, curve.by_map)


@pytest.mark.parametrize(
    ("predict", "steps", "message"),
    [
        (lambda kept: np.ones(len(kept)), 24, r"steps=24, but 24 patches .* 1 to 23"),
        (lambda kept: np.ones(len(kept)), 0, r"steps=0"),
        (lambda kept: np.ones((len(kept), 5)), 4, r"shape \(5,\), got \(5, 5\)"),
        (lambda kept: np.full(len(kept), 3.0), 4, r"from 3.0 to 3.0.*softmax"),
        (lambda kept: np.full(len(kept), np.nan), 4, r"from nan to nan"),
    ],
)
def test_bad_deletion(predict, steps, message):
    with pytest.raises(ValueError, match=message):
        deletion_curve(predict, noise(), steps, rng())


# --- Controls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(4, 6), (6, 4), (2, 12)])
def test_controls_are_what_they_say(grid):
    images = rng().integers(0, 256, (5, 24, 24, 3), dtype="uint8")
    maps, untrained = noise(5, grid), noise(5, grid, 1)
    six = controls(images, grid, maps, untrained, rng())
    assert tuple(six) == CONTROLS
    assert all(control.shape == (5, *grid) for control in six.values())
    assert np.ptp(six["uniform"]) == 0
    assert six["random"].std() > 0.2
    np.testing.assert_array_equal(six["random_init"], untrained)
    assert six["centre"][0].argmax() != 0
    np.testing.assert_allclose(six["centre"], six["centre"][:, ::-1, ::-1])
    owner = [[np.array_equal(other, own) for own in maps] for other in six["other_image"]]
    np.testing.assert_array_equal(np.sum(owner, axis=0), 1)  # each map is used once
    assert not np.diag(owner).any()
    grey = images.astype(float).mean(axis=-1)
    ph, pw = 24 // grid[0], 24 // grid[1]
    for image, heat in zip(grey, six["sobel"], strict=True):
        edges = np.hypot(*(ndimage.sobel(image, axis, mode="nearest") for axis in (0, 1)))
        assert heat[1, 2] == pytest.approx(edges[ph : 2 * ph, 2 * pw : 3 * pw].mean())
    again = controls(images, grid, maps, untrained, rng())
    assert all(np.array_equal(six[name], again[name]) for name in six)


@pytest.mark.parametrize(
    ("images", "maps", "grid", "message"),
    [
        ((3, 24, 24, 3), (3, 6, 4), (4, 6), r"maps \(B, 4, 6\).*maps \(3, 6, 4\)"),
        ((2, 24, 24, 3), (3, 4, 6), (4, 6), r"images \(2, 24, 24, 3\)"),
        ((1, 24, 24, 3), (1, 4, 6), (4, 6), r"at least two"),
        ((3, 24, 25, 3), (3, 4, 6), (4, 6), r"4 x 6 patches does not divide 24 x 25"),
        ((3, 24, 24), (3, 4, 6), (4, 6), r"images \(3, 24, 24\)"),
    ],
)
def test_bad_controls(images, maps, grid, message):
    with pytest.raises(ValueError, match=message):
        controls(np.zeros(images), grid, np.ones(maps), np.ones(maps), rng())


# --- Intervals --------------------------------------------------------------------------------


def test_the_interval_covers_a_known_difference():
    random, covered = rng(3), 0
    for trial in range(150):
        scene_level = random.normal(0, 5, 60)  # shared by both: pairing takes it out
        a, b = (scene_level + random.normal(mean, 1, 60) for mean in (0.4, 0.0))
        interval = paired_interval(a, b, rng(trial), resamples=300)
        covered += interval.low <= 0.4 <= interval.high
        assert interval.high - interval.low < 1.2
    assert 0.88 <= covered / 150 <= 0.99


def test_the_interval_follows_seed_and_level():
    a, b = rng(1).random(40), rng(2).random(40)
    interval = paired_interval(a, b, rng())
    assert interval == paired_interval(a, b, rng())
    assert interval != paired_interval(a, b, rng(9))
    wide = paired_interval(a, b, rng(), level=0.999)
    assert wide.low < interval.low < interval.mean < interval.high < wide.high
    assert interval.mean == pytest.approx((a - b).mean())


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_interval_is_that_of_theory_for_many_images(level):
    a, b = rng(1).normal(size=900), rng(2).normal(size=900)
    interval = paired_interval(a, b, rng(), level)
    half = stats.norm.ppf((1 + level) / 2) * (a - b).std() / 30
    assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.1)


def test_only_whole_pairs_count():
    a, b = np.array([1, np.nan, 3, 4.0]), np.array([0, 5, np.nan, 3.0])
    assert paired_interval(a, b, rng()) == (1, 1, 1, 2, 2)
    lonely = paired_interval(a[:3], b[:3], rng())
    assert (lonely.pairs, lonely.left_out) == (1, 2)
    assert np.isnan(lonely[:3]).all()


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (np.ones(3), np.ones(4), {}, r"\(3,\) and \(4,\)"),
        (np.ones((3, 2)), np.ones((3, 2)), {}, r"\(3, 2\)"),
        (np.ones(3), np.ones(3), {"level": 95}, r"level=95"),
        (np.ones(3), np.ones(3), {"resamples": 0}, r"resamples=0"),
    ],
)
def test_bad_pairs(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        paired_interval(a, b, rng(), **options)


def plain(value, name="lift", B=30):
    return Scores({name: np.full(B, value) + rng(B).normal(0, 0.01, B)}, {name: []})


def test_less_idle_mass_is_better():
    rivals = dict.fromkeys(CONTROLS, plain(0.5, "idle_mass"))
    assert all(clears(plain(0.2, "idle_mass"), rivals, rng())["idle_mass"].values())
    assert not any(clears(plain(0.8, "idle_mass"), rivals, rng())["idle_mass"].values())


def test_one_control_too_good_is_seen():
    rivals = dict.fromkeys(CONTROLS, plain(1.0)) | {"sobel": plain(3.0)}
    row = clears(plain(2.0), rivals, rng())["lift"]
    assert row == {name: name != "sobel" for name in CONTROLS}
    intervals = against_controls(plain(2.0), rivals, rng())["lift"]
    assert intervals["sobel"].high < 0 < intervals["uniform"].low


def test_bad_comparisons():
    rivals = dict.fromkeys(CONTROLS, plain(1.0))
    with pytest.raises(ValueError, match=r"all six.*random_init; got none"):
        clears(plain(2.0), {}, rng())
    with pytest.raises(ValueError, match=r"all six.*got uniform, .*oracle"):
        clears(plain(2.0), rivals | {"oracle": plain(1.0)}, rng())
    with pytest.raises(ValueError, match=r"Unknown score 'pointing'; choose from lift"):
        clears(plain(2.0, "pointing"), rivals, rng())
    with pytest.raises(ValueError, match=r"uniform, random.*no score 'auc'"):
        clears(plain(2.0, "auc"), rivals, rng())


# --- Bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maps", "coverage", "message"),
    [
        (np.ones((2, 24)), np.ones((2, 4, 6)), r"got \(2, 24\).*reshape"),
        (np.full((2, 4, 6), np.nan), np.ones((2, 4, 6)), r"48 values that are not finite"),
        (np.ones((2, 4, 6)), np.ones((2, 6, 4)), r"4 x 6 patches .* 2 images on 6 x 4"),
        (np.ones((3, 4, 6)), np.ones((2, 4, 6)), r"3 maps .* 2 images"),
        (np.ones((2, 4, 6)), -np.ones((2, 4, 6)), r"\[0, 1\], got -1.0 to -1.0"),
        (np.ones((2, 4, 6)), 255 * np.ones((2, 4, 6)), r"got 255.0 to 255.0"),
        (np.ones((2, 4, 6)), np.full((2, 4, 6), np.nan), r"got nan"),
        (np.ones((2, 4, 6)), np.ones((4, 6)), r"got \(4, 6\)"),
        (np.ones((2, 4, 6)), np.ones((2, 3, 4, 6)), r"sum to 1, one is off by 2"),
    ],
)
def test_bad_maps(maps, coverage, message):
    with pytest.raises(ValueError, match=message):
        map_scores(maps, coverage)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flower": [4]}, r"flower=\[4\].*0 to 3"),
        ({"flower": []}, r"flower=\[\]"),
        ({"parts": [1, 1, 2]}, r"parts=\[1, 1, 2\]: choose different parts"),
        ({"parts": [2, 3]}, r"\(60, 2\), one column .* \[2, 3\], got \(60, 3\)"),
        ({"epsilon": None}, r"epsilon=None.*validation"),
        ({"epsilon": -1.0}, r"epsilon=-1.0"),
        ({"effects": np.full((60, 3), np.inf)}, r"180 values.*log-odds from the logits"),
        ({"effects": np.zeros(60)}, r"got \(60,\)"),
    ],
)
def test_bad_effects(scene, options, message):
    coverage, _, effects = scene
    with pytest.raises(ValueError, match=message):
        map_scores(noise(60), coverage, **{"effects": effects, "epsilon": 0.5, **options})


def test_the_flower_alone_has_no_parts():
    flower = corner(True)
    with pytest.raises(ValueError, match=r"flower=\(2, 3\).*flower alone, \(1, 4, 6\)"):
        map_scores(flower, flower, flower=(2, 3))
    with pytest.raises(ValueError, match=r"coverage of the parts is needed.*part_coverage"):
        map_scores(flower, flower, [[1.0, 2.0]], epsilon=0.1)
    with pytest.raises(ValueError, match=r"coverage of the parts is needed"):
        part_scores(flower, flower)
    with pytest.raises(ValueError, match=r"one shape.*\(1, 4, 6\) and \(1, 6, 4\)"):
        map_correlation(flower, flower.transpose(0, 2, 1))


def test_log_odds_are_those_of_the_softmax_and_know_no_offset():
    logits = np.random.default_rng(0).normal(size=(6, 4)) * 3
    classes = np.array([0, 1, 2, 3, 0, 1])
    p = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[np.arange(6), classes]
    np.testing.assert_allclose(log_odds(logits, classes), np.log(p / (1 - p)))
    np.testing.assert_allclose(log_odds(logits + 1e3, classes), log_odds(logits, classes))
    np.testing.assert_allclose(log_odds(logits, 2)[2], log_odds(logits, classes)[2])
    assert np.isfinite(log_odds([[900.0, -900.0]], 0)).all()  # where p itself rounds to 1


@pytest.mark.parametrize(("logits", "classes"), [(np.zeros(3), 0), (np.zeros((2, 1)), 0),
    (np.zeros((2, 3)), [0, 1, 2]), (np.zeros((2, 3)), 3), (np.zeros((2, 3)), -1)])  # fmt: skip
def test_log_odds_refuse_what_does_not_fit(logits, classes):
    with pytest.raises(ValueError, match="class_index"):
        log_odds(logits, classes)
