"""Files that are damaged, or lie, or hide a pickle."""

import io
import json
import os
import pickle
import random
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from vit_keras_lib import load_pretrained
from vit_keras_lib.pretrained import hugging_face, npz, timm
from vit_keras_lib.pretrained.reading import read_json, read_npz, read_safetensors


class Deeds:
    """Notes, while it is entered, what a reader of files has no business to do."""

    FORBIDDEN = (
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.system",
        "pickle.find_class",
        "socket.connect",
        "subprocess.Popen",
    )

    def __init__(self):
        self.seen, self.on = [], False
        sys.addaudithook(self.note)  # Python takes none back: switched off between

    def note(self, event, args):
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wxa+")
        if self.on and (writes or event in self.FORBIDDEN):
            self.seen.append((event, args))

    def __enter__(self):
        self.on = True

    def __exit__(self, *_):
        self.on = False


@pytest.fixture(scope="module")
def deeds():
    return Deeds()


class Bomb:
    """Unpickled, it would leave a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def write(tmp_path):
    def write(data, name="model.npz"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def npz_bytes(arrays, writer=np.savez):
    buffer = io.BytesIO()
    writer(buffer, **arrays)
    return buffer.getvalue()


def member(header, data=b"", name="a.npy", version=b"\x01\x00"):
    """A zip file of one array with this header."""
    text = header.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data)
    return buffer.getvalue()


ARRAYS = {
    "f4": np.arange(6, dtype="<f4").reshape(2, 3),
    "f2": np.arange(3, dtype="<f2"),
    "f8": np.array(1.5),
    "i8": np.arange(4),
    "empty": np.zeros((0, 3), "<f4"),
}


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_npz_comes_back(write, writer):
    arrays = {
        **ARRAYS,
        "fortran": np.asfortranarray(ARRAYS["f4"]),
        "big": np.arange(3, dtype=">f4"),
    }
    result = read_npz(write(npz_bytes(arrays, writer)))
    assert result.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(result[name], array)


def test_safetensors_come_back(write, safetensors_bytes):
    result = read_safetensors(write(safetensors_bytes(ARRAYS), "m.safetensors"))
    assert result.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(result[name], array)
        assert result[name].shape == array.shape


def test_bfloat16_comes_as_float32(write, safetensors_bytes):
    bits = np.array([0x3F80, 0xC000, 0x7F80, 0x3EAB], "<u2")  # 1, -2, inf, about a third
    expected = np.array([1, -2, np.inf, 0.333984375], "float32")
    packed = safetensors_bytes({"a": bits}, a="BF16")
    np.testing.assert_array_equal(read_safetensors(write(packed, "m.safetensors"))["a"], expected)
    header = "{'descr': '|V2', 'fortran_order': False, 'shape': (4,)}\n"
    np.testing.assert_array_equal(read_npz(write(member(header, bits.tobytes())))["a"], expected)


def test_the_watch_sees_a_pickle_being_run(deeds, tmp_path):
    with deeds:
        pickle.loads(pickle.dumps(Bomb(tmp_path / "run")))
        (tmp_path / "file").open("w").close()
    assert [event for event, _ in deeds.seen] == ["pickle.find_class", "os.mkdir", "open"]
    deeds.seen.clear()


def test_a_pickle_in_an_npz_is_not_run(write, tmp_path):
    array = np.array([Bomb(tmp_path / "run")], dtype=object)
    for data in (npz_bytes({"cls": array}), pickle.dumps(Bomb(tmp_path / "run"))):
        with pytest.raises(ValueError, match=r"model.npz cannot be read"):
            load_pretrained(write(data))
    with pytest.raises(ValueError, match=r"'cls' holds pickled objects, which could run code"):
        load_pretrained(write(npz_bytes({"cls": array})))
    for name in ("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"):
        with pytest.raises(ValueError, match=rf"{name} .*refused"):
            load_pretrained(write(pickle.dumps(Bomb(tmp_path / "run")), name))
    assert not (tmp_path / "run").exists()


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}}}\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (member(HEADER.format("<f4", (10**12,)), bytes(8)), r"claims shape .* but 8 bytes"),
        (member(HEADER.format("<f4", (-2, -1)), bytes(8)), r"claims shape \(-2, -1\)"),
        (member(HEADER.format("<f4", (2,)), bytes(12)), r"claims shape \(2,\)"),
        (member(HEADER.format("<U2", (1,)), bytes(8)), r"dtype <U2, expected numbers"),
        (member("__import__('os').getcwd()\n"), r"cannot be read"),
        (member("(" * 9000), r"cannot be read"),
        (member("", version=b"\x09\x00"), r"version"),
        (member("", name="a.pkl"), r"'a.pkl' is no array"),
        (b"", r"cannot be read"),
        (b"PK\x03\x04", r"cannot be read"),
    ],
)
def test_an_npz_that_lies(write, data, message):
    with pytest.raises(ValueError, match=message):
        read_npz(write(data))


def test_an_npz_that_unpacks_to_far_more_than_it_is(write):
    data = npz_bytes({"a": np.zeros(10**7, "f4")}, np.savez_compressed)
    assert len(data) < 10**5
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"claim to unpack to 4000"):
        read_npz(write(data))
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def header_bytes(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header_bytes({"a": entry()}, bytes(8), length=2**60), r"its header claims 11529"),
        (header_bytes({"a": entry()}, bytes(8), length=5), r"cannot be read"),
        (header_bytes({"a": entry(shape=(10**12,))}, bytes(8)), r"'a' claims shape"),
        (header_bytes({"a": entry(shape=(-2, -1))}, bytes(8)), r"'a' has shape \[-2, -1\]"),
        (header_bytes({"a": entry(shape=(True, 2))}, bytes(8)), r"'a' has shape \[True, 2\]"),
        (header_bytes({"a": entry(offsets=(0, 2**70))}, bytes(8)), r"'a' claims"),
        (header_bytes({"a": entry(), "b": entry()}, bytes(8)), r"before it ends at 8"),
        (header_bytes({"a": entry(offsets=(4, 12))}, bytes(12)), r"before it ends at 0"),
        (header_bytes({"a": entry()}, bytes(12)), r"claim 8 bytes, but 12 are there"),
        (header_bytes({"a": entry()}, bytes(4)), r"cannot be read"),
        (header_bytes({"a": entry(dtype="F8_E4M3")}, bytes(8)), r"unknown dtype 'F8_E4M3'"),
        (header_bytes({"a": [1]}, bytes(8)), r"cannot be read"),
        (header_bytes(b'{"a":1,"a":2}', bytes(8)), r"a name is there twice"),
        (header_bytes(b"[" * 50_000, bytes(8)), r"cannot be read"),
        (header_bytes(b"\xff\xfe", bytes(8)), r"cannot be read"),
        (b"\x00" * 7, r"cannot be read"),
        (pickle.dumps([1, 2, 3]), r"cannot be read"),
    ],
)
def test_a_safetensors_file_that_lies(write, data, message):
    with pytest.raises(ValueError, match=message):
        read_safetensors(write(data, "m.safetensors"))


@pytest.mark.parametrize("data", [b"[1]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 50_000])
def test_json_that_is_no_object(write, data):
    with pytest.raises(ValueError, match=r"config.json cannot be read as a JSON object"):
        read_json(write(data, "config.json"))


def test_json_that_is_too_large(write):
    with pytest.raises(ValueError, match=r"bytes are more than"):
        read_json(write(b" " * (10 * 2**20 + 1), "config.json"))


def test_a_keras_file_that_is_cut_off(write, tiny_vit, tmp_path):
    tiny_vit().save(tmp_path / "m.keras")
    data = (tmp_path / "m.keras").read_bytes()
    for part in (data[: len(data) // 2], data[:-10], b"", pickle.dumps([1])):
        with pytest.raises(ValueError, match=r"cut.keras cannot be read as a .keras file"):
            load_pretrained(write(part, "cut.keras"))


def mutated(data, rng, swap):
    """A file with some bits flipped, cut off, with a stretch moved, or with tensors swapped."""
    kind = rng.randrange(5)
    if kind == 4:
        return swap(rng)
    data = bytearray(data)
    if kind == 0:
        del data[rng.randrange(len(data)) :]
    elif kind == 1:
        a, b = sorted(rng.randrange(len(data)) for _ in range(2))
        data[a:a] = data[b : b + 50]
    else:  # most of a file is weights: aim at the headers at its ends more often than not
        for _ in range(rng.choice((1, 1, 2, 8))):
            edge = rng.choice((300, 3000, len(data)))
            where = rng.randrange(-edge, edge) % len(data)
            data[where] ^= 1 << rng.randrange(8)
    return bytes(data)


def test_5000_mutated_files(write, flax_params, timm_tensors, safetensors_bytes, deeds):
    """Nothing but a ValueError comes out, nothing is written, memory stays small."""
    params = flax_params(dim=4, heads=1, mlp=4, patch=2, depth=1, grid=(1, 1), classes=2)
    timms = timm_tensors(params)

    def understand_timm(tensors):
        return timm.understand(tensors, {"model_args": {"num_heads": 1}})

    def swapping(tensors, pack):
        def swap(rng):
            a, b = rng.sample(sorted(tensors), 2)
            return pack({**tensors, a: tensors[b], b: tensors[a]})

        return swap

    def compressed(arrays):
        return npz_bytes(arrays, np.savez_compressed)

    kinds = [
        (npz_bytes, params, "m.npz", read_npz, npz.understand),
        (compressed, params, "m.npz", read_npz, npz.understand),
        (safetensors_bytes, timms, "m.safetensors", read_safetensors, understand_timm),
    ]
    for pack, tensors, name, read, understand in kinds:  # as they are, they are fine
        understand(read(write(pack(tensors), name))).weights()

    rng, packed = random.Random(0), [pack(tensors) for pack, tensors, *_ in kinds]
    refused, peaks = 0, []
    for number in range(5000):
        pack, tensors, name, read, understand = kinds[number % 3]
        data = mutated(packed[number % 3], rng, swapping(tensors, pack))
        path = write(data, f"{number}-{name}")  # overwriting a file waits for the disk
        with deeds:
            tracemalloc.start()
            try:
                understand(read(path)).weights()
            except ValueError:
                refused += 1
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        path.unlink()
    assert deeds.seen == []
    print(f"{refused} of 5000 refused; at most {max(peaks)} bytes taken")
    assert refused > 2500  # the others had their bits flipped in weights
    assert max(peaks) < 10**6 + 20 * max(map(len, packed))


VALUES = (None, True, -1, 0, 7, 10**400, 1e-300, 1e300, float("nan"), "", "x", [], {}, [1, 2], [[]])


def changed(config, rng):
    """The config with one value, at any depth, replaced or removed."""
    config = json.loads(json.dumps(config))
    where = rng.choice([config, *(v for v in config.values() if isinstance(v, dict))])
    key = rng.choice(sorted(where))
    if rng.randrange(5):
        where[key] = rng.choice(VALUES)
    else:
        del where[key]
    return config


def test_configs_that_say_anything(flax_params, timm_tensors):
    """Nothing but a ValueError comes out of what may stand in a JSON file."""
    of_timm = {
        "architecture": "vit_tiny",
        "global_pool": "token",
        "model_args": {"num_heads": 3, "img_size": 24, "act_layer": "gelu"},
        "pretrained_cfg": {"input_size": [3, 24, 24], "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    of_processor = {"image_mean": [0.5] * 3, "image_std": 0.5, "rescale_factor": 0.1}
    of_hugging_face = {
        "model_type": "vit",
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "image_size": 24,
        "patch_size": 8,
        "qkv_bias": True,
    }
    some = {
        "embeddings.patch_embeddings.projection.weight": np.zeros((24, 3, 8, 8), "f4"),
        "embeddings.position_embeddings": np.zeros((1, 10, 24), "f4"),
        "encoder.layer.0.intermediate.dense.weight": np.zeros((48, 24), "f4"),
    }
    tensors = timm_tensors(flax_params())

    def sizes_of(*args):
        checkpoint = hugging_face.understand(some, *args)
        checkpoint.sizes(checkpoint.config)

    sizes_of(of_hugging_face, of_processor)
    timm.understand(tensors, of_timm).weights()
    rng, refused = random.Random(0), 0
    for _ in range(500):
        for attempt in (
            lambda: sizes_of(changed(of_hugging_face, rng), of_processor),
            lambda: sizes_of(of_hugging_face, changed(of_processor, rng)),
            lambda: timm.understand(tensors, changed(of_timm, rng)).weights(),
        ):
            try:
                attempt()
            except ValueError:
                refused += 1
    assert refused > 750
