"""Position tables: one vector for each place in the patch grid."""

import numpy as np
from keras import ops


def sincos2d_table(grid, dim, temperature=10_000.0):
    """Returns the fixed 2-D sine-cosine table, the one of Beyer et al. 2022 (arXiv 2205.01580).

    A quarter of the channels each: sine of the column, cosine of the column, sine of the row,
    cosine of the row, at `dim / 4` frequencies falling from 1 to 1 / `temperature`.

    Args:
        grid: (rows, columns).
        dim: channels, a multiple of 4.
        temperature: ratio of the fastest to the slowest frequency.

    Returns:
        float32 array (rows * columns, dim), row-major, values in [-1, 1].

    Raises:
        ValueError: if `dim` is not a multiple of 4.
    """
    if dim % 4:
        raise ValueError(
            f"A 2-D sine-cosine table needs `dim` to be a multiple of 4, got dim={dim}. "
            f"Choose {dim // 4 * 4 + 4} or another multiple of 4."
        )
    rows, cols = grid
    y, x = np.mgrid[:rows, :cols].reshape(2, -1, 1)  # each (rows * cols, 1)
    frequencies = temperature ** -np.linspace(0.0, 1.0, dim // 4)  # (dim / 4,)
    angles_x, angles_y = x * frequencies, y * frequencies  # (N, dim / 4)
    table = [np.sin(angles_x), np.cos(angles_x), np.sin(angles_y), np.cos(angles_y)]
    return np.concatenate(table, axis=1).astype("float32")  # (N, dim)


def resize_position_table(table, grid, new_grid):
    """Resizes a position table to another grid, as a picture of `dim` channels.

    Bicubic with antialiasing, by target shape: never by a scale factor, which rounds to a wrong
    size for some grids. The 2-D interpolation of Dosovitskiy et al. 2021 (arXiv 2010.11929,
    section 3.2).

    Args:
        table: (rows * columns, dim), patch positions only, without those of prefix tokens.
        grid: (rows, columns) of `table`.
        new_grid: (rows, columns) wanted.

    Returns:
        (new rows * new columns, dim), float32.

    Raises:
        ValueError: if `table` does not belong to `grid`.
    """
    rows, cols = grid
    if len(table.shape) != 2 or table.shape[0] != rows * cols:
        raise ValueError(
            f"A position table for grid {tuple(grid)} must have shape ({rows * cols}, dim), "
            f"got {tuple(table.shape)}. Pass patch positions only, without prefix tokens."
        )
    dim = table.shape[1]
    picture = ops.reshape(ops.cast(table, "float32"), (1, rows, cols, dim))
    if tuple(grid) != tuple(new_grid):
        picture = ops.image.resize(
            picture,
            tuple(new_grid),
            interpolation="bicubic",
            antialias=True,
            data_format="channels_last",
        )  # (1, new rows, new cols, dim)
    return ops.reshape(picture, (-1, dim))  # (new rows * new cols, dim)
