"""The experiment of benchmarks/data_efficiency.py: what is compared with what."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")
from vit_keras_lib import load_flowers, load_pretrained


@pytest.fixture
def experiment(script):
    return script("data_efficiency")


@pytest.fixture(scope="module")
def flowers():
    return load_flowers("procedural_flowers", image_size=96)


def steps(recipe, flowers):
    return recipe.epochs * -(-flowers.sizes["train"] // recipe.batch_size)


def changed(one, other):
    return {
        f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)
    }


def test_all_but_the_probe_take_the_same_number_of_steps(experiment, flowers):
    rows = experiment.variants(flowers, (0.02, 1.0), list(experiment.recipes(12)), 12)
    assert len(rows) == 12
    counts = {
        name: steps(recipe, draw(flowers, 0))
        for name, (_, recipe, draw) in rows.items()
        if not recipe.probe
    }
    assert len(set(counts.values())) == 1


def test_from_scratch_all_have_the_same_recipe_and_budget(experiment, flowers):
    recipes = experiment.recipes(12)
    scratch = recipes["from scratch"]
    assert recipes["CNN"] == scratch
    assert changed(recipes["small-data recipe"], scratch) == {"pool", "stem"}
    assert changed(recipes[experiment.UNEQUAL], scratch) == {"augment", "mix"}
    sizes = {
        way: experiment.make(flowers, way, recipes[way]).count_params()
        for way in experiment.FROM_SCRATCH
    }
    assert max(sizes.values()) < 1.1 * min(sizes.values())


def test_stochastic_depth_is_the_same_for_all(experiment, flowers):
    for way, recipe in experiment.recipes(12).items():
        assert experiment.make(flowers, way, recipe).drop_path == recipe.drop_path == 0.1


def test_the_two_starts_differ_in_their_weights_only(experiment, flowers):
    recipes = experiment.recipes(12)
    pretrained, scratch = (
        experiment.make(flowers, way, recipes[way]) for way in ("full fine-tuning", "from scratch")
    )
    ours, theirs = pretrained.get_config(), scratch.get_config()
    for config in (ours, theirs):
        del config["name"]
        config["dtype"] = str(config["dtype"])
    assert ours == theirs
    different = changed(recipes["full fine-tuning"], recipes["from scratch"])
    assert different == {"learning_rate", "layer_decay"}


def test_the_checkpoint_comes_with_a_new_head(experiment, flowers):
    stored = load_pretrained("flowers")
    assert stored.num_classes == flowers.num_classes  # as many classes, but other ones
    model = experiment.make(flowers, "linear probe", experiment.recipes(12)["linear probe"])
    for layer, same in (("block5", True), ("head", False)):
        old, new = (m.get_layer(layer).get_weights()[0] for m in (stored, model))
        assert np.array_equal(old, new) == same
