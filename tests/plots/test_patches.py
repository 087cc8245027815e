import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("labels", "message"),
    [({"titles": ["a"]}, r"5 `titles` for 5 photos in 2 rows, got 1"),
     ({"row_labels": ["a", "b", "c"]}, r"2 `row_labels` for 5 photos in 2 rows, got 3")],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(labels, message):
    photos = np.stack([photo() for _ in range(5)])
    with pytest.raises(ValueError, match=message):
        plots.show_photos(photos, columns=3, **labels)


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


def test_numberings_are_written_and_what_they_share_is_framed():
    by_rows = np.arange(6).reshape(2, 3)
    by_columns = np.arange(6).reshape(3, 2).T
    figure = plots.show_numberings(photo(), 6, [by_rows, by_columns], ["a", "b"])
    for axis, numbering in zip(figure.axes, (by_rows, by_columns), strict=True):
        written = {t.get_position(): int(t.get_text()) for t in axis.texts}
        for (r, c), n in np.ndenumerate(numbering):
            assert written[(6 * c + 2.5, 6 * r + 2.5)] == n
        assert [box.get_xy() for box in axis.patches] == [(-0.5, -0.5), (11.5, 5.5)]
        assert {(box.get_width(), box.get_height()) for box in axis.patches} == {(6, 6)}


def test_costs_draws_the_table():
    figure = plots.show_costs([(8, 10, 0.1, 5.0, 1.0), (4, 40, 0.3, 20.0, 8.0)])
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[10, 5], [40, 20]])
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [1, 8])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.2, 0.4])
    np.testing.assert_allclose(right.lines[1].get_ydata(), [0.1, 0.3])
    assert [line.get_label() for line in right.lines] == ["by the clock", "by counting"]
    (patch_sizes,) = left.child_axes
    assert list(patch_sizes.get_xticks()) == [10, 40]
    assert [label.get_text() for label in patch_sizes.get_xticklabels()] == ["8", "4"]


def test_changes_are_bars_in_order_from_the_top():
    figure = plots.show_changes(["stays", "moves"], [1e-7, 0.42])
    (axis,) = figure.axes
    stays, moves = axis.patches
    assert stays.get_y() > moves.get_y()
    assert moves.get_width() == 0.42
    assert [t.get_text() for t in axis.texts] == ["0", "42%", "another photo"]
    assert axis.lines[0].get_xdata()[0] == 1


def test_filters_stand_in_rows_around_grey():
    filters = np.random.default_rng(0).normal(size=(4, 4, 3, 5))
    figure = plots.show_filters([filters, 10 * filters], ["a", "b"], columns=3)
    first, second = pictures(figure)
    assert first.shape == (2 * 4 + 2, 3 * 4 + 2 * 2, 3)
    np.testing.assert_allclose(first, second)  # each filter has a scale of its own
    tile = first[6:10, 6:10]  # the fifth: second row, second column
    np.testing.assert_allclose(2 * tile - 1, filters[..., 4] / np.abs(filters[..., 4]).max())
    assert (first[6:, 12:] == 1).all()  # no sixth


def test_roughness_counts_components_from_one():
    figure = plots.show_roughness([0.5, 1.0, 2.0], [2.0, 2.1, 1.9])
    (axis,) = figure.axes
    random, trained = axis.lines
    np.testing.assert_array_equal(trained.get_xydata(), [[1, 0.5], [2, 1.0], [3, 2.0]])
    np.testing.assert_array_equal(random.get_ydata(), [2.0, 2.1, 1.9])
    assert [t.get_text() for t in axis.texts] == ["random", "trained"]
