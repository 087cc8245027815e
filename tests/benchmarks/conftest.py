"""Scripts as modules."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def script(monkeypatch):
    """Returns the function that imports a script of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    return importlib.import_module
