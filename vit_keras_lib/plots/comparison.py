"""A ViT beside a CNN: how right they are, how far they see, what they follow, what they cost."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator

from vit_keras_lib.plots.pretrained import WAYS
from vit_keras_lib.plots.style import COLOURS, HEAT, charts, panels, style

# A model has the same colour and marker in all figures. Other names are drawn in black.
MODELS = {
    "ViT": (COLOURS["query"], "o"),
    "ViT, small-data recipe": (COLOURS["class token"], "D"),
    "CNN": (COLOURS["leaf"], "s"),
    "ViT without positions": ("#56B4E9", "X"),
    "linear probe": WAYS["linear probe"],
    "full fine-tuning": WAYS["full fine-tuning"],
}
CUES = {
    "shape": COLOURS["centre"],
    "colour": COLOURS["petal"],
    "neither": COLOURS["background"],
}
_OTHER = ("black", "x")
_FLOOR = 1e-3  # the darkest colour of a receptive field, as a share of its largest value
_GUESSING = {"color": COLOURS["chance"], "lw": 1.5, "ls": "--", "zorder": 0}


def _spread(values):
    """Standard deviation over the seeds, the first axis; 0 for a single one."""
    return np.std(values, axis=0, ddof=1) if len(values) > 1 else np.zeros(np.shape(values)[1:])


def _legend_below(figure, columns):
    """Says below a figure what the signs of its charts are, guessing last."""
    signs = {}
    for axis in figure.axes:
        handles, names = axis.get_legend_handles_labels()
        signs.update(zip(names, handles, strict=True))
    names = sorted(signs, key="guessing".__eq__)
    figure.legend(
        [signs[name] for name in names], names, loc="outside lower center", ncols=columns,
        frameon=False, fontsize=10,
    )  # fmt: skip


def show_data_efficiency(sets, chance, title=None):
    """Shows test accuracy against the number of labelled photos.

    Lines go through the means, bars are one standard deviation to each side, hollow signs are
    seeds. Ways stand a little beside each other, so that their bars can be told apart. The axis
    begins a little below guessing.

    Args:
        sets: name of the photos -> way, of `MODELS` -> {number of photos: accuracies in [0, 1], one
            for each seed}.
        chance: accuracy of guessing.
        title: what the figure shows.

    Returns:
        The figure.
    """
    highest = max(
        max(of) for ways in sets.values() for runs in ways.values() for of in runs.values()
    )
    with style():
        figure, axes = charts(len(sets), (5.2 * len(sets), 4.6))
        for axis, (name, ways) in zip(axes, sets.items(), strict=True):
            for i, (way, runs) in enumerate(ways.items()):
                colour, marker = MODELS.get(way, _OTHER)
                aside = 1.04 ** (i - (len(ways) - 1) / 2)
                photos = sorted(runs)
                axis.errorbar(
                    [n * aside for n in photos],
                    [100 * np.mean(runs[n]) for n in photos],
                    yerr=[100 * _spread(runs[n]) for n in photos],
                    color=colour, marker=marker, ms=6, elinewidth=1.2, capsize=3, label=way,
                )  # fmt: skip
                for n in photos:
                    values = 100 * np.asarray(runs[n])
                    axis.plot(
                        np.full(len(values), n * aside), values, marker, color=colour, ms=6,
                        mfc="none", mew=0.8, zorder=1,
                    )  # fmt: skip
            numbers = sorted({n for runs in ways.values() for n in runs})
            axis.set_xscale("log")
            axis.set_xticks(numbers, [f"{n:,}" for n in numbers])
            axis.minorticks_off()
            axis.axhline(100 * chance, label="guessing", **_GUESSING)
            limits = (100 * chance - 5, 100 * highest + 5)  # alike in all charts
            axis.set(xlabel="labelled photos (log)", ylim=limits, title=name)
        axes[0].set_ylabel("test accuracy (%)")
        _legend_below(figure, 3)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_reach(fields, radii, title=None, size=1.15):
    """Shows effective receptive fields, layer by layer, on a log scale that ends at 1/1000.

    After Luo et al. 2016 (arXiv 1701.04128), figure 1.

    Args:
        fields: model -> layer -> (H, W), not below 0: how much a pixel moves the unit. Each is
            drawn in shares of its largest value.
        radii: model -> layer -> how far the field reaches, in pixels.
        title: what the figure shows.
        size: inches of a field.

    Returns:
        The figure.
    """
    with style():
        figure, axes = panels(len(fields), max(map(len, fields.values())), size)
        rows, columns = axes.shape  # room for words, and for the scale
        figure.set_size_inches(columns * size + 1.1, rows * (size + 0.45) + 0.5)
        for line, (model, maps) in zip(axes, fields.items(), strict=True):
            line[0].set_ylabel(textwrap.fill(model, 14), fontsize=11)
            for axis in line[len(maps) :]:
                axis.set_visible(False)
            for axis, (layer, field) in zip(line, maps.items(), strict=False):
                shares = np.asarray(field, float) / (np.max(field) or 1)
                axis.imshow(np.maximum(shares, _FLOOR), norm=LogNorm(_FLOOR, 1), cmap=HEAT)
                axis.set_title(layer, fontsize=10)
                axis.set_xlabel(f"{radii[model][layer]:.0f} px", fontsize=10)
        scale = plt.cm.ScalarMappable(LogNorm(_FLOOR, 1), HEAT)
        bar = figure.colorbar(scale, ax=axes, fraction=0.03, pad=0.01, shrink=0.9)
        bar.set_ticks([1e-3, 1e-2, 1e-1, 1], labels=["1/1000", "1/100", "1/10", "1"])
        bar.set_label("share of the largest (log)", fontsize=10)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_growth(series, title=None):
    """Shows how far models reach against depth: means, and bands of one standard deviation.

    Args:
        series: name -> (depths (layers,) as shares of all blocks, in [0, 1]; pixels
            (seeds, layers)). What is not in `MODELS` is drawn black and dashed.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (7.6, 4))
        for name, (depths, pixels) in series.items():
            colour, marker = MODELS.get(name, _OTHER)
            mean, spread = np.mean(pixels, axis=0), _spread(pixels)
            axis.fill_between(depths, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
            axis.plot(
                depths, mean, color=colour, marker=marker, ms=6, label=name,
                ls="-" if name in MODELS else "--",
            )  # fmt: skip
        axis.set(xlabel="depth (share of the blocks)", ylabel="pixels", ylim=(0, None))
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
        _legend_below(figure, 2)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_groups(values, chance, title=None, ylabel="test accuracy (%)"):
    """Shows models side by side under several conditions.

    A bar goes up to the mean, which is written at its foot; a line is one standard deviation to
    each side, a sign is a seed.

    Args:
        values: condition -> model, of `MODELS` -> accuracies in [0, 1], one for each seed.
        chance: accuracy of guessing; None for none.
        title: what the figure shows.
        ylabel: what the accuracies are.

    Returns:
        The figure.
    """
    models = list(dict.fromkeys(model for group in values.values() for model in group))
    width = 0.84 / len(models)
    with style():
        inches = 1 + max(0.5 * len(models) + 0.3, 1.2) * len(values)
        figure, (axis,) = charts(1, (max(inches, 7.6), 4))
        for place, group in enumerate(values.values()):
            for model, accuracies in group.items():
                colour, marker = MODELS.get(model, _OTHER)
                x = place + width * (models.index(model) - (len(models) - 1) / 2)
                dots = 100 * np.asarray(accuracies)
                axis.bar(x, dots.mean(), 0.9 * width, color=colour, alpha=0.35)
                axis.errorbar(
                    x, dots.mean(), yerr=_spread(dots), color="black", lw=1.2, capsize=4, zorder=2
                )
                beside = x + 0.12 * width * np.linspace(-1, 1, len(dots) + 2)[1:-1]
                axis.plot(beside, dots, marker, color=colour, ms=5, mec="black", mew=0.6, zorder=3)
                axis.text(x, 2, f"{dots.mean():.0f}", ha="center", fontsize=10)
        if chance is not None:
            axis.axhline(100 * chance, label="guessing", **_GUESSING)
        axis.set_xticks(range(len(values)), [textwrap.fill(name, 18) for name in values])
        axis.tick_params(axis="x", length=0)
        axis.set(ylabel=ylabel, ylim=(0, 102))
        for model in models:
            colour, marker = MODELS.get(model, _OTHER)
            axis.plot([], [], marker, color=colour, mec="black", mew=0.6, label=model)
        _legend_below(figure, 5)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_robustness(curves, severities, chance, title=None, relative=False):
    """Shows accuracy against the severity of several kinds of damage.

    Lines are means, bands one standard deviation to each side.

    Args:
        curves: kind -> model, of `MODELS` -> (seeds, S) accuracies in [0, 1].
        severities: (S,), the first one is no damage.
        chance: accuracy of guessing; it is not drawn where `relative`.
        title: what the figure shows.
        relative: whether each run is divided by its own accuracy without damage.

    Returns:
        The figure.
    """
    rows = -(-len(curves) // 3)
    with style():
        figure, axes = plt.subplots(
            rows, 3, figsize=(9.6, 2.5 * rows + 0.7), squeeze=False, sharex=True, sharey=True
        )
        plt.close(figure)
        for axis in axes.flat[len(curves) :]:
            axis.set_visible(False)
        for axis, (kind, models) in zip(axes.flat, curves.items(), strict=False):
            for model, runs in models.items():
                colour, marker = MODELS.get(model, _OTHER)
                runs = 100 * np.asarray(runs, float)
                if relative:
                    runs = 100 * runs / runs[:, :1]
                mean, spread = runs.mean(axis=0), _spread(runs)
                axis.fill_between(
                    severities, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0
                )
                axis.plot(severities, mean, color=colour, marker=marker, ms=5, label=model)
            if not relative:
                axis.axhline(100 * chance, label="guessing", **_GUESSING)
            axis.set(title=kind, xticks=severities, ylim=(0, 108 if relative else 102))
            axis.xaxis.set_tick_params(labelbottom=True)
        for axis in axes[:, 0]:
            axis.set_ylabel("share kept (%)" if relative else "test accuracy (%)")
        for axis in axes.flat[max(len(curves) - 3, 0) : len(curves)]:
            axis.set_xlabel("severity")
        _legend_below(figure, 4)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_cues(shares, title=None):
    """Shows what the answers follow where shape and colour speak for different classes.

    After Geirhos et al. 2019 (arXiv 1811.12231), figure 4.

    Args:
        shares: model -> (seeds, 3) shares of the answers that follow shape, colour, neither; each
            row sums to 1.
        title: what the figure shows.

    Returns:
        The figure: bars of the means, with the standard deviation where there is room.
    """
    with style():
        figure, (axis,) = charts(1, (9, 0.62 * len(shares) + 1.7))
        for row, runs in enumerate(shares.values()):
            means, spreads = 100 * np.mean(runs, axis=0), 100 * _spread(runs)
            ends = np.cumsum(means)
            for mean, spread, end, (cue, colour) in zip(
                means, spreads, ends, CUES.items(), strict=True
            ):
                axis.barh(
                    row, mean, 0.7, left=end - mean, color=colour, edgecolor="white",
                    label=cue if row == 0 else None,
                )  # fmt: skip
                if mean >= 3:
                    axis.text(
                        end - mean / 2, row, f"{mean:.0f} ± {spread:.0f}" if mean >= 10
                        else f"{mean:.0f}", ha="center", va="center", fontsize=11,
                        color="white" if cue == "shape" else "black",
                    )  # fmt: skip
        axis.set_yticks(range(len(shares)), list(shares))
        axis.invert_yaxis()
        axis.set(xlabel="share of the answers (%)", xlim=(0, 100))
        _legend_below(figure, 3)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_cost(costs, title=None):
    """Shows what models cost against the side of the image, on log axes.

    Args:
        costs: model, of `MODELS` -> image side in pixels -> measure -> number; NaN where a model
            did not fit. A chart for each measure of the first model, two in a row.
        title: what the figure shows.

    Returns:
        The figure.
    """
    measures = list(next(iter(next(iter(costs.values())).values())))
    sides = sorted({side for rows in costs.values() for side in rows})
    with style():
        rows = -(-len(measures) // 2)
        figure, axes = plt.subplots(rows, 2, figsize=(9.4, 2.7 * rows + 0.8), squeeze=False)
        plt.close(figure)
        for axis in axes.flat[len(measures) :]:
            axis.set_visible(False)
        for axis, measure in zip(axes.flat, measures, strict=False):
            for model, of_side in costs.items():
                colour, marker = MODELS.get(model, _OTHER)
                values = [of_side[side][measure] for side in sorted(of_side)]
                axis.plot(sorted(of_side), values, color=colour, marker=marker, ms=6, label=model)
            axis.set(xscale="log", yscale="log", title=measure, xlabel="image side (px, log)")
            axis.set_xticks(sides, map(str, sides))
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(EngFormatter(sep=" "))
            axis.minorticks_off()
            axis.grid(axis="y", color="#E5E5E5", lw=0.8)
        _legend_below(figure, 3)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_broken_comparisons(comparisons, chance, title=None):
    """Shows comparisons of two models: curves of the first run, test of every run.

    The filled sign is the test of the run whose curves are shown.

    Args:
        comparisons: name -> model, up to two -> "training", "validation" (runs, epochs),
            accuracies in [0, 1]; "kept" (runs,), the epoch that was kept, from 0; "test" (runs,).
        chance: accuracy of guessing.
        title: what the figure shows.

    Returns:
        The figure.
    """
    rows = -(-(len(comparisons) + 1) // 4)  # one place is left for the legend
    looks = (("black", "o"), (COLOURS["petal"], "s"))
    with style():
        figure, axes = plt.subplots(
            rows, 4, figsize=(10.4, 2.7 * rows + 0.4), squeeze=False, sharex=True, sharey=True
        )
        plt.close(figure)
        for axis, (name, models) in zip(axes.flat, comparisons.items(), strict=False):
            for m, (run, (colour, marker)) in enumerate(zip(models.values(), looks, strict=False)):
                training, validation = run["training"][0], run["validation"][0]
                epochs, kept = np.arange(1, len(training) + 1), run["kept"][0]
                axis.plot(epochs, training, ":", color=colour, lw=1.5)
                axis.plot(epochs, validation, color=colour, lw=1.5)
                axis.plot(kept + 1, validation[kept], "|", color=colour, ms=14, mew=2.5)
                place = len(epochs) * (1.12 + 0.14 * m)
                places = np.full(len(run["test"]), place)
                axis.plot(places, run["test"], marker, color=colour, ms=5, mfc="none")
                axis.plot(place, run["test"][0], marker, color=colour, ms=5)
            axis.axhline(chance, **_GUESSING)
            axis.set_title(name)
            axis.set_xticks([1, len(epochs), len(epochs) * 1.19], ["1", str(len(epochs)), "test"])
            axis.set(ylim=(0, 1.05), xlabel="epoch")
            axis.tick_params(labelbottom=True)
        for axis in axes[:, 0]:
            axis.set_ylabel("share right")
        for axis in axes.flat[len(comparisons) :]:
            axis.axis("off")
        grey = {"color": "#777777", "lw": 1.5}
        signs = [
            Line2D([], [], **grey, ls=":", label="training, first run"),
            Line2D([], [], **grey, label="validation, first run"),
            Line2D(
                [], [], color="#777777", ls="none", marker="|", ms=12, mew=2.5, label="kept epoch"
            ),
        ]
        for model, (colour, marker) in zip(models, looks, strict=False):
            signs.append(Line2D([], [], color=colour, lw=1.5, marker=marker, ms=5, label=model))
        signs.append(Line2D([], [], label="guessing", **_GUESSING))
        axes.flat[-1].legend(handles=signs, loc="center left", frameon=False, fontsize=10)
        figure.suptitle(title, ha="left", x=0.01)
    return figure
