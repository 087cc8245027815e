import numpy as np
import pytest

from vit_keras_lib import attention_rollout


def random_maps(B=2, L=3, heads=4, T=7):
    maps = np.random.default_rng(0).random((B, L, heads, T, T)).astype("float32") ** 3
    return maps / maps.sum(-1, keepdims=True)


def one_hot(*columns):
    """A map whose row t looks only at columns[t]."""
    return np.eye(len(columns))[list(columns)]


def by_hand(maps, fuse):
    """The recursion of the paper, one image and one row at a time."""
    result = []
    for image in maps.astype("float64"):
        reached = np.eye(maps.shape[-1])
        for block in image:
            weights = fuse(block) + np.eye(maps.shape[-1])
            weights = np.array([row / sum(row) for row in weights])
            reached = np.einsum("ij,jk->ik", weights, reached)
        result.append(reached)
    return np.array(result)


def test_identity_attention_rolls_out_to_identity():
    maps = np.broadcast_to(np.eye(5, dtype="float32"), (2, 4, 3, 5, 5))
    for fusion in ("mean", "max", "min"):
        np.testing.assert_array_equal(attention_rollout(maps, fusion), maps[:, 0, 0])


@pytest.mark.parametrize("L", [1, 2, 5])
def test_uniform_attention_has_a_closed_form(L):
    """((U + I) / 2)^L = U (1 - 2^-L) + I 2^-L, because U U = U."""
    T = 6
    rollout = attention_rollout(np.full((1, L, 2, T, T), 1 / T))
    expected = (1 - 0.5**L) / T + np.eye(T) * 0.5**L
    np.testing.assert_allclose(rollout[0], expected, atol=1e-12)


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("discard_ratio", [0.0, 0.5, 0.95])
def test_rows_sum_to_one_at_every_step(fusion, discard_ratio):
    steps = attention_rollout(random_maps(), fusion, discard_ratio, steps=True)
    assert (steps.shape, steps.dtype) == ((2, 3, 7, 7), np.float32)
    np.testing.assert_allclose(steps.sum(-1), 1.0, atol=1e-5)
    assert (steps >= 0).all()
    np.testing.assert_array_equal(
        steps[:, -1], attention_rollout(random_maps(), fusion, discard_ratio)
    )


@pytest.mark.parametrize(
    ("fusion", "fuse"),
    [
        ("mean", lambda heads: sum(heads) / len(heads)),
        ("max", lambda heads: np.maximum.reduce(list(heads))),
        ("min", lambda heads: np.minimum.reduce(list(heads))),
    ],
)
def test_equals_the_recursion_by_hand(fusion, fuse):
    maps = random_maps()
    np.testing.assert_allclose(attention_rollout(maps, fusion), by_hand(maps, fuse), atol=1e-6)


def test_later_blocks_read_what_earlier_ones_wrote():
    """Block 0: token 2 reads token 3. Block 1: token 0 reads token 2. So 3 reaches 0."""
    maps = np.array([[[one_hot(0, 1, 3, 3)], [one_hot(2, 1, 2, 3)]]])
    np.testing.assert_allclose(attention_rollout(maps)[0, 0], [0.5, 0, 0.25, 0.25])
    np.testing.assert_allclose(attention_rollout(maps[:, ::-1])[0, 0], [0.5, 0, 0.5, 0])


def test_the_smallest_weights_of_each_row_are_left_out():
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.05, 0.15]] + [[0.25] * 4] * 2)
    rollout = attention_rollout(weights[None, None, None], discard_ratio=0.5)[0]
    np.testing.assert_allclose(rollout[0], np.array([1, 0, 0.3, 0.4]) / 1.7)
    np.testing.assert_allclose(rollout[1], np.array([0.7, 1, 0, 0.15]) / 1.85)
    # All of these are as large as the smallest that stays.
    np.testing.assert_allclose(rollout[2], np.array([0.25, 0.25, 1.25, 0.25]) / 2)


def test_a_ratio_below_one_weight_leaves_nothing_out():
    maps = random_maps(T=7)
    np.testing.assert_array_equal(
        attention_rollout(maps, discard_ratio=0.14), attention_rollout(maps)
    )


def test_bad_input():
    with pytest.raises(
        ValueError, match=r"\(B, L, heads, T, T\).*got \(3, 4, 7, 7\).*maps\[None\]"
    ):
        attention_rollout(random_maps()[0])
    with pytest.raises(ValueError, match=r"got \(2, 3, 4, 7, 6\)"):
        attention_rollout(random_maps()[..., :6])
    with pytest.raises(ValueError, match=r"L >= 1, got \(2, 0, 4, 7, 7\)"):
        attention_rollout(random_maps()[:, :0])
    with pytest.raises(ValueError, match=r"'mean', 'max', 'min'.*got 'median'"):
        attention_rollout(random_maps(), "median")
    for ratio in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"in \[0, 1\), got {ratio}"):
            attention_rollout(random_maps(), discard_ratio=ratio)
