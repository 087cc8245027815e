import datetime
import json
import os
import re

import keras
import pytest

from vit_keras_lib.training import device_name, provenance, read_json, write_json


def test_provenance_says_where_a_number_comes_from():
    about = provenance(seed=3)
    assert about["seed"] == 3
    assert about["versions"]["keras"] == keras.__version__
    assert re.match(r"(CPU|GPU): .+", about["device"])
    assert datetime.date.fromisoformat(about["date"])
    json.dumps(about)


def test_the_device_counts_the_cores_that_a_run_may_use(monkeypatch):
    if device_name().startswith("GPU"):
        pytest.skip("a GPU is named, not the cores beside it")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4}, raising=False)
    assert device_name().endswith(", 1 core")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert device_name().endswith(", 6 cores")


def test_written_and_read_back(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"x": [1, 2.5, None]})
    assert read_json(tmp_path / "new" / "a.json") == {"x": [1, 2.5, None]}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert read_json(path) == {"x": 1}
