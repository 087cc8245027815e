"""Attention maps over photos, the grid kept visible."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from vit_keras_lib.plots.style import COLOURS, HEAT, charts, colour_bar, panels, style


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
    axis.add_patch(Rectangle(corner, pw, ph, fill=False, ec=COLOURS["query"], lw=3))


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
        H, W = np.shape(images[0])[:2]
        if H != W:
            figure.set_figheight(len(images) * size * H / W + 0.6)
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


def show_kept(images, kept, truth=None, row_titles=None, titles=None, title=None, size=1.9):
    """Shows photos with the patches that masks keep; the others are darkened.

    Args:
        images: (B, H, W, 3), 0 to 255: the columns.
        kept: (M, B, rows, columns), bool, on the patch grid: a row for each of M ways to choose.
        truth: (B, H, W), bool, outlined as it is; or None.
        row_titles: one for each of the M rows.
        titles: one for each photo.
        title: what the figure shows.
        size: inches of a photo.

    Returns:
        The figure.
    """
    kept = np.asarray(kept, dtype=bool)
    H, W = images.shape[1:3]
    with style():
        figure, axes = panels(*kept.shape[:2], size)
        for (m, b), axis in np.ndenumerate(axes):
            mask = kept[m, b].repeat(H // kept.shape[2], axis=0).repeat(W // kept.shape[3], axis=1)
            axis.imshow(np.where(mask[..., None], images[b], images[b] * 0.3) / 255)
            draw_outline(axis, mask, color=COLOURS["query"], lw=2)
            if truth is not None:
                draw_outline(axis, truth[b], color="white", lw=1)
            if m == 0 and titles is not None:
                axis.set_title(titles[b], fontsize=11)
            if b == 0 and row_titles is not None:
                axis.set_ylabel(row_titles[m], fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def draw_outline(axis, mask, **line):
    """Draws the border of a mask (H, W), bool, between pixels and along the photo's edge.

    Args:
        axis: the axis a photo of H x W pixels is shown on.
        mask: (H, W), bool.
        **line: how the line looks, as in Matplotlib's `LineCollection`.
    """
    inside = np.pad(mask, 1)  # (H + 2, W + 2): pixel (r, c) is at [r + 1, c + 1]
    below = np.argwhere(inside[1:] != inside[:-1]) - 0.5  # between row r - 1 and r, from column c
    right = np.argwhere(inside[:, 1:] != inside[:, :-1]) - 0.5
    segments = [[(c - 1, r), (c, r)] for r, c in below] + [[(c, r - 1), (c, r)] for r, c in right]
    axis.add_collection(LineCollection(segments, capstyle="projecting", **line))


def show_lift(lift, others, title=None):
    """Shows each head's lift, block by block, beside the same heads' maps of another photo.

    Args:
        lift: (L, heads), 1 = chance.
        others: (L, heads), the lift of maps that belong to another photo.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (7.4, 3.6))
        for values, shift, colour, name in (
            (lift, -0.13, COLOURS["petal"], "this photo's map"),
            (others, 0.13, COLOURS["background"], "another photo's map"),
        ):
            values = np.asarray(values)
            blocks = np.arange(len(values)) + shift
            x = np.repeat(blocks, values.shape[1])
            axis.plot(x, values.ravel(), "o", color=colour, alpha=0.6, ms=5, label=name)
            axis.plot(blocks, values.mean(axis=1), "_", ms=18, mew=3, color="black")
        axis.axhline(1, color=COLOURS["chance"], ls="--", lw=1, zorder=0)
        axis.set(xlabel="block", ylabel="lift on the flower", ylim=(0, None))
        axis.set_xticks(range(len(lift)))
        axis.legend(frameon=False, fontsize=10)
        axis.set_title(title)
    return figure


def show_distances(distances, even, near, title=None):
    """Shows how far each head of each block looks: figure 7 (right) of arXiv 2010.11929.

    Args:
        distances: (L, heads), mean attention distances in pixels. Heads are drawn in order.
        even: the distance of attention that is spread evenly, in pixels.
        near: the distance of a head that looks at its own patch and those round it, in pixels.
        title: what the figure shows.

    Returns:
        The figure.
    """
    distances = np.sort(distances, axis=1)
    L, heads = distances.shape
    x = np.arange(L)[:, None] + np.linspace(-0.3, 0.3, heads)  # (L, heads)
    with style():
        figure, (axis,) = charts(1, (7.4, 3.6))
        axis.plot(x.ravel(), distances.ravel(), "o", color=COLOURS["centre"], ms=4)
        for value, words in ((even, "spread evenly"), (near, "own patch\nand neighbours")):
            axis.axhline(value, color="#555555", ls="--", lw=1, zorder=0)
            axis.annotate(
                f"{words}\n{value:.1f}", (1, value), (6, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", fontsize=10, color="#555555",
            )  # fmt: skip
        top = 1.2 * max(distances.max(), even)
        axis.set(xlabel="block", ylabel="mean attention distance\n(pixels)", ylim=(0, top))
        axis.set_xticks(range(L))
        axis.set_title(title)
    return figure


def show_lens_strip(images, answers, probabilities, right, title=None, size=1.15):
    """Shows what a model would answer behind each block, and how sure it would be.

    Args:
        images: (B, H, W, 3), 0 to 255.
        answers: (B, L), the answers' names.
        probabilities: (B, L), each answer's probability, in [0, 1]: how high its box is filled.
        right: (B, L), bool, whether the answer is right.
        title: what the figure shows.
        size: inches of a photo.

    Returns:
        The figure.
    """
    B, L = np.shape(answers)
    with style():
        figure, axes = panels(B, 1 + L, size)
        for b, image in enumerate(np.asarray(images).astype("uint8")):
            axes[b, 0].imshow(image)
            for i, axis in enumerate(axes[b, 1:]):
                colour = COLOURS["leaf" if right[b][i] else "query"]
                box = Rectangle((0, 0), 1, probabilities[b][i], fc=colour, lw=0, alpha=0.45)
                axis.add_patch(box)
                sign = "✓" if right[b][i] else "✗"
                words = f"{answers[b][i]}\n{sign} {probabilities[b][i]:.0%}"
                axis.text(0.5, 0.5, words, ha="center", va="center", fontsize=10)
                axis.set(xlim=(0, 1), ylim=(0, 1))
                axis.spines[:].set_visible(True)
                if b == 0:
                    axis.set_title(f"block {i}", fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_norms(norms, num_prefix_tokens=1, title=None):
    """Shows the sizes of tokens at each joint between blocks, on a log scale.

    Args:
        norms: (B, joints, T), the length of each token.
        num_prefix_tokens: how many tokens stand before the patches; the first is drawn.
        title: what the figure shows.

    Returns:
        The figure: median and range of the patches, the first prefix token, and a line at ten
        times the median.
    """
    patches = np.moveaxis(norms[..., num_prefix_tokens:], 1, 0)  # (joints, B, N)
    patches = patches.reshape(len(patches), -1)  # (joints, B * N)
    joints, middle = np.arange(len(patches)), np.median(patches, axis=1)
    with style():
        figure, (axis,) = charts(1, (7.4, 3.6))
        low, high = patches.min(axis=1), patches.max(axis=1)
        axis.fill_between(joints, low, high, color=COLOURS["leaf"], alpha=0.25, lw=0)
        axis.plot(joints, middle, color=COLOURS["leaf"])
        axis.plot(joints, 10 * middle, color="#555555", ls="--", lw=1)
        notes = [(10 * middle, "ten times the median", "#555555")]
        notes += [(high, "the largest patch of all", COLOURS["leaf"])]
        if num_prefix_tokens:
            first = norms[:, :, 0].mean(axis=0)  # (joints,)
            axis.plot(joints, first, color=COLOURS["class token"], ls=":")
            notes += [(first, "class token", COLOURS["class token"])]
        for values, words, colour in notes:
            where = (joints[-1], values[-1])
            axis.annotate(
                words, where, (6, 0), textcoords="offset points", va="center", color=colour,
                fontsize=10, annotation_clip=False,
            )  # fmt: skip
        axis.set(xlabel="joint: 0 is before block 0", ylabel="length of a token", yscale="log")
        axis.set_title(title)
    return figure


def show_broken_maps(maps, flowers, title=None, size=1.6):
    """Shows the maps of a few toy photos, read in several ways, with the flowers outlined.

    Args:
        maps: name -> (B, rows, columns): a row of pictures each. One colour scale for all.
        flowers: (B, rows, columns), bool: which patches are flower.
        title: what the figure shows.
        size: inches of a map's width.

    Returns:
        The figure.
    """
    top = max(float(each.max()) for each in maps.values())
    rows, cols = flowers.shape[1:]
    with style():
        figure, axes = panels(len(maps), len(flowers), size)
        figure.set_figheight(0.95 * len(maps) * size * rows / cols + 0.6)
        for (name, each), line in zip(maps.items(), axes, strict=True):
            line[0].set_ylabel(name, fontsize=12)
            for heat, flower, axis in zip(each, flowers, line, strict=True):
                axis.imshow(heat, vmin=0, vmax=top)
                draw_outline(axis, flower, color=COLOURS["query"], lw=2.5)
        for b, axis in enumerate(axes[0]):
            name = f"photo {b}" if flowers[b].any() else f"photo {b}: no flower"
            axis.set_title(name, fontsize=10)
        colour_bar(figure, axes, top)
        figure.suptitle(title, ha="left", x=0.01)
    return figure
