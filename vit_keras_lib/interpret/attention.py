"""Attention maps: which token looked at which."""

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from vit_keras_lib.layers import TransformerBlock
from vit_keras_lib.models.vit import check_images


def encoder_blocks(model):
    """Returns the model's encoder blocks, first to last.

    Raises:
        ValueError: if it has none at its top level.
    """
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    if not blocks:
        kinds = sorted({type(layer).__name__ for layer in model.layers})
        raise ValueError(
            f"{model.name} has no TransformerBlock among its top-level layers: it has "
            f"{', '.join(kinds)}. Attention maps need a ViT of this library; of a model that "
            "contains one, pass the inner ViT: model.get_layer(name)."
        )
    return blocks


def _chosen(layers, depth):
    """Returns `layers` as indices from 0 to depth - 1, in the order asked for."""
    wanted = range(depth) if layers is None else np.atleast_1d(layers)
    for layer in wanted:
        if not -depth <= layer < depth:
            raise ValueError(
                f"There is no block {layer}: the model has {depth}, numbered 0 to {depth - 1} "
                f"(or -{depth} to -1 from the end)."
            )
    return [layer % depth for layer in wanted]


def _run(model, images, layers, batch_size, progress):
    """Yields (last tokens, maps float32 (b, L, heads, T, T)) of batches, from one forward pass."""
    blocks = encoder_blocks(model)
    chosen = _chosen(layers, len(blocks))
    front = keras.Model(model.input, blocks[0].input)
    images = np.asarray(images)
    check_images(model, images)
    starts = range(0, len(images), batch_size)
    for start in tqdm(starts, "attention maps", disable=not progress, leave=False):
        x = front(images[start : start + batch_size])  # (b, T, dim)
        maps = {}
        for i, block in enumerate(blocks):
            if i in chosen:
                x, maps[i] = block(x, return_attention_scores=True)  # (b, heads, T, T)
            else:
                x = block(x)
        stacked = np.stack([ops.convert_to_numpy(maps[i]) for i in chosen], axis=1)
        yield x, stacked  # (b, T, dim), (b, L, heads, T, T)


def attention_maps(model, images, layers=None, batch_size=32, progress=False):
    """Returns the attention weights of a ViT.

    One forward pass; the weights are those that made the logits (dropout is off).

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        layers: which blocks, counted from 0 (negative: from the end); None for all.
        batch_size: images taken at a time. Beside the result (4 * L * heads * T * T bytes an
            image: 5.4 MiB for the course's model with 144 patches) this bounds the memory used.
        progress: whether to show a progress bar.

    Returns:
        float32 array (B, L, heads, T, T). `maps[b, l, k, q]` is the row of query token q: how
        its attention is shared out over all T tokens, summing to 1. Tokens are the prefix
        tokens first (class token, registers), then the patches row by row.

    Raises:
        ValueError: for a model without encoder blocks, a block that is not there, or images of
            another size.
    """
    return np.concatenate([maps for _, maps in _run(model, images, layers, batch_size, progress)])


def class_attention(maps, grid, num_prefix_tokens=1):
    """Returns what the class token looks at, as pictures on the patch grid.

    Args:
        maps: (..., T, T), rows are queries; the class token is token 0.
        grid: (rows, columns) of the patches.
        num_prefix_tokens: how many tokens stand before the patches, the class token among them.

    Returns:
        (..., rows, columns): the class token's row without its prefix part. What is left sums to
        1 minus the share that went to the prefix tokens.

    Raises:
        ValueError: if T does not belong to the grid, or without any prefix token: then there is no
            class token. (Whether a model with registers has one, maps do not tell.)
    """
    rows, cols = grid
    T = maps.shape[-1]
    if num_prefix_tokens < 1:
        raise ValueError(
            f"num_prefix_tokens={num_prefix_tokens}: this model has no class token whose attention "
            "could be shown; token 0 is the first patch. Take the mean over the patches' rows, "
            "maps.mean(axis=-2), or `class_relevance`."
        )
    if num_prefix_tokens + rows * cols != T:
        raise ValueError(
            f"Maps over T={T} tokens do not fit a grid of {rows} x {cols} = {rows * cols} patches "
            f"behind {num_prefix_tokens} prefix tokens. Use model.grid and model.num_prefix_tokens."
        )
    return maps[..., 0, num_prefix_tokens:].reshape(*maps.shape[:-2], rows, cols)


def keep_mass(maps, share):
    """Returns the smallest masks of brightest patches that hold a share of each map.

    The masks of DINO (arXiv 2104.14294, figure 4), there with a share of 60 %. Patches as bright as
    the last one needed are kept too: an even map keeps everything.

    Args:
        maps: (..., rows, columns), not below 0, not all 0.
        share: how much of each map's sum is kept, above 0 and up to 1.

    Returns:
        (..., rows, columns), bool.

    Raises:
        ValueError: for another share, or a map with values below 0 or without any above.
    """
    flat = np.asarray(maps, dtype="float64").reshape(*np.shape(maps)[:-2], -1)  # (..., N)
    if not 0 < share <= 1:
        raise ValueError(f"`share` must be above 0 and at most 1, got {share}.")
    if flat.min() < 0 or not flat.any(axis=-1).all():
        raise ValueError(
            f"Each map needs values of 0 and more, not all 0: got {flat.min():.3g} to "
            f"{flat.max():.3g}. Rectify a signed map first: np.maximum(map, 0)."
        )
    ordered = -np.sort(-flat, axis=-1)
    mass = ordered.cumsum(axis=-1) / ordered.sum(axis=-1, keepdims=True)
    last = (mass >= share - 1e-6).argmax(axis=-1)[..., None]  # (..., 1): the last one needed
    return (flat >= np.take_along_axis(ordered, last, axis=-1)).reshape(np.shape(maps))
