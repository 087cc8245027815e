"""Images to patches and back, bit for bit; and patches in another order."""

import numbers

import keras
import numpy as np
from keras import ops


def _pair(value, name):
    """Returns `value` as a pair of positive integers (height, width)."""
    # A NumPy integer is one too, and a part of a TensorFlow shape is a pair.
    pair = (value, value) if isinstance(value, (numbers.Number, type(None))) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, numbers.Integral) and v > 0 for v in pair):
        raise ValueError(
            f"`{name}` must be a positive integer or a pair (height, width) of them, got {value!r}."
        )
    return tuple(map(int, pair))


def patch_grid(image_size, patch_size):
    """Returns how many patches fit into an image.

    Args:
        image_size: int or (H, W), in pixels.
        patch_size: int or (ph, pw), in pixels.

    Returns:
        The grid (H / ph, W / pw).

    Raises:
        ValueError: if the image is not a whole number of patches.
    """
    H, W = _pair(image_size, "image_size")
    ph, pw = _pair(patch_size, "patch_size")
    if H % ph or W % pw:
        raise ValueError(
            f"An image of H={H}, W={W} pixels cannot be cut into patches of P={ph} x {pw}: "
            f"{H} % {ph} = {H % ph}, {W} % {pw} = {W % pw}. Resize or crop the image to a multiple "
            f"of the patch, for example {max(H // ph, 1) * ph} x {max(W // pw, 1) * pw}, "
            "or choose another patch size."
        )
    return H // ph, W // pw


def patchify(images, patch_size):
    """Cuts images into non-overlapping patches, row by row.

    The `N = (H / ph) * (W / pw)` patches `x_p` of Dosovitskiy et al. 2021 (arXiv 2010.11929,
    section 3.1). Only reshape and transpose: exact for every dtype.

    Args:
        images: (B, H, W, C), any dtype; H and W known, B may be unknown.
        patch_size: P, or (ph, pw), in pixels.

    Returns:
        (B, N, ph * pw * C), same dtype. Patch `r * (W / pw) + c` holds the pixels
        `images[:, r * ph : (r + 1) * ph, c * pw : (c + 1) * pw]`, rows first, channels last.

    Raises:
        ValueError: if `images` is not a batch of images or H, W are not multiples of the patch.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            "`images` must have shape (B, H, W, C) with H, W and C known, "
            f"got {shape}. A single image needs a batch axis: images[None]."
        )
    _, H, W, C = shape
    ph, pw = _pair(patch_size, "patch_size")
    rows, cols = patch_grid((H, W), (ph, pw))
    x = ops.reshape(images, (-1, rows, ph, cols, pw, C))  # (B, H, W, C) -> (B, r, ph, c, pw, C)
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # -> (B, r, c, ph, pw, C)
    return ops.reshape(x, (-1, rows * cols, ph * pw * C))  # -> (B, N, ph * pw * C)


def unpatchify(patches, patch_size, grid):
    """Puts patches back into images: the inverse of `patchify`, bit for bit.

    Args:
        patches: (B, N, ph * pw * C), any dtype.
        patch_size: P, or (ph, pw), in pixels.
        grid: (rows, columns) of the patch grid, rows * columns = N.

    Returns:
        (B, rows * ph, columns * pw, C), same dtype.

    Raises:
        ValueError: if the grid or the patch size does not fit the patches.
    """
    shape = tuple(patches.shape)
    ph, pw = _pair(patch_size, "patch_size")
    rows, cols = _pair(grid, "grid")
    if len(shape) != 3 or shape[1] != rows * cols or shape[2] is None or shape[2] % (ph * pw):
        raise ValueError(
            f"`patches` must have shape (B, N, P*P*C) with N = {rows} * {cols} = {rows * cols} "
            f"(grid {(rows, cols)}) and P*P*C a multiple of {ph} * {pw} = {ph * pw} "
            f"(patch {(ph, pw)}), got {shape}. Pass the patch size and grid they were cut with."
        )
    C = shape[2] // (ph * pw)
    x = ops.reshape(patches, (-1, rows, cols, ph, pw, C))  # (B, N, P*P*C) -> (B, r, c, ph, pw, C)
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # -> (B, r, ph, c, pw, C)
    return ops.reshape(x, (-1, rows * ph, cols * pw, C))  # -> (B, H, W, C)


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class Patches(keras.layers.Layer):
    """`patchify` as a layer: (B, H, W, C) -> (B, N, ph * pw * C).

    Args:
        patch_size: P, or (ph, pw), in pixels.

    Raises:
        ValueError: when built on an image that is not a whole number of patches.
    """

    def __init__(self, patch_size, **kwargs):
        """Stores the patch size."""
        super().__init__(**kwargs)
        self.patch_size = _pair(patch_size, "patch_size")

    def call(self, images):
        """Cuts `images` (B, H, W, C) into patches (B, N, ph * pw * C)."""
        return patchify(images, self.patch_size)

    def compute_output_shape(self, input_shape):
        """Maps (B, H, W, C) to (B, N, ph * pw * C)."""
        B, H, W, C = input_shape
        rows, cols = patch_grid((H, W), self.patch_size)
        ph, pw = self.patch_size
        return (B, rows * cols, ph * pw * C)

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {**super().get_config(), "patch_size": self.patch_size}


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class ShufflePatches(keras.layers.Layer):
    """Puts the patches of each picture in a random order: (B, H, W, C) -> (B, H, W, C).

    In training and inference alike. A ViT without positions cannot tell (its patches are a set);
    what a convolution sees changes along every edge of a patch.

    Args:
        patch_size: P, or (ph, pw), in pixels.
        one_order: False draws an order for each picture, anew in every call; True gives all
            pictures one order, `numpy.random.default_rng(seed).permutation(N)`.
        seed: a whole number, not negative, from which the orders follow.

    Raises:
        ValueError: for another seed, or when built on an image that is not a whole number of
            patches.
    """

    def __init__(self, patch_size, one_order=False, seed=0, **kwargs):
        """Stores the arguments."""
        super().__init__(**kwargs)
        if not isinstance(seed, numbers.Integral) or seed < 0:
            raise ValueError(f"`seed` must be a whole number, not negative, got {seed!r}.")
        self.patch_size = _pair(patch_size, "patch_size")
        self.one_order = one_order
        self.seed = seed
        self.seed_generator = None if one_order else keras.random.SeedGenerator(seed)

    def call(self, images):
        """Shuffles the patches of `images` (B, H, W, C)."""
        patches = patchify(images, self.patch_size)  # (B, N, ph * pw * C)
        N = patches.shape[1]
        if self.one_order:
            order = np.random.default_rng(self.seed).permutation(N)  # (N,)
            patches = ops.take(patches, order, axis=1)
        else:
            keys = keras.random.uniform(
                (ops.shape(images)[0], N), dtype="float32", seed=self.seed_generator
            )
            order = ops.argsort(keys, axis=1)  # (B, N)
            patches = ops.take_along_axis(patches, order[..., None], axis=1)
        grid = patch_grid(tuple(images.shape[1:3]), self.patch_size)
        return unpatchify(patches, self.patch_size, grid)  # -> (B, H, W, C)

    def compute_output_shape(self, input_shape):
        """Maps (B, H, W, C) to itself."""
        patch_grid(input_shape[1:3], self.patch_size)  # refuses what does not fit
        return tuple(input_shape)

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "one_order": self.one_order,
            "seed": self.seed,
        }
