"""One look for all figures."""

import contextlib

import matplotlib.pyplot as plt

# Okabe and Ito's colours (2008), which stay apart for colour-blind readers. Each thing keeps its
# colour through the whole course.
COLOURS = {
    "query": "#D55E00",
    "class token": "#CC79A7",
    "petal": "#E69F00",
    "centre": "#0072B2",
    "leaf": "#009E73",
    "background": "#999999",
    "training": "#0072B2",
    "validation": "#D55E00",
    "chance": "#999999",
}
HEAT = "viridis"

_STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "figure.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "image.interpolation": "nearest",
    "image.cmap": HEAT,
    "lines.linewidth": 2,
    "savefig.bbox": "tight",
}


@contextlib.contextmanager
def style():
    """Draws everything inside the block in the course's style."""
    with plt.rc_context(_STYLE):
        yield


def charts(columns, figsize):
    """Returns a figure and its axes, `columns` charts in one row.

    The figure is closed at once: a notebook then shows it where it is returned, and only there.
    """
    figure, axes = plt.subplots(1, columns, figsize=figsize, squeeze=False)
    plt.close(figure)
    return figure, axes[0]


def panels(rows, columns, size=2.0):
    """Returns a figure and its axes (rows, columns) for pictures: `size` inches each, no ticks."""
    # Photos are heavy as PNG: 80 dots an inch keep a page small, and the text its points.
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * size), squeeze=False, dpi=80
    )
    plt.close(figure)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def colour_bar(figure, axes, top):
    """Adds the scale of attention maps, from 0 to `top` in units of uniform attention."""
    scale = plt.cm.ScalarMappable(plt.Normalize(0, top), HEAT)
    bar = figure.colorbar(scale, ax=axes, fraction=0.03, pad=0.01, shrink=0.9)
    bar.set_label("attention\n(1 = spread evenly)", fontsize=10)
