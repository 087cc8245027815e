"""Two other ways from pixels to tokens, for small data."""

import keras
from keras import ops

from vit_keras_lib.layers.normalization import LayerNormalization
from vit_keras_lib.layers.patches import _pair, patch_grid, patchify


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class ConvStem(keras.layers.Layer):
    """Convolutions in place of one cut: (B, H, W, C) -> (B, N, dim).

    Each convolution (3 x 3, batch norm, ReLU) halves the picture, until one pixel is left of a
    patch; the first one makes few channels, each next one twice as many, the last one `dim`. With
    the projection of `PatchEncoder` behind it this is the stem of Xiao et al. 2021
    (arXiv 2106.14881). A token then also sees a margin of its neighbours' pixels.

    Args:
        patch_size: P in pixels, a power of two: what one token stands for.
        dim: channels of the last convolution; a multiple of P / 2.

    Raises:
        ValueError: for a patch that is not square or no power of two, for a `dim` that cannot be
            halved that often, or when built on an image that is not a whole number of patches.
    """

    def __init__(self, patch_size, dim, **kwargs):
        """Stores the arguments and creates the convolutions."""
        super().__init__(**kwargs)
        self.patch_size = _pair(patch_size, "patch_size")
        self.dim = dim
        P, width = self.patch_size
        if width != P or P < 2 or P & (P - 1):
            raise ValueError(
                "A convolutional stem halves the picture again and again, so `patch_size` must be "
                f'2, 4, 8, 16, ..., got {patch_size}. Take one of these, or stem="patch".'
            )
        if dim % (P // 2):
            raise ValueError(
                f"A convolutional stem for patches of {P} pixels needs `dim` to be a multiple of "
                f"{P // 2}, got {dim}."
            )
        widths = [dim]
        while 2 ** len(widths) < P:
            widths.insert(0, widths[0] // 2)
        policy = self.dtype_policy
        self.convolutions = [
            keras.layers.Conv2D(
                width, 3, strides=2, padding="same", use_bias=False,
                kernel_initializer="he_normal", data_format="channels_last", dtype=policy,
                name=f"conv{i}",
            )
            for i, width in enumerate(widths)
        ]  # fmt: skip
        self.norms = [
            keras.layers.BatchNormalization(dtype=policy, name=f"norm{i}")
            for i in range(len(widths))
        ]

    def build(self, input_shape):
        """Creates the weights for images of shape (B, H, W, C)."""
        patch_grid(input_shape[1:3], self.patch_size)  # refuses what does not fit
        shape = tuple(input_shape)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolution.build(shape)
            shape = convolution.compute_output_shape(shape)
            norm.build(shape)

    def call(self, images, training=None):
        """Maps images (B, H, W, C) to features (B, N, dim)."""
        x = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = ops.relu(
                norm(convolution(x), training=training)
            )  # (B, h, w, c) -> (B, h/2, w/2, .)
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2], self.dim))  # -> (B, N, dim)

    def compute_output_shape(self, input_shape):
        """Maps (B, H, W, C) to (B, N, dim)."""
        rows, cols = patch_grid(input_shape[1:3], self.patch_size)
        return (input_shape[0], rows * cols, self.dim)

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {**super().get_config(), "patch_size": self.patch_size, "dim": self.dim}


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class ShiftedPatches(keras.layers.Layer):
    """Patches that see over their edge: (B, H, W, C) -> (B, N, 5 * ph * pw * C), normalised.

    The picture and four copies of it, shifted by half a patch to each corner and filled up with
    zeros, are cut alike; the five patches of a place make one, and a layer norm follows: shifted
    patch tokenization of Lee et al. 2021 (arXiv 2112.13492, figure 2).

    Args:
        patch_size: P, or (ph, pw), in pixels.

    Raises:
        ValueError: when built on an image that is not a whole number of patches.
    """

    def __init__(self, patch_size, **kwargs):
        """Stores the patch size."""
        super().__init__(**kwargs)
        self.patch_size = _pair(patch_size, "patch_size")
        self.norm = LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy, name="norm")

    def build(self, input_shape):
        """Creates the weights for images of shape (B, H, W, C)."""
        self.norm.build(self.compute_output_shape(input_shape))

    def call(self, images):
        """Maps images (B, H, W, C) to patches (B, N, 5 * ph * pw * C)."""
        H, W = images.shape[1:3]
        dy, dx = (side // 2 for side in self.patch_size)
        padded = ops.pad(images, ((0, 0), (dy, dy), (dx, dx), (0, 0)))  # (B, H + 2dy, W + 2dx, C)
        corners = ((dy, dx), (0, 0), (0, 2 * dx), (2 * dy, 0), (2 * dy, 2 * dx))
        views = [padded[:, y : y + H, x : x + W] for y, x in corners]  # each (B, H, W, C)
        patches = [patchify(view, self.patch_size) for view in views]  # each (B, N, ph * pw * C)
        return self.norm(ops.concatenate(patches, axis=-1))  # -> (B, N, 5 * ph * pw * C)

    def compute_output_shape(self, input_shape):
        """Maps (B, H, W, C) to (B, N, 5 * ph * pw * C)."""
        B, H, W, C = input_shape
        rows, cols = patch_grid((H, W), self.patch_size)
        ph, pw = self.patch_size
        return (B, rows * cols, 5 * ph * pw * C)

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {**super().get_config(), "patch_size": self.patch_size}
