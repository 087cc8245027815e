import numpy as np
import pytest

from vit_keras_lib import plots


def random(*shape):
    return np.random.default_rng(0).uniform(size=shape)


def words(axis):
    return [text.get_text() for text in axis.texts]


def test_the_table_shows_every_weight_between_its_two_patches():
    patches, weights = random(3, 4, 4, 3) * 255, random(3, 3)
    axes = np.reshape(plots.show_attention_table(patches, weights).axes, (4, 4))
    for i in range(3):
        for axis in (axes[0, i + 1], axes[i + 1, 0]):
            np.testing.assert_array_equal(axis.images[0].get_array(), patches[i].astype("uint8"))
        for j in range(3):
            assert axes[i + 1, j + 1].images[0].get_array() == weights[i, j]
            assert words(axes[i + 1, j + 1]) == [f"{weights[i, j]:.2f}"]


def test_scale_draws_both_measures_of_each_scale():
    dims, names = [2, 4, 8], ["none", "root", "d"]
    largest, movement = ({name: random(3) + i for i, name in enumerate(names)} for _ in range(2))
    figure = plots.show_scale(dims, largest, movement)
    for axis, curves in zip(figure.axes, (largest, movement), strict=True):
        assert [line.get_label() for line in axis.lines] == names
        for line, values in zip(axis.lines, curves.values(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), np.stack([dims, values], axis=1))


def test_heads_are_laid_over_the_photo_and_the_query_is_framed():
    photo, heat = random(8, 12, 3) * 255, random(5, 2, 3) * 4
    figure = plots.show_heads(photo, heat, (1, 2), top=4, columns=3)
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title(loc="left") for axis in shown] == [f"head {i}" for i in range(5)]
    for axis, one in zip(shown, heat, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), plots.overlay(photo, one / 4))
        (frame,) = axis.patches
        assert frame.get_bbox().bounds == (7.5, 3.5, 4, 4)  # row 1, column 2, of 4 x 4 pixels


def test_depth_draws_every_measure_of_every_stack():
    measures = {m: {s: random(7) + i for i, s in enumerate("abcde")} for m in ("size", "slope")}
    figure = plots.show_depth(measures)
    for axis, (name, stacks) in zip(figure.axes, measures.items(), strict=True):
        assert axis.get_title(loc="left") == name
        assert axis.get_yscale() == "log"
        for line, (stack, values) in zip(axis.lines, stacks.items(), strict=True):
            assert line.get_label() == stack
            expected = np.stack([np.arange(1, 8), values], axis=1)
            np.testing.assert_array_equal(line.get_xydata(), expected)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list("abcde")


def test_gelu_is_drawn_over_the_inputs():
    figure = plots.show_gelu(np.array([-1.0, -1.0, 0.5]))
    axis = figure.axes[0]
    x, y = axis.lines[0].get_data()
    at = dict(zip(np.round(x, 2), y, strict=True))
    assert at[0] == pytest.approx(0)
    assert at[1] == pytest.approx(0.8413, abs=1e-4)  # x times the normal distribution up to x
    assert at[-1] == pytest.approx(-0.1587, abs=1e-4)
    heights = {round(bar.get_x(), 2): bar.get_height() for bar in axis.patches if bar.get_height()}
    assert list(heights.values()) == pytest.approx([1, 0.5])


def test_budget_bars_are_shares_in_the_order_of_the_parts():
    rows = [("ours", {"attention": 1, "MLP": 2, "head": 1}), ("theirs", {"head": 97, "MLP": 3})]
    axis = plots.show_budget(rows).axes[0]
    bars = np.reshape(axis.patches, (2, len(plots.PARTS)))
    widths = [dict(zip(plots.PARTS, (bar.get_width() for bar in row), strict=True)) for row in bars]
    assert widths[0]["attention"] == 25
    assert widths[0]["MLP"] == 50
    assert widths[1]["head"] == pytest.approx(97)
    for row in bars:
        ends = np.cumsum([bar.get_width() for bar in row])
        assert ends[-1] == pytest.approx(100)
        np.testing.assert_allclose([bar.get_x() for bar in row], [0, *ends[:-1]])
    assert words(axis) == ["25 %", "50 %", "25 %", "97 %"]  # 3 % is too narrow for its number
    assert [label.get_text() for label in axis.get_yticklabels()] == ["ours", "theirs"]


STEPS = [("in", "", (4, 4, 3), "pixels"), ("one", "MLP", (9,), ""), ("two", "", (2,), "logits")]
BLOCK = [
    ("", "", (5, 8), ""),
    ("norm", "norms", (5, 8), ""),
    ("mix", "attention", (5, 6), "mixes"),
    ("+", "", (5, 8), ""),
    ("think", "MLP", (5, 7), ""),
    ("+", "", (5, 9), ""),
]


def test_the_drawn_model_has_a_shape_at_every_arrow():
    photo = random(4, 4, 3) * 255
    axis = plots.show_assembly(STEPS, BLOCK, "two", photo).axes[0]
    for steps in (STEPS, BLOCK):
        for name, _, shape, note in steps[1:]:
            assert {name, str(shape), note} <= set(words(axis))
    arrows = [text for text in axis.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == len(STEPS) + len(BLOCK) + 2  # one behind each step, two residuals
    np.testing.assert_array_equal(axis.images[0].get_array(), photo.astype("uint8"))


def test_residuals_begin_where_the_last_sum_ended():
    axis = plots.show_assembly(STEPS, BLOCK, "one").axes[0]
    first, second = (line for line in axis.lines if len(line.get_xdata()) == 3)
    spacing = 1.0  # as many rows as steps of the block
    np.testing.assert_allclose(first.get_ydata(), [-0.5 * spacing, -0.5 * spacing, -3 * spacing])
    np.testing.assert_allclose(second.get_ydata(), [-3.5 * spacing, -3.5 * spacing, -5 * spacing])


def test_broken_blocks_show_map_row_sums_and_size():
    stacks = {name: (random(4, 4) + i, random(6) + i) for i, name in enumerate(("sound", "A"))}
    figure = plots.show_broken_blocks(stacks)
    axes = np.reshape(figure.axes, (3, 2))
    for (name, (weights, sizes)), (a, b, c) in zip(stacks.items(), axes.T, strict=True):
        assert a.get_title(loc="left") == name
        np.testing.assert_array_equal(a.images[0].get_array(), weights)
        np.testing.assert_allclose([bar.get_height() for bar in b.patches], weights.sum(axis=1))
        np.testing.assert_array_equal(c.lines[0].get_ydata(), sizes)
    scales = {a.images[0].get_clim() for a in axes[0]}
    assert len(scales) == 1  # one colour scale for all
