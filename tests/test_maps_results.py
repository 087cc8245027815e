"""What page 07 says of results/maps.json rests on this: ceilings, chance, a model that cheats."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from vit_keras_lib.interpret import CONTROLS
from vit_keras_lib.training import read_json

STORED = read_json(Path(__file__).resolve().parents[1] / "results" / "maps.json")
RULES = ("petals", "centre", "background")
TABLES = STORED["tables"]
METHODS = [name for name in TABLES["petals"] if name != "true map"]
SCORES = ("lift", "auc", "agreement", "part_hit", "idle_mass", "area_between")
CELLS = list(product(RULES, METHODS))
# Where the true map must be the best. A patch with a centre also holds petals, so of the idle mass
# under the centre rule it has its share too; page 07 says so.
CEILINGS = [*product(("agreement", "part_hit"), RULES), ("idle_mass", "petals"),
            ("idle_mass", "background")]  # fmt: skip


def test_three_models_a_rule_on_enough_scenes():
    runs = sorted((row["rule"], row["seed"]) for row in STORED["models"])
    assert runs == sorted(product(RULES, range(3)))
    assert STORED["scenes"] >= 200


@pytest.mark.parametrize("rule", RULES)
def test_tables_are_complete(rule):
    assert list(TABLES[rule]) == ["true map", *METHODS]
    assert len(METHODS) == 6
    for method in METHODS:
        assert {*SCORES, "contrast", "correlation"} < set(TABLES[rule][method])
        for score in SCORES:
            assert set(TABLES[rule][method][score]["controls"]) == set(CONTROLS)


@pytest.mark.parametrize(("score", "rule"), CEILINGS)
@pytest.mark.parametrize("method", METHODS)
def test_no_map_and_no_control_beats_the_true_map(score, rule, method):
    side = -1 if score == "idle_mass" else 1
    ceiling = side * TABLES[rule]["true map"][score]["mean"]
    cell = TABLES[rule][method][score]
    assert ceiling > side * cell["mean"]
    assert ceiling > max(side * mean for mean in cell["controls"].values())


@pytest.mark.parametrize(("rule", "method"), CELLS)
@pytest.mark.parametrize(("score", "chance"), [("lift", 1), ("auc", 0.5), ("agreement", 0)])
def test_the_uniform_map_is_at_chance(rule, method, score, chance):
    uniform = TABLES[rule][method][score]["controls"]["uniform"]
    assert uniform == pytest.approx(chance, abs=1e-9)


@pytest.mark.parametrize(("rule", "method"), CELLS)
@pytest.mark.parametrize("score", SCORES)
def test_a_method_clears_all_six_where_every_interval_is_above_0(rule, method, score):
    cell = TABLES[rule][method][score]
    assert cell["clears all six"] == all(low > 0 for _, low, _ in cell["better by"].values())


@pytest.mark.parametrize(("rule", "method"), CELLS)
def test_a_map_that_knows_no_class_has_no_contrast(rule, method):
    row = TABLES[rule][method]
    blind = method in ("attention, last block", "attention, mean of blocks", "rollout")
    assert row["class-agnostic"] == blind
    assert (row["contrast"]["by seed"] == [0.5] * 3) == blind


@pytest.mark.parametrize(("method", "part"), product(METHODS, RULES))
def test_what_knows_no_model_does_not_move_with_the_rule(method, part):
    for control in ("uniform", "centre", "sobel"):
        assert STORED["moves"][f"{method} | {control}"][part] == pytest.approx([0] * 3, abs=1e-9)


@pytest.mark.parametrize("part", RULES)
def test_the_true_map_moves_with_the_rule(part):
    _, low, _ = STORED["moves"]["true map"][part]
    assert low > 0


@pytest.mark.parametrize("row", STORED["models"], ids=lambda row: f"{row['rule']}-{row['seed']}")
def test_each_model_uses_what_its_label_needs_most_of_all(row):
    assert max(row["effects"], key=row["effects"].get) == row["rule"]


def test_the_background_model_is_caught():
    def caught(method):
        lifts = {rule: TABLES[rule][method]["lift"]["by seed"] for rule in RULES}
        return max(lifts["background"]) < min(1, *lifts["petals"], *lifts["centre"])

    assert any(map(caught, METHODS))


@pytest.mark.parametrize("row", STORED["models"], ids=lambda row: f"{row['rule']}-{row['seed']}")
def test_patching_begins_in_the_patches_and_ends_in_the_class_token(row):
    token, *patches = row["patching"].values()
    assert next(iter(row["patching"])) == "class token"
    assert token[0] == pytest.approx(0, abs=1e-3)
    assert token[-1] == pytest.approx(1, abs=1e-3)
    assert [shares[-1] for shares in patches] == pytest.approx([0, 0], abs=1e-3)


# --- What the prose of page 07 says -----------------------------------------------------------


def clears(rule, method, score):
    return TABLES[rule][method][score]["clears all six"]


def beyond_all_controls(method, part):
    controls = [STORED["moves"][f"{method} | {control}"][part][0] for control in CONTROLS]
    return STORED["moves"][method][part][1] > max(0, *controls)


def test_two_rules_are_learned_and_one_hardly():
    assert STORED["recipe"]["epochs"] == 15
    for row in STORED["models"]:
        others = dict(row["effects"])
        cost = others.pop(row["rule"])
        assert max(map(abs, others.values())) < 0.15
        if row["rule"] == "centre":
            assert 0.38 < row["test accuracy"] < 0.42
            assert 0.28 < cost < 0.36
        else:
            assert 0.97 < row["test accuracy"] < 0.985
            assert 4 < cost < 6.5


def test_who_knows_the_class_and_the_weights():
    contrast = {m: [TABLES[rule][m]["contrast"]["mean"] for rule in RULES] for m in METHODS}
    sure = [m for m in METHODS if contrast[m][0] > 0.9]
    assert sure == ["class relevance", "gradient x input"]
    assert max(centre for _, centre, _ in contrast.values()) < 0.6
    assert contrast["class relevance"][2] > 0.85 > contrast["Grad-CAM"][2] > 0.7
    assert contrast["gradient x input"][2] < 0.55
    alike = {m: max(TABLES[rule][m]["correlation"]["mean"] for rule in RULES) for m in METHODS}
    assert sorted(alike, key=alike.get)[-2:] == ["attention, mean of blocks", "rollout"]
    assert 0.4 < alike["rollout"] == TABLES["petals"]["rollout"]["correlation"]["mean"] < 0.5


def test_where_in_depth_it_is_decided():
    groups = {
        rule: np.mean(
            [list(r["patching"].values()) for r in STORED["models"] if r["rule"] == rule], axis=0
        )  # seeds -> (class token, patches of the part, other patches; joints)
        for rule in RULES
    }
    for rule in ("petals", "background"):
        assert groups[rule][0, 1] < 0.5 < 0.65 < groups[rule][0, 2]
    assert 0.15 < groups["petals"][2].max() < 0.25
    assert groups["background"][2].max() < 0.025
    assert groups["centre"][0, 1] > 0.95


def test_the_densest_part_is_right_in_two_scenes_of_three_at_best():
    best = max(TABLES[rule][m]["part_hit"]["mean"] for rule in RULES for m in METHODS)
    assert best == TABLES["petals"]["class relevance"]["part_hit"]["mean"] < 2 / 3


def test_who_moves_with_the_rule():
    moves = STORED["moves"]
    share = {m: [moves[m][part][0] / moves["true map"][part][0] for part in RULES] for m in METHODS}
    assert [m for m in METHODS if min(share[m]) > 0.5] == ["class relevance"]
    assert all(beyond_all_controls("class relevance", part) for part in RULES)
    for method in ("attention, mean of blocks", "rollout"):
        assert all(beyond_all_controls(method, part) for part in RULES)
        petals, centre, background = share[method]
        assert 0.25 < min(petals, background) < max(petals, background) < 0.42
        assert 0.05 < centre < 0.15
    petals, centre, background = share["gradient x input"]
    assert min(petals, background) > 0.5 > 0.3 > centre
    assert 0 < moves["gradient x input"]["centre"][1] < 0.2
    for method in ("attention, last block", "Grad-CAM"):
        assert moves[method]["centre"][2] < 0


def test_one_pair_clears_all_six_in_every_rule():
    pairs = [
        pair for pair in product(METHODS, SCORES) if all(clears(rule, *pair) for rule in RULES)
    ]
    assert pairs == [("attention, mean of blocks", "idle_mass")]


@pytest.mark.parametrize("score", ["agreement", "part_hit"])
def test_model_truth_is_cleared_under_the_petal_rule_by_one(score):
    assert [m for m in METHODS if clears("petals", m, score)] == ["class relevance"]
    assert TABLES["petals"]["Grad-CAM"][score]["better by"]["random"][1] <= 0
    for rule in RULES:
        assert not clears(rule, "rollout", score)


def test_other_images_stop_maps_of_the_background():
    for method, score in product(METHODS, ("agreement", "part_hit", "idle_mass")):
        better = TABLES["background"][method][score]["better by"]
        others = [better[control][1] <= 0 for control in CONTROLS if control != "other_image"]
        assert not any(others) or better["other_image"][1] <= 0


@pytest.mark.parametrize(("rule", "method"), CELLS)
def test_no_map_clears_sobel_in_auc(rule, method):
    assert TABLES[rule][method]["auc"]["better by"]["sobel"][1] <= 0


@pytest.mark.parametrize("method", METHODS)
def test_deletion_is_passed_by_none_or_by_all(method):
    assert TABLES["petals"][method]["area_between"]["better by"]["sobel"][1] <= 0
    assert clears("background", method, "area_between")


def test_whose_lift_tells_on_the_background_models():
    lifts = {m: TABLES["background"][m]["lift"]["by seed"] for m in METHODS}
    sure = ["attention, mean of blocks", "class relevance"]
    assert [m for m in METHODS if max(lifts[m]) < 0.9] == sure
    for method in ("rollout", "attention, last block", "Grad-CAM"):
        assert 0.98 < max(lifts[method]) < 1
    assert min(lifts["gradient x input"]) > 1


def test_the_best_method_is_the_same_for_all_seeds_in_five_scores_under_the_petal_rule():
    same = []
    for score in SCORES:
        sign = -1 if score == "idle_mass" else 1
        each = [TABLES["petals"][m][score]["by seed"] for m in METHODS]
        best = [max(range(6), key=lambda m, s=s: sign * each[m][s]) for s in range(3)]
        same.append(len(set(best)) == 1)
    assert sum(same) == 5
