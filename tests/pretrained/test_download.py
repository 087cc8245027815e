"""Downloads from a server on this machine, into a cache that may not take them."""

import errno
import http.server
import io
import json
import os
import threading
import urllib.request

import numpy as np
import pytest

from vit_keras_lib import load_pretrained
from vit_keras_lib.pretrained import download


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Serves a dictionary of files; counts what was asked for; `cut` breaks off half-way."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            httpd.asked.append(self.path)
            data = httpd.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if httpd.cut else data)
            if httpd.silent:
                httpd.released.wait(30)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.files, httpd.asked, httpd.released = {}, [], threading.Event()
    httpd.cut = httpd.silent = False
    httpd.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", httpd.address)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.released.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def packed(flax_params):
    buffer = io.BytesIO()
    np.savez(buffer, **flax_params())
    return buffer.getvalue()


def kept(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_an_npz_is_fetched_once_and_shows_progress(server, packed, tmp_path, capsys):
    server.files = {"/augreg/Ti.npz": packed}
    for _ in range(2):
        assert load_pretrained(f"{server.address}/augreg/Ti.npz").num_heads == 3
    assert server.asked == ["/augreg/Ti.npz"]
    assert kept(tmp_path) == ["Ti.npz"]
    assert "Downloading data from" in capsys.readouterr().out


def test_a_bucket_of_googles(server, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "GOOGLE", f"{server.address}/")
    server.files = {"/vit_models/augreg/Ti.npz": packed}
    assert load_pretrained("gs://vit_models/augreg/Ti.npz").num_classes == 5


def test_a_model_of_the_hub(server, flax_params, timm_tensors, safetensors_bytes, tmp_path):
    base = "/timm/vit_tiny/resolve/main"
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
    server.files, server.cut = {"/Ti.npz": packed}, True
    with pytest.raises(ConnectionError, match=r"Nothing was kept"):
        load_pretrained(f"{server.address}/Ti.npz")
    assert kept(tmp_path) == []
    server.cut = False
    assert load_pretrained(f"{server.address}/Ti.npz").num_heads == 3


def test_a_server_that_falls_silent(server, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 1)
    server.files, server.cut, server.silent = {"/Ti.npz": packed}, True, True
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
    server.files = {"/Ti.npz": packed}
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
