"""Mean attention distance: how far a head looks."""

import numpy as np

from vit_keras_lib.layers.patches import _pair


def mean_attention_distance(maps, grid, patch_size, num_prefix_tokens=1):
    """Returns how far each head looks, in pixels: figure 7 (right) of arXiv 2010.11929.

    The distance between the centres of the query patch and the patch looked at, averaged with
    the attention weights, then over all query patches. Prefix tokens have no place in the image:
    their rows and columns are left out and what is left of each row is divided by its sum.
    Otherwise a head that looks at the class token would seem to look near.

    Args:
        maps: (..., T, T), rows are queries, as from `attention_maps`.
        grid: (rows, columns) of the patches: `model.grid`.
        patch_size: P, or (ph, pw), in pixels.
        num_prefix_tokens: how many tokens stand before the patches: `model.num_prefix_tokens`.

    Returns:
        (...), in pixels: (B, L, heads) for maps (B, L, heads, T, T). The paper's figure shows the
        mean over images, `.mean(0)`. NaN where a query patch gives no weight to any patch.

    Raises:
        ValueError: if the maps do not belong to the grid, or the patch size is not one.
    """
    maps = np.asarray(maps)
    if not np.issubdtype(maps.dtype, np.floating):  # a mask: who looks where, yes or no
        maps = maps.astype("float32")
    rows, cols = grid
    ph, pw = _pair(patch_size, "patch_size")
    T = num_prefix_tokens + rows * cols
    if maps.shape[-2:] != (T, T):
        raise ValueError(
            f"Maps of shape {maps.shape} do not fit a grid of {rows} x {cols} = {rows * cols} "
            f"patches behind {num_prefix_tokens} prefix tokens: expected (..., {T}, {T}). Use "
            "model.grid and model.num_prefix_tokens."
        )
    r, c = np.divmod(np.arange(rows * cols), cols)  # (N,) each: where the patches are
    steps_down, steps_right = r[:, None] - r, c[:, None] - c  # (N, N) each
    pixels = np.hypot(ph * steps_down, pw * steps_right).astype(maps.dtype)  # (N, N)
    to_patches = maps[..., num_prefix_tokens:, num_prefix_tokens:]  # (..., T, T) -> (..., N, N)
    with np.errstate(invalid="ignore"):
        distances = (to_patches * pixels).sum(-1) / to_patches.sum(-1)  # -> (..., N)
    return distances.mean(-1)  # -> (...)
