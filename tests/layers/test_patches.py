import keras
import ml_dtypes
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import Patches, patch_grid, patchify, unpatchify
from vit_keras_lib.layers import ShufflePatches

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


def sorted_patches(images, patch):
    """The patches of each image in an order of their own: two images of one set are equal."""
    patches = ops.convert_to_numpy(patchify(images, patch)).astype("float32")  # (B, N, P*P*C)
    return np.stack([p[np.lexsort(p.T)] for p in patches])


def test_shuffled_patches_as_a_layer(check_layer):
    # Only with one order: two models, or two precisions, would otherwise draw apart.
    config = {"patch_size": (4, 2), "one_order": True, "seed": 3}
    layer = check_layer(ShufflePatches, config, (8, 6, 3), (8, 6, 3), weights=0)
    images = pixels(8, 6, "float32")
    order = np.random.default_rng(3).permutation(6)
    expected = ops.convert_to_numpy(patchify(images, (4, 2)))[:, order]
    np.testing.assert_array_equal(patchify(layer(images), (4, 2)), expected)
    np.testing.assert_array_equal(layer(images), layer(images))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("one_order", [False, True])
@pytest.mark.parametrize(("size", "patch"), [((24, 16), 4), ((12, 30), (3, 2))])
def test_shuffling_keeps_the_patches(size, patch, one_order, dtype):
    # 2,304 pixels and more: 8 bits of bfloat16 cannot tell them all apart, which does not matter.
    images = pixels(*size, dtype)
    policy = "float32" if dtype == "uint8" else np.dtype(dtype).name
    shuffled = ShufflePatches(patch, one_order, dtype=policy)(images)
    assert keras.backend.standardize_dtype(shuffled.dtype) == np.dtype(dtype).name
    shuffled = ops.convert_to_numpy(shuffled)
    assert shuffled.shape == images.shape
    assert not np.array_equal(shuffled, images)
    np.testing.assert_array_equal(sorted_patches(shuffled, patch), sorted_patches(images, patch))


def test_each_picture_has_an_order_of_its_own_drawn_anew_in_every_call():
    images = np.repeat(pixels(16, 24, "float32", B=1), 5, axis=0)
    layer, again = ShufflePatches(2, seed=1), ShufflePatches(2, seed=1)
    calls = [ops.convert_to_numpy(layer(images)) for _ in range(3)]
    assert len(np.unique(np.reshape(calls, (15, -1)), axis=0)) == 15
    for call in calls:
        np.testing.assert_array_equal(again(images), call)
    other = ops.convert_to_numpy(ShufflePatches(2, seed=2)(images))
    assert not np.array_equal(other, calls[0])


def test_every_order_is_as_likely():
    images = np.tile(np.arange(3.0).reshape(1, 3, 1, 1), (3000, 1, 1, 1))
    shuffled = ops.convert_to_numpy(ShufflePatches(1)(images)).reshape(3000, 3)
    orders, counts = np.unique(shuffled, axis=0, return_counts=True)
    assert len(orders) == 6
    assert counts.min() > 400  # of 500, with a standard deviation of 20


@pytest.mark.parametrize("jit", [False, True])
def test_a_compiled_model_draws_in_every_batch_also_in_inference(jit, tmp_path):
    inputs = keras.Input((8, 12, 3))
    model = keras.Model(inputs, ShufflePatches((2, 3), seed=5)(inputs))
    model.compile(jit_compile=jit)
    images = np.repeat(pixels(8, 12, "float32", B=1), 6, axis=0)
    shuffled = model.predict(images, batch_size=2, verbose=0)
    assert len(np.unique(shuffled.reshape(6, -1), axis=0)) == 6
    np.testing.assert_array_equal(sorted_patches(shuffled, (2, 3)), sorted_patches(images, (2, 3)))

    model.save(tmp_path / "shuffled.keras")
    loaded = keras.models.load_model(tmp_path / "shuffled.keras")
    (layer,) = (x for x in loaded.layers if isinstance(x, ShufflePatches))
    assert (layer.patch_size, layer.one_order, layer.seed) == ((2, 3), False, 5)
    again = loaded.predict(images, batch_size=2, verbose=0)
    np.testing.assert_array_equal(sorted_patches(again, (2, 3)), sorted_patches(images, (2, 3)))


@pytest.mark.parametrize("one_order", [False, True])
def test_a_vit_without_positions_cannot_tell(tiny_vit, one_order):
    images = np.random.default_rng(0).uniform(0, 255, (4, 24, 16, 3)).astype("float32")
    shuffled = ShufflePatches(8, one_order)(images)
    for position in ("none", "learned"):
        model = tiny_vit(position=position)
        model.get_layer("head").kernel.assign(np.random.default_rng(1).normal(size=(24, 5)))
        if position == "learned":
            table = model.get_layer("encoder").position_table
            table.assign(np.random.default_rng(2).normal(size=table.shape))
        difference = np.abs(
            ops.convert_to_numpy(model(shuffled)) - ops.convert_to_numpy(model(images))
        ).max()
        assert difference < 1e-5 if position == "none" else difference > 1e-2


def test_what_cannot_be_shuffled_is_refused():
    with pytest.raises(ValueError, match=r"H=75, W=75 .*P=6 x 6"):
        ShufflePatches(6)(np.zeros((1, 75, 75, 3)))
    with pytest.raises(ValueError, match=r"H=75, W=75 .*P=6 x 6"):
        ShufflePatches(6)(keras.Input((75, 75, 3)))
    with pytest.raises(ValueError, match=r"patch_size"):
        ShufflePatches(0)
    for seed in (None, -1, 0.5):
        with pytest.raises(ValueError, match=rf"`seed` must be .* got {seed}"):
            ShufflePatches(2, seed=seed)
