"""Graded damage to photos, for curves of accuracy against severity."""

import math
import zlib

import numpy as np
from keras import ops

# What severities 1 to 5 mean.
SEVERITIES = {
    "shift": (1 / 24, 1 / 12, 1 / 8, 1 / 6, 1 / 4),  # share of the side, to whole pixels
    "scale": (1.1, 1.25, 1.5, 1.75, 2.0),  # factor, larger or smaller
    "occlusion": (0.1, 0.2, 0.3, 0.45, 0.6),  # share of the picture, to whole squares
    "blur": (0.5, 1.0, 1.5, 2.5, 4.0),  # standard deviation in pixels
    "noise": (8, 16, 32, 48, 64),  # standard deviation in grey levels, of 0 to 255
    "colour": (15, 30, 60, 100, 150),  # degrees of hue
}
CORRUPTIONS = tuple(SEVERITIES)
GREY = 127.5
SQUARES = 8  # along the shorter side: of 96 pixels 12, so that none is a patch of 16


def corrupt(images, kind, severity, seed=0):
    """Returns photos damaged in one way, in one of five degrees.

    After the common corruptions of Hendrycks & Dietterich 2019 (arXiv 1903.12261); what each
    severity means stands in `SEVERITIES`.

    - "shift": moves the picture, each one in a direction of its own.
    - "scale": makes what it shows larger or smaller, about the middle, drawn for each picture.
    - "occlusion": covers squares with grey, in places drawn for each picture.
    - "blur": convolves it with a Gaussian; nothing is drawn.
    - "noise": adds Gaussian noise to each pixel and channel.
    - "colour": turns all its hues, one way or the other.

    Where a picture would end, shift, scale and blur go on with its mirror image. What is drawn
    follows from the seed and the picture's own pixels: it is the same at all severities, so that
    a curve follows one picture as it is damaged more, and in whatever batch the picture comes.

    Args:
        images: (B, H, W, 3), from 0 to 255, any real dtype.
        kind: one of `CORRUPTIONS`.
        severity: 0 to 5; 0 leaves the images as they are.
        seed: a whole number, not negative; another one draws anew.

    Returns:
        float32 array (B, H, W, 3), from 0 to 255.

    Raises:
        ValueError: for an unknown kind or severity, or images of another shape or range.
    """
    if kind not in SEVERITIES:
        raise ValueError(f"`kind` must be one of {', '.join(CORRUPTIONS)}, got {kind!r}.")
    if severity not in range(6):
        raise ValueError(f"`severity` must be a whole number from 0 to 5, got {severity!r}.")
    images = np.array(images, dtype="float32")  # a copy
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"`images` must have shape (B, H, W, 3), got {images.shape}. A single image needs a "
            "batch axis: images[None]."
        )
    if not ((images >= 0) & (images <= 255)).all():
        raise ValueError(
            f"`images` must be raw pixels from 0 to 255, got values from {images.min():g} to "
            f"{images.max():g}. Undo the rescaling: models of this library do it themselves."
        )
    if severity == 0:
        return images
    draws = [
        np.random.default_rng((seed, zlib.crc32(kind.encode()), zlib.crc32(image.tobytes())))
        for image in images
    ]
    damaged = _DAMAGE[kind](images, SEVERITIES[kind][int(severity) - 1], draws)
    return np.clip(ops.convert_to_numpy(damaged), 0, 255).astype("float32")


def _resampled(images, step, right, down):
    """Returns images whose pixel (y, x) is what was at (step y + down, step x + right)."""
    rows = np.zeros((len(images), 8), "float32")
    rows[:, 0] = rows[:, 4] = step
    rows[:, 2], rows[:, 5] = right, down
    return ops.image.affine_transform(
        images, rows, "bilinear", fill_mode="reflect", data_format="channels_last"
    )


def _shift(images, share, draws):
    H, W = images.shape[1:3]
    angles = np.array([rng.uniform(0, 2 * np.pi) for rng in draws])  # (B,)
    # Whole pixels: between them, a shift would blur as well.
    right, down = np.rint(share * W * np.cos(angles)), np.rint(share * H * np.sin(angles))
    return _resampled(images, 1, -right, -down)


def _scale(images, factor, draws):
    H, W = images.shape[1:3]
    steps = np.array([factor ** rng.choice((-1, 1)) for rng in draws])  # (B,)
    return _resampled(images, steps, (1 - steps) * (W - 1) / 2, (1 - steps) * (H - 1) / 2)


def _occlusion(images, share, draws):
    H, W = images.shape[1:3]
    side = max(min(H, W) // SQUARES, 1)
    rows, cols = -(-H // side), -(-W // side)  # rounded up: those at the end may be cut
    order = np.stack([rng.permutation(rows * cols) for rng in draws])  # (B, squares)
    covered = (order < round(share * rows * cols)).reshape(-1, rows, cols)  # -> (B, rows, cols)
    pixels = covered.repeat(side, 1).repeat(side, 2)[:, :H, :W, None]  # -> (B, H, W, 1)
    return np.where(pixels, GREY, images)


def _blur(images, deviation, _):
    H, W = images.shape[1:3]
    reach = math.ceil(3 * deviation)
    margin = (reach, reach)
    # Keras pads with black, which would darken the edge.
    padded = np.pad(images, ((0, 0), margin, margin, (0, 0)), "symmetric")
    blurred = ops.image.gaussian_blur(
        padded, (2 * reach + 1,) * 2, (deviation,) * 2, data_format="channels_last"
    )
    return blurred[:, reach : reach + H, reach : reach + W]  # -> (B, H, W, 3)


def _noise(images, deviation, draws):
    noise = [rng.standard_normal(images.shape[1:], "float32") for rng in draws]
    return images + deviation * np.stack(noise)


def _colour(images, degrees, draws):
    turns = np.array([rng.choice((-1, 1)) for rng in draws]) * degrees / 360  # (B,)
    hsv = ops.convert_to_numpy(ops.image.rgb_to_hsv(images / 255, data_format="channels_last"))
    hsv = np.stack([(hsv[..., 0] + turns[:, None, None]) % 1, hsv[..., 1], hsv[..., 2]], axis=-1)
    return 255 * ops.image.hsv_to_rgb(hsv.astype("float32"), data_format="channels_last")


_DAMAGE = {
    "shift": _shift,
    "scale": _scale,
    "occlusion": _occlusion,
    "blur": _blur,
    "noise": _noise,
    "colour": _colour,
}
