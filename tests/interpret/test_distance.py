import itertools
import math

import numpy as np
import pytest

from vit_keras_lib import attention_maps, mean_attention_distance


def one_pair_at_a_time(weights, grid, patch_size):
    """The definition, for one map (N, N) of one head."""
    places = list(itertools.product(range(grid[0]), range(grid[1])))
    total = 0.0
    for q, (qr, qc) in enumerate(places):
        for k, (kr, kc) in enumerate(places):
            pixels = math.dist(
                (qr * patch_size[0], qc * patch_size[1]), (kr * patch_size[0], kc * patch_size[1])
            )
            total += weights[q, k] / weights[q].sum() * pixels
    return total / len(places)


def test_looking_at_oneself_is_no_distance():
    maps = np.broadcast_to(np.eye(7), (2, 3, 4, 7, 7))
    distances = mean_attention_distance(maps, (3, 2), 16)
    assert distances.shape == (2, 3, 4)
    assert (distances == 0).all()


@pytest.mark.parametrize(("grid", "patch_size"), [((1, 9), (5, 8)), ((9, 1), (8, 5))])
def test_uniform_attention_on_a_strip_has_a_closed_form(grid, patch_size):
    """The mean of |i - j| over n x n pairs is (n^2 - 1) / 3n."""
    uniform = np.full((10, 10), 0.1)
    expected = (9**2 - 1) / (3 * 9) * 8
    np.testing.assert_allclose(mean_attention_distance(uniform, grid, patch_size), expected)


@pytest.mark.parametrize("grid", [(2, 3), (3, 2), (6, 1)])
@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("patch_size", [8, (4, 8)])
def test_equals_the_definition(grid, prefix, patch_size):
    T = prefix + 6
    maps = np.random.default_rng(0).random((2, 3, 2, T, T)).astype("float32")
    maps /= maps.sum(-1, keepdims=True)
    distances = mean_attention_distance(maps, grid, patch_size, prefix)
    assert (distances.shape, distances.dtype) == ((2, 3, 2), np.float32)
    pair = patch_size if isinstance(patch_size, tuple) else (patch_size, patch_size)
    for at in np.ndindex(2, 3, 2):
        expected = one_pair_at_a_time(maps[at][prefix:, prefix:], grid, pair)
        assert distances[at] == pytest.approx(expected, rel=1e-5)


def test_what_goes_to_the_class_token_does_not_make_a_head_look_near():
    uniform = np.full((7, 7), 1 / 7)
    sink = 0.01 * uniform
    sink[:, 0] += 0.99
    near, far = (mean_attention_distance(m, (2, 3), 16) for m in (sink, uniform))
    np.testing.assert_allclose(near, far)


def test_no_weight_on_any_patch_is_not_a_distance():
    sink = np.zeros((7, 7))
    sink[:, 0] = 1.0
    assert np.isnan(mean_attention_distance(sink, (2, 3), 16))


@pytest.mark.parametrize("dtype", [bool, int])
def test_a_mask_is_as_good_as_weights(dtype):
    mask = np.random.default_rng(0).integers(0, 2, (3, 7, 7))
    mask[..., 1] = 1  # every patch looks at the first one
    even = mask / mask.sum(axis=-1, keepdims=True)
    distances = mean_attention_distance(mask.astype(dtype), (2, 3), 16)
    np.testing.assert_allclose(distances, mean_attention_distance(even, (2, 3), 16), rtol=1e-5)


def test_fits_what_a_model_returns(tiny_vit):
    model = tiny_vit(register_tokens=2)
    maps = attention_maps(model, np.zeros((2, 24, 16, 3)))
    distances = mean_attention_distance(maps, model.grid, model.patch_size, 3)
    assert distances.shape == (2, 2, 3)
    assert ((distances > 0) & (distances < math.hypot(24, 16))).all()


def test_bad_input():
    maps = np.full((2, 7, 7), 1 / 7)
    with pytest.raises(
        ValueError, match=r"2 x 2 = 4 patches behind 1 .*\(\.\.\., 5, 5\).*model.grid"
    ):
        mean_attention_distance(maps, (2, 2), 16)
    with pytest.raises(ValueError, match=r"behind 0 prefix tokens: expected \(\.\.\., 6, 6\)"):
        mean_attention_distance(maps, (2, 3), 16, num_prefix_tokens=0)
    with pytest.raises(ValueError, match=r"`patch_size` must be .*got 0"):
        mean_attention_distance(maps, (2, 3), 0)
