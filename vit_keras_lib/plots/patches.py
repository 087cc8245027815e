"""Photos, and what cutting them does."""

import numpy as np
from matplotlib.patches import Rectangle

from vit_keras_lib.plots.style import COLOURS, charts, panels, style


def show_photos(images, titles=None, columns=6, title=None, size=1.3, row_labels=None):
    """Shows photos in rows.

    Args:
        images: (B, H, W, 3), 0 to 255; or (B, H, W) with values of a mask.
        titles: one for each photo, or None.
        columns: photos in a row.
        title: what the figure shows.
        size: inches of a photo.
        row_labels: one for each row, or None.

    Returns:
        The figure.

    Raises:
        ValueError: for another number of titles or row labels.
    """
    images = np.asarray(images)
    rows = -(-len(images) // columns)
    for name, given, count in (("titles", titles, len(images)), ("row_labels", row_labels, rows)):
        if given is not None and len(given) != count:
            raise ValueError(
                f"Expected {count} `{name}` for {len(images)} photos in {rows} rows, got "
                f"{len(given)}. Pass one for each, or None."
            )
    with style():
        figure, axes = panels(rows, columns, size)
        for i, axis in enumerate(axes.flat):
            if i < len(images):
                picture = images[i]
                axis.imshow(picture.astype("uint8") if picture.ndim == 3 else picture)
                if titles is not None:
                    axis.set_title(titles[i], fontsize=10)
        for row, label in enumerate(row_labels or []):
            axes[row, 0].set_ylabel(label, fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_patch_grid(image, patch_size, numbers=True, title=None, size=4.5):
    """Shows a photo with its patch grid and each patch's number in the sequence.

    Args:
        image: (H, W, 3), 0 to 255.
        patch_size: P, in pixels.
        numbers: whether to write the numbers.
        title: what the figure shows.
        size: width in inches.

    Returns:
        The figure.
    """
    rows, cols = image.shape[0] // patch_size, image.shape[1] // patch_size
    with style():
        figure, axes = panels(1, 1, size)
        axis = axes[0, 0]
        _draw_grid(axis, image, patch_size)
        if numbers:
            _write_numbers(axis, np.arange(rows * cols).reshape(rows, cols), patch_size)
        axis.set_title(title)
    return figure


def show_numberings(image, patch_size, numberings, titles, title=None, size=4.0):
    """Shows a photo once for each way of numbering its patches.

    Args:
        image: (H, W, 3), 0 to 255.
        patch_size: P, in pixels.
        numberings: M arrays (H / P, W / P), the number of each patch. Patches that have the same
            number in all of them are framed.
        titles: M names.
        title: what the figure shows.
        size: inches of a photo.

    Returns:
        The figure.
    """
    numberings = np.asarray(numberings)  # (M, rows, columns)
    with style():
        figure, axes = panels(1, len(numberings), size)
        figure.set_figheight(size * image.shape[0] / image.shape[1] + 0.8)
        for axis, numbering, name in zip(axes.flat, numberings, titles, strict=True):
            _draw_grid(axis, image, patch_size)
            _write_numbers(axis, numbering, patch_size)
            for r, c in np.argwhere((numberings == numberings[0]).all(axis=0)):
                corner = (c * patch_size - 0.5, r * patch_size - 0.5)
                axis.add_patch(
                    Rectangle(corner, patch_size, patch_size, fill=False, ec=COLOURS["query"], lw=3)
                )
            axis.set_title(name, fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def _draw_grid(axis, image, patch_size, alpha=0.7):
    axis.imshow(np.asarray(image).astype("uint8"))
    H, W = image.shape[:2]
    for row in range(patch_size, H, patch_size):
        axis.axhline(row - 0.5, color="white", lw=0.8, alpha=alpha)
    for column in range(patch_size, W, patch_size):
        axis.axvline(column - 0.5, color="white", lw=0.8, alpha=alpha)


def _write_numbers(axis, numbering, patch_size):
    for (r, c), n in np.ndenumerate(numbering):
        axis.text(
            (c + 0.5) * patch_size - 0.5,
            (r + 0.5) * patch_size - 0.5,
            str(n),
            ha="center",
            va="center",
            fontsize=9,
            color="white",
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "black", "alpha": 0.55, "lw": 0},
        )


def show_sequence(patches, patch_size, title=None, columns=12, size=0.85):
    """Shows patches as the model gets them: one after the other, numbered.

    Args:
        patches: (N, P * P * 3), 0 to 255.
        patch_size: P, in pixels.
        title: what the figure shows.
        columns: patches in a row.
        size: inches of a patch.

    Returns:
        The figure.
    """
    rows = -(-len(patches) // columns)
    with style():
        figure, axes = panels(rows, columns, size)
        for n, axis in enumerate(axes.flat):
            if n < len(patches):
                axis.imshow(
                    np.asarray(patches[n]).reshape(patch_size, patch_size, 3).astype("uint8")
                )
                axis.set_title(str(n), fontsize=9, loc="center", pad=2)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_side_by_side(pictures, titles, title=None, size=2.6):
    """Shows pictures in one row, each under its title.

    Args:
        pictures: sequence of (H, W, 3), 0 to 255, sizes may differ.
        titles: one for each.
        title: what the figure shows.
        size: inches of a picture.

    Returns:
        The figure.
    """
    with style():
        figure, axes = panels(1, len(pictures), size)
        for axis, picture, name in zip(axes.flat, pictures, titles, strict=True):
            axis.imshow(np.asarray(picture).astype("uint8"))
            axis.set_title(name, fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_costs(table, title=None):
    """Shows what smaller patches cost.

    Args:
        table: rows of (patch size, tokens, share of the attention products in all products,
            milliseconds an image, milliseconds of attention alone).
        title: what the figure shows.

    Returns:
        The figure.
    """
    patch, tokens, share, whole, alone = (np.array(c) for c in zip(*table, strict=True))
    with style():
        figure, (left, right) = charts(2, (9.6, 4.0))
        for axis, lines in (
            (left, (("the whole model", whole, "query"), ("attention alone", alone, "centre"))),
            (right, (("by the clock", alone / whole, "centre"), ("by counting", share, "leaf"))),
        ):
            for name, values, colour in lines:
                axis.plot(tokens, values, "o-", color=COLOURS[colour], label=name)
            axis.legend(frameon=False, fontsize=10, loc="upper left")
            axis.set(xlabel="tokens", ylim=(0, 1.35 * max(max(v) for _, v, _ in lines)))
            above = axis.secondary_xaxis("top")
            above.set_xticks(tokens, patch)
            above.set_xlabel("patch size P")
        left.set(title="Time for one photo", ylabel="milliseconds")
        right.set(title="Attention's share of the work", ylabel="share")
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_changes(names, changes, title=None):
    """Shows how far each model's answer moves.

    Args:
        names: M models.
        changes: M changes of the logits, in units of the change another photo makes.
        title: what the figure shows.

    Returns:
        The figure.
    """
    places = np.arange(len(names))[::-1]
    with style():
        figure, (axis,) = charts(1, (8.5, 0.7 + 0.42 * len(names)))
        axis.barh(places, changes, height=0.6, color=COLOURS["centre"])
        for place, change in zip(places, changes, strict=True):
            axis.annotate(
                f"{change:.0%}" if change > 1e-3 else "0",
                (change, place),
                textcoords="offset points",
                xytext=(5, 0),
                va="center",
            )
        axis.axvline(1, color=COLOURS["background"], lw=1, ls="--")
        axis.annotate(
            "another photo",
            (1, len(names) - 1),
            textcoords="offset points",
            xytext=(5, 0),
            va="center",
        )
        axis.set_yticks(places, names)
        axis.set(xlabel="change of the logits (1 = what another photo changes)", xlim=(0, 1.25))
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_filters(groups, titles, title=None, columns=7, size=3.9):
    """Shows groups of filters beside each other, each filter on a scale of its own.

    Args:
        groups: arrays (P, P, 3, M); grey is a weight of 0, and the largest of each filter is at
            one end of the scale.
        titles: one for each group.
        title: what the figure shows.
        columns: filters in a row.
        size: inches of a group.

    Returns:
        The figure.
    """
    with style():
        figure, axes = panels(1, len(groups), size)
        figure.set_figheight(size * -(-groups[0].shape[-1] // columns) / columns + 0.8)
        for axis, filters, name in zip(axes.flat, groups, titles, strict=True):
            axis.imshow(_mosaic(filters, columns))
            axis.set_title(name, fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def _mosaic(filters, columns, gap=2):
    """Lays filters (P, P, 3, M) out in rows, on white."""
    P, M = filters.shape[0], filters.shape[-1]
    step = P + gap
    sheet = np.ones((-(-M // columns) * step - gap, columns * step - gap, 3))
    shades = 0.5 + 0.5 * filters / np.abs(filters).max(axis=(0, 1, 2))  # (P, P, 3, M)
    for m in range(M):
        top, left = step * (m // columns), step * (m % columns)
        sheet[top : top + P, left : left + P] = shades[..., m]
    return sheet


def show_roughness(trained, random, title=None):
    """Shows how rough the principal components of two sets of filters are.

    Args:
        trained: (M,) roughness of each component, largest component first.
        random: (M,) the same for random filters.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (8.5, 3.2))
        for name, values, colour in (
            ("random", random, "chance"),
            ("trained", trained, "training"),
        ):
            axis.plot(np.arange(1, len(values) + 1), values, color=COLOURS[colour], lw=1.5)
            axis.annotate(
                name,
                (1, values[0]),
                textcoords="offset points",
                xytext=(-6, 0),
                ha="right",
                va="center",
                color=COLOURS[colour],
            )
        axis.set(xlabel="principal component", ylabel="roughness", ylim=(0, 2.5))
        axis.set_xlim(-len(trained) // 9, None)
        axis.set_xticks([1, *range(28, len(trained), 28), len(trained)])
        figure.suptitle(title, ha="left", x=0.01)
    return figure
