"""What a pre-trained model is worth."""

import numpy as np

from vit_keras_lib.plots.style import COLOURS, charts, style

# A way has the same colour and marker in all figures.
WAYS = {
    "from scratch": (COLOURS["background"], "o"),
    "linear probe": (COLOURS["petal"], "^"),
    "LoRA": (COLOURS["class token"], "D"),
    "full fine-tuning": (COLOURS["centre"], "v"),
}


def show_readouts(accuracies, readers, chance, title=None):
    """Shows how well simple readers answer several questions, bars side by side.

    Args:
        accuracies: question -> accuracies in [0, 1], one for each reader.
        readers: names of what is read, up to three.
        chance: question -> accuracy of guessing.
        title: what the figure shows.

    Returns:
        The figure.
    """
    colours = (COLOURS["centre"], COLOURS["petal"], COLOURS["background"])
    places, width = np.arange(len(accuracies)), 0.8 / len(readers)
    with style():
        figure, (axis,) = charts(1, (2.1 * len(accuracies) + 1.2, 3.4))
        for r, (reader, colour) in enumerate(zip(readers, colours, strict=False)):
            values = [100 * of_question[r] for of_question in accuracies.values()]
            left = places + width * (r - (len(readers) - 1) / 2)
            axis.bar(left, values, 0.92 * width, color=colour, label=reader)
            for x, value in zip(left, values, strict=True):
                axis.text(x, 3, f"{value:.0f}", ha="center", fontsize=11, color="white")
        for place, question in zip(places, accuracies, strict=True):
            level = 100 * chance[question]
            axis.hlines(level, place - 0.45, place + 0.45, color="black", lw=1, ls="--")
        axis.set_xticks(places, list(accuracies))
        axis.set(ylabel="share right (%)", ylim=(0, 118), yticks=range(0, 101, 20))
        axis.legend(frameon=False, fontsize=10, ncols=len(readers), loc="upper right")
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_adaptations(ways, chance, title=None):
    """Shows how right several ways to take a model on are, with what each costs.

    Args:
        ways: name, of `WAYS` -> (accuracy in [0, 1], number of weights that were trained, seconds).
        chance: accuracy of guessing.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (9, 0.5 * len(ways) + 1.4))
        for row, (name, (accuracy, weights, seconds)) in enumerate(ways.items()):
            axis.barh(row, 100 * accuracy, 0.7, color=WAYS[name][0])
            axis.text(100 * accuracy + 1, row, f"{accuracy:.0%}", va="center", fontsize=11)
            axis.text(
                1.01, row, f"{weights:,} weights, {seconds:.0f} s",
                transform=axis.get_yaxis_transform(), va="center", fontsize=10,
            )  # fmt: skip
        axis.axvline(100 * chance, color="black", lw=1, ls="--")
        axis.set_yticks(range(len(ways)), list(ways))
        axis.invert_yaxis()
        axis.set(xlabel="share right (%); dashed: guessing", xlim=(0, 100))
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_transfer(ways, minutes, title=None):
    """Shows test accuracy against the number of labelled photos, and what a run takes.

    Args:
        ways: name, of `WAYS` -> {number of photos: accuracies in [0, 1], one for each seed}.
        minutes: name -> minutes a run takes.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (left, right) = charts(2, (10.4, 4))
        for row, (name, runs) in enumerate(ways.items()):
            colour, marker = WAYS[name]
            photos = sorted(runs)
            means = [100 * np.mean(runs[n]) for n in photos]
            left.plot(photos, means, color=colour, marker=marker, ms=7, label=name)
            for n in photos:
                values = 100 * np.asarray(runs[n])
                left.plot(np.full(len(values), n), values, marker, ms=4, mfc="none", color=colour)
            right.barh(row, minutes[name], 0.7, color=colour)
            right.text(minutes[name], row, f" {minutes[name]:.1f}", va="center", fontsize=10)
        numbers = sorted({n for runs in ways.values() for n in runs})
        left.set_xscale("log")
        left.set_xticks(numbers, [f"{n:,}" for n in numbers])
        left.minorticks_off()
        left.set(xlabel="labelled photos (log)", ylabel="test accuracy (%)")
        left.legend(frameon=False, fontsize=10)
        right.set_yticks(range(len(ways)), list(ways))
        right.invert_yaxis()
        right.set(xlabel="minutes a run", title="What it takes")
        left.set_title("How far it comes")
        figure.suptitle(title, ha="left", x=0.01)
    return figure
