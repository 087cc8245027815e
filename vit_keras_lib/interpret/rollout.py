"""Attention rollout: from one block's attention to that of all blocks together."""

import numpy as np

FUSIONS = {"mean": np.mean, "max": np.max, "min": np.min}


def attention_rollout(maps, fusion="mean", discard_ratio=0.0, steps=False):
    """Returns how much of each input token reaches each token through all blocks.

    Attention rollout of Abnar & Zuidema 2020 (arXiv 2005.00928). In every block the heads are
    fused, the identity is added for the residual connection, rows are divided by their sum, and
    the result is multiplied from the left onto that of the blocks before it. With
    `fusion="mean"` and nothing discarded, a block is the paper's `0.5 * A + 0.5 * I`. The other
    fusions and the discard ratio are later practice, not the paper's.

    The map knows no class: it is the same whatever the model decides. Row 0 is the class token's
    view (`class_attention` puts it on the grid). A mean-pooled model has no class row: take the
    mean over the rows of the patches.

    Args:
        maps: (B, L, heads, T, T), first block first, rows are queries, as from `attention_maps`
            with all layers.
        fusion: how heads become one map: "mean", "max" or "min".
        discard_ratio: share in [0, 1) of each row, its smallest weights, that is set to 0 before
            the identity is added, rounded down to whole weights. Weights as large as the smallest
            one that stays are kept too, so equal weights are never told apart by their place. A
            token's weight on itself can go like any other: the identity stays.
        steps: whether to return the rollout after every block.

    Returns:
        (B, T, T), rows are queries and sum to 1; with `steps` (B, L, T, T), the last of them
        being the rollout. The dtype is that of `maps`.

    Raises:
        ValueError: for maps of another shape, an unknown fusion or a ratio outside [0, 1).
    """
    maps = np.asarray(maps)
    if maps.ndim != 5 or maps.shape[-1] != maps.shape[-2] or not maps.shape[1]:
        raise ValueError(
            f"`maps` must have shape (B, L, heads, T, T) with L >= 1, got {maps.shape}. Pass what "
            "attention_maps(model, images) returns; a single image needs a batch axis: maps[None]."
        )
    if fusion not in FUSIONS:
        raise ValueError(f"`fusion` must be one of {tuple(FUSIONS)}, got {fusion!r}.")
    if not 0 <= discard_ratio < 1:
        raise ValueError(
            f"`discard_ratio` must be in [0, 1), got {discard_ratio}: the share of each row's "
            "weights, smallest first, to leave out."
        )
    T = maps.shape[-1]
    mixed = FUSIONS[fusion](maps, axis=2)  # (B, L, heads, T, T) -> (B, L, T, T)
    dropped = int(discard_ratio * T)
    smallest_kept = np.partition(mixed, dropped)[..., dropped, None]  # (B, L, T, 1)
    mixed = np.where(mixed < smallest_kept, 0, mixed) + np.eye(T, dtype=maps.dtype)
    mixed /= mixed.sum(axis=-1, keepdims=True)
    rollouts = [mixed[:, 0]]
    for i in range(1, mixed.shape[1]):
        # Later blocks read what earlier ones wrote, so they stand on the left.
        rollouts.append(mixed[:, i] @ rollouts[-1])
    return np.stack(rollouts, axis=1) if steps else rollouts[-1]
