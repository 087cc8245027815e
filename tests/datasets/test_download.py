"""The real TFDS builders, fed by a server on this machine."""

import hashlib
import io
import socket
import sys
import tarfile
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from scipy.io import savemat
from tensorflow_datasets.core.download.checksums import UrlInfo

from vit_keras_lib.datasets import download, load_flowers
from vit_keras_lib.datasets.decode import decode

FLOWERS = ("dandelion", "daisy", "tulips", "sunflowers", "roses")


def archive(files: dict[str, bytes]) -> bytes:
    """A .tgz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def point_at(monkeypatch):
    """Overrides the address, and the sizes and checksums, that a TFDS builder knows."""

    def override(name: str, base: str, files: dict[str, bytes]):
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        builder_class = tfds.builder_cls(name)
        module = sys.modules[builder_class.__module__]
        if name == "tf_flowers":
            monkeypatch.setattr(module, "_URL", base + "flower_photos.tgz")
        else:
            monkeypatch.setattr(module, "_BASE_URL", base)
        infos = {
            base + file: UrlInfo(len(data), hashlib.sha256(data).hexdigest(), file)
            for file, data in files.items()
        }
        monkeypatch.setattr(builder_class, "url_infos", infos)

    return override


@pytest.fixture(scope="module")
def photo(smooth, encoded):
    """Returns a maker of JPEG files, one for each number."""
    return lambda number: encoded(smooth(number), "JPEG")


@pytest.fixture(scope="module")
def tf_flowers_files(photo):
    photos = {
        f"flower_photos/{name}/{i}.jpg": photo(100 * c + i)
        for c, name in enumerate(FLOWERS)
        for i in range(8)
    }
    return {"flower_photos.tgz": archive({"flower_photos/LICENSE.txt": b"CC-BY", **photos})}


@pytest.fixture(scope="module")
def oxford_files(photo):
    photos = {f"jpg/image_{i:05d}.jpg": photo(i) for i in range(1, 19)}
    labels, splits = io.BytesIO(), io.BytesIO()
    savemat(labels, {"labels": np.arange(1, 19, dtype=np.uint8)[None]})
    ids = np.arange(1, 19, dtype=np.uint16)[None]
    savemat(splits, {"trnid": ids[:, :3], "valid": ids[:, 3:7], "tstid": ids[:, 7:]})
    return {
        "102flowers.tgz": archive(photos),
        "imagelabels.mat": labels.getvalue(),
        "setid.mat": splits.getvalue(),
    }


def leftovers(data_dir) -> list[str]:
    """What a failed preparation must not leave: prepared, half-prepared or half-loaded files."""
    return [str(p) for p in data_dir.rglob("*") if p.is_file()]


def test_tf_flowers_end_to_end(server, point_at, tf_flowers_files, photo, tmp_path):
    server.files = tf_flowers_files
    point_at("tf_flowers", f"{server.address}/", server.files)
    flowers = load_flowers("tf_flowers", 32, data_dir=tmp_path)
    assert flowers.class_names == FLOWERS
    assert flowers.sizes == {"train": 32, "validation": 4, "test": 4}
    assert "80 %" in flowers.protocol
    splits = (flowers.train, flowers.validation, flowers.test)
    pictures = [image.numpy().tobytes() for split in splits for image, _ in split]
    assert len(set(pictures)) == 40  # no picture is in two splits
    # The pixels arrive with their own label: compare with the picture that was served.
    served = {decode(photo(100 * c + i), (32, 32)).tobytes(): c for c in range(5) for i in range(8)}
    for image, label in flowers.test.as_numpy_iterator():
        assert served[image.tobytes()] == label
    # Prepared now: no server is needed any more, and the same comes back.
    server.files = {}
    again = load_flowers("tf_flowers", 32, data_dir=tmp_path)
    assert again.fingerprint == flowers.fingerprint


def test_tf_flowers_streams_when_the_budget_is_small(server, point_at, tf_flowers_files, tmp_path):
    server.files = tf_flowers_files
    point_at("tf_flowers", f"{server.address}/", server.files)
    cached = load_flowers("tf_flowers", 32, data_dir=tmp_path)
    streamed = load_flowers("tf_flowers", 32, data_dir=tmp_path, cache_budget=0)
    assert streamed.fingerprint == cached.fingerprint
    for (a, i), (b, j) in zip(
        cached.train.as_numpy_iterator(), streamed.train.as_numpy_iterator(), strict=True
    ):
        assert np.array_equal(a, b) and i == j
    _, ordered = next(iter(streamed.batches("train", 32)))
    _, shuffled = next(iter(streamed.batches("train", 32, shuffle=True)))
    assert not np.array_equal(ordered, shuffled)
    assert np.array_equal(np.sum(ordered, 0), np.sum(shuffled, 0))


def test_oxford_flowers102_end_to_end(server, point_at, oxford_files, tmp_path):
    server.files = oxford_files
    point_at("oxford_flowers102", f"{server.address}/", server.files)
    flowers = load_flowers("oxford_flowers102", 24, data_dir=tmp_path)
    assert flowers.num_classes == 102
    assert flowers.class_names[0] == "pink primrose"
    assert flowers.sizes == {"train": 3, "validation": 4, "test": 11}
    assert sorted(int(label) for _, label in flowers.train) == [0, 1, 2]
    assert sorted(int(label) for _, label in flowers.test) == list(range(7, 18))


def test_corrupted_download_says_so_and_is_redone(server, point_at, tf_flowers_files, tmp_path):
    good = tf_flowers_files
    point_at("tf_flowers", f"{server.address}/", good)
    data = good["flower_photos.tgz"]
    server.files = {"flower_photos.tgz": data[:-100] + bytes(100)}
    with pytest.raises(ValueError, match=r"'tf_flowers' is corrupted: its checksum"):
        load_flowers("tf_flowers", 32, data_dir=tmp_path)
    assert leftovers(tmp_path) == []
    server.files = good
    assert load_flowers("tf_flowers", 32, data_dir=tmp_path).sizes["train"] == 32


def test_interrupted_preparation_is_redone(
    server, point_at, tf_flowers_files, tmp_path, monkeypatch
):
    server.files = tf_flowers_files
    point_at("tf_flowers", f"{server.address}/", server.files)
    builder_class = tfds.builder_cls("tf_flowers")
    generate = builder_class._generate_examples

    def interrupted(self, images_dir_path):
        for i, example in enumerate(generate(self, images_dir_path)):
            if i == 5:
                raise KeyboardInterrupt
            yield example

    monkeypatch.setattr(builder_class, "_generate_examples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_flowers("tf_flowers", 32, data_dir=tmp_path)
    assert not list((tmp_path / "tf_flowers").rglob("*.tfrecord*"))
    monkeypatch.setattr(builder_class, "_generate_examples", generate)
    assert load_flowers("tf_flowers", 32, data_dir=tmp_path).sizes["train"] == 32


def unreachable(name: str, data_dir) -> str:
    """Loads a set that cannot be reached; returns the message."""
    started = time.monotonic()
    with pytest.raises(ConnectionError) as error:
        load_flowers(name, 32, data_dir=data_dir)
    assert time.monotonic() - started < 15
    assert leftovers(data_dir) == []
    return str(error.value)


@pytest.mark.parametrize("name", ["tf_flowers", "oxford_flowers102"])
def test_refused_connection(name, point_at, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    files = {"flower_photos.tgz": b"", "102flowers.tgz": b""}
    point_at(name, f"http://127.0.0.1:{port}/", files)
    message = unreachable(name, tmp_path)
    assert name in message and "refused" in message
    assert "procedural_flowers" in message and "your own photos" in message


def test_proxy_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "tf_flowers" in unreachable("tf_flowers", tmp_path)


def test_server_that_falls_silent_half_way(server, point_at, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 2)
    server.files = {"flower_photos.tgz": bytes(100_000)}
    server.stalls = {"flower_photos.tgz"}
    point_at("tf_flowers", f"{server.address}/", server.files)
    assert "tf_flowers" in unreachable("tf_flowers", tmp_path)


def test_file_that_is_gone(server, point_at, tmp_path):
    point_at("tf_flowers", f"{server.address}/", {"flower_photos.tgz": b""})
    assert "404" in unreachable("tf_flowers", tmp_path)
