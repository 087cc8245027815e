"""Training on several devices.

One machine, several devices: `train_data_parallel` uses all GPUs there are, on the TensorFlow
backend through `tf.distribute.MirroredStrategy`, on JAX through `keras.distribution.DataParallel`.

Several processes, on one machine or on many: JAX backend. All run the same script,

    from vit_keras_lib import Recipe, load_flowers
    from vit_keras_lib.training import initialize_processes, train_data_parallel

    initialize_processes()  # before anything is computed
    flowers, recipe = load_flowers("photos", image_size=96), Recipe(batch_size=64)
    model, history = train_data_parallel(
        lambda: recipe.model(flowers.image_size, flowers.num_classes), flowers, recipe, "run"
    )

and each is launched with a number of its own, here 0 of 2; the other is 1:

    export KERAS_BACKEND=jax KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:1234
    KERAS_DISTRIBUTION_NUM_PROCESSES=2 KERAS_DISTRIBUTION_PROCESS_ID=0 python script.py

The address is that of process 0, with a free port of its machine. `Recipe.batch_size` is the global
batch, whatever it is shared by.
"""

import contextlib
import dataclasses
import functools
import io
import math
import os
import re
import tarfile
import tempfile
from pathlib import Path

import keras
import numpy as np

from vit_keras_lib.training.fit import train

BLOCK = 2**26  # bytes that are sent at once


def initialize_processes(address=None, num_processes=None, process_id=None):
    """Makes this process one of several that train one model together; JAX backend only.

    Each process calls it with the same address and number of processes and an id of its own, as
    the first thing that computes; it returns when all are there. What is None is read from the
    environment variables that Keras reads too: KERAS_DISTRIBUTION_JOB_ADDRESSES,
    KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID.

    Args:
        address: "host:port" of process 0, a free port; or of all processes, with commas between.
        num_processes: how many, at least 1.
        process_id: 0 to `num_processes` - 1. Process 0 writes the files.

    Raises:
        ValueError: for a missing or impossible value, or another backend.
        RuntimeError: from JAX, when something was computed before, or not all processes came.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"Several processes need the JAX backend, but Keras runs on {keras.backend.backend()}. "
            "Start each process with KERAS_BACKEND=jax. (Several devices of one machine need no "
            "processes: see train_data_parallel.)"
        )
    address = _given("address", address, "KERAS_DISTRIBUTION_JOB_ADDRESSES")
    num_processes = _given("num_processes", num_processes, "KERAS_DISTRIBUTION_NUM_PROCESSES", int)
    process_id = _given("process_id", process_id, "KERAS_DISTRIBUTION_PROCESS_ID", int)
    for one in address.split(","):
        port = one.rpartition(":")[2]
        if not re.fullmatch(r".+:\d+", one) or not 0 < int(port) < 2**16:
            raise ValueError(
                f'address={address!r}: expected "host:port" with a port from 1 to 65535, for '
                'example "10.0.0.1:1234".'
            )
    if num_processes < 1:
        raise ValueError(f"num_processes={num_processes}; it must be at least 1.")
    if "," in address and len(address.split(",")) != num_processes:
        raise ValueError(
            f"address={address!r} names {len(address.split(','))} processes, but "
            f"num_processes={num_processes}. Name all of them, or process 0 only."
        )
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f"process_id={process_id} is out of range: with num_processes={num_processes} it must "
            f"be 0 to {num_processes - 1}, another one in each process."
        )
    keras.distribution.initialize(address, num_processes, process_id)


def _given(name, value, variable, kind=str):
    value = os.environ.get(variable) if value is None else value
    if value is None or value == "":
        raise ValueError(f"{name} is missing: pass it, or set {variable}.")
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name}={value!r} (or {variable}); a whole number is needed.") from None


def train_data_parallel(
    make_model, flowers, recipe, directory=None, devices=None, callbacks=(), verbose="auto"
):
    """Trains like `train`, on several devices, each with a share of every batch.

    With the same recipe, so the same global batch and seed, the loss is that of one device, up to
    rounding: photos, order and augmentation are the same, and gradients are clipped by the norm
    of their sum. What is not:

    - A batch that the devices cannot share evenly (the last of an epoch) is repeated until they
      can. Its loss and gradients are the same; in the epoch's mean it counts that often.
      Validation is repeated as a whole instead, so its measures are exact.
    - On TensorFlow each replica draws dropout and stochastic depth for itself. On JAX they are
      drawn for the whole batch, so that they too are those of one device.

    `BatchNormalization`, as in a convolutional stem, takes the mean of the whole batch, wherever
    its photos are.

    Every process prepares the whole batch and keeps its share: the price of equal photos.

    Args:
        make_model: function without arguments that returns a new model. It is called here, where
            weights are placed on all devices, after the seed is set.
        flowers: what `load_flowers` returns, the same in each process.
        recipe: a `Recipe`; its batch size is the global one.
        directory: as in `train`. Process 0 reads and writes it; the others are sent what they
            need to go on, so no shared disk is needed.
        devices: names such as "gpu:0"; None takes all GPUs or TPUs, or without any all logical
            CPU devices. Several processes always use all devices; one process on TensorFlow, if
            it trains more than once on several, the same each time.
        callbacks: further Keras callbacks, in every process.
        verbose: as in `keras.Model.fit`, for process 0; the others are silent.

    Returns:
        (model, `History`), in each process.

    Raises:
        ValueError: for a backend other than TensorFlow or JAX, unknown devices, a batch that the
            devices cannot share, `jit_compile=True` or mixed_float16 on several devices with
            TensorFlow, a linear probe, and whatever `train` finds.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(
            f"Data parallel training needs TensorFlow or JAX; Keras runs on {backend}."
        )
    if not callable(make_model):
        raise ValueError(
            f"make_model must be a function that makes the model, got {make_model!r}. A model made "
            "before has its weights on one device: pass lambda: ViT(...)."
        )
    if recipe.probe:
        raise ValueError("Recipe.probe trains one small layer: use `train`, on one device.")
    process, processes = _place()
    devices = _checked(devices, processes)
    if recipe.batch_size % len(devices):
        raise ValueError(
            f"Recipe.batch_size={recipe.batch_size} cannot be shared by {len(devices)} devices. "
            f"Take a multiple of {len(devices)}: it is the global batch."
        )
    replicas = backend == "tensorflow" and len(devices) > 1
    if replicas and recipe.jit_compile is True:
        raise ValueError(
            "Recipe.jit_compile=True does not work on several devices with TensorFlow: XLA would "
            'look for all weights on one. Use "auto" or False.'
        )
    if replicas:
        recipe = _clipping_the_sum(recipe)
    if backend == "tensorflow":
        distribution = _strategy(*devices)
    else:
        # The photos come in shares already: Keras' own sharding regroups across epochs.
        distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    with tempfile.TemporaryDirectory() as scratch, distribution.scope():
        if directory is not None and processes > 1:
            directory = _copy_of_first(Path(directory), process, scratch)
        keras.utils.set_random_seed(recipe.seed)
        model = make_model()
        if replicas and model.dtype_policy.name == "mixed_float16":
            raise ValueError(
                "mixed_float16 does not work on several devices with TensorFlow: an overflow on "
                "one that is not the first would not be seen, and spoil all weights. Take "
                "mixed_bfloat16 or float32, or JAX."
            )
        shared = _Shared(flowers, len(devices), process, processes)
        verbose = verbose if process == 0 else 0
        with _means_of_whole_batches(model):
            history = train(model, shared, recipe, directory, callbacks, verbose)
        _clip_as_usual(model.optimizer)
        return model, history


@contextlib.contextmanager
def _means_of_whole_batches(model):
    """Has batch norm take its means across TensorFlow's replicas, as it always does on JAX."""
    layers = [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    before = [layer.synchronized for layer in layers]
    for layer in layers:
        layer.synchronized = keras.backend.backend() == "tensorflow"
    try:
        yield
    finally:  # a model that is saved so would load on TensorFlow only
        for layer, value in zip(layers, before, strict=True):
            layer.synchronized = value


def _place():
    """Returns the number of this process and of all processes."""
    if keras.backend.backend() == "tensorflow":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def _checked(devices, processes):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        logical = {kind: tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU")}
        known = {
            kind: [f"{kind}:{i}".lower() for i in range(len(logical[kind]))] for kind in logical
        }
        every, known = known["GPU"] or known["CPU"], known["GPU"] + known["CPU"]
    else:
        every = known = keras.distribution.list_devices()
    if devices is None:
        return every
    wanted = [name.lower() for name in devices]
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(known):
        raise ValueError(f"devices={devices!r}; choose some of {known}, each once.")
    if processes > 1 and set(wanted) != set(every):
        raise ValueError(f"devices={devices!r}; {processes} processes always use all of {every}.")
    return [name for name in known if name in wanted]


class _Shared:
    """A data set whose batches `replicas` devices can share; of each, this process's share."""

    def __init__(self, flowers, replicas, process, processes):
        self._flowers, self._replicas = flowers, replicas
        self._process, self._processes = process, processes

    def __getattr__(self, name):
        return getattr(self._flowers, name)

    def batches(self, split, batch_size=32, **options):
        """As `Flowers.batches`, but with each batch repeated where it cannot be shared evenly."""
        import tensorflow as tf

        n, process, processes = self._replicas, self._process, self._processes
        # In validation each photo must count alike. In training that would cost too much.
        of_all = 1 if options.get("shuffle") else n // math.gcd(self._flowers.sizes[split], n)
        copies = tf.constant([n // math.gcd(rows, n) for rows in range(n)])

        def share(*batch):
            rows = of_all * tf.shape(batch[0])[0]
            times = of_all * copies[rows % n]
            rows = rows * copies[rows % n]
            start, stop = process * rows // processes, (process + 1) * rows // processes
            # (B, ...) -> (times * B, ...) -> (times * B / processes, ...)
            return tuple(tf.repeat(part, times, axis=0)[start:stop] for part in batch)

        batches = self._flowers.batches(split, batch_size, **options)
        return batches.map(share).prefetch(tf.data.AUTOTUNE)


@functools.cache
def _strategy(*devices):
    """TensorFlow's strategy for these devices, the same one each time.

    Each strategy counts its collective operations from the start, and the devices would take those
    of a second one for those of the first.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy([name.upper() for name in devices])


class _ClippingTheSum:
    """An optimizer that clips after gradients were summed over replicas.

    Keras' optimizers clip before, each replica its own part: with `clip_norm` that is another
    step than one device takes.
    """

    def _clip_gradients(self, grads):
        return grads

    def _all_reduce_sum_gradients(self, grads_and_vars):
        grads, variables = zip(*super()._all_reduce_sum_gradients(grads_and_vars), strict=True)
        return list(zip(super()._clip_gradients(list(grads)), variables, strict=True))


def _clipping_the_sum(recipe):
    """Returns the same recipe, with an optimizer that is also a `_ClippingTheSum`."""

    class Shared(type(recipe)):
        def optimizer(self, model, steps_per_epoch):
            optimizer = super().optimizer(model, steps_per_epoch)
            kind = type(optimizer)
            optimizer.__class__ = type(kind.__name__, (_ClippingTheSum, kind), {})
            return optimizer

    return Shared(**{f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)})


def _clip_as_usual(optimizer):
    """Makes an optimizer again what it was: a class made here could not be loaded from a file."""
    if isinstance(optimizer, _ClippingTheSum):
        _, optimizer.__class__ = type(optimizer).__bases__


def _copy_of_first(directory, process, scratch):
    """Sends the files of process 0's directory to the others; returns where each may work."""
    content = io.BytesIO()
    if process == 0 and directory.is_dir():
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.add(directory, ".")
    content = _sent_by_first(content.getvalue())
    if process == 0:
        return directory
    copy = Path(scratch) / directory.name
    if content:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(copy, filter="data")
    return copy


def _sent_by_first(content):
    """Returns process 0's `content`, bytes, in every process."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    whole, rest = broadcast_one_to_all(np.array(divmod(len(content), BLOCK), "int32")).tolist()
    blocks = []
    for number, size in enumerate([BLOCK] * whole + [rest] * (rest > 0)):
        block = np.zeros(size, "uint8")
        mine = np.frombuffer(content[number * BLOCK :][:size], "uint8")
        block[: len(mine)] = mine
        blocks.append(np.asarray(broadcast_one_to_all(block)).tobytes())
    return b"".join(blocks)
