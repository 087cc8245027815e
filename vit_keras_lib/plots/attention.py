"""Attention maps over photos, the grid kept visible."""

import matplotlib.pyplot as plt
import numpy as np

from vit_keras_lib.plots.style import COLOURS, HEAT, colour_bar, panels, style


def overlay(image, heat, alpha=0.6):
    """Lays a map over a photo, patch by patch.

    Args:
        image: (H, W, 3), 0 to 255.
        heat: (rows, columns), in [0, 1]; rows divide H, columns divide W.
        alpha: how much of the map is seen, in [0, 1].

    Returns:
        float array (H, W, 3) in [0, 1]: nothing is smoothed, each patch is one square of colour.

    Raises:
        ValueError: if the grid does not divide the photo.
    """
    H, W = image.shape[:2]
    rows, cols = heat.shape
    if H % rows or W % cols:
        raise ValueError(
            f"A map of {rows} x {cols} patches does not divide a photo of {H} x {W} pixels. "
            "Pass the map on the patch grid of this photo."
        )
    colours = plt.get_cmap(HEAT)(np.clip(heat, 0, 1))[..., :3]  # (rows, columns, 3)
    colours = colours.repeat(H // rows, axis=0).repeat(W // cols, axis=1)  # (H, W, 3)
    return (1 - alpha) * image / 255 + alpha * colours


def draw_query(axis, image, heat, query):
    """Draws where one query looks, and a frame round the query.

    Args:
        axis: the axis to draw on.
        image: (H, W, 3), 0 to 255.
        heat: (rows, columns), in [0, 1].
        query: (row, column) of the query on the grid.
    """
    axis.imshow(overlay(image, heat))
    ph, pw = image.shape[0] // heat.shape[0], image.shape[1] // heat.shape[1]
    corner = (query[1] * pw - 0.5, query[0] * ph - 0.5)
    axis.add_patch(plt.Rectangle(corner, pw, ph, fill=False, ec=COLOURS["query"], lw=3))


def show_maps(images, maps, titles=None, column_titles=None, title=None, top=None, size=1.9):
    """Shows photos and, beside each, maps over it. One colour scale for all maps.

    Args:
        images: (B, H, W, 3), 0 to 255.
        maps: (B, M, rows, columns), in units of uniform attention (1 = as if spread evenly).
        titles: one for each photo.
        column_titles: one for each of the M maps.
        title: what the figure shows.
        top: value of the brightest colour; None takes the 99th percentile of all maps.
        size: inches of a photo.

    Returns:
        The figure.
    """
    maps = np.asarray(maps)
    top = float(np.percentile(maps, 99)) if top is None else top
    with style():
        figure, axes = panels(len(images), 1 + maps.shape[1], size)
        for b, image in enumerate(images):
            axes[b, 0].imshow(np.asarray(image).astype("uint8"))
            if titles is not None:
                axes[b, 0].set_ylabel(titles[b], fontsize=11)
            for m, heat in enumerate(maps[b]):
                axes[b, 1 + m].imshow(overlay(np.asarray(image), heat / top))
                if b == 0 and column_titles is not None:
                    axes[b, 1 + m].set_title(column_titles[m], fontsize=11)
        axes[0, 0].set_title("photo", fontsize=11)
        colour_bar(figure, axes, top)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_atlas(maps, title=None, top=None, size=0.85, row_name="block", column_name="head"):
    """Shows all blocks x all heads of one photo on one sheet, on one colour scale.

    Args:
        maps: (L, heads, rows, columns), in units of uniform attention.
        title: what the figure shows.
        top: value of the brightest colour; None takes the 99th percentile of all maps.
        size: inches of a map.
        row_name: what a row is.
        column_name: what a column is; the last column is the mean over them.

    Returns:
        The figure.
    """
    maps = np.concatenate([maps, maps.mean(axis=1, keepdims=True)], axis=1)
    top = float(np.percentile(maps, 99)) if top is None else top
    with style():
        figure, axes = panels(*maps.shape[:2], size)
        for (layer, head), axis in np.ndenumerate(axes):
            axis.imshow(maps[layer, head], vmin=0, vmax=top)
            if layer == 0:
                last = head == maps.shape[1] - 1
                name = "mean" if last else f"{column_name} {head}"
                axis.set_title(name, fontsize=9, loc="center")
            if head == 0:
                axis.set_ylabel(f"{row_name} {layer}", fontsize=10)
        colour_bar(figure, axes, top)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_query(image, heat, query, title=None, top=None, size=2.6):
    """Shows one query patch on a photo and the map of where it looks.

    Args:
        image: (H, W, 3), 0 to 255.
        heat: (Q, rows, columns): one map for each query, in units of uniform attention.
        query: Q pairs (row, column) on the grid.
        title: what the figure shows.
        top: value of the brightest colour; None takes the 99th percentile.
        size: inches of a photo.

    Returns:
        The figure.
    """
    top = float(np.percentile(heat, 99)) if top is None else top
    with style():
        figure, axes = panels(1, len(heat), size)
        for axis, one, (row, col) in zip(axes.flat, heat, query, strict=True):
            draw_query(axis, image, one / top, (row, col))
            axis.set_title(f"query: row {row}, column {col}", fontsize=11)
        colour_bar(figure, axes, top)
        figure.suptitle(title, ha="left", x=0.01)
    return figure
