import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from vit_keras_lib import plots
from vit_keras_lib.plots.comparison import CUES, MODELS


def small_text(figure):
    """Return the texts of a figure that are smaller than 9 points."""
    texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    return [text for text in texts if text.get_fontsize() < 9]


def marked(axis, marker):
    """Return the (x, y) of a chart's lines with a marker, as drawn, legends left out."""
    lines = [line for line in axis.lines if line.get_marker() == marker]
    return [line.get_xydata() for line in lines if len(line.get_xdata())]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture(autouse=True)
def closed():
    """Figures are closed, so that a notebook shows them once."""
    yield
    assert plt.get_fignums() == []


def test_each_model_has_a_look_of_its_own():
    assert len({to_hex(colour) for colour, _ in MODELS.values()}) == len(MODELS)
    assert len({marker for _, marker in MODELS.values()}) == len(MODELS)
    for way in ("linear probe", "full fine-tuning"):
        adaptations = plots.show_adaptations({way: (0.5, 1, 1.0)}, 0.2)
        assert adaptations.axes[0].patches[0].get_facecolor() == to_rgba(MODELS[way][0])


def test_data_efficiency_shows_means_spread_and_seeds():
    sets = {
        "drawn": {"ViT": {20: [0.2, 0.4], 200: [0.6, 0.7]}},
        "photographs": {"ViT": {20: [0.3, 0.5]}, "CNN": {20: [0.6, 0.6], 2600: [0.8, 0.9]}},
    }
    figure = plots.show_data_efficiency(sets, 0.2, "title")
    left, right = figure.axes
    (bars,) = left.containers
    line, _, (spread,) = bars
    np.testing.assert_allclose(line.get_xydata(), [[20, 30], [200, 65]])
    ends = [segment[:, 1] for segment in spread.get_segments()]
    half = 100 * np.std([0.2, 0.4], ddof=1)
    np.testing.assert_allclose(ends[0], [30 - half, 30 + half])
    dots = np.concatenate(marked(left, "o")[1:])
    np.testing.assert_allclose(dots, [[20, 20], [20, 40], [200, 60], [200, 70]])
    assert [label.get_text() for label in right.get_xticklabels()] == ["20", "2,600"]
    places = [container[0].get_xdata()[0] for container in right.containers]
    assert places[0] < 20 < places[1]  # side by side
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["drawn", "photographs"]
    assert all(axis.get_xscale() == "log" for axis in figure.axes)
    np.testing.assert_allclose([axis.get_ylim() for axis in figure.axes], [(15, 95)] * 2)
    assert legend(figure) == ["ViT", "CNN", "guessing"]
    assert figure.get_suptitle() == "title"
    assert not small_text(figure)


def test_a_single_seed_has_no_spread():
    figure = plots.show_data_efficiency({"drawn": {"CNN": {20: [0.4]}}}, 0.2)
    (spread,) = figure.axes[0].containers[0][2]
    np.testing.assert_allclose(spread.get_segments()[0][:, 1], [40, 40])


def test_fields_are_shares_of_their_largest_value_down_to_a_thousandth():
    field = np.array([[0, 1e-9, 2], [4, 0.4, 0]])
    fields = {"ViT": {"block0": field}, "CNN": {"stem": 7 * field, "block0": np.zeros((2, 3))}}
    radii = {"ViT": {"block0": 12.4}, "CNN": {"stem": 3.0, "block0": 5.6}}
    figure = plots.show_reach(fields, radii, "title")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(figure.axes) == 5 and len(shown) == 4  # with the scale, and an empty place
    for axis in shown[:2]:
        expected = [[1e-3, 1e-3, 0.5], [1, 0.1, 1e-3]]
        np.testing.assert_allclose(axis.get_images()[0].get_array(), expected)
    assert [axis.get_xlabel() for axis in shown[:3]] == ["12 px", "3 px", "6 px"]
    assert [axis.get_title(loc="left") for axis in shown[:3]] == ["block0", "stem", "block0"]
    np.testing.assert_allclose(shown[-1].get_ylim(), (1e-3, 1))
    assert "log" in shown[-1].get_ylabel()
    assert not small_text(figure)


def test_growth_shows_means_over_depth_and_what_is_no_model_dashed():
    depths = [0, 0.5, 1]
    series = {
        "CNN": (depths, np.array([[2, 4, 8], [4, 8, 10]])),
        "mean attention distance": (depths[:2], np.array([[30, 20]])),
    }
    figure = plots.show_growth(series)
    (axis,) = figure.axes
    cnn, distance = axis.lines
    np.testing.assert_allclose(cnn.get_xydata(), [[0, 3], [0.5, 6], [1, 9]])
    np.testing.assert_allclose(distance.get_xydata(), [[0, 30], [0.5, 20]])
    assert (cnn.get_linestyle(), distance.get_linestyle()) == ("-", "--")
    assert to_hex(distance.get_color()) == "#000000"
    band = axis.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(band[:, 1].max(), 9 + np.std([8, 10], ddof=1))
    assert legend(figure) == ["CNN", "mean attention distance"]
    assert not small_text(figure)


def test_groups_stand_side_by_side():
    values = {
        "in order": {"ViT": [0.5, 0.7], "CNN": [0.8, 0.9]},
        "patches shuffled": {"CNN": [0.3, 0.3]},
    }
    figure = plots.show_groups(values, 0.2, "title", "share right (%)")
    (axis,) = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in axis.patches], [60, 85, 30])
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axis.patches]
    np.testing.assert_allclose(middles, [-0.21, 0.21, 1.21])
    assert [text.get_text() for text in axis.texts] == ["60", "85", "30"]
    np.testing.assert_allclose(np.concatenate(marked(axis, "s"))[:, 1], [80, 90, 30, 30])
    spreads = [bars[2][0].get_segments()[0][:, 1] for bars in axis.containers if len(bars) == 3]
    np.testing.assert_allclose(
        np.ptp(spreads, axis=1), 2 * np.std([[50, 70], [80, 90], [30, 30]], axis=1, ddof=1)
    )
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "in order",
        "patches shuffled",
    ]
    assert axis.get_ylabel() == "share right (%)"
    assert legend(figure) == ["ViT", "CNN", "guessing"]
    assert not small_text(figure)
    assert legend(plots.show_groups(values, None)) == ["ViT", "CNN"]


CURVES = {
    kind: {"ViT": [[0.8, 0.4], [0.4, 0.3]], "CNN": [[0.9, 0.9], [0.9, 0.45]]}
    for kind in ("blur", "noise", "shift", "scale")
}


def test_robustness_has_a_chart_for_each_kind():
    figure = plots.show_robustness(CURVES, [0, 1], 0.2, "title")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == list(CURVES)
    for axis in shown:
        vit, cnn, guessing = axis.lines
        np.testing.assert_allclose(vit.get_xydata(), [[0, 60], [1, 35]])
        np.testing.assert_allclose(cnn.get_xydata(), [[0, 90], [1, 67.5]])
        assert guessing.get_ydata()[0] == 20
        band = axis.collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose(band.max(), 60 + 100 * np.std([0.8, 0.4], ddof=1))
    assert not small_text(figure)


def test_relative_robustness_divides_each_run_by_its_own_start():
    figure = plots.show_robustness(CURVES, [0, 1], 0.2, relative=True)
    vit, cnn = figure.axes[0].lines
    np.testing.assert_allclose(vit.get_ydata(), [100, (50 + 75) / 2])
    np.testing.assert_allclose(cnn.get_ydata(), [100, (100 + 50) / 2])
    assert "kept" in figure.axes[0].get_ylabel()


def test_cues_fill_the_bar():
    shares = {"ViT": [[0.5, 0.3, 0.2], [0.7, 0.2, 0.1]], "CNN": [[0.02, 0.9, 0.08]] * 2}
    figure = plots.show_cues(shares)
    (axis,) = figure.axes
    widths = {bar.get_facecolor(): [] for bar in axis.patches}
    for bar in axis.patches:
        widths[bar.get_facecolor()].append(bar.get_width())
    for colour, expected in zip(CUES.values(), ([60, 2], [25, 90], [15, 8]), strict=True):
        np.testing.assert_allclose(widths[to_rgba(colour)], expected)
    ends = [bar.get_x() + bar.get_width() for bar in axis.patches]
    np.testing.assert_allclose([ends[2], ends[5]], 100)
    assert [text.get_text() for text in axis.texts] == [
        "60 ± 14",
        "25 ± 7",
        "15 ± 7",
        "90 ± 0",
        "8",
    ]
    assert legend(figure) == list(CUES)
    assert not small_text(figure)


def test_cost_has_a_chart_for_each_measure_on_log_axes():
    measures = ("multiply-adds", "train, img/s", "inference, img/s", "memory, MB")
    costs = {
        model: {side: {m: i + side * (k + 1) for i, m in enumerate(measures)} for side in (192, 96)}
        for k, model in enumerate(("ViT", "CNN"))
    }
    costs["CNN"][192]["memory, MB"] = float("nan")
    figure = plots.show_cost(costs)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(measures)
    for i, axis in enumerate(figure.axes):
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        np.testing.assert_allclose(axis.lines[0].get_xydata(), [[96, 96 + i], [192, 192 + i]])
        assert axis.lines[1].get_ydata()[0] == 192 + i
        assert [label.get_text() for label in axis.get_xticklabels()] == ["96", "192"]
    assert np.isnan(figure.axes[3].lines[1].get_ydata()[1])
    assert legend(figure) == ["ViT", "CNN"]
    assert not small_text(figure)


def test_broken_comparisons_show_curves_the_kept_epoch_and_every_test():
    def runs(start):
        curve = start + np.array([0.1, 0.3, 0.2])
        return {
            "training": np.stack([curve + 0.1, curve]),
            "validation": np.stack([curve, curve - 0.1]),
            "kept": np.array([1, 2]),
            "test": np.array([start, start + 0.1]),
        }

    comparisons = {name: {"X": runs(0.2), "Y": runs(0.4)} for name in ("sound", "A", "B", "C")}
    figure = plots.show_broken_comparisons(comparisons, 0.2, "title")
    assert len(figure.axes) == 8
    for axis, name in zip(figure.axes, comparisons, strict=False):
        assert axis.get_title(loc="left") == name
        training, validation, kept, test, first = axis.lines[:5]
        np.testing.assert_allclose(training.get_xydata(), [[1, 0.4], [2, 0.6], [3, 0.5]])
        np.testing.assert_allclose(validation.get_ydata(), [0.3, 0.5, 0.4])
        np.testing.assert_allclose(kept.get_xydata(), [[2, 0.5]])
        np.testing.assert_allclose(test.get_ydata(), [0.2, 0.3])
        np.testing.assert_allclose(first.get_ydata(), [0.2])
        assert (test.get_xdata() > 3).all()
    words = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert words[2:] == ["kept epoch", "X", "Y", "guessing"]
    assert not small_text(figure)
