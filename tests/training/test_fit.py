import csv
import dataclasses
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from vit_keras_lib import Recipe, train
from vit_keras_lib.training import device_name, read_json, write_json
from vit_keras_lib.training.fit import about_model

RECIPE = Recipe(
    epochs=8, batch_size=8, learning_rate=3e-3, warmup_epochs=1, augment="none", mix=False, ema=0.5
)


def assert_same(a, b):
    """Equal to the bit; but on a GPU, which adds up in no fixed order, nearly."""
    slack = 0 if device_name().startswith("CPU") else 1e-3
    np.testing.assert_allclose(a, b, rtol=slack, atol=slack)


def fresh(tiny_vit):
    keras.utils.set_random_seed(RECIPE.seed)
    return tiny_vit()


@pytest.fixture(scope="module")
def trained(flowers, tiny_vit):
    model = fresh(tiny_vit)
    return model, train(model, flowers, RECIPE, verbose=0)


def test_it_learns(trained, flowers):
    model, history = trained
    measured = model.evaluate(flowers.batches("test", 10), verbose=0, return_dict=True)
    assert measured["accuracy"] >= 0.8  # chance is 0.2
    assert history.epochs["loss"][-1] < history.epochs["loss"][0]


def test_history_says_what_was_done(trained):
    model, history = trained
    assert {len(values) for values in history.epochs.values()} == {8}
    assert {"loss", "val_accuracy", "learning_rate", "seconds"} <= set(history.epochs)
    assert history.recipe == dataclasses.asdict(RECIPE.as_done_by(model))
    assert (history.recipe["pool"], history.recipe["stem"]) == ("cls", "patch")
    assert history.data["source"] == "brightness"
    assert history.parameters == model.count_params()
    assert history.run["seed"] == RECIPE.seed
    assert history.seconds > 0


def test_the_learning_rate_read_back_from_the_optimizer_is_the_schedules(trained):
    model, history = trained
    schedule = RECIPE.schedule(steps_per_epoch=5)
    expected = [float(schedule(5 * (epoch + 1))) for epoch in range(8)]
    np.testing.assert_allclose(history.epochs["learning_rate"], expected, atol=1e-8)
    assert int(model.optimizer.iterations) == 40


def test_the_model_has_the_weights_of_the_best_validation_epoch(trained, flowers):
    model, history = trained
    scores = list(
        zip(history.epochs["val_accuracy"], -np.array(history.epochs["val_loss"]), strict=True)
    )
    assert history.best_epoch == max(range(8), key=scores.__getitem__)
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(history.best["val_loss"], rel=1e-4)
    assert measured["accuracy"] == pytest.approx(history.best["val_accuracy"])


def test_the_same_seed_gives_the_same_run(trained, flowers, tiny_vit):
    again = train(fresh(tiny_vit), flowers, dataclasses.replace(RECIPE, epochs=8), verbose=0)
    assert_same(again.epochs["loss"], trained[1].epochs["loss"])


def test_an_interrupted_run_goes_on_where_it_was(flowers, tiny_vit, trained, tmp_path, stop_after):
    run = tmp_path / "new" / "run"
    model = fresh(tiny_vit)
    with pytest.raises(KeyboardInterrupt, match=r"after 3 of 8 epochs.*The same call goes on"):
        train(model, flowers, RECIPE, run, [stop_after(3)], verbose=0)
    model = tiny_vit()
    history = train(model, flowers, RECIPE, run, verbose=0)
    assert {len(values) for values in history.epochs.values()} == {8}
    assert int(model.optimizer.iterations) == 40
    # As if it had never been interrupted.
    never, undisturbed = trained
    assert_same(history.epochs["loss"], undisturbed.epochs["loss"])
    for a, b in zip(model.get_weights(), never.get_weights(), strict=True):
        assert_same(a, b)
    schedule = RECIPE.schedule(5)
    expected = [float(schedule(5 * (epoch + 1))) for epoch in range(8)]
    np.testing.assert_allclose(history.epochs["learning_rate"], expected, atol=1e-8)

    done = tiny_vit()
    stored = train(done, flowers, RECIPE, run, [stop_after(0)], verbose=0)  # trains nothing
    assert stored == history
    for a, b in zip(done.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"another recipe, model or data"):
        train(done, flowers, dataclasses.replace(RECIPE, learning_rate=1.0), run, verbose=0)


def test_skipped_steps_do_not_shift_a_resumed_run(flowers, tiny_vit, tmp_path):
    """In float16 a step whose scaled gradients overflow is skipped, and not counted."""
    keras.config.set_dtype_policy("mixed_float16")
    recipe, began = dataclasses.replace(RECIPE, epochs=3), []

    class Overflow(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            began.append(epoch)
            if began == [0, 1, 2]:
                assert int(self.model.optimizer.iterations) < 2 * 5
                raise KeyboardInterrupt

        def on_train_batch_end(self, batch, logs=None):
            if began == [0] and batch == 0:
                self.model.optimizer.dynamic_scale.assign(2.0**60)

    with pytest.raises(KeyboardInterrupt, match="after 2 of 3 epochs"):
        train(fresh(tiny_vit), flowers, recipe, tmp_path, [Overflow()], verbose=0)
    history = train(fresh(tiny_vit), flowers, recipe, tmp_path, [Overflow()], verbose=0)
    assert began == [0, 1, 2, 2]
    assert len(history.epochs["loss"]) == 3


def test_a_run_that_a_callback_ended_is_finished(flowers, tiny_vit, tmp_path, stop_after):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    ended = train(fresh(tiny_vit), flowers, RECIPE, tmp_path, [Enough()], verbose=0)
    assert ended.stopped
    assert len(ended.epochs["loss"]) == 2
    model = tiny_vit()
    assert train(model, flowers, RECIPE, tmp_path, [stop_after(0)], verbose=0) == ended
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(ended.best["val_loss"], rel=1e-4)


def test_another_model_does_not_take_up_a_run(flowers, tiny_vit, tmp_path, stop_after):
    with pytest.raises(KeyboardInterrupt):
        train(fresh(tiny_vit), flowers, RECIPE, tmp_path, [stop_after(2)], verbose=0)
    other = tiny_vit(num_heads=6)
    assert other.count_params() == tiny_vit().count_params()
    with pytest.raises(ValueError, match=r"another recipe, model or data.*'num_heads': 3"):
        train(other, flowers, RECIPE, tmp_path, verbose=0)
    # This one computes the same, and may have been read with arrays as arguments.
    same = about_model(tiny_vit(pixel_mean=np.full(3, 127.5), remat=True))
    assert same == about_model(tiny_vit(pixel_mean=[127.5] * 3))
    keras.config.set_dtype_policy("mixed_float16")
    half = tiny_vit()
    before = half.get_weights()
    with pytest.raises(ValueError, match=r"under 'float32'.*under 'mixed_float16'"):
        train(half, flowers, RECIPE, tmp_path, verbose=0)
    assert_same(half.get_weights()[0], before[0])


ELSEWHERE = """
import os, resource, signal, sys
from pathlib import Path

import vit_keras_lib
import keras, numpy as np, tensorflow as tf

directory, event, moment = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
labels = np.arange(40) % 5
noise = np.random.default_rng(0).integers(0, 20, (40, 24, 16, 3))
images = (noise + 50 * labels[:, None, None, None]).astype("uint8")
photos = tf.data.Dataset.from_tensor_slices((images, labels.astype("int64")))
flowers = vit_keras_lib.Flowers(
    photos, photos, photos, tuple("abcde"), (24, 16), dict.fromkeys(("train", "validation"), 40), ""
)
recipe = vit_keras_lib.Recipe(epochs=4, batch_size=8, warmup_epochs=1, augment="light", ema=0.9)
keras.utils.set_random_seed(0)
model = vit_keras_lib.ViT((24, 16), 5, 8, 24, 2, 3, 48, dropout=0.2, drop_path=0.2)

rename, renamed = os.replace, []
def replace(source, target):
    renamed.append(target)
    if len(renamed) == moment and event == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if len(renamed) == moment and event == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))
os.replace = replace
vit_keras_lib.train(model, flowers, recipe, directory, verbose=0)
np.savez(directory / "end.npz", *model.get_weights())
"""


def train_elsewhere(directory, event="nothing", moment=0):
    """Trains in a process of its own, in which something happens at the file of that number."""
    command = [sys.executable, "-c", ELSEWHERE, directory, event, str(moment)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_killed_run_ends_like_one_that_was_not(tmp_path):
    """Files come in the order best (when there is a new one), log (two files), state."""
    assert train_elsewhere(tmp_path / "whole").returncode == 0
    wanted = np.load(tmp_path / "whole" / "end.npz")
    for moment in (4, 6):  # before the first state; later, between two files
        assert train_elsewhere(tmp_path / "run", "kill", moment).returncode == -signal.SIGKILL
    assert train_elsewhere(tmp_path / "run").returncode == 0
    got = np.load(tmp_path / "run" / "end.npz")
    for name in wanted:
        assert_same(got[name], wanted[name])
    logs = [read_json(tmp_path / run / "history.json")["epochs"] for run in ("whole", "run")]
    assert_same(logs[0]["loss"], logs[1]["loss"])
    assert len(logs[0]["loss"]) == 4


def test_a_full_disk_ends_in_a_clear_error(tmp_path):
    full = train_elsewhere(tmp_path / "run", "full disk", 4)
    assert full.returncode == 1
    assert "The state of the run could not be written to 'run'" in full.stderr
    assert "is the disk full?" in full.stderr
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "best.npz", "history.csv", "history.json", "state.npz", "tensorboard"
    ]  # fmt: skip
    assert len(np.load(tmp_path / "run" / "best.npz").files) > 10


@pytest.mark.parametrize("where", ["a file", "/proc/self"])  # /proc takes no files, of root neither
def test_a_directory_that_cannot_be_written_to_is_refused_at_once(
    flowers, tiny_vit, tmp_path, where
):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match=r"cannot be written to .* Pass another one"):
        train(fresh(tiny_vit), flowers, RECIPE, tmp_path / where, verbose=0)


def test_the_log_is_there_for_spreadsheets_and_tensorboard(flowers, tiny_vit, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=2)
    history = train(fresh(tiny_vit), flowers, recipe, tmp_path / "run", verbose=0)
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["val_loss"]) for row in rows] == history.epochs["val_loss"]
    if keras.backend.backend() == "tensorflow":
        assert list((tmp_path / "run" / "tensorboard").glob("train/events*"))


def test_the_average_of_weights_is_what_is_validated_and_kept(flowers, tiny_vit):
    """Averaged by hand after every step; the best epoch is the only one, so it is the last."""

    class ByHand(keras.callbacks.Callback):
        average = None

        def on_train_batch_end(self, batch, logs=None):
            now = [np.array(v) for v in self.model.trainable_variables]
            old = self.average or now
            self.average = [0.8 * a + 0.2 * b for a, b in zip(old, now, strict=True)]

    model, by_hand = fresh(tiny_vit), ByHand()
    recipe = dataclasses.replace(RECIPE, epochs=1, ema=0.8)
    history = train(model, flowers, recipe, callbacks=[by_hand], verbose=0)
    for average, kept in zip(by_hand.average, model.trainable_variables, strict=True):
        np.testing.assert_allclose(average, np.array(kept), atol=1e-6)
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(history.best["val_loss"], rel=1e-4)


@pytest.mark.parametrize("directory", [None, "run"])
def test_stopped_in_the_first_epoch_the_same_call_starts_anew(
    flowers, tiny_vit, tmp_path, directory
):
    """Dropout's random state goes back too."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    recipe, runs = dataclasses.replace(RECIPE, epochs=2), []
    for callbacks in ([Stop()], []):
        model = fresh(lambda: tiny_vit(dropout=0.2))
        at = directory and tmp_path / f"{directory}-{len(runs)}"
        if callbacks:
            with pytest.raises(KeyboardInterrupt, match=r"after 0 of 2 epochs.*as it was before"):
                train(model, flowers, recipe, at, callbacks, verbose=0)
        runs.append(train(model, flowers, recipe, at, verbose=0).epochs)
    assert_same(runs[0]["loss"], runs[1]["loss"])
    assert_same(runs[0]["val_loss"], runs[1]["val_loss"])


def test_a_run_says_where_each_part_of_it_was_trained(flowers, tiny_vit, tmp_path, stop_after):
    recipe = dataclasses.replace(RECIPE, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(fresh(tiny_vit), flowers, recipe, tmp_path, [stop_after(1)], verbose=0)
    stored = read_json(tmp_path / "history.json")
    there = {**stored["run"], "device": "GPU: 1 x another", "date": "2026-01-01"}
    write_json(tmp_path / "history.json", {**stored, "run": there})
    here = train(tiny_vit(), flowers, recipe, tmp_path, verbose=0).run
    assert here == {**stored["run"], "earlier": [there]}
    write_json(tmp_path / "history.json", {**read_json(tmp_path / "history.json"), "run": there})
    assert train(tiny_vit(), flowers, recipe, tmp_path, verbose=0).run == there  # trains nothing


def test_ctrl_c_leaves_the_best_weights_so_far(flowers, tiny_vit, trained, stop_after):
    model = fresh(tiny_vit)
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        train(model, flowers, RECIPE, callbacks=[stop_after(2)], verbose=0)
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    first_two = trained[1].epochs["val_accuracy"][:2]
    assert measured["accuracy"] == pytest.approx(max(first_two))
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


class Poison(keras.callbacks.Callback):
    """Makes the loss of an epoch no number."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            bias = self.model.get_layer("head").bias
            bias.assign(np.full(bias.shape, np.nan))


@pytest.mark.parametrize("epoch", [0, 2, 3])
def test_a_loss_that_is_no_number_ends_in_a_clear_error(flowers, tiny_vit, tmp_path, epoch):
    """Such an epoch is never the best, and is not taken for done."""
    recipe, model = dataclasses.replace(RECIPE, epochs=4), fresh(tiny_vit)
    before = model.get_weights()
    said = rf"epoch {epoch + 1} of 4.*lower learning rate"
    with pytest.raises(FloatingPointError, match=said):
        train(model, flowers, recipe, tmp_path, [Poison(epoch)], verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    if epoch:
        assert len(read_json(tmp_path / "history.json")["epochs"]["loss"]) == epoch
        with np.load(tmp_path / "best.npz") as best:
            kept = [best[name] for name in best.files]
    else:
        assert not (tmp_path / "history.json").exists()
        kept = before
    for a, b in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(FloatingPointError, match=said):
        train(tiny_vit(), flowers, recipe, tmp_path, [Poison(epoch)], verbose=0)


def test_a_run_from_before_a_field_was_added_is_taken_up(flowers, tiny_vit, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    history = train(fresh(tiny_vit), flowers, recipe, tmp_path, verbose=0)
    old = dataclasses.asdict(history)
    for name in ("frozen_blocks", "layer_decay", "lora_rank", "probe"):
        del old["recipe"][name]
    write_json(tmp_path / "history.json", old)
    assert train(tiny_vit(), flowers, recipe, tmp_path, verbose=0).epochs == history.epochs
    with pytest.raises(ValueError, match=r"another recipe"):
        train(tiny_vit(), flowers, dataclasses.replace(recipe, layer_decay=0.5), tmp_path)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow traces steps")
@pytest.mark.parametrize("changes", [{}, {"frozen_blocks": 1}])
def test_a_training_step_is_traced_once(flowers, tiny_vit, monkeypatch, changes):
    traces, step = [], keras.Model.train_step

    def train_step(model, data):
        traces.append(None)
        return step(model, data)

    monkeypatch.setattr(keras.Model, "train_step", train_step)
    train(tiny_vit(), flowers, dataclasses.replace(RECIPE, epochs=1, **changes), verbose=0)
    assert len(traces) == 1


@pytest.mark.parametrize("changes", [{"num_classes": 4}, {"image_size": (24, 24)}])
def test_a_model_for_other_photos_is_refused(flowers, tiny_vit, changes):
    with pytest.raises(ValueError, match=r"image_size=flowers.image_size"):
        train(tiny_vit(**changes), flowers, RECIPE)
