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


def test_mistakes_say_what_was_said_how_sure_and_what_is_true():
    photos = np.arange(3 * 4 * 4 * 3).reshape(3, 4, 4, 3)
    figure = plots.show_mistakes(photos, ["rose", "daisy", "rose"], ["tulip"] * 3, [0.9, 0.8, 0.5])
    first, second, *_ = figure.axes
    assert [axis.get_title(loc="left") for axis in (first, second)] == ["rose, 90%", "daisy, 80%"]
    assert first.get_xlabel() == "tulip"
    np.testing.assert_array_equal(second.get_images()[0].get_array(), photos[1])
    none = plots.show_mistakes([], [], [], [], title="all right")
    assert not any(axis.get_images() for axis in none.axes)


def test_calibration_draws_only_bins_with_answers():
    counts = np.array([0, 3, 0, 5])
    confidence, accuracy = [np.nan, 0.4, np.nan, 0.9], [np.nan, 2 / 3, np.nan, 0.6]
    measured = (counts, confidence, accuracy, 0.25)
    figure = plots.show_calibration({"raw": measured, "again": measured})
    axis, other = figure.axes
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axis.patches]
    np.testing.assert_allclose(bars, [(0.375, 2 / 3), (0.875, 0.6)])
    gaps = [segment[:, 1] for segment in axis.collections[0].get_segments()]
    np.testing.assert_allclose(gaps, [[2 / 3, 0.4], [0.6, 0.9]])
    written = [(text.get_text(), text.get_position()[1]) for text in axis.texts]
    assert [count for count, _ in written] == ["3", "5"]
    np.testing.assert_allclose([y for _, y in written], [2 / 3 + 0.02, 0.92])
    assert axis.get_title(loc="left") == "raw\nexpected calibration error 25.0%"
    assert other.get_title(loc="left").startswith("again")


def test_ladder_draws_a_dot_a_run_and_spread_where_there_are_several():
    rungs = {"plain": [0.5, 0.6, 0.7], "+ one": [0.8], "other": [0.75, 0.85]}
    minutes = {"plain": 3.2, "+ one": 4.0, "other": 9.6}
    figure = plots.show_ladder(rungs, minutes, variants=("other",))
    (axis,) = figure.axes
    steps, *dots = [line for line in axis.lines if line.get_marker() in ("o", "None")][:4]
    np.testing.assert_allclose(steps.get_xydata(), [[60, 0], [80, 1]])
    np.testing.assert_allclose(dots[0].get_xdata(), [50, 60, 70])
    np.testing.assert_allclose(dots[1].get_xydata(), [[80, 1]])
    heights = dots[0].get_ydata()
    assert len(set(heights)) == 3 and abs(heights.mean()) < 1e-9  # equal ones show too
    apart = dots[2].get_ydata().mean()
    assert apart > 2
    assert dots[2].get_color() != dots[1].get_color()
    bars = axis.containers
    assert len(bars) == 2  # one run has no spread
    ends = bars[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(ends[:, 0], [50, 70])  # 60 and a standard deviation of 10
    assert [text.get_text() for text in axis.texts] == ["3 min", "4 min", "10 min"]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(rungs)
    np.testing.assert_allclose(axis.get_yticks(), [0, 1, apart])


def test_broken_runs_share_their_axes():
    run = {"loss": [2, 1], "val_loss": [3, 20], "accuracy": [0.2, 0.4], "val_accuracy": [0.1, 0.3]}
    figure = plots.show_broken_runs({"sound": run, "A": run}, guess=(1.6, 0.2))
    losses, _, accuracies, second = figure.axes
    np.testing.assert_array_equal(losses.lines[1].get_ydata(), [3, 20])
    np.testing.assert_array_equal(second.lines[0].get_xydata(), [[1, 0.2], [2, 0.4]])
    assert losses.lines[2].get_ydata()[0] == 1.6
    assert losses.get_ylim() == (1, 32)  # the doublings around 1 and 20
    assert [label.get_text() for label in losses.get_yticklabels()] == [
        "1",
        "2",
        "4",
        "8",
        "16",
        "32",
    ]
    assert accuracies.get_ylim() == second.get_ylim()
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["sound", "A"]
