"""What happens inside an encoder block, and what its parts cost."""

from statistics import NormalDist

import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle

from vit_keras_lib.plots.attention import draw_query
from vit_keras_lib.plots.style import COLOURS, charts, colour_bar, panels, style

# The parts of a ViT, in the order in which a photo meets them, each with a colour of its own.
PARTS = {
    "patch projection": COLOURS["petal"],
    "positions": COLOURS["class token"],
    "norms": COLOURS["background"],
    "attention": COLOURS["query"],
    "MLP": COLOURS["leaf"],
    "head": COLOURS["centre"],
}
# In a drawn model: half the height of a box, and where the input ends.
_HALF, _TOP = 0.27, 0.42
_LINES = (
    {"color": "#0072B2", "ls": "-"},
    {"color": "#009E73", "ls": "--"},
    {"color": "#D55E00", "ls": "-"},
    {"color": "#CC79A7", "ls": "-."},
    {"color": "#555555", "ls": ":"},
)


def show_attention_table(pictures, weights, title=None, size=0.95):
    """Shows a few tokens' attention as a table, each token by its patch.

    Args:
        pictures: (n, P, P, 3), 0 to 255.
        weights: (n, n), rows are queries.
        title: what the figure shows.
        size: inches of a patch.

    Returns:
        The figure.
    """
    n = len(weights)
    with style():
        figure, axes = panels(n + 1, n + 1, size)
        for i, picture in enumerate(np.asarray(pictures).astype("uint8")):
            axes[0, i + 1].imshow(picture)
            axes[i + 1, 0].imshow(picture)
            for j in range(n):
                axis, weight = axes[i + 1, j + 1], weights[i, j]
                axis.imshow([[weight]], vmin=0, vmax=1)
                colour = "black" if weight > 0.6 else "white"
                axis.text(0, 0, f"{weight:.2f}", color=colour, ha="center", va="center")
        axes[0, 1].set_title("looked at: keys", fontsize=11)
        axes[1, 0].set_ylabel("looks: queries", fontsize=11, loc="top")
        axes[0, 0].set_visible(False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_scale(dims, largest, movement, title=None):
    """Shows what the softmax does to longer and longer queries and keys.

    Args:
        dims: (n,) channels of a query.
        largest: name of a scale -> (n,) largest weight of a typical query; three of them.
        movement: name of a scale -> (n,) size of the softmax's derivative for a typical query.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (left, right) = charts(2, (9, 3.4))
        for axis, curves in ((left, largest), (right, movement)):
            for line, (name, values) in zip(_LINES[2::-1], curves.items(), strict=True):
                axis.plot(dims, values, marker="o", ms=4, label=name, **line)
            axis.set_xscale("log", base=2)
            axis.set_xlabel("channels of a query, d")
        left.legend(frameon=False, fontsize=10, loc="center left", bbox_to_anchor=(0.45, 0.5))
        left.set(title="Largest weight", ylabel="share of attention", ylim=(0, 1.12))
        right.set(title="How far a nudge moves it", ylabel="size of the derivative", yscale="log")
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_heads(image, heat, query, title=None, top=None, columns=6, size=1.55):
    """Shows where each head of one block looks, for one query.

    Args:
        image: (H, W, 3), 0 to 255.
        heat: (heads, rows, columns), in units of uniform attention.
        query: (row, column) of the query on the grid.
        title: what the figure shows.
        top: value of the brightest colour; None takes the 99th percentile.
        columns: heads in a row.
        size: inches of a photo.

    Returns:
        The figure.
    """
    top = float(np.percentile(heat, 99)) if top is None else top
    with style():
        figure, axes = panels(-(-len(heat) // columns), columns, size)
        for head, (axis, one) in enumerate(zip(axes.flat, heat, strict=False)):
            draw_query(axis, image, one / top, query)
            axis.set_title(f"head {head}", fontsize=10)
        colour_bar(figure, axes, top)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_depth(measures, title=None):
    """Shows how stacks of blocks differ from joint to joint, on log scales.

    Args:
        measures: name of a measure -> name of a stack -> one value for each block, taken behind
            it. Up to five stacks.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, axes = charts(len(measures), (9.6, 4.3))
        for axis, (measure, stacks) in zip(axes, measures.items(), strict=True):
            for line, (name, values) in zip(_LINES, stacks.items(), strict=False):
                axis.plot(range(1, len(values) + 1), values, label=name, **line)
            axis.set(title=measure, xlabel="after block", yscale="log")
            axis.set_xticks([1, *range(6, len(values) + 1, 6)])
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_gelu(inputs, title=None):
    """Shows GELU over the inputs that hidden units really get.

    Args:
        inputs: any shape, what the hidden units hold before GELU.
        title: what the figure shows.

    Returns:
        The figure.
    """
    counts, edges = np.histogram(inputs, bins=60, range=(-6, 4))
    x = np.linspace(-6, 4, 201)
    gelu = x * np.vectorize(NormalDist().cdf)(x)  # arXiv 1606.08415, section 2
    with style():
        figure, (axis,) = charts(1, (7, 3.2))
        shares = counts / np.size(inputs)
        axis.bar(edges[:-1], shares / shares.max(), np.diff(edges), align="edge", color="#CCCCCC")
        axis.plot(x, gelu, color=PARTS["MLP"])
        axis.annotate("GELU", (1.9, 2.2), ha="right", color=PARTS["MLP"])
        axis.annotate("grey: what comes in", (-5.9, 0.75), color="#555555")
        axis.set(xlabel="a hidden unit before GELU", ylabel="and after it", ylim=(-0.4, 3))
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_budget(rows, title=None):
    """Shows which part of a model holds how much of something, each bar as shares of its whole.

    Args:
        rows: pairs of a name and a dict part -> count; parts are those of `PARTS`.
        title: what the figure shows.

    Returns:
        The figure.
    """
    places = np.arange(len(rows))[::-1]
    with style():
        figure, (axis,) = charts(1, (9, 0.9 + 0.52 * len(rows)))
        for place, (_, counts) in zip(places, rows, strict=True):
            left, whole = 0.0, sum(counts.values())
            for part, colour in PARTS.items():
                share = 100 * counts.get(part, 0) / whole
                axis.barh(place, share, left=left, height=0.68, color=colour)
                if share >= 5:
                    axis.text(
                        left + share / 2,
                        place,
                        f"{share:.0f} %",
                        ha="center",
                        va="center",
                        color="white",
                        fontsize=10,
                    )
                left += share
        axis.set_yticks(places, [name for name, _ in rows])
        axis.set(xlabel="share of the whole, %", xlim=(0, 100))
        swatches = [Rectangle((0, 0), 1, 1, color=colour) for colour in PARTS.values()]
        figure.legend(swatches, PARTS, loc="outside lower center", ncols=6, frameon=False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_assembly(model, block, opened, image=None, title=None):
    """Draws a model from top to bottom, one of its blocks opened beside it, a shape at each arrow.

    Args:
        model: steps (name, part, shape behind it, note), the first one is the input. `part` is one
            of `PARTS` or "".
        block: the same for the opened block, the first one is what comes in. A step "+" adds what
            came in at the last "+" (or at the top).
        opened: name of the step of `model` that is opened.
        image: (H, W, 3), 0 to 255: shown as the input of the model.
        title: what the figure shows.

    Returns:
        The figure.
    """
    rows = max(len(model), len(block))
    with style():
        figure, (axis,) = charts(1, (9.2, 0.6 * rows + 0.5))
        axis.axis("off")
        spacing = (rows - 1) / (len(model) - 1), (rows - 1) / (len(block) - 1)
        _draw_steps(axis, model, 0.95, 1.35, spacing[0])
        _draw_steps(axis, block, 5.2, 2.0, spacing[1])
        _draw_residuals(axis, block, 5.2, spacing[1])
        if image is not None:
            axis.imshow(image.astype("uint8"), extent=(0.6, 1.3, -_TOP, 0.6), aspect="auto")
        axis.set(xlim=(0, 9.2), ylim=(-rows + 0.1, 0.7))
        # The opened block, unfolded between two lines.
        level = -spacing[0] * [name for name, *_ in model].index(opened)
        for side, end in ((0.27, 0.4), (-0.27, -rows + 0.6)):
            axis.plot([1.64, 3.6], [level + side, end], color="#BBBBBB", lw=1, zorder=0)
        axis.set_title(title)
    return figure


def _draw_steps(axis, steps, x, width, spacing):
    for i, (name, part, shape, note) in enumerate(steps):
        y = -spacing * i
        if i:
            _draw_box(axis, name, PARTS.get(part), x, y, 0.5 if name == "+" else width)
        note = axis.text(x + width / 2 + 0.12, y, note, va="center", fontsize=9.5, color="#555555")
        note.set_bbox({"facecolor": "white", "lw": 0, "pad": 1})
        start = y - (_HALF if i else _TOP)
        end = min(y - spacing + _HALF, start - 0.3)
        _draw_arrow(axis, (x, start), (x, end))
        axis.text(x + 0.09, (start + end) / 2, str(tuple(shape)), va="center", fontsize=9)


def _draw_box(axis, name, colour, x, y, width):
    box = FancyBboxPatch(
        (x - width / 2, y - _HALF),
        width,
        2 * _HALF,
        boxstyle=f"round,pad=0,rounding_size={0.24 if name == '+' else 0.06}",
        facecolor=colour or "#EEEEEE",
        edgecolor=colour or "#444444",
    )
    axis.add_patch(box)
    ink = "white" if colour else "black"
    axis.text(x, y, name, ha="center", va="center", color=ink, fontsize=10)


def _draw_arrow(axis, start, end):
    style = {"arrowstyle": "-|>", "color": "#444444", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)


def _draw_residuals(axis, block, x, spacing):
    start = 0
    for i, (name, *_) in enumerate(block):
        if name == "+":
            top, left = -spacing * (start + 0.5), x - 1.3
            axis.plot([x, left, left], [top, top, -spacing * i], color="#444444", lw=1.5, zorder=0)
            _draw_arrow(axis, (left, -spacing * i), (x - 0.25, -spacing * i))
            start = i


def show_broken_blocks(stacks, title=None):
    """Shows, for each stack of blocks, one attention map with the sums of its rows, and its size.

    Args:
        stacks: name -> attention weights (T, T), rows are queries; sizes of the tokens (joints,).
        title: what the figure shows.

    Returns:
        The figure; for each stack a map, the sums of its rows and a curve.
    """
    top = float(np.percentile(stacks["sound"][0], 99)) * 2
    low = min(sizes.min() for _, sizes in stacks.values())
    high = max(sizes.max() for _, sizes in stacks.values())
    with style():
        figure, axes = panels(3, len(stacks), 1.8)
        figure.set_size_inches(1.8 * len(stacks), 5.2)
        rows = axes.T  # (stacks, 3)
        for i, ((name, (weights, sizes)), (a, b, c)) in enumerate(
            zip(stacks.items(), rows, strict=True)
        ):
            a.imshow(weights, vmin=0, vmax=top)
            a.set_title(name, fontsize=12)
            b.bar(range(len(weights)), weights.sum(axis=1), color=COLOURS["query"])
            b.axhline(1, color="black", lw=0.8, ls="--")
            b.set(ylim=(0, 2.2), yticks=[0, 1, 2] if i == 0 else [])
            c.plot(range(len(sizes)), sizes, color=COLOURS["centre"])
            c.set(yscale="log", ylim=(low / 2, high * 2), xticks=[0, 6, 12])
            c.tick_params(labelleft=i == 0)
            for axis in (b, c):
                axis.spines[["left", "bottom"]].set_visible(True)
        rows[0, 0].set(xlabel="key", ylabel="query")
        rows[0, 1].set(xlabel="query", ylabel="its row's sum")
        rows[0, 2].set(xlabel="after block", ylabel="size of the tokens")
        figure.suptitle(title, ha="left", x=0.01)
    return figure
