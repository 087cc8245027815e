import numpy as np
import pytest
from matplotlib.colors import to_hex

from vit_keras_lib import plots

CONTROLS = ("uniform", "random", "centre", "sobel", "other_image", "random_init")
RULES = ("petals", "centre", "background")


def points(axis):
    """Return the (x, y) of all dots and signs, and of all bars as ((x0, x1), y), in order."""
    lines = [(np.atleast_1d(line.get_xdata()), line) for line in axis.lines]
    single = [
        (float(x[0]), float(np.ravel(line.get_ydata())[0])) for x, line in lines if len(x) == 1
    ]
    return single


def bars(axis):
    return [tuple(line.get_xdata()) for line in axis.lines if line.get_lw() == 3]


def small_text(figure):
    """Return the texts of a figure that are smaller than 9 points."""
    texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    return [text for text in texts if text.get_fontsize() < 9]


def test_maps_lie_on_their_photo_behind_the_picture_in_front():
    photos = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3))
    maps = np.random.default_rng(1).uniform(0, 3, (2, 3, 2, 3))
    front = 255 - photos
    figure = plots.show_map_table(
        photos, maps, ["a", "b"], ["x", "1", "2", "3"], "t", front, top=2.0
    )
    shown = [image.get_array() for axis in figure.axes for image in axis.get_images()]
    shown = [picture for picture in shown if picture.shape == (4, 6, 3)]
    assert len(shown) == 2 * 4
    np.testing.assert_array_equal(shown[4], front[1])
    np.testing.assert_allclose(shown[6], plots.overlay(photos[1], maps[1, 1] / 2, 0.7), atol=0.02)
    assert [axis.get_title(loc="left") for axis in figure.axes[:4]] == ["x", "1", "2", "3"]
    assert figure.axes[-1].get_ylim() == (0.0, 2.0)
    assert not small_text(figure)


def test_without_a_picture_in_front_the_photo_stands_there():
    photos = np.full((1, 4, 6, 3), 7)
    figure = plots.show_map_table(photos, np.ones((1, 1, 2, 3)))
    np.testing.assert_array_equal(figure.axes[0].get_images()[0].get_array(), photos[0])


def test_only_the_chosen_parts_keep_their_colour():
    photo = np.full((2, 3, 3), 100)
    parts = np.array([[0, 1, 2], [2, 0, 3]])
    faded = plots.only_part(photo, parts, (2, 3), rest=0.2)
    stays = np.isin(parts, (2, 3))
    assert (faded[stays] == 100).all()
    np.testing.assert_allclose(faded[~stays], 0.2 * 100 + 0.8 * 225)


def test_effects_are_drawn_by_rule_and_part():
    effects = {
        rule: {part: [r + p, r + p + 1] for p, part in enumerate(RULES)}
        for r, rule in enumerate(RULES)
    }
    figure = plots.show_effects(effects)
    for r, axis in enumerate(figure.axes):
        assert [bar.get_width() for bar in axis.patches] == [r + p + 0.5 for p in range(3)]
        dots = [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]
        assert [list(x) for x in dots] == [[r + p, r + p + 1] for p in range(3)]
    assert len({axis.get_xlim() for axis in figure.axes}) == 1
    assert not small_text(figure)


def cell(mean, means, gaps, clears):
    return {
        "mean": mean,
        "controls": dict(zip(CONTROLS, means, strict=True)),
        "better by": dict(zip(CONTROLS, gaps, strict=True)),
        "clears all six": clears,
    }


@pytest.fixture
def tables():
    means = [1.0, 1.1, 1.2, 1.5, 1.3, 1.0]
    gaps = [(1, 0.9, 1.1), (0.9, 0.8, 1), (0.8, 0.7, 0.9), (0.5, 0.4, 0.6), (0.7, 0.6, 0.8)]
    more = cell(2.0, means, [*gaps, (1, 0.9, 1.1)], True)
    less = cell(0.4, [0.5] * 6, [(0.1, -0.1, 0.3), *[(0.1, 0.05, 0.2)] * 5], False)
    row = {"lift": more, "idle_mass": less}
    ceiling = {"lift": {"mean": 3.0}, "idle_mass": {"mean": 0.0}}
    return {rule: {"true map": ceiling, "a map": row} for rule in RULES}


def test_scores_stand_beside_their_controls(tables):
    scores = {
        "lift": {"label": "lift", "chance": 1, "higher_is_better": True},
        "idle_mass": {"label": "idle mass", "chance": None, "higher_is_better": False},
    }
    figure = plots.show_scores(tables, scores)
    assert len(figure.axes) == 3 * 2
    lift, idle = figure.axes[:2]
    signs = points(lift)
    assert signs[0] == (3.0, 0)
    assert [x for x, y in signs[1:7]] == [1.0, 1.1, 1.2, 1.5, 1.3, 1.0]
    assert signs[7] == (2.0, 1)
    # The hardest control is the one with the lowest interval: 1.5, by 0.4 to 0.6.
    np.testing.assert_allclose(bars(lift), [(1.9, 2.1)])
    # Where less is better the bar lies below the control: 0.5 - 0.3 to 0.5 + 0.1.
    np.testing.assert_allclose(bars(idle), [(0.6, 0.2)])
    dots = [axis.lines[-1 if axis is idle else -2] for axis in (lift, idle)]
    assert [to_hex(dot.get_markerfacecolor()) for dot in dots] == [
        to_hex(plots.COLOURS["petal"]),
        "#ffffff",
    ]
    assert not small_text(figure)


def test_a_map_that_moves_is_drawn_where_it_moves_to():
    moves = {"true map": {part: (3, 2.9, 3.1) for part in RULES}}
    moves["a map"] = {part: (p, p - 0.5, p + 0.25) for p, part in enumerate(RULES)}
    moves |= {f"a map | {c}": dict.fromkeys(RULES, (0.0, 0.0, 0.0)) for c in CONTROLS}
    figure = plots.show_twin_rules(moves, ["true map", "a map"], RULES)
    for p, axis in enumerate(figure.axes):
        assert bars(axis) == [(2.9, 3.1), (p - 0.5, p + 0.25)]
        signs = points(axis)
        assert signs[0] == (3, 0)
        assert signs[1:7] == [(0.0, 1)] * 6
        assert signs[7] == (p, 1)
    assert not small_text(figure)


def test_every_model_has_a_dot_and_the_blind_are_hollow():
    table = {"sees": [0.1, 0.2, 0.3], "blind": [0.5, 0.5, 0.5]}
    values = {"measure": dict.fromkeys(RULES, table)}
    figure = plots.show_by_seed(values, {"measure": 0.5}, ["blind"])
    (axis,) = figure.axes
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in dots] == [*table.values()] * 3
    assert [to_hex(line.get_markerfacecolor()) == "#ffffff" for line in dots] == [False, True] * 3
    assert list(axis.lines[-1].get_xdata()) == [0.5, 0.5]
    assert not small_text(figure)


def test_deletion_shows_the_mean_over_scenes():
    curves = {"a": np.array([[1, 0.5], [0, 0.5]]), "random order": np.array([[1, 1], [0, 1]])}
    figure = plots.show_deletion([0, 0.9], curves)
    drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert drawn == {"a": [0.5, 0.5], "random order": [0.5, 1.0]}


def test_patching_shows_every_seed_and_the_mean():
    groups = {"class token": [[0, 1], [0, 0.5]], "patches": [[1, 0], [1, 0.5]]}
    figure = plots.show_patching(dict.fromkeys(RULES, groups))
    drawn = [list(line.get_ydata()) for line in figure.axes[1].lines]
    assert drawn[:3] == [[0, 1], [0, 0.5], [0, 0.75]]
    assert drawn[5] == [1, 0.25]
    assert not small_text(figure)


def test_layers_share_a_scale_round_zero():
    maps = np.zeros((3, 2, 3))
    maps[1, 0, 2] = -0.4
    figure = plots.show_patch_layers(np.zeros((4, 6, 3)), np.ones((4, 6, 3)), maps, [0, 0.5, 1])
    heats = [axis.get_images()[0] for axis in figure.axes[2:5]]
    assert {heat.get_clim() for heat in heats} == {(-0.4, 0.4)}
    np.testing.assert_array_equal(heats[1].get_array(), maps[1])
    assert [axis.get_xlabel() for axis in figure.axes[2:5]] == [
        f"class token\n{share}%" for share in (0, 50, 100)
    ]
    assert not small_text(figure)


def test_claims_stand_beside_what_is_so():
    figure = plots.show_claims({"case": {"said": [0.2, 0.8], "so": [1, 0]}}, ["1", "2"])
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.2, 0.8, 1, 0]


def test_judges_are_drawn_on_one_scale_a_measure():
    judges = {
        name: {"hit": {"a": 1.0, "b": value}, "lift": {"a": 2.0, "b": 1.0}}
        for name, value in (("sound", 0.5), ("A", 0.75))
    }
    figure = plots.show_judges(judges, {"hit": 0.5, "lift": 1.0})
    dots = [list(axis.lines[0].get_xdata()) for axis in figure.axes]
    assert dots == [[1.0, 0.5], [1.0, 0.75], [2.0, 1.0], [2.0, 1.0]]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert not small_text(figure)
