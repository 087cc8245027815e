import keras
import pytest

from vit_keras_lib import Recipe, ViT
from vit_keras_lib.training import Device, choose_setup, device, device_name, prepare_device

DEVICES = {
    "CPU": Device("tensorflow", "cpu", "CPU: some, 2 cores"),
    "CPU, JAX": Device("jax", "cpu", "CPU: some, 2 cores"),
    "CPU, PyTorch": Device("torch", "cpu", "CPU: some, 2 cores"),
    "old GPU": Device("tensorflow", "gpu", "GPU: 1 x Tesla T4", 1, False),
    "GPU": Device("tensorflow", "gpu", "GPU: 1 x NVIDIA H200", 1, True),
    "GPUs": Device("tensorflow", "gpu", "GPU: 2 x NVIDIA H200", 2, True),
    "GPUs, JAX": Device("jax", "gpu", "GPU: 2 x NVIDIA H200", 2, True),
}


@pytest.mark.parametrize(
    ("name", "policy", "jit_compile"),
    [
        ("CPU", "float32", False),
        ("CPU, JAX", "float32", True),
        ("CPU, PyTorch", "float32", "auto"),
        ("old GPU", "float32", True),
        ("GPU", "mixed_bfloat16", True),
        ("GPUs", "mixed_bfloat16", "auto"),
        ("GPUs, JAX", "mixed_bfloat16", True),
    ],
)
def test_the_setup_follows_from_the_device(name, policy, jit_compile):
    setup = choose_setup(DEVICES[name])
    assert (setup.policy, setup.jit_compile) == (policy, jit_compile)
    assert Recipe(jit_compile=setup.jit_compile).jit_compile == jit_compile
    assert policy in str(setup) and DEVICES[name].name in str(setup)
    assert "\n" not in str(setup)


def test_the_device_here_is_prepared():
    setup = prepare_device()
    assert setup.device.name == device_name()
    assert setup.device.backend == keras.backend.backend()
    assert keras.config.dtype_policy().name == setup.policy
    assert ViT((24, 16), 5, 8, 24, 1, 3, 48).dtype_policy.name == setup.policy


@pytest.mark.parametrize("started", [False, True])
def test_a_gpu_gives_memory_as_needed_unless_it_is_too_late(monkeypatch, started):
    config = pytest.importorskip("tensorflow").config
    grows = {"gpu0": False, "gpu1": False}

    def set_memory_growth(gpu, wanted):
        if started:
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        grows[gpu] = wanted

    monkeypatch.setattr(device, "find_device", lambda: DEVICES["GPUs"])
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: list(grows))
    monkeypatch.setattr(config.experimental, "set_memory_growth", set_memory_growth)
    monkeypatch.setattr(config.experimental, "get_memory_growth", grows.get)
    setup = prepare_device()
    assert ("memory as needed" in setup.memory.split(" (")[0]) is not started
    assert ("restart" in str(setup)) is started
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


@pytest.mark.parametrize("started", [False, True])
def test_on_another_backend_tensorflow_leaves_the_gpu_alone(monkeypatch, started):
    config = pytest.importorskip("tensorflow").config
    visible = []

    def set_visible_devices(devices, kind):
        if started:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        visible.append((devices, kind))

    monkeypatch.setattr(device, "find_device", lambda: DEVICES["GPUs, JAX"])
    monkeypatch.setattr(config, "set_visible_devices", set_visible_devices)
    setup = prepare_device()
    assert visible == ([] if started else [([], "GPU")])
    assert ("restart" in str(setup)) is started


@pytest.mark.parametrize(
    ("text", "capability"), [("9.0", (9, 0)), ("12.1", (12, 1)), ("gfx90a", (0, 0)), ("", (0, 0))]
)
def test_capabilities_are_read(text, capability):
    assert device._capability(text) == capability
