"""The machinery that the formats share."""

import numpy as np
import pytest

from vit_keras_lib.pretrained.checkpoint import rearrange, weight_names


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_token": False, "pool": "mean"},
        {"position": "sincos2d", "register_tokens": 3},
        {"position": "none", "layer_scale": 1.0, "representation_size": 7},
    ],
    ids=["plain", "mean", "sincos2d", "all"],
)
def test_the_names_of_weights_are_those_of_the_model(tiny_vit, changes):
    model = tiny_vit(**changes)
    fixed = {"encoder/position_table"} if model.position == "sincos2d" else set()
    assert weight_names(model.get_config()) == {w.path for w in model.weights} - fixed


def test_rearrange_transposes_and_merges():
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    result = rearrange(array, "a b c d -> (c a) d b")
    assert result.shape == (8, 5, 3)
    for a, b, c, d in np.ndindex(2, 3, 4, 5):
        assert result[c * 2 + a, d, b] == array[a, b, c, d]
    assert rearrange(array, "a b c d") is array
