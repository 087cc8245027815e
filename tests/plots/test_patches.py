import numpy as np

from vit_keras_lib import patchify, plots


def photo(H=12, W=18):
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype="uint8")


def pictures(figure):
    return [image.get_array() for axis in figure.axes for image in axis.get_images()]


def test_photos_are_shown_in_order_and_unchanged():
    photos = np.stack([photo() for _ in range(5)])
    figure = plots.show_photos(photos, titles=list("abcde"), columns=3, title="five")
    np.testing.assert_array_equal(pictures(figure), photos)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [*"abcde", ""]
    assert figure._suptitle.get_text() == "five"


def test_each_patch_carries_its_number_in_its_middle():
    figure = plots.show_patch_grid(photo(), 6)
    texts = {t.get_text(): t.get_position() for t in figure.axes[0].texts}
    assert list(texts) == ["0", "1", "2", "3", "4", "5"]
    assert texts["4"] == (8.5, 8.5)  # row 1, column 1, of 6 pixels each
    assert len(figure.axes[0].lines) == 1 + 2  # grid lines


def test_a_sequence_shows_the_patches_one_by_one():
    image = photo()
    figure = plots.show_sequence(np.asarray(patchify(image[None], 6))[0], 6, columns=4)
    shown = pictures(figure)
    assert len(shown) == 6
    np.testing.assert_array_equal(shown[4], image[6:12, 6:12])


def test_side_by_side_takes_pictures_of_any_size():
    figure = plots.show_side_by_side([photo(), photo(6, 6)], ["a", "b"])
    assert [p.shape for p in pictures(figure)] == [(12, 18, 3), (6, 6, 3)]


def test_costs_draws_the_table():
    figure = plots.show_costs([(8, 10, 0.1, 5.0), (4, 40, 0.3, 20.0)])
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[10, 5], [40, 20]])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [10, 30])
