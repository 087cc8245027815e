"""How training went."""

import numpy as np

from vit_keras_lib.plots.style import COLOURS, charts, panels, style


def show_history(epochs, chance, best_epoch, title=None):
    """Shows loss, accuracy and learning rate over the epochs.

    Args:
        epochs: measures by name, one value an epoch, as in `History.epochs`.
        chance: accuracy of guessing, in [0, 1].
        best_epoch: index of the epoch whose weights were kept.
        title: what the figure shows.

    Returns:
        The figure.
    """
    x = np.arange(1, len(epochs["loss"]) + 1)
    with style():
        figure, (left, middle, right) = charts(3, (9.4, 3.2))
        for axis, name in ((left, "loss"), (middle, "accuracy")):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                axis.plot(x, epochs[key], "o-", ms=4, color=COLOURS[label], label=label)
            axis.axvline(best_epoch + 1, color=COLOURS["background"], lw=1, ls=":")
        left.set(title="Loss", xlabel="epoch", ylabel="cross-entropy (nats)")
        middle.axhline(chance, color=COLOURS["chance"], lw=1, ls="--", label="chance")
        middle.set(title="Accuracy", xlabel="epoch", ylabel="share right", ylim=(0, 1))
        for axis in (left, middle):
            axis.legend(frameon=False, fontsize=10)
        right.plot(x, epochs["learning_rate"], "o-", ms=4, color=COLOURS["leaf"])
        right.set(title="Learning rate", xlabel="epoch", ylabel="step size in the optimizer")
        for axis in (left, middle, right):
            axis.xaxis.get_major_locator().set_params(integer=True)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_confusion(counts, class_names, title=None):
    """Shows which class was taken for which.

    Args:
        counts: (classes, classes) integers; rows are the truth, columns the answer.
        class_names: one for each class.
        title: what the figure shows.

    Returns:
        The figure.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with style():
        figure, axes = panels(1, 1, 4.6)
        axis = axes[0, 0]
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (row, col), n in np.ndenumerate(counts):
            colour = "white" if shares[row, col] > 0.5 else "black"
            axis.text(col, row, str(n), ha="center", va="center", color=colour)
        places = range(len(class_names))
        axis.set_xticks(places, class_names, rotation=30, ha="right")
        axis.set_yticks(places, class_names)
        axis.set(xlabel="the model says", ylabel="the photo shows", title=title)
    return figure


def show_mistakes(photos, said, truth, confidence, title=None, columns=6, size=1.6):
    """Shows photos with the wrong answers they were given.

    Args:
        photos: (B, H, W, 3), 0 to 255.
        said: (B,) names of the classes that were answered.
        truth: (B,) names of the right ones.
        confidence: (B,) probability of each answer, in [0, 1].
        title: what the figure shows.
        columns: photos in a row.
        size: inches of a photo.

    Returns:
        The figure.
    """
    rows = max(1, -(-len(photos) // columns))
    with style():
        figure, axes = panels(rows, columns, size)
        figure.set_figheight(rows * (size + 0.3) + 0.4)
        for axis, photo, *words in zip(axes.flat, photos, said, truth, confidence, strict=False):
            answer, right, sure = words
            axis.imshow(np.asarray(photo).astype("uint8"))
            axis.set_title(f"{answer}, {sure:.0%}", fontsize=10, color=COLOURS["query"])
            axis.set_xlabel(right, fontsize=10, color=COLOURS["leaf"], loc="left")
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_calibration(models, title=None):
    """Shows how often answers are right beside how sure the model was: reliability diagrams.

    After Guo et al. 2017 (arXiv 1706.04599), figure 1. Bins are of equal width from 0 to 1.

    Args:
        models: name -> (counts, confidence, accuracy, error), as `training.calibration` returns
            them: (bins,) answers, (bins,) their mean confidence, (bins,) their accuracy, and the
            expected calibration error.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, axes = charts(len(models), (4.6 * len(models), 3.9))
        for axis, (name, (counts, confidence, accuracy, error)) in zip(
            axes, models.items(), strict=True
        ):
            some = np.flatnonzero(counts)
            middle, width = (some + 0.5) / len(counts), 1 / len(counts)
            sure, right = np.asarray(confidence)[some], np.asarray(accuracy)[some]
            axis.bar(middle, right, 0.94 * width, color=COLOURS["centre"])
            axis.vlines(sure, right, sure, color=COLOURS["query"], lw=3, label="gap")
            axis.plot([0, 1], [0, 1], "--", color="black", lw=1)
            for place, x, y in zip(some, middle, np.maximum(sure, right), strict=True):
                axis.text(x, y + 0.02, str(counts[place]), ha="center", fontsize=9)
            axis.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.1))
            axis.set_yticks(np.linspace(0, 1, 6).round(1))
            axis.set_title(f"{name}\nexpected calibration error {error:.1%}", fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_ladder(rungs, minutes, variants=(), title=None, xlabel="validation accuracy"):
    """Shows how far each rung of a recipe comes: a dot a run, mean and standard deviation.

    Args:
        rungs: name -> accuracies in [0, 1], one for each seed; the lowest rung first, `variants`
            last.
        minutes: name -> minutes a run takes.
        variants: names of the rows that are no rungs; they stand apart, above the ladder.
        title: what the figure shows.
        xlabel: what the accuracies are.

    Returns:
        The figure.
    """
    ladder = [name for name in rungs if name not in variants]
    heights = {name: row + 0.6 * (name in variants) for row, name in enumerate(rungs)}
    means = {name: 100 * np.mean(values) for name, values in rungs.items()}
    with style():
        figure, (axis,) = charts(1, (9, 0.36 * len(rungs) + 1.5))
        axis.plot(
            [means[name] for name in ladder], [heights[name] for name in ladder],
            color=COLOURS["background"], lw=1, zorder=1,
        )  # fmt: skip
        for name, values in rungs.items():
            values, height = 100 * np.asarray(values), heights[name]
            colour = COLOURS["petal"] if name in variants else COLOURS["centre"]
            apart = 0.13 * (np.arange(len(values)) - (len(values) - 1) / 2)  # equal ones show too
            axis.plot(values, height + apart, "o", color=colour, ms=5)
            if len(values) > 1:
                axis.errorbar(
                    means[name], height - 0.33, xerr=values.std(ddof=1), fmt="|", ms=9,
                    color="black", capsize=3, lw=1,
                )  # fmt: skip
            axis.text(
                1.02, height, f"{minutes[name]:.0f} min", transform=axis.get_yaxis_transform(),
                va="center", fontsize=10,
            )  # fmt: skip
        if len(ladder) < len(rungs):
            axis.axhline(len(ladder) - 0.2, color=COLOURS["background"], lw=1, ls=":")
        axis.set_yticks(list(heights.values()), list(heights))
        axis.set(xlabel=f"{xlabel} (%)", ylim=(-0.6, max(heights.values()) + 0.6))
        axis.grid(axis="x", color="#E5E5E5", lw=0.8)
        axis.set_axisbelow(True)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_broken_runs(runs, guess, title=None):
    """Shows the learning curves of several runs beside each other, losses on a log scale.

    Args:
        runs: name -> measures by name ("loss", "val_loss", "accuracy", "val_accuracy"), one value
            an epoch.
        guess: (loss, accuracy) of guessing.
        title: what the figure shows.

    Returns:
        The figure.
    """
    losses = np.concatenate([run[key] for run in runs.values() for key in ("loss", "val_loss")])
    low, high = np.floor(np.log2(losses.min())), np.ceil(np.log2(losses.max()))
    doublings = 2 ** np.arange(low, high + 1)
    with style():
        figure, axes = panels(2, len(runs), 1.9)
        figure.set_size_inches(1.9 * len(runs), 5)
        for column, (name, epochs) in zip(axes.T, runs.items(), strict=True):
            column[0].set_title(name, fontsize=12)
            column[0].set_yscale("log", base=2)
            column[0].set_ylim(doublings[[0, -1]])
            column[1].set_ylim(0, 1.03)
            column[1].set_xlabel("epoch")
            for axis, measure, level in zip(column, ("loss", "accuracy"), guess, strict=True):
                for key, label in ((measure, "training"), (f"val_{measure}", "validation")):
                    x = range(1, len(epochs[key]) + 1)
                    axis.plot(x, epochs[key], color=COLOURS[label], label=label)
                axis.axhline(level, color=COLOURS["chance"], lw=1, ls="--", label="guessing")
                axis.spines[["left", "bottom"]].set_visible(True)
                axis.set(xticks=[1, len(epochs[measure])], yticks=[])
        axes[0, 0].set_yticks(doublings, [f"{loss:g}" for loss in doublings])
        axes[0, 0].set_ylabel("cross-entropy (nats, log)")
        axes[1, 0].set(ylabel="share right", yticks=np.linspace(0, 1, 6).round(1))
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure
