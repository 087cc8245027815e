import numpy as np
from matplotlib.colors import to_rgba

from vit_keras_lib import plots


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_readouts_stand_side_by_side_over_their_chance():
    accuracies = {"petals": (0.9, 0.5), "background": (0.7, 0.75)}
    chance = {"petals": 0.2, "background": 0.25}
    figure = plots.show_readouts(accuracies, ("features", "pixels"), chance, "title")
    (axis,) = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in axis.patches], [90, 70, 50, 75])
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axis.patches]
    np.testing.assert_allclose(middles, [-0.2, 0.8, 0.2, 1.2])
    assert texts(axis) == ["90", "70", "50", "75"]
    levels = [line.get_segments()[0] for line in axis.collections]
    np.testing.assert_allclose([level[0][1] for level in levels], [20, 25])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["petals", "background"]
    assert figure.get_suptitle() == "title"


def test_adaptations_say_what_they_cost():
    ways = {"from scratch": (0.25, 2_700_000, 31.4), "linear probe": (0.6, 965, 2.0)}
    (axis,) = plots.show_adaptations(ways, 0.2).axes
    np.testing.assert_allclose([bar.get_width() for bar in axis.patches], [25, 60])
    assert texts(axis) == ["25%", "2,700,000 weights, 31 s", "60%", "965 weights, 2 s"]
    assert axis.lines[0].get_xdata()[0] == 20
    bottom, top = axis.get_ylim()
    assert bottom > top  # the first way is on top


def test_transfer_shows_every_run_and_the_means():
    ways = {
        "from scratch": {130: [0.3, 0.4], 2600: [0.7, 0.8]},
        "linear probe": {130: [0.5], 2600: [0.6]},
    }
    left, right = plots.show_transfer(ways, {"from scratch": 12.0, "linear probe": 0.5}).axes
    means = [line for line in left.lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(means[0].get_xydata(), [[130, 35], [2600, 75]])
    np.testing.assert_allclose(means[1].get_xydata(), [[130, 50], [2600, 60]])
    dots = np.concatenate([line.get_xydata() for line in left.lines if line not in means])
    expected = [[130, 30], [130, 40], [2600, 70], [2600, 80], [130, 50], [2600, 60]]
    np.testing.assert_allclose(dots, expected)
    assert left.get_xscale() == "log"
    assert [label.get_text() for label in left.get_xticklabels()] == ["130", "2,600"]
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [12, 0.5])
    assert texts(right) == [" 12.0", " 0.5"]
    assert len({line.get_color() for line in means}) == 2


def test_a_way_looks_the_same_in_both_figures():
    (axis,) = plots.show_adaptations(
        {"LoRA": (0.5, 1, 1.0), "from scratch": (0.4, 1, 1.0)}, 0.2
    ).axes
    left, _ = plots.show_transfer({"LoRA": {10: [0.5]}}, {"LoRA": 1.0}).axes
    assert to_rgba(left.lines[0].get_color()) == axis.patches[0].get_facecolor()
