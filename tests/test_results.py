"""What the pages read from results/ is complete."""

from itertools import product
from pathlib import Path

from vit_keras_lib.training import read_json

RESULTS = Path(__file__).resolve().parents[1] / "results"


def test_positions_are_compared_over_three_seeds():
    rows = read_json(RESULTS / "positions.json")["rows"]
    runs = sorted((row["variant"], row["seed"]) for row in rows)
    assert runs == sorted(product(("learned", "none", "sincos2d"), range(3)))
