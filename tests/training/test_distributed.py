import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from vit_keras_lib import Recipe
from vit_keras_lib.training import (
    distributed,
    initialize_processes,
    train_data_parallel,
)

SECONDS = 600  # that processes may take; a minute on two free cores

# Trains and leaves the loss of each step, the measures of each epoch and the weights. "odd" has an
# odd last batch of photos and batch norm in its stem, and is interrupted once if not on one device;
# "random" has dropout.
ELSEWHERE = """
import os, sys
from pathlib import Path

import vit_keras_lib
import keras, numpy as np, tensorflow as tf
from vit_keras_lib.training import initialize_processes, train, train_data_parallel

how, out = sys.argv[1], Path(sys.argv[2])
if how == "processes":
    initialize_processes()
if how == "devices":
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)


def made_of(photos):
    labels = np.arange(photos) % 5
    noise = np.random.default_rng(0).integers(0, 20, (photos, 24, 16, 3))
    images = (noise + 50 * labels[:, None, None, None]).astype("uint8")
    train = tf.data.Dataset.from_tensor_slices((images, labels.astype("int64")))
    validation = train.take(9)
    return vit_keras_lib.Flowers(
        train, validation, validation, tuple("abcde"), (24, 16), {"train": photos, "validation": 9},
        "",
    )


class Log(keras.callbacks.Callback):
    def __init__(self, stop):
        super().__init__()
        self.losses, self.stop = [], stop

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.stop:
            self.stop = None
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs):
        self.losses.append(float(logs["loss"]))


def run(name, photos, rate=0.0, stem="patch", stop=None):
    # So small a clip_norm that it bites at every step.
    recipe = vit_keras_lib.Recipe(
        epochs=4, batch_size=8, learning_rate=3e-3, warmup_epochs=1, augment="light", mix=False,
        clip_norm=0.1, ema=0.5,
    )
    log, directory = Log(stop), out / "run" / name

    def make():
        return vit_keras_lib.ViT((24, 16), 5, 8, 24, 1, 3, 48, dropout=rate, stem=stem)

    def trained():
        if how != "one":
            return train_data_parallel(
                make, made_of(photos), recipe, directory, None, [log], verbose=0
            )
        keras.utils.set_random_seed(recipe.seed)
        model = make()
        return model, train(model, made_of(photos), recipe, directory, [log], verbose=0)

    try:
        model, history = trained()
    except KeyboardInterrupt:
        model, history = trained()
    measures = {key: history.epochs[key] for key in ("val_loss", "val_accuracy")}
    weights = {f"weight{i}": w for i, w in enumerate(model.get_weights())}
    np.savez(out / f"{name}.npz", losses=log.losses, **measures, **weights)


out.mkdir()
run("odd", 43, stem="conv", stop=None if how == "one" else 2)
if how == "devices":
    steady = vit_keras_lib.Recipe(epochs=1, batch_size=8, warmup_epochs=0, decay=False)

    def small():
        return vit_keras_lib.ViT((24, 16), 5, 8, 24, 1, 3, 48)

    model, _ = train_data_parallel(small, made_of(16), steady, verbose=0)
    model.save(out / "steady.keras")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        train_data_parallel(small, made_of(16), steady, verbose=0)
    except ValueError as error:
        (out / "refused.txt").write_text(str(error))
if keras.backend.backend() == "jax":
    run("random", 40, 0.3)
"""


def start(backend, how, out, address="", number=0):
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiling takes longer than running
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, how, str(out)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(processes):
    """Waits for all; whatever happens, none is left behind."""
    try:
        for process in processes:
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
            process.wait()


def assert_equal_runs(a, b, steps_per_epoch):
    """Equal but for rounding: the loss of each step, the measures, the final weights."""
    a, b = np.load(a), np.load(b)
    assert len(a["losses"]) >= 20
    # In the mean of an epoch an odd last batch counts more often, but on its last step only.
    losses = [run["losses"].reshape(-1, steps_per_epoch)[:, :5] for run in (a, b)]
    np.testing.assert_allclose(*losses, atol=1e-4)
    assert np.ptp(losses[0]) > 0.1  # it learns
    for name in set(a.files) - {"losses"}:
        np.testing.assert_allclose(a[name], b[name], atol=1e-4, err_msg=name)


def test_two_devices_train_like_one(tmp_path):
    finish([start("tensorflow", how, tmp_path / how) for how in ("one", "devices")])
    assert_equal_runs(tmp_path / "one" / "odd.npz", tmp_path / "devices" / "odd.npz", 6)
    # At a constant rate too; and what comes out is an ordinary model.
    model = keras.models.load_model(tmp_path / "devices" / "steady.keras")
    assert type(model.optimizer) is keras.optimizers.AdamW
    assert "mixed_bfloat16 or float32" in (tmp_path / "devices" / "refused.txt").read_text()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    finish(
        [start("jax", "processes", folder / str(number), address, number) for number in (0, 1)]
        + [start("jax", "one", folder / "one")]
    )
    return folder


def test_two_processes_train_like_one_on_jax(processes):
    for number in "01":
        assert_equal_runs(processes / "one" / "odd.npz", processes / number / "odd.npz", 6)
        assert_equal_runs(processes / "one" / "random.npz", processes / number / "random.npz", 5)


def test_only_the_first_process_writes_on_jax(processes):
    assert (processes / "0" / "run" / "odd" / "history.json").exists()
    assert not (processes / "1" / "run").exists()


@pytest.fixture
def jax_backend(monkeypatch):
    for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"):
        monkeypatch.delenv(f"KERAS_DISTRIBUTION_{name}", raising=False)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    called = []
    monkeypatch.setattr(keras.distribution, "initialize", lambda *given: called.append(given))
    yield called


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, 2, 0), r"address is missing.*KERAS_DISTRIBUTION_JOB_ADDRESSES"),
        (("", 2, 0), r"address is missing"),
        (("10.0.0.1", 2, 0), r"address='10.0.0.1'.*host:port"),
        (("10.0.0.1:0", 2, 0), r"address='10.0.0.1:0'.*1 to 65535"),
        (("10.0.0.1:70000", 2, 0), r"address='10.0.0.1:70000'"),
        (("a:1,b:2,c:3", 2, 0), r"names 3 processes, but num_processes=2"),
        (("a:1", None, 0), r"num_processes is missing.*KERAS_DISTRIBUTION_NUM_PROCESSES"),
        (("a:1", "two", 0), r"num_processes='two'.*whole number"),
        (("a:1", 0, 0), r"num_processes=0; it must be at least 1"),
        (("a:1", 2, None), r"process_id is missing.*KERAS_DISTRIBUTION_PROCESS_ID"),
        (("a:1", 2, 2), r"process_id=2 is out of range.*0 to 1"),
        (("a:1", 2, -1), r"process_id=-1 is out of range"),
    ],
)
def test_an_impossible_team_is_refused(jax_backend, given, message):
    with pytest.raises(ValueError, match=message):
        initialize_processes(*given)
    assert not jax_backend


def test_what_is_not_passed_comes_from_the_environment(jax_backend, monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "a:1,b:2")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "0")
    initialize_processes(process_id=1)
    assert jax_backend == [("a:1,b:2", 2, 1)]


def test_processes_need_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match=r"runs on tensorflow.*KERAS_BACKEND=jax"):
        initialize_processes("a:1", 2, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices": ["cpu:7"]}, r"devices=\['cpu:7'\]; choose some of \['cpu:0'"),
        ({"devices": ["cpu:0", "CPU:0"]}, r"each once"),
        ({"devices": []}, r"devices=\[\]"),
        ({"make_model": "vit"}, r"make_model must be a function.*'vit'.*lambda"),
    ],
)
def test_bad_arguments_are_refused(flowers, tiny_vit, changes, message):
    arguments = {"make_model": tiny_vit, "flowers": flowers, "recipe": Recipe(), **changes}
    with pytest.raises(ValueError, match=message):
        train_data_parallel(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 9}, r"batch_size=9 cannot be shared by 2 devices"),
        ({"jit_compile": True}, r"jit_compile=True does not work on several devices"),
    ],
)
def test_a_recipe_that_devices_cannot_share_is_refused(
    flowers, tiny_vit, monkeypatch, changes, message
):
    monkeypatch.setattr(distributed, "_checked", lambda *_: ["cpu:0", "cpu:1"])
    with pytest.raises(ValueError, match=message):
        train_data_parallel(tiny_vit, flowers, Recipe(epochs=5, **changes))


def test_pytorch_is_refused(flowers, tiny_vit, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match=r"needs TensorFlow or JAX; Keras runs on torch"):
        train_data_parallel(tiny_vit, flowers, Recipe())


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    ("split", "options", "copies"),
    [
        # 40 photos in batches of 12 leave 4: six devices share 3 times those.
        ("train", {"shuffle": True, "augment": "light", "first_epoch": 1}, [1, 1, 1, 3]),
        # Of the 10 of validation all count alike.
        ("validation", {}, [3]),
    ],
)
def test_shares_make_up_the_batch(flowers, processes, split, options, copies):
    def read(data):
        return data.batches(split, 12, **options).take(len(copies)).as_numpy_iterator()

    shares = [read(distributed._Shared(flowers, 6, i, processes)) for i in range(processes)]
    for (images, labels), times, *parts in zip(read(flowers), copies, *shares, strict=True):
        assert {len(part) for pair in parts for part in pair} == {len(images) * times // processes}
        for whole, together in zip((images, labels), zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(together), np.repeat(whole, times, 0))
