"""The experiment of benchmarks/transfer.py: what is compared with what."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")
from vit_keras_lib import load_flowers, load_pretrained


@pytest.fixture
def transfer(script):
    return script("transfer")


@pytest.fixture(scope="module")
def flowers():
    return load_flowers("procedural_flowers", image_size=96)


def steps(recipe, flowers):
    return recipe.epochs * -(-flowers.sizes["train"] // recipe.batch_size)


def test_all_but_the_probe_take_the_same_number_of_steps(transfer, flowers):
    rows = transfer.variants(flowers, (0.05, 1.0), list(transfer.ways(12)), 12)
    assert len(rows) == 6
    counts = {
        name: steps(recipe, draw(flowers, 0))
        for name, (_, recipe, draw) in rows.items()
        if not recipe.probe
    }
    assert len(set(counts.values())) == 1


def test_the_two_starts_differ_in_their_weights_only(transfer, flowers):
    ways = transfer.ways(12)
    pretrained, scratch = (
        transfer.make(flowers, *ways[name]) for name in ("full fine-tuning", "from scratch")
    )
    ours, theirs = pretrained.get_config(), scratch.get_config()
    for config in (ours, theirs):
        del config["name"]
        config["dtype"] = str(config["dtype"])
    assert ours == theirs
    mine, other = ways["full fine-tuning"][1], ways["from scratch"][1]
    fields = [f.name for f in dataclasses.fields(mine)]
    changed = [f for f in fields if getattr(mine, f) != getattr(other, f)]
    assert changed == ["learning_rate", "layer_decay"]


def test_the_checkpoint_comes_with_a_new_head(transfer, flowers):
    stored = load_pretrained("flowers")
    assert stored.num_classes == flowers.num_classes  # as many classes, but other ones
    model = transfer.make(flowers, *transfer.ways(12)["linear probe"])
    for layer, same in (("block5", True), ("head", False)):
        old, new = (m.get_layer(layer).get_weights()[0] for m in (stored, model))
        assert np.array_equal(old, new) == same
