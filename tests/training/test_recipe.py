import dataclasses
import itertools
import math

import keras
import numpy as np
import pytest

from vit_keras_lib import Recipe
from vit_keras_lib.training import ladder


def test_schedule_warms_up_linearly_then_falls_as_a_cosine_to_zero():
    schedule = Recipe(epochs=10, warmup_epochs=2, learning_rate=0.01).schedule(steps_per_epoch=5)
    values = np.array([float(schedule(step)) for step in range(51)])
    np.testing.assert_allclose(values[:11], 0.01 * np.arange(11) / 10, atol=1e-8)
    expected = [0.005 * (1 + math.cos(math.pi * step / 40)) for step in range(41)]
    np.testing.assert_allclose(values[10:], expected, atol=1e-7)


def test_schedule_without_warm_up_starts_at_the_peak():
    schedule = Recipe(epochs=2, warmup_epochs=0, learning_rate=0.01).schedule(5)
    assert float(schedule(0)) == pytest.approx(0.01)


def test_the_schedule_reaches_the_optimizer(tiny_vit):
    """Read back from the optimizer: at step 0, at the end of warm-up, at the end."""
    recipe = Recipe(epochs=4, warmup_epochs=1, learning_rate=0.01)
    model = tiny_vit()
    optimizer = recipe.optimizer(model, steps_per_epoch=3)
    optimizer.build(model.trainable_variables)
    schedule = recipe.schedule(3)
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    read = []
    for _ in range(13):
        read.append(float(optimizer.learning_rate))
        optimizer.apply(zeros, model.trainable_variables)
    np.testing.assert_allclose(read, [float(schedule(step)) for step in range(13)], atol=1e-8)
    assert (read[0], read[3]) == (0.0, pytest.approx(0.01))
    assert read[12] == pytest.approx(0.0, abs=1e-8)


def test_weight_decay_reaches_kernels_only(tiny_vit):
    model = tiny_vit(layer_scale=0.1, register_tokens=1)
    recipe = Recipe(epochs=1, warmup_epochs=0, learning_rate=0.1, weight_decay=0.5)
    optimizer = recipe.optimizer(model, steps_per_epoch=100)
    for variable in model.trainable_variables:  # zeros would not show a decay
        variable.assign(np.ones(variable.shape))
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    decayed = {v.path.split("/")[-1] for v in model.trainable_variables if float(np.max(v)) < 1}
    kept = {v.path.split("/")[-1] for v in model.trainable_variables if float(np.min(v)) == 1}
    assert decayed == {"kernel"}
    assert kept == {"bias", "gamma", "beta", "position_table", "class_token", "class_position",
                    "register_tokens", "scale1", "scale2"}  # fmt: skip
    kernel = model.get_layer("head").kernel
    np.testing.assert_allclose(np.array(kernel), 1 - 0.1 * 0.5, atol=1e-6)


def test_without_decay_the_rate_stays_at_the_peak():
    steady = Recipe(epochs=4, warmup_epochs=1, learning_rate=0.01, decay=False).schedule(10)
    values = np.array([float(steady(step)) for step in range(41)])
    np.testing.assert_allclose(values, 0.01 * np.minimum(np.arange(41) / 10, 1), atol=1e-8)
    assert Recipe(warmup_epochs=0, learning_rate=0.01, decay=False).schedule(10) == 0.01


def test_the_recipe_builds_the_model_it_names():
    fields = dict(drop_path=0.2, pool="cls", stem="shifted", locality=True, layer_scale=0.1)
    recipe = Recipe(seed=3, **fields)
    model = recipe.model((24, 16), 5, "flowers/8", depth=1)
    assert {name: getattr(model, name) for name in fields} == fields
    assert (model.class_token, model.depth, model.patch_size) == (True, 1, (8, 8))
    assert recipe.as_done_by(model) == recipe
    again = recipe.model((24, 16), 5, "flowers/8", depth=1)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not Recipe(pool="mean").model((24, 16), 5, "flowers/8", depth=1).class_token


def test_what_is_recorded_is_the_models_architecture(tiny_vit):
    done = Recipe(pool="mean", stem="conv").as_done_by(tiny_vit(drop_path=0.3, layer_scale=0.5))
    assert (done.pool, done.stem, done.drop_path, done.layer_scale) == ("cls", "patch", 0.3, 0.5)
    other = Recipe().as_done_by(keras.Sequential([keras.Input((24, 16, 3))]))
    assert (other.pool, other.stem, other.locality) == (None, None, None)


def test_each_rung_of_the_ladder_is_one_thing_more_up_to_the_default_recipe():
    rungs = ladder(epochs=100)
    names = list(rungs)
    climbed = [name for name in names if name == "plain" or name.startswith("+")]
    assert names[: len(climbed)] == climbed
    assert rungs[climbed[-1]] == Recipe()
    for below, above in itertools.pairwise(climbed):
        old, new = dataclasses.asdict(rungs[below]), dataclasses.asdict(rungs[above])
        changed = {name for name in old if old[name] != new[name]}
        assert changed == {"warmup_epochs", "decay"} or len(changed) == 1
    assert len(names) - len(climbed) == 3
    assert all(recipe.epochs == 7 for recipe in ladder(epochs=7).values())


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("warmup_epochs", 101.0),
     ("weight_decay", -1.0), ("clip_norm", 0.0), ("label_smoothing", 1.0), ("augment", "wild"),
     ("ema", 1.0), ("drop_path", 1.0), ("pool", "max"), ("stem", "wide"), ("layer_scale", 0.0),
     ("jit_compile", "yes"), ("frozen_blocks", -1), ("layer_decay", 0.0), ("layer_decay", 1.1),
     ("lora_rank", 0)],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"Recipe.{name} must be .*got {value!r}"):
        Recipe(**{name: value})


@pytest.mark.parametrize("other", [{"frozen_blocks": 0}, {"layer_decay": 0.7}, {"lora_rank": 4}])
def test_a_probe_goes_with_no_other_fine_tuning(other):
    with pytest.raises(ValueError, match=r"Recipe.probe must be False with .*got True"):
        Recipe(probe=True, **other)


def test_numbers_of_numpy_become_pythons():
    given = {"batch_size": np.int64(8), "epochs": np.int32(6), "ema": np.float32(0.5)}
    recipe = Recipe(**given, seed=np.int8(1))
    values = (recipe.batch_size, recipe.epochs, recipe.ema, recipe.seed)
    assert values == (8, 6, 0.5, 1)
    assert [type(value) for value in values] == [int, int, float, int]
