import dataclasses

import numpy as np
import pytest

from vit_keras_lib import Recipe
from vit_keras_lib.training import compare, read_json, write_json

RECIPE = Recipe(
    epochs=2, batch_size=8, learning_rate=3e-3, warmup_epochs=0, augment="none", mix=False, ema=None
)
KEYS = {
    *("variant", "seed", "validation", "test", "best_epoch", "epochs", "seconds", "parameters"),
    *("steps", "test_looks", "device", "date"),
}


@pytest.fixture
def run(tmp_path, flowers, tiny_vit):
    """Returns a function that compares two variants, and lists the models it made."""
    made = []

    def maker(name, **changes):
        def make(recipe):
            made.append(name)
            return tiny_vit(**changes)

        return make

    def run(seeds=(0, 1), recipe=RECIPE):
        variants = {"one": (maker("one", depth=1), recipe), "two": (maker("two"), recipe)}
        path = tmp_path / "results" / "depth.json"
        return compare(variants, flowers, seeds, tmp_path / "runs", path)

    run.made, run.path = made, tmp_path / "results" / "depth.json"
    return run


def test_each_variant_is_trained_once_a_seed(run, flowers):
    result = run()
    assert [(r["variant"], r["seed"]) for r in result["rows"]] == [
        ("one", 0), ("two", 0), ("one", 1), ("two", 1)
    ]  # fmt: skip
    assert all(set(row) == KEYS for row in result["rows"])
    assert all(0 <= row["validation"] <= 1 and 0 <= row["test"] <= 1 for row in result["rows"])
    one, two = (row["parameters"] for row in result["rows"][:2])
    assert one < two
    assert result["data"] == flowers.about()
    assert result["run"]["seed"] == [0, 1]
    assert list(result["recipes"]) == ["one", "two"]
    assert "seed" not in result["recipes"]["one"]
    assert result["recipes"]["one"]["pool"] == "cls"  # the model's, not the recipe's
    assert read_json(run.path) == result


def test_an_interrupted_comparison_does_what_is_missing(run):
    whole = run()
    write_json(run.path, {**whole, "rows": whole["rows"][:1]})
    run.made.clear()
    again = run()
    assert run.made == ["two", "one", "two"]
    # The runs themselves were finished: their stored weights give the same figures.
    assert again["rows"] == whole["rows"]


def test_rows_that_another_process_stores_meanwhile_are_kept(tmp_path, flowers, tiny_vit):
    path, runs = tmp_path / "shared.json", tmp_path / "runs"

    def other(recipe):
        compare({"other": (lambda recipe: tiny_vit(depth=1), RECIPE)}, flowers, [0], runs, path)
        return tiny_vit()

    result = compare({"one": (other, RECIPE)}, flowers, [1], runs, path)
    assert [(row["variant"], row["seed"]) for row in result["rows"]] == [("other", 0), ("one", 1)]
    assert list(result["recipes"]) == ["other", "one"]
    assert result["run"]["seed"] == [0, 1]


def test_each_seed_begins_with_weights_of_its_own(flowers, tiny_vit, tmp_path):
    begun = {}

    def by_recipe(recipe):
        model = recipe.model(flowers.image_size, flowers.num_classes, "flowers/8", dim=24, depth=1)
        begun["recipe", recipe.seed] = model.get_layer("head").get_weights()[0]
        return model

    def by_hand(recipe):
        model = tiny_vit(depth=1)
        begun["hand", recipe.seed] = model.get_layer("head").get_weights()[0]
        return model

    variants = {
        "recipe": (by_recipe, dataclasses.replace(RECIPE, drop_path=0.0, stem="patch", pool="cls")),
        "hand": (by_hand, RECIPE),
    }
    compare(variants, flowers, [0, 1], tmp_path / "runs", tmp_path / "begun.json")
    for kind in variants:
        assert not np.array_equal(begun[kind, 0], begun[kind, 1])


def test_looks_at_the_test_photos_are_counted(flowers, tiny_vit, tmp_path):
    peeks = []

    def peeking(flowers, seed):
        peeks.extend(flowers.batches("test", 8))
        peeks.extend(flowers.test)
        return flowers

    def make(recipe):
        return tiny_vit()

    variants = {"honest": (make, RECIPE), "peeking": (make, RECIPE, peeking)}
    rows = compare(variants, flowers, [0], tmp_path / "looks", tmp_path / "looks.json")["rows"]
    assert [row["test_looks"] for row in rows] == [1, 3]


def test_more_seeds_can_be_added(run):
    first = run(seeds=[0])
    run.made.clear()
    result = run(seeds=[0, 1])
    assert run.made == ["one", "two"]
    assert result["rows"][:2] == first["rows"]
    assert result["run"]["seed"] == [0, 1]


def test_results_from_before_a_field_was_added_are_kept(run):
    first = run(seeds=[0])
    for recipe in first["recipes"].values():
        del recipe["layer_decay"]
    write_json(run.path, first)
    run.made.clear()
    assert run(seeds=[0])["rows"] == first["rows"]
    assert run.made == []
    with pytest.raises(ValueError, match=r"for 'one': layer_decay was None, is 0.5"):
        run(recipe=dataclasses.replace(RECIPE, layer_decay=0.5))


def test_results_of_another_recipe_are_not_mixed_in(run, flowers, tiny_vit, tmp_path):
    run(seeds=[0])

    def otherwise(recipe):
        return tiny_vit(depth=1, pool="mean")

    with pytest.raises(ValueError, match=r"another recipe for 'one': pool was cls, is mean"):
        compare({"one": (otherwise, RECIPE)}, flowers, [1], tmp_path / "runs", run.path)
    assert not (tmp_path / "runs" / "one-1").exists()
    with pytest.raises(
        ValueError, match=r"holds results of another recipe for 'one': epochs was 2, is 3"
    ):
        run(recipe=dataclasses.replace(RECIPE, epochs=3))


def test_results_of_another_model_are_not_mixed_in(run, flowers, tiny_vit, tmp_path):
    first = run(seeds=[0])
    assert first["models"]["one"]["depth"] == 1

    def compared(**changes):
        variants = {"one": (lambda recipe: tiny_vit(**changes), RECIPE)}
        return compare(variants, flowers, [1], tmp_path / "runs", run.path)

    with pytest.raises(ValueError, match=r"another model for 'one'.*'num_heads': 3"):
        compared(depth=1, num_heads=6)
    del first["models"]  # as before models were noted
    write_json(run.path, first)
    with pytest.raises(ValueError, match=r"another model for 'one'.*parameters"):
        compared(depth=2)
    assert not (tmp_path / "runs" / "one-1").exists()
    assert len(compared(depth=1)["rows"]) == 3


def test_a_variant_may_learn_from_other_photos(run, flowers, tiny_vit, tmp_path):
    seen = []

    def few(flowers, seed):
        seen.append(seed)
        return flowers.share(0.25, seed)

    def make(recipe):
        return tiny_vit()

    variants = {"all": (make, RECIPE), "few": (make, RECIPE, few)}
    result = compare(variants, flowers, [0, 3], tmp_path / "few", tmp_path / "few.json")
    assert [row["steps"] for row in result["rows"]] == [10, 4, 10, 4]  # of 40 and of 10 photos
    assert seen == [0, 3]
    assert result["data"] == flowers.about()
    again = compare(variants, flowers, [0, 3], tmp_path / "few", tmp_path / "few.json")
    assert again == result
