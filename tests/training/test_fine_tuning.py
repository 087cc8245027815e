"""Fine-tuning: what stays, what learns slower, what is added, and the head alone."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import Recipe, train
from vit_keras_lib.training import train_data_parallel
from vit_keras_lib.training.fine_tuning import partly_trainable, with_features

RECIPE = Recipe(
    epochs=2, batch_size=20, learning_rate=3e-3, warmup_epochs=1, augment="light", ema=0.5
)
KINDS = {
    "frozen": {"frozen_blocks": 1},
    "decayed": {"layer_decay": 0.5},
    "adapted": {"lora_rank": 2},
    "all of it": {"frozen_blocks": 1, "layer_decay": 0.5, "lora_rank": 2},
    "probe": {"probe": True},
}
DROPS = dict(dropout=0.3, attention_dropout=0.2, drop_path=0.3)


def fresh(tiny_vit, **changes):
    keras.utils.set_random_seed(7)
    return tiny_vit(**{**DROPS, **changes})


def values(model):
    return {v.path: np.array(v) for v in model.weights}


def moved(model, before):
    """Paths of the weights that are not what they were."""
    after = values(model)
    return {path for path in after if not np.array_equal(after[path], before[path])}


@pytest.fixture(scope="module")
def run(flowers, tiny_vit):
    """Returns a function that trains a model of each kind once: weights before, model, history."""
    done = {}

    def run(kind):
        if kind not in done:
            model = fresh(tiny_vit)
            recipe = dataclasses.replace(RECIPE, **KINDS[kind])
            done[kind] = values(model), model, train(model, flowers, recipe, verbose=0)
        return done[kind]

    return run


def pixels(B=4):
    return np.random.default_rng(0).integers(0, 256, (B, 24, 16, 3)).astype("float32")


@pytest.mark.parametrize(("k", "stem"), [(0, "conv"), (1, "patch"), (2, "patch")])
def test_frozen_weights_do_not_move_and_all_others_do(k, stem, flowers, tiny_vit):
    model = fresh(tiny_vit, stem=stem)
    before = values(model)
    train(model, flowers, dataclasses.replace(RECIPE, frozen_blocks=k), verbose=0)
    opened = ("block0", "block1", "norm", "head")[k:]
    assert moved(model, before) == {path for path in before if path.startswith(opened)}


def test_the_frozen_part_is_deterministic_in_training(tiny_vit):
    model = fresh(tiny_vit, stem="conv")
    part = keras.Model(model.input, model.get_layer("block0").output)
    rest = keras.Model(model.input, model.get_layer("block1").output)
    x = pixels()
    with partly_trainable(model, Recipe(frozen_blocks=1)):
        np.testing.assert_allclose(part(x, training=True), part(x, training=False), atol=1e-5)
        assert np.abs(np.array(rest(x, training=True)) - rest(x, training=False)).max() > 1e-3
    assert np.abs(np.array(part(x, training=True)) - part(x, training=False)).max() > 1e-3


def test_flags_and_rates_are_as_before_and_the_model_can_be_trained_on(flowers, tiny_vit):
    model = fresh(tiny_vit)
    model.get_layer("norm").trainable = False
    flags = [layer.trainable for layer in model._flatten_layers()]
    config, count = model.get_config(), model.count_params()
    before = values(model)
    train(model, flowers, dataclasses.replace(RECIPE, epochs=1, **KINDS["all of it"]), verbose=0)
    assert [layer.trainable for layer in model._flatten_layers()] == flags
    assert [v.trainable for v in model.get_layer("norm").weights] == [False, False]
    assert (model.get_config(), model.count_params()) == (config, count)
    assert {v.path for v in model.weights} == set(before)
    model.fit(flowers.batches("train", 8), shuffle=False, verbose=0)
    assert moved(model, before) == {path for path in before if not path.startswith("norm")}


def factor(path, decay):
    """Written down for a ViT of two blocks."""
    exponents = {"encoder": 3, "block0": 2, "block1": 1, "norm": 0, "head": 0}
    return decay ** exponents[path.split("/")[0]]


@pytest.mark.parametrize("scaled", [False, True])
def test_each_first_step_is_the_undecayed_one_times_the_factor(scaled, tiny_vit):
    """Weight decay and clipping included; also under the loss scaling of half precision."""
    steps, rng = {}, np.random.default_rng(0)
    gradients = [rng.normal(size=v.shape).astype("float32") for v in tiny_vit().trainable_variables]
    for decay in (None, 0.5):
        model = fresh(tiny_vit)
        recipe = Recipe(warmup_epochs=0, learning_rate=0.01, weight_decay=3.0, layer_decay=decay)
        optimizer = recipe.optimizer(model, 10)
        used = gradients
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
            used = [8 * g for g in gradients]
        before = values(model)
        optimizer.build(model.trainable_variables)
        optimizer.apply([ops.convert_to_tensor(g) for g in used], model.trainable_variables)
        steps[decay] = {path: value - before[path] for path, value in values(model).items()}
        assert float(optimizer.learning_rate) == pytest.approx(Recipe.learning_rate * 10, rel=0.01)
    for path, step in steps[None].items():
        assert np.abs(step).max() > 1e-3
        np.testing.assert_allclose(steps[0.5][path], factor(path, 0.5) * step, atol=2e-7)


def test_only_adapters_and_the_head_are_trained_and_start_from_the_same_outputs(tiny_vit):
    model, x = fresh(tiny_vit), pixels()
    before = np.array(model(x))
    with partly_trainable(model, Recipe(lora_rank=2)):
        names = {"/".join(v.path.split("/")[-2:]) for v in model.trainable_variables}
        assert names == {"head/kernel", "head/bias"} | {
            f"{dense}/lora_kernel_{ab}" for dense in ("qkv", "projection") for ab in "ab"
        }
        assert len(model.trainable_variables) == 2 + 2 * 2 * 2
        np.testing.assert_allclose(model(x), before, atol=1e-6)
        for block in ("block0", "block1"):
            attention = model.get_layer(block).attention
            attention.qkv.lora_kernel_b.assign(np.full((2, 72), 0.1, "float32"))
        adapted = np.array(model(x))
    assert np.abs(adapted - before).max() > 1e-3
    np.testing.assert_allclose(model(x), adapted, atol=1e-5)  # merged


def test_adapters_change_kernels_of_attention_by_a_matrix_of_low_rank(run):
    before, model, _ = run("all of it")
    kernels = {f"block1/attention/{dense}/kernel" for dense in ("qkv", "projection")}
    assert moved(model, before) == kernels | {"head/kernel", "head/bias"}
    for path in kernels:
        sizes = np.linalg.svd(values(model)[path] - before[path], compute_uv=False)
        assert sizes[0] > 1e-4
        assert sizes[1] > 10 * sizes[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_and_loaded_model_gives_the_same_outputs(kind, run, flowers, tmp_path):
    before, model, history = run(kind)
    assert {name: history.recipe[name] for name in KINDS[kind]} == KINDS[kind]
    assert moved(model, before) >= {"head/kernel", "head/bias"}
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(history.best["val_loss"], rel=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(again(pixels()), model(pixels()))


@pytest.mark.parametrize("kind", ["all of it", "probe"])
def test_an_interrupted_run_ends_like_one_that_was_not(
    kind, run, flowers, tiny_vit, tmp_path, stop_after
):
    recipe, (_, whole, wanted) = dataclasses.replace(RECIPE, **KINDS[kind]), run(kind)
    with pytest.raises(KeyboardInterrupt):
        train(fresh(tiny_vit), flowers, recipe, tmp_path, [stop_after(1)], verbose=0)
    model = fresh(tiny_vit)
    history = train(model, flowers, recipe, tmp_path, verbose=0)
    np.testing.assert_allclose(history.epochs["loss"], wanted.epochs["loss"], rtol=1e-6)
    assert history.best_epoch == wanted.best_epoch
    done = fresh(tiny_vit)
    again = train(done, flowers, recipe, tmp_path, [stop_after(0)], verbose=0)  # trains nothing
    assert again.epochs == history.epochs
    for path, value in values(whole).items():
        np.testing.assert_allclose(values(model)[path], value, atol=1e-6)
        np.testing.assert_allclose(values(done)[path], value, atol=1e-6)


ELSEWHERE = """
import os, signal, sys
from pathlib import Path

import vit_keras_lib
import keras, numpy as np, tensorflow as tf

directory, moment = Path(sys.argv[1]), int(sys.argv[2])
labels = np.arange(40) % 5
noise = np.random.default_rng(0).integers(0, 20, (40, 24, 16, 3))
images = (noise + 50 * labels[:, None, None, None]).astype("uint8")
photos = tf.data.Dataset.from_tensor_slices((images, labels.astype("int64")))
flowers = vit_keras_lib.Flowers(
    photos, photos, photos, tuple("abcde"), (24, 16), dict.fromkeys(("train", "validation"), 40), ""
)
recipe = vit_keras_lib.Recipe(
    epochs=3, batch_size=8, warmup_epochs=1, augment="light", lora_rank=2, layer_decay=0.8
)
keras.utils.set_random_seed(0)
model = vit_keras_lib.ViT((24, 16), 5, 8, 24, 2, 3, 48, dropout=0.2, drop_path=0.2)

rename, renamed = os.replace, []
def replace(source, target):
    renamed.append(target)
    if len(renamed) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = replace
vit_keras_lib.train(model, flowers, recipe, directory, verbose=0)
np.savez(directory / "end.npz", *model.get_weights())
"""


def test_adapters_of_a_killed_process_are_taken_up_by_the_next(tmp_path):
    def run(name, moment=0):
        command = [sys.executable, "-c", ELSEWHERE, tmp_path / name, str(moment)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240)

    assert run("whole").returncode == 0
    assert run("run", 6).returncode == -9
    assert (tmp_path / "run" / "state.npz").exists()
    assert run("run").returncode == 0
    wanted, got = (np.load(tmp_path / name / "end.npz") for name in ("whole", "run"))
    for name in wanted.files:
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-6)


def test_a_probe_is_the_head_trained_on_photos_with_all_else_frozen(flowers, tiny_vit):
    """In one batch an epoch, as features and photos are not shuffled alike here."""
    whole = dict(batch_size=40, augment="none", mix=False, warmup_epochs=0)
    recipe, models = dataclasses.replace(RECIPE, **whole), []
    for probe in (True, False):
        model = fresh(tiny_vit, stem="conv", dropout=0.0, attention_dropout=0.0, drop_path=0.0)
        before = values(model)
        if not probe:
            for layer in model.layers:
                layer.trainable = layer.name == "head"
        history = train(model, flowers, dataclasses.replace(recipe, probe=probe), verbose=0)
        assert moved(model, before) == {"head/kernel", "head/bias"}
        models.append((values(model), history))
    (probed, features), (trained, photos) = models
    for measure in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(features.epochs[measure], photos.epochs[measure], rtol=1e-4)
    for path, value in trained.items():
        np.testing.assert_allclose(probed[path], value, atol=1e-5)


def test_a_probe_computes_each_photo_once_and_says_that_it_was_not_augmented(flowers, tiny_vit):
    seen = []

    class Counted(type(flowers)):
        def batches(self, split, *args, **kwargs):
            seen.append((split, kwargs))
            return super().batches(split, *args, **kwargs)

    counted = Counted(**{f.name: getattr(flowers, f.name) for f in dataclasses.fields(flowers)})
    model = fresh(tiny_vit)
    features = with_features(counted, model, 8)
    assert seen == [("train", {}), ("validation", {})]
    x, y = next(features.batches("train", 8).as_numpy_iterator())
    body = keras.Model(model.input, model.get_layer("pool").output)
    images, labels = next(flowers.batches("train", 8).as_numpy_iterator())
    np.testing.assert_allclose(x, body(images), atol=1e-5)
    np.testing.assert_array_equal(y, labels)
    history = train(model, flowers, dataclasses.replace(RECIPE, mix=True, probe=True), verbose=0)
    assert (history.recipe["augment"], history.recipe["mix"]) == ("none", False)
    assert history.parameters == model.count_params()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"frozen_blocks": 3}, r"frozen_blocks=3, but vit has 2 blocks.*at most 2"),
     ({"frozen_blocks": 2, "lora_rank": 4}, r"leaves none of the 2 blocks to Recipe.lora_rank=4")],
)  # fmt: skip
def test_more_than_the_model_has_is_refused(changes, message, flowers, tiny_vit):
    with pytest.raises(ValueError, match=message):
        train(tiny_vit(), flowers, dataclasses.replace(RECIPE, **changes))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_blocks_is_refused(kind, flowers):
    cnn = keras.Sequential(
        [keras.Input((24, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(5)], name="cnn"
    )
    with pytest.raises(ValueError, match=r"about the blocks of a ViT, but cnn is a Sequential"):
        train(cnn, flowers, dataclasses.replace(RECIPE, **KINDS[kind]))


def test_a_probe_on_several_devices_is_refused(flowers, tiny_vit):
    with pytest.raises(ValueError, match=r"probe.*use `train`"):
        train_data_parallel(tiny_vit, flowers, dataclasses.replace(RECIPE, probe=True))
