"""Downloads from a server on this machine, into a cache that may not take them."""

import errno
import io
import json
import os
import urllib.request

import numpy as np
import pytest

from vit_keras_lib import load_pretrained
from vit_keras_lib.pretrained import download


@pytest.fixture(autouse=True)
def server_and_cache(server, monkeypatch, tmp_path):
    """The hub is the server, and what comes from it is kept in a folder of its own."""
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))


@pytest.fixture
def packed(flax_params):
    buffer = io.BytesIO()
    np.savez(buffer, **flax_params())
    return buffer.getvalue()


def kept(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_an_npz_is_fetched_once_and_shows_progress(server, packed, tmp_path, capsys):
    server.files = {"augreg/Ti.npz": packed}
    for _ in range(2):
        assert load_pretrained(f"{server.address}/augreg/Ti.npz").num_heads == 3
    assert server.asked == ["augreg/Ti.npz"]
    assert kept(tmp_path) == ["Ti.npz"]
    assert "Downloading data from" in capsys.readouterr().out


def test_a_bucket_of_googles(server, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "GOOGLE", f"{server.address}/")
    server.files = {"vit_models/augreg/Ti.npz": packed}
    assert load_pretrained("gs://vit_models/augreg/Ti.npz").num_classes == 5


def test_a_model_of_the_hub(server, flax_params, timm_tensors, safetensors_bytes, tmp_path):
    base = "timm/vit_tiny/resolve/main"
    config = {"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": 3}}
    server.files = {
        f"{base}/config.json": json.dumps(config).encode(),
        f"{base}/model.safetensors": safetensors_bytes(timm_tensors(flax_params())),
    }
    for _ in range(2):
        assert load_pretrained("timm/vit_tiny").dim == 24
    assert len(server.asked) == 3  # preprocessor_config.json is asked for and is not there
    assert kept(tmp_path) == ["config.json", "model.safetensors"]


def test_a_model_that_is_not_there(server, tmp_path):
    with pytest.raises(ValueError, match=r"nobody/nothing.*is not there, or not for everyone"):
        load_pretrained("nobody/nothing")
    assert kept(tmp_path) == []


def test_a_server_that_breaks_off_leaves_nothing(server, packed, tmp_path):
    server.files, server.cut = {"Ti.npz": packed}, {"Ti.npz"}
    with pytest.raises(ConnectionError, match=r"Nothing was kept"):
        load_pretrained(f"{server.address}/Ti.npz")
    assert kept(tmp_path) == []
    server.cut = set()
    assert load_pretrained(f"{server.address}/Ti.npz").num_heads == 3


def test_a_server_that_falls_silent(server, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 1)
    server.files, server.stalls = {"Ti.npz": packed}, {"Ti.npz"}
    with pytest.raises(ConnectionError, match=r"Nothing was kept"):
        load_pretrained(f"{server.address}/Ti.npz")
    assert kept(tmp_path) == []


def test_no_server(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=r"cannot be downloaded"):
        load_pretrained(f"{server.address}/Ti.npz")


def test_a_full_disk_leaves_nothing(server, packed, tmp_path, monkeypatch):
    """Of the download's bytes the disk takes some and no more."""
    server.files = {"Ti.npz": packed}
    real = open

    class Full(io.FileIO):
        def write(self, data):
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data[:1024])

    def opened(name, mode="r", *args, **kwargs):
        in_cache = str(tmp_path / "cache") in str(name)
        return Full(name, "w") if in_cache and "w" in mode else real(name, mode, *args, **kwargs)

    # urlretrieve writes in pieces of 8 KB
    monkeypatch.setattr(urllib.request, "open", opened, raising=False)
    with pytest.raises(OSError, match=r"cannot be stored in .*No space left.*Nothing was kept"):
        load_pretrained(f"{server.address}/Ti.npz")
    assert kept(tmp_path) == []


@pytest.mark.parametrize("name", ["../../etc", "a/b/c", "a", "-x/../y"])
def test_what_is_no_name_of_the_hub(server, name):
    with pytest.raises(ValueError, match=r"No trained model"):
        load_pretrained(name)
    assert server.asked == []
