"""The real sets through TFDS, made to fail soon and cleanly where TFDS would wait."""

import contextlib
import io
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

PATIENCE = 20  # seconds until a server counts as unreachable

OFFLINE = (
    'Without a network, use the embedded set, load_flowers("procedural_flowers"), or a folder of '
    'your own photos, load_flowers("path/of/your/photos").'
)


def prepared_builder(
    name: str, data_dir: str | os.PathLike | None = None
) -> tfds.core.DatasetBuilder:
    """Returns a TFDS set that is ready to be read; downloads and prepares it when first asked.

    Args:
        name: Name of the TFDS set.
        data_dir: Where TFDS keeps its sets; None for TFDS's default.

    Returns:
        The prepared builder.

    Raises:
        ConnectionError: The set's server cannot be reached, or falls silent.
        ValueError: What was downloaded is not what it should be (checksum).
    """
    builder = tfds.builder(name, data_dir=data_dir)
    # TFDS puts a finished set in place in one step. Its own question, is_prepared, logs a warning.
    if (builder.data_path / "dataset_info.json").exists():
        return builder
    _check_reachable(name, list(builder.url_infos))
    downloads = Path(builder.data_dir).parents[1] / "downloads"
    before = _unfinished(downloads)
    try:
        with _time_limits(), _quiet_unless_terminal():
            builder.download_and_prepare(download_dir=downloads)
    except NonMatchingChecksumError as error:
        raise ValueError(
            f"The download of {name!r} is corrupted: its checksum is not the expected one. "
            f"Nothing was kept; try again later. {OFFLINE}\n{error}"
        ) from error
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise _unreachable(name, str(error)) from error
    finally:
        for leftover in _unfinished(downloads) - before:
            shutil.rmtree(leftover, ignore_errors=True)
    return builder


def _unfinished(downloads: Path) -> set[Path]:
    return {path for path in downloads.rglob("*.tmp.*") if path.is_dir()}


def _unreachable(name: str, why: str) -> ConnectionError:
    return ConnectionError(f"The data set {name!r} cannot be downloaded: {why}. {OFFLINE}")


def _check_reachable(name: str, urls: list[str]):
    """Asks for the first bytes of every file, in a thread: name lookups know no time limit."""
    problems = []

    def ask():
        for url in urls:
            try:
                with requests.get(url, stream=True, timeout=PATIENCE / 2) as response:
                    response.raise_for_status()
                    next(response.iter_content(1), None)
            except requests.RequestException as error:
                problems.append(f"{url}: {error}")
                return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        problems.append(f"no answer within {PATIENCE} seconds from {urls[0]}")
    if problems:
        raise _unreachable(name, problems[0])


@contextlib.contextmanager
def _time_limits() -> Iterator[None]:
    """TFDS asks without a time limit; a server that falls silent would hold it for ever."""
    send = requests.Session.send

    def limited(session, request, **kwargs):
        kwargs["timeout"] = kwargs.get("timeout") or PATIENCE
        return send(session, request, **kwargs)

    requests.Session.send = limited
    try:
        yield
    finally:
        requests.Session.send = send


@contextlib.contextmanager
def _quiet_unless_terminal() -> Iterator[None]:
    if sys.stderr.isatty():
        yield
        return
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
