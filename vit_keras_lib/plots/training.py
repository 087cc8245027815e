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
