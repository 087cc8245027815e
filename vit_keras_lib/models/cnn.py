"""The convolutional network that the ViT is compared with."""

import keras
import numpy as np

from vit_keras_lib.layers.patches import _pair
from vit_keras_lib.models.vit import check_images, freeze, frozen_part, rescaling


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class CNN(keras.Model):
    """A plain residual network (He et al. 2016, arXiv 1512.03385), of Keras layers.

    Pixels -> a convolution of stride 2 -> residual blocks of two 3 x 3 convolutions, the first
    block of each stage with stride 2 -> mean over the places -> logits. With its default widths it
    has within 1 % the weights of the ViT "flowers/16", and at 96 pixels three quarters of its
    multiply-adds: the 18-layer network of the paper's table 1 at half its width, with one 3 x 3
    convolution for a stem and stride 2 in the first stage too. A functional model: its top-level
    layers `rescale`, `stem`, `block0`, `block1`, ..., `pool` and `head` are where it can be read or
    cut.

    Takes (B, H, W, C) raw pixels from 0 to 255, of any real dtype, and rescales them itself, to
    [-1, 1] unless told otherwise, as `ViT` does. Returns float32 logits (B, num_classes), also
    under mixed precision.

    Args:
        image_size: H = W, or (H, W), in pixels.
        num_classes: number of logits.
        widths: channels of each stage.
        blocks_per_stage: residual blocks in a stage.
        drop_path: rate in [0, 1) of stochastic depth in the last block; it grows linearly
            from 0 in the first (arXiv 1603.09382).
        pixel_mean: what is subtracted from pixels, in 0 to 255; a number, or one for each channel.
        pixel_std: what pixels are then divided by, likewise.
        channels: C, 3 for RGB.
        dtype: dtype or policy of the layers; None takes Keras' global policy.
        **kwargs: `name` and `trainable` of keras.Model.

    Raises:
        ValueError: for no stage or no block in a stage, or (when called) images of another size.
    """

    def __init__(
        self,
        image_size,
        num_classes,
        widths=(32, 64, 128, 256),
        blocks_per_stage=2,
        drop_path=0.0,
        pixel_mean=127.5,
        pixel_std=127.5,
        channels=3,
        dtype=None,
        **kwargs,
    ):
        """Builds the graph."""
        kwargs.setdefault("name", "cnn")
        if not widths or blocks_per_stage < 1:
            raise ValueError(
                "A CNN needs at least one stage and one block in each, got "
                f"widths={tuple(widths)} and blocks_per_stage={blocks_per_stage}."
            )
        image_size = _pair(image_size, "image_size")
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        images = keras.Input((*image_size, channels), dtype="float32", name="images")
        x = rescaling(pixel_mean, pixel_std)(images)
        x = _convolution(x, widths[0], 3, 2, policy, "stem_conv")  # (B, H/2, W/2, widths[0])
        x = keras.layers.ReLU(dtype=policy, name="stem")(x)
        depth = len(widths) * blocks_per_stage
        for i in range(depth):
            x = _residual_block(
                x,
                widths[i // blocks_per_stage],
                2 if i % blocks_per_stage == 0 else 1,
                drop_path * i / max(depth - 1, 1),
                policy,
                f"block{i}",
            )
        x = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", dtype=policy, name="pool"
        )(x)  # (B, h, w, C) -> (B, C)
        logits = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="head",
        )(x)  # -> (B, num_classes)
        super().__init__(inputs=images, outputs=logits, **kwargs)

        self.dtype_policy = policy
        self.image_size = image_size
        self.num_classes = num_classes
        self.widths = tuple(widths)
        self.blocks_per_stage = blocks_per_stage
        self.drop_path = drop_path
        self.pixel_mean = np.asarray(pixel_mean).tolist()  # a file's config holds no arrays
        self.pixel_std = np.asarray(pixel_std).tolist()
        self.channels = channels

    # The size is checked below, with a message that says what to do.
    input_spec = None

    def __call__(self, images, *args, **kwargs):
        """Maps images (B, H, W, C), 0 to 255, to float32 logits (B, num_classes)."""
        check_images(self, images)
        return super().__call__(images, *args, **kwargs)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns a new model, frozen where the one `config` is from is."""
        config = dict(config)
        frozen = config.pop("frozen", ())
        return freeze(super().from_config(config, custom_objects), frozen)

    def get_config(self):
        """Returns the `__init__` arguments and, if any, which layers are frozen."""
        return {
            **frozen_part(self),
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "image_size": self.image_size,
            "num_classes": self.num_classes,
            "widths": self.widths,
            "blocks_per_stage": self.blocks_per_stage,
            "drop_path": self.drop_path,
            "pixel_mean": self.pixel_mean,
            "pixel_std": self.pixel_std,
            "channels": self.channels,
        }


def _convolution(x, width, kernel_size, strides, policy, name):
    """A convolution and its batch norm: (B, H, W, C) -> (B, H / strides, W / strides, width)."""
    x = keras.layers.Conv2D(
        width, kernel_size, strides, padding="same", use_bias=False,
        kernel_initializer="he_normal", data_format="channels_last", dtype=policy, name=name,
    )(x)  # fmt: skip
    return keras.layers.BatchNormalization(dtype=policy, name=f"{name}_norm")(x)


def _residual_block(x, width, strides, drop_path, policy, name):
    """Two convolutions, and a way around them: figure 2 of the paper, shortcut B of section 3.3."""
    shortcut = x
    if strides > 1 or x.shape[-1] != width:
        shortcut = _convolution(x, width, 1, strides, policy, f"{name}_shortcut")
    x = _convolution(x, width, 3, strides, policy, f"{name}_conv1")
    x = keras.layers.ReLU(dtype=policy, name=f"{name}_relu")(x)
    x = _convolution(x, width, 3, 1, policy, f"{name}_conv2")
    x = keras.layers.Dropout(
        drop_path, noise_shape=(None, 1, 1, 1), dtype=policy, name=f"{name}_skip"
    )(x)  # one draw for each image
    x = keras.layers.Add(dtype=policy, name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(dtype=policy, name=name)(x)
