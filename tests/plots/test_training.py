import numpy as np

from vit_keras_lib import plots


def test_history_draws_every_measure_and_marks_the_epoch_kept():
    epochs = {
        "loss": [2.0, 1.0],
        "val_loss": [1.5, 1.2],
        "accuracy": [0.2, 0.5],
        "val_accuracy": [0.3, 0.4],
        "learning_rate": [1e-3, 0.0],
    }
    figure = plots.show_history(epochs, chance=0.2, best_epoch=1)
    loss, accuracy, rate = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[1, 2.0], [2, 1.0]])
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), [0.3, 0.4])
    assert accuracy.lines[2].get_xdata()[0] == 2  # the epoch kept, counted from 1
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), [1e-3, 0.0])


def test_confusion_writes_the_counts():
    counts = [[3, 1, 0], [0, 2, 0], [0, 0, 0]]
    figure = plots.show_confusion(counts, ["a", "b", "c"])
    axis = figure.axes[0]
    written = {t.get_position(): t.get_text() for t in axis.texts}
    assert (written[(1, 0)], written[(0, 1)]) == ("1", "0")
    np.testing.assert_allclose(axis.get_images()[0].get_array()[0], [0.75, 0.25, 0])
