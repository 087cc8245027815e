"""Photos, and what cutting them does."""

import numpy as np

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
    """
    images = np.asarray(images)
    rows = -(-len(images) // columns)
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
    H, W = image.shape[:2]
    rows, cols = H // patch_size, W // patch_size
    with style():
        figure, axes = panels(1, 1, size)
        axis = axes[0, 0]
        axis.imshow(image.astype("uint8"))
        _draw_grid(axis, rows, cols, patch_size)
        for n in range(rows * cols if numbers else 0):
            r, c = divmod(n, cols)
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
        axis.set_title(title)
    return figure


def _draw_grid(axis, rows, cols, patch_size, alpha=0.7):
    for r in range(1, rows):
        axis.axhline(r * patch_size - 0.5, color="white", lw=0.8, alpha=alpha)
    for c in range(1, cols):
        axis.axvline(c * patch_size - 0.5, color="white", lw=0.8, alpha=alpha)


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
            milliseconds an image).
        title: what the figure shows.

    Returns:
        The figure.
    """
    patch, tokens, share, milliseconds = (np.array(column) for column in zip(*table, strict=True))
    with style():
        figure, (left, right) = charts(2, (9, 3.2))
        left.plot(tokens, milliseconds, "o-", color=COLOURS["query"])
        left.set(title="Time for one photo", xlabel="tokens", ylabel="milliseconds", ylim=(0, None))
        right.plot(tokens, 100 * share, "o-", color=COLOURS["centre"])
        right.set(
            title="Share of attention in all multiplications",
            xlabel="tokens",
            ylabel="%",
            ylim=(0, None),
        )
        for axis, values in ((left, milliseconds), (right, 100 * share)):
            for x, y, p in zip(tokens, values, patch, strict=True):
                axis.annotate(
                    f"P = {p}", (x, y), textcoords="offset points", xytext=(-2, 7), ha="right"
                )
        figure.suptitle(title, ha="left", x=0.01)
    return figure
