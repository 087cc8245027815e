"""A run that is killed again and again ends like one that never was."""

import os
import signal
import subprocess
import sys

import numpy as np

from vit_keras_lib.training import read_json

SEED, EPOCHS, LIMIT = 20, 40, 600
KILLED = -signal.SIGKILL

# Forks for each line of its input, "directory kind moment", a process that trains, before
# TensorFlow has started: so the long import is made once. "clock" kills after the time of so many
# epochs, counted from the first step on; "file" n.d kills 0.d seconds after the n-th file is opened
# for writing. Either way it is the third epoch's end at the latest.
TRAINER = """
import os, signal, sys, threading, time, traceback
from pathlib import Path

import vit_keras_lib
import keras, numpy as np, tensorflow as tf
from vit_keras_lib.training import read_json

epochs, base = int(sys.argv[1]), Path(sys.argv[2])


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(keras.callbacks.Callback):
    def __init__(self, directory, kind, moment):
        super().__init__()
        self.directory, self.kind, self.moment = directory, kind, moment
        self.seen = self.files = 0
        if kind == "clock":
            whole = read_json(base / "whole" / "history.json")
            self.moment *= np.median(whole["epochs"]["seconds"])
        if kind == "file":
            sys.addaudithook(self.at_a_file)

    def at_a_file(self, event, arguments):
        # (path, mode, flags)
        if event == "open" and str(arguments[0]).startswith(str(self.directory)):
            if isinstance(arguments[1], str) and "w" in arguments[1]:
                self.files += 1
                if self.files == int(self.moment):
                    threading.Timer(self.moment % 1, kill).start()

    def on_epoch_begin(self, epoch, logs=None):
        if not self.seen:
            print("begins", epoch, flush=True)
        self.seen += 1

    def on_train_batch_end(self, batch, logs=None):
        if self.kind == "clock":
            self.kind = "running"
            threading.Timer(self.moment, kill).start()

    def on_epoch_end(self, epoch, logs=None):
        if self.kind != "never" and self.seen == 3:
            kill()
        if epoch == epochs - 1:
            variables = [*self.model.variables, *self.model.optimizer.variables]
            self.last = [keras.ops.convert_to_numpy(v) for v in variables]


def trained(directory, kind, moment):
    labels = np.arange(24) % 5
    noise = np.random.default_rng(0).integers(0, 20, (24, 24, 16, 3))
    images = (noise + 50 * labels[:, None, None, None]).astype("uint8")
    photos = tf.data.Dataset.from_tensor_slices((images, labels.astype("int64")))
    flowers = vit_keras_lib.Flowers(
        photos, photos, photos, tuple("abcde"), (24, 16),
        dict.fromkeys(("train", "validation"), 24), "",
    )
    recipe = vit_keras_lib.Recipe(epochs=epochs, batch_size=8, warmup_epochs=1, augment="light")
    keras.utils.set_random_seed(0)
    model = vit_keras_lib.ViT((24, 16), 5, 8, 24, 1, 3, 48, dropout=0.2, drop_path=0.2)
    killer = Killer(directory, kind, moment)
    vit_keras_lib.train(model, flowers, recipe, directory, [killer], verbose=0)
    np.savez(base / f"{directory.name}.npz", *killer.last, *model.get_weights())


for line in sys.stdin:
    name, kind, moment = line.split()
    child = os.fork()
    if not child:
        try:
            trained(base / name, kind, float(moment))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("ends", code, (base / f"{name}.npz").exists(), flush=True)
"""


def test_a_run_killed_at_ten_random_moments_ends_like_one_that_was_not(tmp_path):
    draw = np.random.default_rng(SEED)
    moments = [("clock", draw.uniform(0, 2.5)) for _ in range(5)]
    # The n-th file, and up to 10 ms later.
    moments += [("file", draw.integers(1, 7) + draw.uniform(0, 0.01)) for _ in range(5)]
    draw.shuffle(moments)
    lines = ["whole never 0", *(f"run {kind} {moment}" for kind, moment in moments), "run never 0"]
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(EPOCHS), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, start_new_session=True,
    )  # fmt: skip
    try:
        said, errors = trainer.communicate("\n".join(lines), timeout=LIMIT)
    finally:
        if trainer.poll() is None:
            os.killpg(trainer.pid, signal.SIGKILL)  # with the process that trains
            trainer.communicate()

    # All ten before the end, and the last went on from there.
    ends = [line.split()[1:] for line in said.splitlines() if line.startswith("ends")]
    assert ends == [["0", "True"], *[[str(KILLED), "False"]] * 10, ["0", "True"]], said + errors
    begins = [int(line.split()[1]) for line in said.splitlines() if line.startswith("begins")]
    assert begins[0] == begins[1] == 0 and begins[1:] == sorted(begins[1:])
    assert 0 < begins[-1] < EPOCHS

    wanted, got = (np.load(tmp_path / f"{name}.npz") for name in ("whole", "run"))
    assert len(wanted.files) > 50
    for name in wanted.files:
        np.testing.assert_array_equal(got[name], wanted[name])
    logs = [read_json(tmp_path / name / "history.json")["epochs"] for name in ("whole", "run")]
    assert len(logs[0]["loss"]) == EPOCHS
    for measure in set(logs[0]) - {"seconds"}:
        assert logs[1][measure] == logs[0][measure]
