"""Results that can be trusted later: what was measured, on what, with what, when."""

import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path

import keras


def device_name():
    """Returns the device that Keras' backend computes on, for example "CPU: AMD EPYC, 2 cores"."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(g).get("device_name", g) for g in gpus]
    elif backend == "jax":
        import jax

        names = [d.device_kind for d in jax.devices() if d.platform != "cpu"]
    else:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if names:
        return f"GPU: {len(names)} x {names[0]}"
    cores = _cores()
    return f"CPU: {_processor()}, {cores} core{'s' * (cores > 1)}"


def _cores():
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS or Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor without a name there
        return platform.processor() or platform.machine()


def provenance(seed):
    """Returns what a stored number needs beside it: seed, device, versions, date."""
    packages = ("vit_keras_lib", "keras", keras.backend.backend(), "numpy")
    versions = {name: metadata.version(name) for name in dict.fromkeys(packages)}
    return {
        "seed": seed,
        "device": device_name(),
        "backend": keras.backend.backend(),
        "versions": {"python": platform.python_version(), **versions},
        "date": datetime.date.today().isoformat(),
    }


def write_text(path, text):
    """Writes a file, all of it or nothing: to a temporary name, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, content):
    """Writes `content` as JSON, all of it or nothing."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path):
    """Reads what `write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
