import numpy as np
import pytest

from vit_keras_lib import plots, sincos2d_table


def test_similarity_maps_of_a_table_by_hand():
    table = np.array([[1, 0], [0, 2], [3, 0], [-1, 0], [1, 1], [0, -4]], "float32")
    maps = plots.similarity_maps(table, (2, 3))
    half = 0.5**0.5
    np.testing.assert_allclose(maps[0, 0], [[1, 0, 1], [-1, half, 0]], atol=1e-12)
    np.testing.assert_allclose(maps[1, 1], [[half, half, half], [-half, 1, -half]], atol=1e-12)


def test_similarity_by_distance_means_over_equal_distances():
    maps = np.arange(36.0).reshape(2, 3, 2, 3)
    distance, mean = plots.similarity_by_distance(maps)
    np.testing.assert_allclose(distance, np.sqrt([1, 2, 4, 5]))
    pairs = maps.reshape(6, 6)
    beside = [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]
    assert mean[0] == np.mean([pairs[a, b] + pairs[b, a] for a, b in beside]) / 2
    assert mean[3] == np.mean([pairs[0, 5], pairs[5, 0], pairs[2, 3], pairs[3, 2]])


def test_similarity_in_the_fixed_table_falls_with_distance():
    _, mean = plots.similarity_by_distance(
        plots.similarity_maps(sincos2d_table((6, 6), 64), (6, 6))
    )
    assert mean[0] == mean.max()


def pictures(figure):
    return [image for axis in figure.axes for image in axis.get_images()]


def test_each_map_lies_where_its_place_is():
    maps = np.random.default_rng(0).uniform(-1, 1, (2, 3, 2, 3))
    figure = plots.show_similarity([maps, maps[:, ::-1]], ["a", "b"], columns=3, low=-1)
    first, second = pictures(figure)[:2]
    sheet = np.ma.filled(first.get_array().astype(float), np.nan)
    assert sheet.shape == (2 * 3 - 1, 3 * 4 - 1)
    for (r, c), _ in np.ndenumerate(maps[:, :, 0, 0]):
        np.testing.assert_array_equal(sheet[3 * r : 3 * r + 2, 4 * c : 4 * c + 3], maps[r, c])
    assert np.isnan(sheet[2]).all() and np.isnan(sheet[:, 3]).all()
    assert first.get_clim() == second.get_clim() == (-1, 1)
    assert [axis.get_visible() for axis in figure.axes[:3]] == [True, True, False]


def test_without_a_common_scale_each_table_has_its_own():
    maps = np.random.default_rng(0).uniform(0, 1, (2, 2, 2, 2))
    figure = plots.show_similarity([maps, maps - 1], ["a", "b"])
    assert [image.get_clim() for image in pictures(figure)[:2]] == [
        (maps.min(), 1),
        (maps.min() - 1, 1),
    ]


def test_curves_are_drawn_in_order():
    figure = plots.show_curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [0, 9])}, "x", "y", chance=0.5)
    level, first, second = figure.axes[0].lines
    assert set(level.get_ydata()) == {0.5}
    np.testing.assert_array_equal(first.get_xydata(), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(second.get_ydata(), [0, 9])
    assert first.get_color() != second.get_color()


def test_places_are_written_and_coloured():
    own = np.argwhere(np.ones((2, 3))).reshape(2, 3, 2)
    moved = own + np.array([0.4, 0.0])
    figure = plots.show_places([own, moved], ["own", "moved"], (2, 3))
    written = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert written[0] == written[1] == ["0,0", "0,1", "0,2", "1,0", "1,1", "1,2"]
    colours, shifted = (image.get_array() for image in pictures(figure))
    assert len(np.unique(colours.reshape(6, 3), axis=0)) == 6
    assert not np.allclose(colours[0], shifted[0])
    np.testing.assert_allclose(colours[1], shifted[1])  # beyond the last row there is none
    assert colours.min() >= 0 and colours.max() <= 1


def test_ways_stand_beside_each_other():
    groups = {"toy": (0.5, {"small": [1.0, 0.4], "large": [0.9, 0.5]})}
    figure = plots.show_ways(groups, ("right", "wrong"))
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [1.0, 0.9, 0.4, 0.5]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    np.testing.assert_allclose(middles, [-0.19, 0.81, 0.19, 1.19])
    labels = {text.get_text() for text in figure.axes[0].texts}
    assert labels == {"100%", "90%", "40%", "50%", "guessing"}


@pytest.mark.parametrize("values", [[0.5, 0.54, 0.52], [0.5]])
def test_seeds_show_every_run_and_their_mean(values):
    figure = plots.show_seeds({"a": values, "b": [0.1, 0.3]})
    axis = figure.axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), 100 * np.array(values))
    means = [container[0].get_ydata()[0] for container in axis.containers]
    np.testing.assert_allclose(means, [100 * np.mean(values), 20])
    (low, high) = axis.containers[1][2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose(high - low, 2 * np.std([10, 30], ddof=1))
