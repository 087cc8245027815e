"""One function that trains."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from vit_keras_lib.models.cnn import CNN
from vit_keras_lib.models.vit import ViT
from vit_keras_lib.training.device import choose_setup, find_device
from vit_keras_lib.training.fine_tuning import (
    check_fine_tuning,
    partly_trainable,
    with_features,
)
from vit_keras_lib.training.recipe import Recipe
from vit_keras_lib.training.results import provenance, read_json, write_json, write_text


@dataclasses.dataclass(frozen=True)
class History:
    """What a training run leaves behind.

    Attributes:
        epochs: for each measure ("loss", "accuracy", "val_loss", "val_accuracy",
            "learning_rate" at the end of the epoch, "seconds") one value an epoch. Training
            measures are taken on augmented photos, with smoothed labels.
        best_epoch: index (from 0) of the epoch whose weights the model now has.
        recipe: the `Recipe`, as a dict; the fields of the architecture are the model's own.
        data: source, protocol, fingerprint and sizes of the photos.
        parameters: number of the model's weights.
        model: what `about_model` says of it.
        run: seed, device, backend, versions, date and dtype policy of the epochs that were trained
            last; for a run that began elsewhere or on another day also "earlier", the same of
            those before.
        stopped: whether a callback, such as `keras.callbacks.EarlyStopping`, ended the run before
            its last epoch.
    """

    epochs: dict
    best_epoch: int
    recipe: dict
    data: dict
    parameters: int
    model: dict
    run: dict
    stopped: bool = False

    @property
    def seconds(self):
        """Wall time of all epochs."""
        return sum(self.epochs["seconds"])

    @property
    def best(self):
        """The measures of the best epoch."""
        return {name: values[self.best_epoch] for name, values in self.epochs.items()}


def about_model(model):
    """Returns what tells a model from others: its class and, of a `ViT` or `CNN`, its arguments.

    Without those that change neither what it computes nor what it learns.
    """
    about = {"class": type(model).__name__}
    if isinstance(model, (ViT, CNN)):
        aside = ("name", "dtype", "trainable", "remat", "resize_rule")
        about |= {k: v for k, v in model.get_config().items() if k not in aside}
    # As it will be read back: no tuples, no arrays.
    return json.loads(json.dumps(about, default=lambda value: np.asarray(value).tolist()))


class _Logbook(keras.callbacks.Callback):
    """Logs every epoch, keeps the best weights and, given a directory, what a restart needs.

    Best is the highest validation accuracy; of equals, the lowest validation loss. An epoch whose
    loss is no number is neither logged nor kept. The state of a run is one file: weights, random
    state, optimizer, and the number of epochs done. (`keras.callbacks.BackupAndRestore` writes the
    epoch to a second file, and a process killed between the two would train an epoch twice; steps
    of the optimizer do not tell it, as scaled losses skip some.)

    With an average of weights (`SwapEMAWeights`, which must come first) the model holds the average
    at the end of an epoch and its own weights again when the next begins: the state is stored then.
    """

    def __init__(self, directory, about):
        super().__init__()
        self.directory, self.about, self.stopped = directory, about, False
        self.epochs, self.best_epoch, self.best_weights = {}, None, None
        self.here, self.first_values = about["run"], None
        if directory and (directory / "history.json").exists():
            stored = {"model": {}, **read_json(directory / "history.json")}
            # What was not yet a field then was not done; what was not yet noted is not compared.
            stored["recipe"] = {**dataclasses.asdict(Recipe()), **stored["recipe"]}
            stored["model"] = {**about["model"], **stored["model"]}
            wanted = {**about, "run": stored["run"]}
            if {key: stored[key] for key in about} != wanted:
                raise ValueError(
                    f"{directory.name!r} holds a run of another recipe, model or data: stored "
                    f"{stored['recipe']}, {stored['model']}, {stored['data']}; wanted "
                    f"{about['recipe']}, {about['model']}, {about['data']}. Choose another "
                    "directory, or empty it."
                )
            self.epochs, self.best_epoch = stored["epochs"], stored["best_epoch"]
            self.stopped = stored.get("stopped", False)
            self.about = wanted  # until an epoch is added, it was run where it was

    @property
    def done(self):
        return len(self.epochs.get("loss", []))

    @property
    def finished(self):
        return self.stopped or self.done == self.about["recipe"]["epochs"]

    def _score(self, epoch):
        return self.epochs["val_accuracy"][epoch], -self.epochs["val_loss"][epoch]

    def resume(self, model):
        """Takes up the stored state; returns the epoch to go on with, from 0."""
        if not self.directory or not (self.directory / "state.npz").exists():
            return 0
        return int(self._load("state", [*model.variables, *model.optimizer.variables])["epoch"])

    def _save(self, name, variables, **more):
        """Writes variables to a file of a temporary name, then renames it: all or nothing."""
        values = [keras.ops.convert_to_numpy(v) for v in variables]
        # NumPy's files do not know bfloat16.
        values = [v.astype("float32") if v.dtype.kind == "V" else v for v in values]
        partial = self.directory / f".{name}.partial"
        try:
            with open(partial, "wb") as file:
                np.savez(file, *values, **more)
            os.replace(partial, self.directory / f"{name}.npz")
        finally:
            partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _storing(self):
        try:
            yield
        except OSError as error:
            raise OSError(
                f"The state of the run could not be written to {self.directory.name!r} after epoch "
                f"{self.done}; is the disk full? What was stored before is intact: make room and "
                f"make the same call again. ({error})"
            ) from error

    def _table(self):
        """The log as comma-separated values, a row an epoch."""
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["epoch", *self.epochs])
        rows.writerows(zip(range(1, self.done + 1), *self.epochs.values(), strict=True))
        return table.getvalue()

    def _load(self, name, variables):
        """Reads variables, all or none; returns what else is in the file."""
        with np.load(self.directory / f"{name}.npz") as file:
            stored = dict(file)
        values = [stored.pop(key) for key in [*stored] if key.startswith("arr_")]
        if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"{self.directory.name!r} holds {len(values)} variables of a run under "
                f"{self.about['run'].get('policy')!r}, this one has {len(variables)} under "
                f"{self.here['policy']!r}; number or shapes differ. If the policies do, go on "
                "under that of then (keras.config.set_dtype_policy); else choose another "
                "directory, or empty it."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return stored

    def on_train_begin(self, logs=None):
        if self.best_epoch is None:
            self.first_values = [keras.ops.convert_to_numpy(v) for v in self.model.variables]

    def on_epoch_begin(self, epoch, logs=None):
        # A run killed between the log and the state does this epoch again.
        self.epochs = {name: values[:epoch] for name, values in self.epochs.items()}
        if self.directory and epoch:
            with self._storing():
                variables = [*self.model.variables, *self.model.optimizer.variables]
                self._save("state", variables, epoch=epoch)
        self.started = time.perf_counter()

    def _check(self, epoch, logs):
        if not all(math.isfinite(logs[name]) for name in ("loss", "val_loss")):
            recipe = self.about["recipe"]
            raise FloatingPointError(
                f"The loss was no longer a number in epoch {epoch + 1} of {recipe['epochs']}. Try "
                f"a lower learning rate than {recipe['learning_rate']} or a longer warm-up than "
                f"{recipe['warmup_epochs']} epochs."
            )

    def _sign(self):
        before = {**self.about["run"]}
        earlier = before.pop("earlier", [])
        if before != self.here:
            earlier = [*earlier, before]
        self.about["run"] = {**self.here, **({"earlier": earlier} if earlier else {})}

    def on_epoch_end(self, epoch, logs=None):
        self._check(epoch, logs)
        self._sign()
        measures = {
            **{name: float(value) for name, value in logs.items()},
            # Not float(): it fails for a variable that is mirrored on several devices.
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": time.perf_counter() - self.started,
        }
        for name, value in measures.items():
            self.epochs.setdefault(name, []).append(value)
        known = self.best_epoch is not None and self.best_epoch < epoch
        is_best = not known or self._score(epoch) > self._score(self.best_epoch)
        if is_best:
            self.best_epoch = epoch
            self.best_weights = self.model.get_weights()
        if self.directory:
            with self._storing():
                if is_best:
                    self._save("best", self.model.weights)
                write_text(self.directory / "history.csv", self._table())
                self._note()

    def _note(self):
        write_json(self.directory / "history.json", dataclasses.asdict(self.history()))

    def on_train_end(self, logs=None):
        self.stopped = not self.finished  # by another callback
        if self.directory and self.stopped:
            with self._storing():
                self._note()

    def history(self):
        return History(self.epochs, self.best_epoch, **self.about, stopped=self.stopped)

    def restore_best(self, model):
        if self.best_weights is not None:
            model.set_weights(self.best_weights)
        elif self.best_epoch is not None:  # the best epoch was before this process
            self._load("best", model.weights)
        elif self.first_values is not None:  # none yet: as it was, dropout's random state too
            for variable, value in zip(model.variables, self.first_values, strict=True):
                variable.assign(value)

    def says_how_to_go_on(self):
        """What to tell who stopped the run."""
        said = f"Stopped after {self.done} of {self.about['recipe']['epochs']} epochs. The model "
        if self.best_epoch is None:
            return said + "is as it was before."
        said += f"has the weights of epoch {self.best_epoch + 1}, the best so far."
        return said + " The same call goes on from here." * bool(self.directory)


def train(model, flowers, recipe, directory=None, callbacks=(), verbose="auto"):
    """Trains a classifier and leaves it with the weights of its best epoch on validation.

    For weights drawn by the same seed, make the model with `recipe.model`, or call
    `keras.utils.set_random_seed(recipe.seed)` before it is made.

    Args:
        model: a Keras classifier of (B, H, W, C) raw pixels that returns logits
            (B, num_classes), such as `ViT`. Compiled here. After fine-tuning it is compiled once
            more, as all of it can be trained again.
        flowers: what `load_flowers` returns.
        recipe: a `Recipe`.
        directory: where to keep the state of the run (best weights, last weights) and its log
            (JSON, CSV and, on TensorFlow, TensorBoard's in `tensorboard/`). The same call again
            goes on after the last finished epoch, or, if all are done or a callback ended the run,
            returns the stored result. However often it was interrupted, or killed, the run ends
            with the weights of one that never was, on a CPU to the bit (unless damaged files turn
            up in a streamed set and shorten its epochs, or your own callbacks, which begin anew,
            count epochs). None keeps nothing on disk.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        `History`.

    Raises:
        ValueError: if the model has another number of classes or another image size than the
            photos, the directory holds another run, or one under a dtype policy that this cannot
            go on from, or the recipe fine-tunes what is no ViT, or more blocks than it has.
        FloatingPointError: if the loss is no longer a number; the model then has the best
            weights so far, in the first epoch those it came with.
        KeyboardInterrupt: on Ctrl-C, with the same weights.
        OSError: if the directory cannot be written to; what it held before is intact.
    """
    expected = (*flowers.image_size, 3)
    if tuple(model.input_shape[1:]) != expected or model.output_shape[1] != flowers.num_classes:
        raise ValueError(
            f"{model.name} maps images {tuple(model.input_shape[1:])} to {model.output_shape[1]} "
            f"classes, but {flowers.source!r} has images {expected} of {flowers.num_classes} "
            "classes. Make the model with image_size=flowers.image_size and "
            "num_classes=flowers.num_classes."
        )
    check_fine_tuning(model, recipe)
    if recipe.probe:
        recipe = dataclasses.replace(recipe, augment="none", mix=False)
    keras.utils.set_random_seed(recipe.seed)
    about = {
        "recipe": dataclasses.asdict(recipe.as_done_by(model)),
        "data": flowers.about(),
        "parameters": model.count_params(),
        "model": about_model(model),
        "run": {**provenance(recipe.seed), "policy": model.dtype_policy.name},
    }
    if directory is not None:
        directory = Path(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()  # now, and not after an epoch's work
        except OSError as error:
            raise OSError(
                f"The directory {directory.name!r} cannot be written to ({error}). Pass another "
                "one, or give this user the right to write there."
            ) from error
    steps = math.ceil(flowers.sizes["train"] / recipe.batch_size)
    logbook = _Logbook(directory, about)
    if recipe == dataclasses.replace(recipe, frozen_blocks=None, lora_rank=None, probe=False):
        return _fit(model, flowers, recipe, steps, logbook, callbacks, verbose)
    try:
        if recipe.probe:
            return _fit_head(model, flowers, recipe, steps, logbook, callbacks, verbose)
        with partly_trainable(model, recipe):
            return _fit(model, flowers, recipe, steps, logbook, callbacks, verbose)
    finally:
        _compile(model, recipe, steps)


def _compile(model, recipe, steps):
    jit_compile = recipe.jit_compile
    if jit_compile == "auto":
        jit_compile = choose_setup(find_device()).jit_compile
    model.compile(
        optimizer=recipe.optimizer(model, steps),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )


def _fit_head(model, flowers, recipe, steps, logbook, callbacks, verbose):
    head = model.get_layer("head")
    config = {**head.get_config(), "name": "copy_of_head"}
    copy = keras.Sequential([keras.Input(head.input.shape[1:]), type(head).from_config(config)])
    copy.set_weights(head.get_weights())
    if not logbook.finished:
        flowers = with_features(flowers, model, recipe.batch_size)
    try:
        return _fit(copy, flowers, recipe, steps, logbook, callbacks, verbose)
    finally:
        head.set_weights(copy.get_weights())


def _fit(model, flowers, recipe, steps, logbook, callbacks, verbose):
    finished, directory = logbook.finished, logbook.directory
    if finished:
        logbook.restore_best(model)
    _compile(model, recipe, steps)
    if finished:
        return logbook.history()
    # Variables made within the first step would have TensorFlow trace that step twice.
    model.optimizer.build(model.trainable_variables)
    any_answer = np.zeros((1, model.output_shape[-1]), "float32")
    model.compute_metrics(None, any_answer, any_answer)
    model.reset_metrics()
    first_epoch = logbook.resume(model)
    batches = flowers.batches(
        "train",
        recipe.batch_size,
        shuffle=True,
        augment=recipe.augment,
        mix=recipe.mix,
        seed=recipe.seed,
        first_epoch=first_epoch,
    )
    own = [logbook, keras.callbacks.TerminateOnNaN()]
    if recipe.ema is not None:
        own.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if directory is not None and keras.backend.backend() == "tensorflow":
        own.append(keras.callbacks.TensorBoard(directory / "tensorboard", write_graph=False))
    try:
        model.fit(
            batches,
            steps_per_epoch=steps,
            validation_data=flowers.batches("validation", recipe.batch_size),
            initial_epoch=first_epoch,
            epochs=recipe.epochs,
            callbacks=[*own, *callbacks],
            shuffle=False,  # the batches are shuffled already
            verbose=verbose,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(logbook.says_how_to_go_on()) from None
    finally:
        logbook.restore_best(model)
    return logbook.history()
