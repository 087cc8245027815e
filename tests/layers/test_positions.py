import numpy as np
import pytest
from keras import ops

from vit_keras_lib import resize_position_table, sincos2d_table


def test_sincos2d_by_hand():
    table = sincos2d_table((2, 3), 8)  # frequencies 1 and 1 / 10000
    assert table.shape == (6, 8)
    row, col = 1, 2
    expected = [f(a * w) for a in (col, row) for f in (np.sin, np.cos) for w in (1.0, 1e-4)]
    np.testing.assert_allclose(table[row * 3 + col], expected, atol=1e-6)


def test_sincos2d_gives_every_place_another_vector_and_rows_and_columns_their_share():
    table = sincos2d_table((5, 7), 16).reshape(5, 7, 16)
    assert len({v.tobytes() for v in table.reshape(35, 16)}) == 35
    assert np.ptp(table[..., :8], axis=0).max() == 0  # the column's half is the same in all rows
    assert np.ptp(table[..., 8:], axis=1).max() == 0


def test_sincos2d_needs_a_multiple_of_four():
    with pytest.raises(ValueError, match=r"dim=10"):
        sincos2d_table((2, 2), 10)


def test_resize_to_the_same_grid_changes_nothing():
    table = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    np.testing.assert_array_equal(resize_position_table(table, (2, 3), (2, 3)), table)


@pytest.mark.parametrize("new_grid", [(6, 8), (4, 3), (3, 9)])
def test_resize_keeps_rows_rows_and_columns_columns(new_grid):
    y, x = np.mgrid[:4, :6].astype("float32")
    table = np.stack([y, x], -1).reshape(24, 2)
    resized = ops.convert_to_numpy(resize_position_table(table, (4, 6), new_grid))
    resized = resized.reshape(*new_grid, 2)
    assert np.ptp(resized[..., 0], axis=1).max() < 1e-4
    assert np.ptp(resized[..., 1], axis=0).max() < 1e-4
    assert (np.diff(resized[..., 0], axis=0) > 0).all()
    assert (np.diff(resized[..., 1], axis=1) > 0).all()


def test_resize_parity_with_torch():
    torch = pytest.importorskip("torch", reason="PyTorch (extra: peers) is not installed")
    table = np.random.default_rng(0).normal(size=(4 * 6, 5)).astype("float32")
    for new_grid in [(8, 12), (3, 4), (7, 5)]:
        ours = ops.convert_to_numpy(resize_position_table(table, (4, 6), new_grid))
        picture = torch.tensor(table).reshape(1, 4, 6, 5).permute(0, 3, 1, 2)
        theirs = torch.nn.functional.interpolate(
            picture, size=new_grid, mode="bicubic", antialias=True
        )
        theirs = theirs.permute(0, 2, 3, 1).reshape(-1, 5).numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_resize_refuses_a_table_of_another_grid():
    with pytest.raises(ValueError, match=r"grid \(2, 3\).*\(6, dim\).*\(7, 4\)"):
        resize_position_table(np.zeros((7, 4)), (2, 3), (4, 6))
