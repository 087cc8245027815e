"""What Keras computes on, and what is best for it."""

import dataclasses
import re

import keras

from vit_keras_lib.training.results import device_name


@dataclasses.dataclass(frozen=True)
class Device:
    """What Keras' backend computes on.

    Attributes:
        backend: "tensorflow", "jax" or "torch".
        kind: "cpu", "gpu" or "tpu".
        name: as `device_name` says it.
        count: how many there are; 1 for a CPU.
        bfloat16: whether all of them compute in bfloat16 at full speed: NVIDIA GPUs from compute
            capability 8.0 on, and TPUs.
    """

    backend: str
    kind: str
    name: str
    count: int = 1
    bfloat16: bool = False


@dataclasses.dataclass(frozen=True)
class DeviceSetup:
    """A device and what was chosen for it; as a string, one line.

    Attributes:
        device: the `Device`.
        policy: Keras' dtype policy, "mixed_bfloat16" or "float32".
        jit_compile: what "auto" as `Recipe.jit_compile` comes to.
        memory: "" on a CPU, else one sentence on who takes how much of the device's memory.
    """

    device: Device
    policy: str
    jit_compile: bool | str
    memory: str = ""

    def __str__(self):
        """One line: device, backend, policy, jit, memory."""
        jit = {True: "XLA on", False: "XLA off", "auto": "jit left to Keras"}[self.jit_compile]
        parts = [self.device.name, self.device.backend, self.policy, jit, self.memory]
        return " | ".join(part for part in parts if part)


def _capability(text):
    """Reads "9.0" as (9, 0); what is no such number, as on other makes, as (0, 0)."""
    match = re.fullmatch(r"(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else (0, 0)


def find_device():
    """Returns the `Device` of Keras' backend."""
    backend, kind = keras.backend.backend(), "gpu"
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        gpus = tf.config.list_physical_devices("GPU")
        capabilities = [details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    elif backend == "jax":
        import jax

        devices = [device for device in jax.devices() if device.platform != "cpu"]
        kind = "tpu" if jax.default_backend() == "tpu" else "gpu"
        capabilities = [_capability(str(getattr(d, "compute_capability", ""))) for d in devices]
    else:
        import torch

        numbers = range(torch.cuda.device_count())
        capabilities = [torch.cuda.get_device_capability(number) for number in numbers]
    if not capabilities:
        return Device(backend, "cpu", device_name())
    fast = kind == "tpu" or min(capabilities) >= (8, 0)
    return Device(backend, kind, device_name(), len(capabilities), fast)


def choose_setup(device):
    """Returns the `DeviceSetup` for a `Device`; touches nothing.

    Half precision where the device is made for it. XLA: on an accelerator, where it fuses what
    would be many small kernels; not in TensorFlow on a CPU, where it speeds up attention to few
    tokens and slows down convolutions, and many tokens on some machines; JAX is XLA.
    With several GPUs in TensorFlow it depends on how many are trained on: Keras sees to that.
    """
    if device.backend == "torch" or (device.backend == "tensorflow" and device.count > 1):
        jit_compile = "auto"
    else:
        jit_compile = device.backend == "jax" or device.kind != "cpu"
    return DeviceSetup(device, "mixed_bfloat16" if device.bfloat16 else "float32", jit_compile)


def prepare_device():
    """Sets the device up; call it before the first model is made or tensor computed.

    Sets Keras' global dtype policy to what `choose_setup` chose. On the TensorFlow backend GPUs
    then give memory as it is needed instead of all at once. On another backend TensorFlow, which
    feeds the photos, is told to leave the GPUs alone.

    Returns:
        `DeviceSetup`; `print` it for one line. Without a GPU it says so and chooses float32.
    """
    setup = choose_setup(find_device())
    keras.config.set_dtype_policy(setup.policy)
    if setup.device.kind == "cpu":
        return setup
    if setup.device.backend == "tensorflow":
        memory = _memory_as_needed()
    else:
        memory = _hide_gpus_from_tensorflow()
    return dataclasses.replace(setup, memory=memory)


def _memory_as_needed():
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # the GPUs are in use already: too late to change it, see below
        pass
    if all(tf.config.experimental.get_memory_growth(gpu) for gpu in gpus):
        return "memory as needed"
    return "all memory at once (restart, and prepare the device first, for memory as needed)"


def _hide_gpus_from_tensorflow():
    try:
        import tensorflow as tf
    except ImportError:  # then it takes nothing
        return "memory to this backend"
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:  # TensorFlow uses them already
        return "memory shared with TensorFlow (restart, and prepare the device first)"
    return "memory to this backend"
