"""The checks of notebook 02: right answers in other words, and what the planted bugs show."""

import numpy as np
import pytest

from vit_keras_lib import patchify, unpatchify
from vit_keras_lib.exercises import patches

# --- Right answers, written in other ways than the reference ----------------------------------


def corner_by_remainder(number, image_size, patch_size):
    columns = image_size[1] // patch_size
    return number // columns * patch_size, number % columns * patch_size


def corner_by_listing(number, image_size, patch_size):
    H, W = image_size
    return [(r, c) for r in range(0, H, patch_size) for c in range(0, W, patch_size)][number]


def corner_by_unravelling(number, image_size, patch_size):
    grid = image_size[0] // patch_size, image_size[1] // patch_size
    return tuple(at * patch_size for at in np.unravel_index(number, grid))


def cut_by_slices(image, patch_size):
    H, W = image.shape[:2]
    corners = [(r, c) for r in range(0, H, patch_size) for c in range(0, W, patch_size)]
    squares = [image[r : r + patch_size, c : c + patch_size] for r, c in corners]
    return np.stack([square.reshape(-1) for square in squares])


def cut_by_splitting(image, patch_size):
    H, W = image.shape[:2]
    strips = np.split(image, H // patch_size)
    squares = [square for strip in strips for square in np.split(strip, W // patch_size, axis=1)]
    return np.array(squares).reshape(len(squares), -1)


def cut_by_swapping(image, patch_size):
    (H, _, C), P = image.shape, patch_size
    return image.reshape(H // P, P, -1, P * C).swapaxes(1, 2).reshape(-1, P * P * C)


def join_by_slices(patches_, grid, patch_size):
    (rows, columns), P = grid, patch_size
    image = np.zeros((rows * P, columns * P, patches_.shape[1] // P**2), patches_.dtype)
    for n, patch in enumerate(patches_):
        r, c = n // columns * P, n % columns * P
        image[r : r + P, c : c + P] = patch.reshape(P, P, -1)
    return image


def join_by_stacking(patches_, grid, patch_size):
    squares = patches_.reshape(*grid, patch_size, patch_size, -1)
    return np.concatenate([np.concatenate(row, axis=1) for row in squares])


def kernel_by_columns(kernel, patch_size):
    filters = [weights.reshape(patch_size, patch_size, -1) for weights in kernel.T]
    return np.stack(filters, axis=-1)


def kernel_by_loops(kernel, patch_size):
    C = len(kernel) // patch_size**2
    weights = np.zeros((patch_size, patch_size, C, kernel.shape[1]))
    for r, c, k in np.ndindex(weights.shape[:3]):
        weights[r, c, k] = kernel[(r * patch_size + c) * C + k]
    return weights


# Judged in test_pages.py.
RIGHT = {
    patches.check_patch_corner: [corner_by_remainder, corner_by_listing, corner_by_unravelling],
    patches.check_cut: [cut_by_slices, cut_by_splitting, cut_by_swapping],
    patches.check_join: [join_by_slices, join_by_stacking],
    patches.check_convolution_kernel: [kernel_by_columns, kernel_by_loops],
}


# --- The exercises and the library say the same -----------------------------------------------


@pytest.mark.parametrize(("H", "W", "P"), [(12, 20, 4), (20, 12, 4), (9, 6, 3)])
def test_cut_and_join_are_those_of_the_library(H, W, P):
    image = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype="uint8")
    cut = patches.cut(image, P)
    np.testing.assert_array_equal(cut, patchify(image[None], P)[0])
    joined = patches.join(cut, (H // P, W // P), P)
    np.testing.assert_array_equal(joined, image)
    np.testing.assert_array_equal(joined, unpatchify(cut[None], P, (H // P, W // P))[0])


def test_patches_begin_where_patch_corner_says():
    image = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype="uint8")
    for n, patch in enumerate(patches.cut(image, 4)):
        r, c = patches.patch_corner(n, (12, 20), 4)
        np.testing.assert_array_equal(patch, image[r : r + 4, c : c + 4].ravel())


def test_the_convolution_kernel_computes_what_dense_does():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(6, 9, 2)), rng.normal(size=(18, 5))
    weights = patches.convolution_kernel(kernel, 3)  # (3, 3, 2, 5)
    tokens = patches.cut(image, 3) @ kernel  # (6, 5)
    for n, token in enumerate(tokens):
        r, c = patches.patch_corner(n, (6, 9), 3)
        window = image[r : r + 3, c : c + 3]  # (3, 3, 2)
        np.testing.assert_allclose(np.tensordot(window, weights, axes=3), token)


# --- Mistakes that come in more than one dress ------------------------------------------------


def test_code_for_squares_only_is_recognised_in_other_dress(capsys):
    def cut_rows_twice(image, P):
        side = image.shape[0] // P
        squares = [
            image[r * P : (r + 1) * P, c * P : (c + 1) * P] for r, c in np.ndindex(side, side)
        ]
        return np.stack([square.ravel() for square in squares])

    def join_rows_twice(patches_, grid, P):
        return patches.join(patches_[: grid[0] ** 2], (grid[0], grid[0]), P)

    patches.check_cut(cut_rows_twice)
    assert "Known mistake: Only square images" in capsys.readouterr().out
    patches.check_join(join_rows_twice)
    assert "Known mistake: Only square grids" in capsys.readouterr().out


@pytest.mark.parametrize("wrap", [np.array, list])
def test_whole_numbers_in_another_box_are_not_taken_for_floats(wrap, capsys):
    patches.check_patch_corner(lambda *a: wrap(patches.patch_corner(*a)))
    shown = capsys.readouterr().out
    assert "expected a tuple" in shown
    assert "Known mistake" not in shown


def test_floats_are_recognised_in_another_box(capsys):
    patches.check_patch_corner(lambda *a: np.array(patches.patch_corner(*a)) / 1)
    assert "Known mistake: Floats. " in capsys.readouterr().out


def test_each_mistake_has_a_result_of_its_own():
    for exercise in patches.EXERCISES[:-1]:
        cases = [*exercise.hand_sized, *exercise.random]
        for i, first in enumerate(exercise.mistakes):
            for second in exercise.mistakes[:i]:
                if not first.sign and not second.sign:
                    pairs = [(first.wrong(*c.args), second.wrong(*c.args)) for c in cases]
                    assert not all(np.array_equal(a, b) for a, b in pairs)


# --- What went wrong --------------------------------------------------------------------------


@pytest.fixture
def broken():
    """A colourful photo, (96, 96, 3), and cause -> the picture its bug makes."""
    photo = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype="uint8")
    pictures = patches.broken_pictures(photo, 16)
    return photo, {patches.DIAGNOSIS.truth[name]: picture for name, picture in pictures.items()}


def squares(picture):
    return patches.cut(picture, 16).reshape(36, 16, 16, 3)


def colours(square):
    """Return the pixels of a square without their order."""
    pixels = square.reshape(-1, 3).astype(int)
    return np.sort(pixels @ [65536, 256, 1])


def test_each_bug_keeps_all_numbers(broken):
    photo, pictures = broken
    assert set(pictures) == set(patches.CAUSES)
    for picture in pictures.values():
        assert picture.shape == photo.shape
        assert picture.dtype == photo.dtype
        np.testing.assert_array_equal(np.sort(picture, None), np.sort(photo, None))
        assert (picture != photo).any(axis=-1).mean() > 0.8


def test_patches_on_their_side_keep_their_place_and_colours(broken):
    photo, pictures = broken
    for before, after in zip(
        squares(photo), squares(pictures["patches on their side"]), strict=True
    ):
        np.testing.assert_array_equal(after, before.swapaxes(0, 1))


def test_columns_first_moves_whole_patches_across_the_diagonal(broken):
    photo, pictures = broken
    before, after = squares(photo), squares(pictures["columns first"])
    np.testing.assert_array_equal(after.reshape(6, 6, -1), before.reshape(6, 6, -1).swapaxes(0, 1))
    assert [n for n in range(36) if np.array_equal(before[n], after[n])] == [0, 7, 14, 21, 28, 35]


def test_reshape_alone_keeps_colours_but_no_patch(broken):
    photo, pictures = broken
    picture = pictures["reshape alone"]
    np.testing.assert_array_equal(colours(picture), colours(photo))
    whole = {colours(square).tobytes() for square in squares(photo)}
    assert all(colours(square).tobytes() not in whole for square in squares(picture))


def test_channels_first_makes_pixels_of_one_channel():
    """In a photo of smooth colours, three reds side by side are nearly equal: grey."""
    y, x = np.mgrid[:96, :96]
    photo = np.stack([x + y, 250 - x - y, 0 * x], axis=-1).clip(0, 255).astype("uint8")
    cause = {c: name for name, c in patches.DIAGNOSIS.truth.items()}
    picture = patches.broken_pictures(photo, 16)[cause["channels first"]]
    assert np.median(np.ptp(photo.astype(int), axis=-1)) > 100
    assert np.median(np.ptp(picture.astype(int), axis=-1)) <= 2
    for before, after in zip(squares(photo), squares(picture), strict=True):
        np.testing.assert_array_equal(np.sort(after, None), np.sort(before, None))
