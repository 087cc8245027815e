import matplotlib
import numpy as np
import pytest

from vit_keras_lib import plots


def test_overlay_paints_each_patch_in_one_colour_at_its_place():
    image = np.zeros((4, 6, 3), "uint8")
    heat = np.array([[0.0, 1.0, 0.5], [0.25, 2.0, -1.0]])
    painted = plots.overlay(image, heat, alpha=1.0)
    assert painted.shape == (4, 6, 3)
    colours = matplotlib.colormaps["viridis"]
    for (r, c), value in np.ndenumerate(heat):
        expected = np.array(colours(float(np.clip(value, 0, 1)))[:3])
        square = painted[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
        np.testing.assert_allclose(square, np.broadcast_to(expected, (2, 2, 3)))


def test_overlay_of_nothing_is_the_photo():
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype="uint8")
    np.testing.assert_allclose(plots.overlay(image, np.ones((2, 2)), alpha=0.0), image / 255)


def test_overlay_refuses_a_grid_that_does_not_divide_the_photo():
    with pytest.raises(ValueError, match="3 x 3 patches does not divide a photo of 4 x 4"):
        plots.overlay(np.zeros((4, 4, 3)), np.zeros((3, 3)))


def test_atlas_shows_every_head_and_the_mean_on_one_scale():
    maps = np.random.default_rng(0).uniform(0, 3, (2, 3, 4, 5))
    figure = plots.show_atlas(maps, top=3.0)
    images = [image for axis in figure.axes for image in axis.get_images()]
    images = images[: 2 * 4]  # the colour bar is an axis too
    assert {image.get_clim() for image in images} == {(0.0, 3.0)}
    np.testing.assert_array_equal(images[5].get_array(), maps[1, 1])
    np.testing.assert_allclose(images[7].get_array(), maps[1].mean(axis=0))


def test_maps_stand_beside_their_photo():
    photos = np.zeros((2, 4, 6, 3), "uint8")
    maps = np.ones((2, 3, 2, 3))
    figure = plots.show_maps(photos, maps, ["a", "b"], ["x", "y", "z"], top=2.0)
    shown = [image.get_array() for axis in figure.axes for image in axis.get_images()]
    assert len([s for s in shown if s.shape == (4, 6, 3)]) == 2 * 4
    np.testing.assert_allclose(shown[1], plots.overlay(photos[0], maps[0, 0] / 2))


def test_the_query_is_framed_where_it_is():
    figure = plots.show_query(np.zeros((4, 6, 3)), np.ones((1, 2, 3)), [(1, 2)], top=1.0)
    (box,) = figure.axes[0].patches
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (3.5, 1.5, 2, 2)


def random(*shape):
    return np.random.default_rng(0).uniform(size=shape)


def words(axis):
    return [text.get_text() for text in axis.texts]


def outline(axis, which):
    return {tuple(map(tuple, line)) for line in axis.collections[which].get_segments()}


def test_kept_patches_stay_bright_and_the_outlines_lie_on_the_borders():
    photos = np.full((2, 4, 6, 3), 200, "uint8")
    kept = np.zeros((1, 2, 2, 3), bool)
    kept[0, 0, 1, 2] = True  # row 1, column 2, of 2 x 2 pixels each
    truth = np.zeros((2, 4, 6), bool)
    truth[0, 0, 1] = True
    figure = plots.show_kept(photos, kept, truth, ["way"], ["a", "b"])
    left, right = figure.axes
    shown = left.images[0].get_array()
    np.testing.assert_allclose(shown[2:, 4:], 200 / 255)
    np.testing.assert_allclose(shown[:2], 60 / 255)
    np.testing.assert_allclose(shown[2:, :4], 60 / 255)
    square = {((x, y), (x + 1, y)) for x in (3.5, 4.5) for y in (1.5, 3.5)}
    square |= {((x, y), (x, y + 1)) for x in (3.5, 5.5) for y in (1.5, 2.5)}
    assert outline(left, 0) == square
    pixel = {((0.5, -0.5), (1.5, -0.5)), ((0.5, 0.5), (1.5, 0.5))}
    pixel |= {((0.5, -0.5), (0.5, 0.5)), ((1.5, -0.5), (1.5, 0.5))}
    assert outline(left, 1) == pixel
    assert outline(right, 0) == outline(right, 1) == set()
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["a", "b"]


def test_lift_draws_every_head_twice_and_the_means():
    lift, others = random(3, 4) + 1, random(3, 4)
    (axis,) = plots.show_lift(lift, others).axes
    dots, bars, other_dots, other_bars, chance = axis.lines
    for drawn, means, values, shift in (
        (dots, bars, lift, -0.13),
        (other_dots, other_bars, others, 0.13),
    ):
        x, y = drawn.get_data()
        np.testing.assert_array_equal(np.reshape(y, (3, 4)), values)
        np.testing.assert_allclose(np.reshape(x, (3, 4)), [[b + shift] * 4 for b in range(3)])
        np.testing.assert_allclose(means.get_ydata(), values.mean(axis=1))
    assert list(chance.get_ydata()) == [1, 1]


def test_distances_draw_every_head_and_both_landmarks():
    distances = random(3, 4) * 50
    (axis,) = plots.show_distances(distances, 49.28, 15.5).axes
    dots, even, near = axis.lines
    x, y = dots.get_data()
    np.testing.assert_array_equal(np.reshape(y, (3, 4)), np.sort(distances, axis=1))
    np.testing.assert_array_equal(np.round(np.reshape(x, (3, 4))), [[b] * 4 for b in range(3)])
    assert (even.get_ydata()[0], near.get_ydata()[0]) == (49.28, 15.5)
    assert words(axis) == ["spread evenly\n49.3", "own patch\nand neighbours\n15.5"]
    assert axis.get_ylim()[0] == 0
    assert axis.get_ylim()[1] > 49.28


def test_the_lens_strip_fills_each_box_to_its_probability():
    answers = np.array([["rose", "tulip", "daisy"], ["daisy", "rose", "rose"]])
    probabilities, right = random(2, 3), np.array([[1, 0, 0], [0, 1, 1]], bool)
    figure = plots.show_lens_strip(random(2, 4, 6, 3) * 255, answers, probabilities, right)
    axes = np.reshape(figure.axes, (2, 4))
    assert all(axis.images for axis in axes[:, 0])
    for (b, i), name in np.ndenumerate(answers):
        axis = axes[b, 1 + i]
        (box,) = axis.patches
        assert box.get_bbox().bounds == (0, 0, 1, probabilities[b, i])
        sign = "✓" if right[b, i] else "✗"
        assert words(axis) == [f"{name}\n{sign} {probabilities[b, i]:.0%}"]
        other = axes[tuple(np.argwhere(right != right[b, i])[0] + [0, 1])].patches[0]
        assert box.get_facecolor() != other.get_facecolor()


@pytest.mark.parametrize("prefix", [0, 2])
def test_norms_draw_the_patches_and_the_first_prefix_token(prefix):
    norms = random(5, 3, 9) + 1
    (axis,) = plots.show_norms(norms, prefix).axes
    patches = norms[:, :, prefix:]
    middle, ten_times, *first = axis.lines
    expected = np.median(patches, axis=(0, 2))
    np.testing.assert_allclose(middle.get_ydata(), expected)
    np.testing.assert_allclose(ten_times.get_ydata(), 10 * expected)
    assert len(first) == (prefix > 0)
    for line in first:
        np.testing.assert_allclose(line.get_ydata(), norms[:, :, 0].mean(axis=0))
    corners = axis.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == patches.min()
    assert corners[:, 1].max() == patches.max()
    assert ("class token" in words(axis)) == (prefix > 0)


def test_broken_maps_share_one_scale_and_outline_the_flowers():
    maps = {"sound": random(2, 2, 3), "A": 4 * random(2, 2, 3)}
    flowers = np.zeros((2, 2, 3), bool)
    flowers[0, 1, 2] = True
    figure = plots.show_broken_maps(maps, flowers)
    axes = np.reshape(figure.axes[:4], (2, 2))
    top = maps["A"].max()
    for line, each in zip(axes, maps.values(), strict=True):
        for axis, heat in zip(line, each, strict=True):
            np.testing.assert_array_equal(axis.images[0].get_array(), heat)
            assert axis.images[0].get_clim() == (0, top)
        corners = {((1.5, 0.5), (2.5, 0.5)), ((1.5, 1.5), (2.5, 1.5))}
        corners |= {((1.5, 0.5), (1.5, 1.5)), ((2.5, 0.5), (2.5, 1.5))}
        assert outline(line[0], 0) == corners
        assert outline(line[1], 0) == set()
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["sound", "A"]
    titles = [axis.get_title(loc="left") for axis in axes[0]]
    assert titles == ["photo 0", "photo 1: no flower"]
