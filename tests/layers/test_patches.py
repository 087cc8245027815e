import keras
import ml_dtypes
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import Patches, patch_grid, patchify, unpatchify

DTYPES = ["uint8", "float32", ml_dtypes.bfloat16]
# image (H, W), patch: square and not, patch square and not
SIZES = [((8, 8), 4), ((12, 8), 4), ((4, 12), 2), ((6, 8), (3, 2)), ((5, 7), 1)]


def pixels(H, W, dtype, B=2, C=3):
    """Every pixel of an image another value, as far as the dtype can tell them apart."""
    return np.arange(B * H * W * C).reshape(B, H, W, C).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "patch"), SIZES)
def test_round_trip_is_exact_bit_for_bit(size, patch, dtype):
    images = pixels(*size, dtype)
    patches = patchify(images, patch)
    back = ops.convert_to_numpy(unpatchify(patches, patch, patch_grid(size, patch)))
    assert keras.backend.standardize_dtype(patches.dtype) == np.dtype(dtype).name
    assert back.dtype == images.dtype
    assert back.tobytes() == images.tobytes()


@pytest.mark.parametrize(("size", "patch"), SIZES)
def test_patch_at_row_and_column_is_that_slice_of_the_image(size, patch):
    images = pixels(*size, "float32")
    ph, pw = (patch, patch) if isinstance(patch, int) else patch
    rows, cols = patch_grid(size, patch)
    patches = ops.convert_to_numpy(patchify(images, patch))
    assert patches.shape == (2, rows * cols, ph * pw * 3)
    for r in range(rows):
        for c in range(cols):
            square = images[:, r * ph : (r + 1) * ph, c * pw : (c + 1) * pw]
            np.testing.assert_array_equal(patches[:, r * cols + c], square.reshape(2, -1))


def test_layer(check_layer):
    layer = check_layer(Patches, {"patch_size": (4, 2)}, (8, 6, 3), (6, 24), weights=0)
    images = pixels(8, 6, "float32")
    np.testing.assert_array_equal(layer(images), patchify(images, (4, 2)))


@pytest.mark.parametrize(("size", "patch"), [((75, 75), 6), ((96, 100), 16), ((4, 4), 8)])
def test_a_size_that_does_not_divide_is_refused_by_name(size, patch):
    H, W = size
    for cut in (
        lambda: patchify(np.zeros((1, H, W, 3)), patch),
        lambda: Patches(patch)(np.zeros((1, H, W, 3))),
        lambda: Patches(patch)(keras.Input((H, W, 3))),
        lambda: patch_grid(size, patch),
    ):
        with pytest.raises(ValueError, match=rf"H={H}, W={W} .*P={patch} x {patch}"):
            cut()


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8), (1, 1, 8, 8, 3)])
def test_what_is_not_a_batch_of_images_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, H, W, C\).*got .*images\[None\]"):
        patchify(np.zeros(shape), 4)


def test_unpatchify_refuses_a_grid_or_patch_that_does_not_fit():
    patches = patchify(pixels(8, 12, "uint8"), 4)  # (2, 6, 48), grid 2 x 3
    with pytest.raises(ValueError, match=r"2 \* 2 = 4"):
        unpatchify(patches, 4, (2, 2))
    with pytest.raises(ValueError, match=r"5 \* 5 = 25"):
        unpatchify(patches, 5, (2, 3))


@pytest.mark.parametrize("patch", [0, -4, 2.0, (4,), (4, 4, 4), "4"])
def test_patch_size_must_be_a_positive_integer_or_a_pair(patch):
    with pytest.raises(ValueError, match=r"patch_size"):
        Patches(patch)
