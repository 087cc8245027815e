"""The experiment of benchmarks/data_efficiency.py: what is compared with what."""

import dataclasses

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")
from vit_keras_lib import load_flowers, load_pretrained

WIDTHS = ("half", "whole")


@pytest.fixture
def experiment(script):
    return script("data_efficiency")


@pytest.fixture(scope="module")
def flowers():
    return load_flowers("procedural_flowers", image_size=96)


@pytest.fixture
def photographs(flowers):
    """A set that is not the drawn one."""
    return dataclasses.replace(flowers, source="photographs")


@pytest.fixture
def checkpoint(experiment, flowers, monkeypatch, tmp_path):
    """A half wide ViT, as `pretrain` leaves it; its file."""
    recipe = experiment.recipes(flowers)["from scratch"]
    path = tmp_path / "half.keras"
    experiment.make(flowers, "from scratch", "half", recipe).save(path)
    monkeypatch.setattr(experiment, "CHECKPOINT", path)
    return path


def steps(recipe, flowers):
    return recipe.epochs * -(-flowers.sizes["train"] // recipe.batch_size)


def changed(one, other):
    return {
        f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_steps_are_equal_but_for_the_probe_and_where_minutes_are(experiment, flowers, width):
    rows = experiment.variants(flowers, (0.02, 1.0), experiment.WAYS, width)
    assert len(rows) == 14
    counts = {
        name: steps(recipe, draw(flowers, 0))
        for name, (_, recipe, draw) in rows.items()
        if not recipe.probe
    }
    longer = {counts.pop(f"{experiment.AS_LONG}, {share}") for share in ("2%", "100%")}
    (equal,) = set(counts.values())
    assert longer == {round(experiment.PACE * equal)}


@pytest.mark.parametrize("width", WIDTHS)
def test_from_scratch_all_have_the_same_recipe_and_budget(experiment, photographs, width):
    recipes = experiment.recipes(photographs, width)
    scratch = recipes["from scratch"]
    assert recipes["CNN"] == scratch
    assert changed(recipes["small-data recipe"], scratch) == {"pool", "stem"}
    assert "augment" in changed(recipes[experiment.UNEQUAL], scratch) <= {"augment", "mix"}
    assert changed(recipes[experiment.AS_LONG], scratch) == {"epochs"}
    sizes = {
        way: experiment.make(photographs, way, width, recipes[way]).count_params()
        for way in experiment.FROM_SCRATCH
    }
    assert max(sizes.values()) < 1.1 * min(sizes.values())


def test_half_wide_models_have_a_quarter_of_the_weights(experiment, flowers):
    for way, recipe in experiment.recipes(flowers).items():
        if way in experiment.FROM_SCRATCH:
            half, whole = (
                experiment.make(flowers, way, width, recipe).count_params() for width in WIDTHS
            )
            assert 0.24 < half / whole < 0.28


@pytest.mark.parametrize("width", WIDTHS)
def test_stochastic_depth_is_the_same_for_all(experiment, flowers, checkpoint, width):
    recipes = experiment.recipes(flowers, width)
    rates = {experiment.make(flowers, way, width, r).drop_path for way, r in recipes.items()}
    assert rates == {recipes["CNN"].drop_path}


def test_two_sets_of_photos_differ_in_epochs_and_augmentation(experiment, flowers, photographs):
    of_flowers, of_photographs = map(experiment.recipes, (flowers, photographs))
    for way in experiment.FROM_SCRATCH:
        different = changed(of_flowers[way], of_photographs[way])
        assert different == {"epochs", "augment", "warmup_epochs"}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_two_starts_differ_in_their_weights_only(experiment, flowers, checkpoint, width):
    recipes = experiment.recipes(flowers, width)
    pretrained, scratch = (
        experiment.make(flowers, way, width, recipes[way])
        for way in ("full fine-tuning", "from scratch")
    )
    ours, theirs = pretrained.get_config(), scratch.get_config()
    for config in (ours, theirs):
        del config["name"]
        config["dtype"] = str(config["dtype"])
    assert ours == theirs
    different = changed(recipes["full fine-tuning"], recipes["from scratch"])
    assert different == {"learning_rate", "layer_decay"}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_checkpoint_comes_with_a_new_head(experiment, flowers, checkpoint, width):
    stored = load_pretrained("flowers" if width == "whole" else checkpoint)
    assert stored.num_classes == flowers.num_classes  # as many classes, but other ones
    probe = experiment.recipes(flowers, width)["linear probe"]
    model = experiment.make(flowers, "linear probe", width, probe)
    for layer, same in (("block5", True), ("head", False)):
        old, new = (m.get_layer(layer).get_weights()[0] for m in (stored, model))
        assert np.array_equal(old, new) == same


def test_what_was_pre_trained_is_kept_without_its_optimizer(
    experiment, flowers, monkeypatch, tmp_path
):
    path = tmp_path / "state" / "half.keras"
    monkeypatch.setattr(experiment, "CHECKPOINT", path)
    monkeypatch.setattr(experiment, "ROOT", tmp_path)
    monkeypatch.setattr(experiment, "PRETRAINING", 1)
    monkeypatch.setattr(experiment, "SHORT", {**experiment.SHORT, "batch_size": 8})
    tiny = {"dim": 12, "depth": 1, "num_heads": 2, "mlp_dim": 12}
    monkeypatch.setitem(experiment.WIDTHS, "half", (tiny, {}))
    few = dataclasses.replace(
        flowers,
        **{split: getattr(flowers, split).take(8) for split in ("train", "validation", "test")},
        sizes=dict.fromkeys(("train", "validation", "test"), 8),
    )
    monkeypatch.setattr(experiment, "load_flowers", lambda *_, **__: few)
    experiment.pretrain()
    model = keras.models.load_model(path)
    assert model.dim == 12 and getattr(model, "optimizer", None) is None
    assert [file.name for file in path.parent.glob("*.keras")] == ["half.keras"]
