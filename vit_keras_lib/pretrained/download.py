"""Fetches checkpoints, once."""

import hashlib
import os
import re
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import keras

PATIENCE = 20  # seconds until a server that says nothing counts as unreachable
GOOGLE = "https://storage.googleapis.com/"


def is_url(source):
    """Whether `source` names a file on a server."""
    return re.match(r"(https?|gs)://", str(source)) is not None


def is_hub_name(source):
    """Whether `source` looks like OWNER/NAME of Hugging Face's hub."""
    return re.fullmatch(r"[\w-]+/[\w.-]+", str(source)) is not None


def fetch_url(url):
    """Returns the path of a file on a server, downloaded when first asked for.

    Args:
        url: "https://...", or "gs://BUCKET/..." for a public bucket of Google's.

    Raises:
        ValueError, ConnectionError, OSError: see `_fetch`.
    """
    url = re.sub("^gs://", GOOGLE, str(url))
    key = hashlib.sha256(url.encode()).hexdigest()[:16]  # two servers may have one file name
    return _fetch(url, Path("files") / key)


def fetch_model(name):
    """Returns the folder of a model of Hugging Face's hub, downloaded when first asked for.

    `HF_ENDPOINT` may name a mirror. Models that need a password are not fetched: download them
    with Hugging Face's own tools and pass the folder.

    Args:
        name: OWNER/NAME.

    Raises:
        ValueError, ConnectionError, OSError: see `_fetch`.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    folder = Path("hub") / name
    weights = _home() / folder / "model.safetensors"
    if not weights.is_file():  # it comes last: where it is, the others are
        base = f"{endpoint}/{name}/resolve/main"
        _fetch(f"{base}/config.json", folder)
        _fetch(f"{base}/preprocessor_config.json", folder, optional=True)
        _fetch(f"{base}/model.safetensors", folder)
    return weights.parent


def _home():
    """Returns our part of Keras' cache."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "vit_keras_lib"


def _fetch(url, folder, optional=False):
    """Downloads a file into the cache, whole or not at all.

    Args:
        url: of the file.
        folder: in the cache.
        optional: whether None is returned when the server has no such file.

    Raises:
        ValueError: the server does not have the file, or keeps it from us.
        ConnectionError: the server cannot be reached, falls silent, or breaks off.
        OSError: the file cannot be stored, as on a full disk.
    """
    name = Path(urlsplit(url).path).name
    target = _home() / folder / name
    if target.is_file():
        return target
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as part:
            os.replace(keras.utils.get_file(name, url, cache_subdir=part), target)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise ConnectionError(f"{url} fell silent. Nothing was kept.") from error
        raise OSError(
            error.errno, f"{url} cannot be stored in {target.parent}: {error}. Nothing was kept."
        ) from error
    except Exception as error:  # get_file raises no narrower one
        code = getattr(error.__context__, "code", None)
        if code == 404 and optional:
            return None
        if code in (401, 403, 404):
            raise ValueError(f"{url} is not there, or not for everyone (HTTP {code}).") from error
        raise ConnectionError(f"{url} cannot be downloaded: {error}. Nothing was kept.") from error
    finally:
        socket.setdefaulttimeout(before)
    return target
