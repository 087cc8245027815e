import datetime
import json
import re

import keras
import pytest

from vit_keras_lib.training import provenance, read_json, write_json


def test_provenance_says_where_a_number_comes_from():
    about = provenance(seed=3)
    assert about["seed"] == 3
    assert about["versions"]["keras"] == keras.__version__
    assert re.match(r"(CPU|GPU): .+", about["device"])
    assert datetime.date.fromisoformat(about["date"])
    json.dumps(about)


def test_written_and_read_back(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"x": [1, 2.5, None]})
    assert read_json(tmp_path / "new" / "a.json") == {"x": [1, 2.5, None]}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert read_json(path) == {"x": 1}
