"""The Vision Transformer."""

import keras
import numpy as np
from keras import ops

from vit_keras_lib.layers import (
    ConvStem,
    PatchEncoder,
    Patches,
    ShiftedPatches,
    TransformerBlock,
    patch_grid,
    resize_position_table,
)
from vit_keras_lib.layers.normalization import LayerNormalization
from vit_keras_lib.layers.patches import _pair

# Ti and S: Touvron et al. 2021 (arXiv 2012.12877), table 1. B, L and H: Dosovitskiy et al. 2021
# (arXiv 2010.11929), table 1. "flowers": the model of this course.
VARIANTS = {
    "Ti": {"dim": 192, "depth": 12, "num_heads": 3, "mlp_dim": 768},
    "S": {"dim": 384, "depth": 12, "num_heads": 6, "mlp_dim": 1536},
    "B": {"dim": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072},
    "L": {"dim": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096},
    "H": {"dim": 1280, "depth": 32, "num_heads": 16, "mlp_dim": 5120},
    "flowers": {"dim": 192, "depth": 6, "num_heads": 12, "mlp_dim": 768},
}
POOLS = ("cls", "mean")
STEMS = ("patch", "conv", "shifted")


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class ViT(keras.Model):
    """The Vision Transformer of Dosovitskiy et al. 2021 (arXiv 2010.11929, figure 1).

    Pixels -> patches -> tokens with a place -> encoder blocks -> norm -> one token -> logits.
    A functional model: its top-level layers are `rescale`, `patches` (or `stem`), `encoder`,
    `block0`, `block1`, ..., `norm`, `pool` and `head`, so that `keras.Model(vit.input,
    vit.get_layer("block3").output)` reads or cuts it anywhere. (With dropout there is a layer
    `dropout` behind the encoder, with a representation size `pre_logits` before the head.)
    Called as a whole, it leaves out most of what nobody reads: see `num_queries`.

    Takes (B, H, W, C) raw pixels from 0 to 255, of any real dtype, and rescales them itself, to
    [-1, 1] unless told otherwise. Returns float32 logits (B, num_classes), also under mixed
    precision.

    Args:
        image_size: H = W, or (H, W), in pixels; multiples of the patch.
        num_classes: number of logits.
        patch_size: P, or (ph, pw), in pixels.
        dim: channels of a token (D in the paper).
        depth: number of encoder blocks (L in the paper).
        num_heads: attention heads per block; must divide dim.
        mlp_dim: width of the MLPs' hidden layer.
        pool: what the head reads: "cls" the class token, "mean" the mean over patch tokens
            (prefix tokens are left out).
        position: "learned", "sincos2d" or "none".
        class_token: whether there is a class token; must be True for pool="cls".
        register_tokens: number of register tokens (arXiv 2309.16588).
        dropout: rate in [0, 1) on tokens, after attention and in the MLPs.
        attention_dropout: rate in [0, 1) on attention weights.
        drop_path: rate in [0, 1) of stochastic depth in the last block; it grows linearly
            from 0 in the first (arXiv 1603.09382).
        layer_scale: initial LayerScale factor (arXiv 2103.17239), or None.
        stem: how pixels come to the encoder: "patch" cuts them as the paper does; for small data,
            "conv" is a convolutional stem (`ConvStem`, patch a power of two) and "shifted" cuts
            shifted copies too (`ShiftedPatches`).
        locality: whether attention is local self-attention for small data (see `SelfAttention`).
        representation_size: width of one more Dense, with tanh, before the head (section 3.1 of
            the paper, for pre-training), or None for none.
        activation: of the MLPs, "gelu" or "gelu_tanh" (see `TransformerBlock`).
        epsilon: added to the variance in all layer norms.
        pixel_mean: what is subtracted from pixels, in 0 to 255; a number, or one for each channel.
        pixel_std: what pixels are then divided by, likewise.
        remat: whether training computes the blocks' branches anew for the gradient: less memory,
            more time (see `TransformerBlock`).
        channels: C, 3 for RGB.
        resize_rule: how photos were brought to their size when the weights were trained, for
            `load_flowers`: ("crop" or "squash", centred share, filter), or None where nobody says.
            The model itself does not resize.
        dtype: dtype or policy of the layers; None takes Keras' global policy.
        **kwargs: `name` and `trainable` of keras.Model.

    Raises:
        ValueError: for an image that is not a whole number of patches, heads that do not divide
            dim, an unknown pool, position or stem, or (when called) images of another size.
    """

    def __init__(
        self,
        image_size,
        num_classes,
        patch_size=16,
        dim=192,
        depth=6,
        num_heads=12,
        mlp_dim=768,
        pool="cls",
        position="learned",
        class_token=True,
        register_tokens=0,
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        layer_scale=None,
        stem="patch",
        locality=False,
        representation_size=None,
        activation="gelu",
        epsilon=1e-6,
        pixel_mean=127.5,
        pixel_std=127.5,
        remat=False,
        channels=3,
        resize_rule=None,
        dtype=None,
        **kwargs,
    ):
        """Builds the graph."""
        kwargs.setdefault("name", "vit")
        if pool not in POOLS:
            raise ValueError(f"`pool` must be one of {POOLS}, got {pool!r}.")
        if stem not in STEMS:
            raise ValueError(f"`stem` must be one of {STEMS}, got {stem!r}.")
        if pool == "cls" and not class_token:
            raise ValueError(
                'pool="cls" reads the class token, but class_token=False came. '
                'Use pool="mean", or keep the class token.'
            )
        image_size, patch_size = _pair(image_size, "image_size"), _pair(patch_size, "patch_size")
        grid = patch_grid(image_size, patch_size)
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        images = keras.Input((*image_size, channels), dtype="float32", name="images")
        # float32 up to the projection: half precision has too few bits for pixels.
        x = rescaling(pixel_mean, pixel_std)(images)
        if stem == "patch":
            x = Patches(patch_size, dtype="float32", name="patches")(x)  # (B, N, P*P*C)
        elif stem == "shifted":
            x = ShiftedPatches(patch_size, dtype=policy, name="stem")(x)  # (B, N, 5*P*P*C)
        else:
            x = ConvStem(patch_size, dim, dtype=policy, name="stem")(x)  # (B, N, dim)
        encoder = PatchEncoder(
            dim, position, class_token, register_tokens, grid, dtype=policy, name="encoder"
        )
        x = encoder(x)  # (B, T, dim)
        if dropout:
            x = keras.layers.Dropout(dropout, dtype=policy, name="dropout")(x)
        for i in range(depth):
            x = TransformerBlock(
                num_heads,
                mlp_dim,
                dropout,
                attention_dropout,
                drop_path * i / max(depth - 1, 1),
                layer_scale,
                locality,
                activation,
                epsilon,
                remat,
                dtype=policy,
                name=f"block{i}",
            )(x)
        x = LayerNormalization(epsilon=epsilon, dtype=policy, name="norm")(x)
        x = TokenPooling(pool, encoder.num_prefix_tokens, dtype=policy, name="pool")(x)  # (B, dim)
        if representation_size:
            x = keras.layers.Dense(
                representation_size, activation="tanh", dtype=policy, name="pre_logits"
            )(x)  # (B, representation_size)
        logits = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="head",
        )(x)  # (B, num_classes)
        super().__init__(inputs=images, outputs=logits, **kwargs)

        self.dtype_policy = policy
        self.image_size = image_size
        self.num_classes = num_classes
        self.patch_size = patch_size
        self.dim = dim
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.pool = pool
        self.position = position
        self.class_token = class_token
        self.register_tokens = register_tokens
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.drop_path = drop_path
        self.layer_scale = layer_scale
        self.stem = stem
        self.locality = locality
        self.representation_size = representation_size
        self.activation = activation
        self.epsilon = epsilon
        self.pixel_mean = np.asarray(pixel_mean).tolist()  # a file's config holds no arrays
        self.pixel_std = np.asarray(pixel_std).tolist()
        self.remat = remat
        self.channels = channels
        self.resize_rule = None if resize_rule is None else tuple(resize_rule)

        self.grid = grid
        self.num_prefix_tokens = encoder.num_prefix_tokens

    # The size is checked below, with a message that says what to do.
    input_spec = None

    def __call__(self, images, *args, **kwargs):
        """Maps images (B, H, W, C), 0 to 255, to float32 logits (B, num_classes)."""
        check_images(self, images)
        return super().__call__(images, *args, **kwargs)

    def call(self, images, training=None, mask=None):
        """Runs the layers one after the other, without what the head does not read."""
        (x,) = keras.tree.flatten(images)
        for layer in self.layers[1:]:
            num_queries = self.num_queries(layer)
            extra = {} if num_queries is None else {"num_queries": num_queries}
            # Named, because JAX' trainer calls `call` itself, where layers cannot know it else.
            x = layer(x, training=training, **extra)
        return x

    def num_queries(self, layer):
        """Returns how many tokens of `layer`'s output are computed in a call: 1, or None for all.

        It is one in the last block where the head reads the class token. A model cut at a joint,
        such as `keras.Model(vit.input, vit.get_layer("norm").output)`, computes all.
        """
        is_last = layer.name == f"block{self.depth - 1}"
        return 1 if is_last and self.pool == "cls" else None

    @classmethod
    def from_variant(cls, variant, image_size=224, num_classes=1000, **kwargs):
        """Returns the model of a published size, with random weights.

        Args:
            variant: "Ti/16", "S/16", "B/32", "L/16", "H/14", ...: size and patch; or "flowers"
                (depth 6, 12 heads), with patch 16 when none is named.
            image_size: int or (H, W), in pixels.
            num_classes: number of logits.
            **kwargs: further arguments of `ViT`.

        Raises:
            ValueError: for an unknown variant.
        """
        size, _, patch = variant.partition("/")
        if size not in VARIANTS or (patch and not patch.isdecimal()):
            raise ValueError(
                f"Unknown variant {variant!r}: expected SIZE/PATCH with SIZE one of "
                f'{", ".join(VARIANTS)} and PATCH in pixels, for example "B/16".'
            )
        return cls(
            image_size, num_classes, patch_size=int(patch or 16), **{**VARIANTS[size], **kwargs}
        )

    def with_image_size(self, image_size):
        """Returns the same model for another image size.

        All weights are copied; the position table is resized to the new grid (see
        `resize_position_table`). Square or not.

        Args:
            image_size: int or (H, W), in pixels; multiples of the patch.

        Returns:
            A new `ViT`. Expect to fine-tune it: positions in between were never trained.
        """
        model = type(self).from_config({**self.get_config(), "image_size": image_size})
        for old, new in zip(self.weights, model.weights, strict=True):
            is_table = old.path.endswith("encoder/position_table")
            value = resize_position_table(old, self.grid, model.grid) if is_table else old
            new.assign(ops.convert_to_numpy(value))  # a copy: two models must not share a buffer
        return model

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns a new model, quantized and frozen where the one `config` is from is."""
        config = dict(config)
        quantized, frozen = config.pop("quantized", {}), config.pop("frozen", ())
        model = freeze(super().from_config(config, custom_objects), frozen)
        for layer in model._flatten_layers():
            if layer.path in quantized:
                mode, how = quantized[layer.path]
                layer.quantize(mode, config=keras.saving.deserialize_keras_object(how))
        return model

    def get_config(self):
        """Returns the `__init__` arguments and, if any, which layers are quantized or frozen."""
        quantized = {
            layer.path: (
                layer.quantization_mode,
                keras.saving.serialize_keras_object(getattr(layer, "quantization_config", None)),
            )
            for layer in self._flatten_layers()
            if layer.quantization_mode
        }
        return {
            **({"quantized": quantized} if quantized else {}),
            **frozen_part(self),
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "image_size": self.image_size,
            "num_classes": self.num_classes,
            "patch_size": self.patch_size,
            "dim": self.dim,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "pool": self.pool,
            "position": self.position,
            "class_token": self.class_token,
            "register_tokens": self.register_tokens,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "drop_path": self.drop_path,
            "layer_scale": self.layer_scale,
            "stem": self.stem,
            "locality": self.locality,
            "representation_size": self.representation_size,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "pixel_mean": self.pixel_mean,
            "pixel_std": self.pixel_std,
            "remat": self.remat,
            "channels": self.channels,
            "resize_rule": self.resize_rule,
        }


def frozen_part(model):
    """Returns what a config says of frozen layers; nothing where there are none."""
    names = [layer.name for layer in model.layers if not layer.trainable]
    return {"frozen": names} if names else {}


def freeze(model, names):
    """Freezes the top-level layers of these names, and returns the model."""
    for name in names:
        model.get_layer(name).trainable = False
    return model


def rescaling(pixel_mean, pixel_std):
    """Returns the layer `rescale`, which subtracts the mean from raw pixels and divides by std."""
    mean, std = np.broadcast_arrays(np.float64(pixel_mean), np.float64(pixel_std))
    if mean.ndim:  # (C,) -> (1, 1, C): where Keras is set to channels_first it would move C
        mean, std = mean[None, None], std[None, None]
    return keras.layers.Rescaling(
        (1 / std).tolist(), (-mean / std).tolist(), dtype="float32", name="rescale"
    )


def check_images(model, images):
    """Raises a ValueError that helps when `images` are not what `model` takes."""
    given = keras.tree.flatten(images)  # Keras also takes [images] and {"images": images}
    name = model.inputs[0].name
    if isinstance(images, dict) and list(images) != [name]:
        raise ValueError(
            f"{model.name} has one input, {name!r}, got {list(images)}. Pass the array of images "
            f"itself, or {{{name!r}: images}}."
        )
    if len(given) != 1:
        raise ValueError(
            f"{model.name} expects one batch of images, got {len(given)} things. Stack the images "
            "to one array (B, H, W, C), for example with np.stack."
        )
    expected, shape = tuple(model.input_shape[1:]), tuple(given[0].shape)
    if shape[1:] != expected:
        how = " with vit.with_image_size((H, W))" if hasattr(model, "with_image_size") else ""
        raise ValueError(
            f"{model.name} expects images of shape (B, H, W, C) = "
            f"(B, {', '.join(map(str, expected))}), got {shape}. Resize the images, or make a "
            f"model for their size{how}; a single image needs a batch axis: images[None]."
        )


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class TokenPooling(keras.layers.Layer):
    """Picks what the head reads: (B, T, dim) -> (B, dim).

    Args:
        pool: "cls" takes the class token; "mean" the mean over patch tokens.
        num_prefix_tokens: how many tokens stand before the patches; left out of the mean.
    """

    def __init__(self, pool, num_prefix_tokens, **kwargs):
        """Stores the arguments."""
        super().__init__(**kwargs)
        self.pool = pool
        self.num_prefix_tokens = num_prefix_tokens

    def call(self, x):
        """Maps tokens (B, T, dim) to one vector each (B, dim)."""
        if self.pool == "cls":
            return x[:, 0]  # (B, T, dim) -> (B, dim)
        return ops.mean(x[:, self.num_prefix_tokens :], axis=1)  # -> (B, dim)

    def compute_output_shape(self, input_shape):
        """Maps (B, T, dim) to (B, dim)."""
        return (input_shape[0], input_shape[2])

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {
            **super().get_config(),
            "pool": self.pool,
            "num_prefix_tokens": self.num_prefix_tokens,
        }
