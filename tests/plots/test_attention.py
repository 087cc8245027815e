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
