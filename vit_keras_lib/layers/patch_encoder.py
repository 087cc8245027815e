"""Patches to tokens: a projection, a place, and the tokens in front."""

import keras
from keras import ops

from vit_keras_lib.layers.positions import sincos2d_table

POSITIONS = ("learned", "sincos2d", "none")


def _small():
    """Returns the initializer of what is added to tokens; BERT's and the ViT's 0.02."""
    return keras.initializers.RandomNormal(stddev=0.02)


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class PatchEncoder(keras.layers.Layer):
    """Turns patches into tokens with a place: equation 1 of arXiv 2010.11929.

    Each patch is projected to `dim` channels and gets the vector of its place added. Then the
    prefix tokens are put in front: class token first, register tokens (arXiv 2309.16588) next.
    Prefix tokens have no place in the grid; with learned positions the class token has a vector
    of its own, as in the paper.

    Args:
        dim: channels of a token, D in the paper.
        position: "learned", "sincos2d" (fixed, arXiv 2205.01580) or "none".
        class_token: whether a learned class token leads the sequence.
        register_tokens: how many learned register tokens follow it.
        grid: (rows, columns) of the patches; needed for "sincos2d", which must know
            where a row ends.

    Raises:
        ValueError: for an unknown `position`, for "sincos2d" without `grid`, or for patches whose
            number differs from the one it was built with.
    """

    def __init__(
        self, dim, position="learned", class_token=True, register_tokens=0, grid=None, **kwargs
    ):
        """Stores the arguments."""
        super().__init__(**kwargs)
        if position not in POSITIONS:
            raise ValueError(f"`position` must be one of {POSITIONS}, got {position!r}.")
        if position == "sincos2d" and grid is None:
            raise ValueError(
                'position="sincos2d" got grid=None: pass grid=(rows, columns) of the patches, '
                "for example the result of patch_grid(image_size, patch_size)."
            )
        self.dim = dim
        self.position = position
        self.class_token = class_token
        self.register_tokens = register_tokens
        self.grid = None if grid is None else tuple(grid)

    @property
    def num_prefix_tokens(self):
        """How many tokens stand before the patches."""
        return int(self.class_token) + self.register_tokens

    def build(self, input_shape):
        """Creates the weights for patches of shape (B, N, P*P*C)."""
        N = input_shape[1]
        if self.grid is not None and self.grid[0] * self.grid[1] != N:
            raise ValueError(
                f"The grid {self.grid} has {self.grid[0] * self.grid[1]} places, "
                f"but {N} patches came: shape {tuple(input_shape)}."
            )
        # A bound on N, so that another image size is refused by name and not by a broadcast error.
        self.num_patches = N
        self.projection = keras.layers.Dense(
            self.dim,
            kernel_initializer="lecun_normal",
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build(input_shape)
        if self.position != "none":
            learned = self.position == "learned"
            # The fixed table is a weight too: resized and saved like the learned one.
            self.position_table = self.add_weight(
                name="position_table",
                shape=(N, self.dim),
                initializer=_small() if learned else self._fixed_table,
                trainable=learned,
            )
        if self.class_token:
            self.class_vector = self.add_weight(
                name="class_token", shape=(1, 1, self.dim), initializer="zeros"
            )
            if self.position == "learned":
                self.class_position = self.add_weight(
                    name="class_position",
                    shape=(1, 1, self.dim),
                    initializer=_small(),
                )
        if self.register_tokens:
            # Not zeros: equal registers would stay equal for ever.
            self.register_vectors = self.add_weight(
                name="register_tokens",
                shape=(1, self.register_tokens, self.dim),
                initializer=_small(),
            )

    def _fixed_table(self, shape, dtype):
        return ops.cast(sincos2d_table(self.grid, self.dim), dtype)

    def call(self, patches):
        """Maps patches (B, N, P*P*C) to tokens (B, prefix + N, dim)."""
        if patches.shape[1] != self.num_patches:
            raise ValueError(
                f"This PatchEncoder has places for {self.num_patches} patches, "
                f"got {patches.shape[1]} (shape {tuple(patches.shape)}). For another image size "
                "use ViT.with_image_size, which resizes the position table."
            )
        tokens = self.projection(patches)  # (B, N, P*P*C) -> (B, N, dim)
        if self.position != "none":
            tokens = tokens + self.position_table
        prefix = []
        if self.class_token:
            class_token = self.class_vector
            if self.position == "learned":
                class_token = class_token + self.class_position
            prefix.append(class_token)
        if self.register_tokens:
            prefix.append(self.register_vectors)
        if not prefix:
            return tokens
        B = ops.shape(tokens)[0]
        prefix = [ops.broadcast_to(p, (B, p.shape[1], self.dim)) for p in prefix]
        return ops.concatenate([*prefix, tokens], axis=1)  # (B, prefix + N, dim)

    def compute_output_shape(self, input_shape):
        """Maps (B, N, P*P*C) to (B, prefix + N, dim)."""
        return (input_shape[0], self.num_prefix_tokens + input_shape[1], self.dim)

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "position": self.position,
            "class_token": self.class_token,
            "register_tokens": self.register_tokens,
            "grid": self.grid,
        }
