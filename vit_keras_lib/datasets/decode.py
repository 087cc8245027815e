"""One way from the bytes of a picture to pixels, for every format and every source."""

import contextlib
import io
import math
import os
import stat
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")
MAX_PIXELS = 64_000_000
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
RULE = ("crop", 1.0, "bicubic")


class BadImageError(ValueError):
    """A file that is not a picture we can show; its text is the reason."""


def open_regular(path: str) -> BinaryIO:
    """Opens a file for reading, or says why that cannot be.

    Args:
        path: Path of the file.

    Returns:
        The open binary file.

    Raises:
        BadImageError: The file is missing, forbidden, empty, or no regular file (reading from a
            pipe would wait for ever).
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadImageError("not a regular file")
        if status.st_size == 0:
            raise BadImageError("empty file (0 bytes)")
        return open(path, "rb")
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror}") from error


def open_picture(file: BinaryIO) -> Image.Image:
    """Reads a picture's header; no pixel is decoded yet.

    Args:
        file: Seekable binary file, at its start.

    Returns:
        The picture, still lazy.

    Raises:
        BadImageError: Not one of our formats, or more than 64 megapixels.
    """
    try:
        # Only these formats: Pillow would start Ghostscript for an EPS file.
        picture = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise BadImageError(f"more than {MAX_PIXELS // 10**6} megapixels: {error}") from error
    except Exception as error:  # damaged headers raise nearly anything
        raise BadImageError(f"no picture that can be read ({', '.join(FORMATS)})") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise BadImageError(
            f"{width} x {height} = {width * height / 1e6:.0f} megapixels, "
            f"more than {MAX_PIXELS // 10**6}"
        )
    return picture


def to_rgb(picture: Image.Image) -> Image.Image:
    """Turns any colour mode into RGB.

    Transparent places become white, as on paper. 16-bit grey keeps its upper 8 bits.

    Args:
        picture: A picture in any of Pillow's modes.

    Returns:
        The picture in mode RGB.
    """
    if picture.mode.startswith("I"):
        # Pillow's own conversion clips at 255 in some releases.
        grey = np.clip(np.asarray(picture, dtype=np.int32), 0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture).convert("RGB")
    return picture.convert("RGB")


def decode(
    file: BinaryIO | bytes,
    image_size: tuple[int, int],
    rule: tuple[str, float, str] = RULE,
) -> np.ndarray:
    """Decodes a picture, turns it upright, and resizes it.

    By the default rule the picture is never squashed: a round bloom stays round, in a portrait and
    in a landscape photo alike, and what the model sees does not depend on the camera's format. The
    largest centred rectangle of the wanted proportions is taken and resized; what is lost lies at
    the border of the longer side, and photos of flowers have their flower in the middle. The resize
    is antialiased (every source pixel counts), or fine petals would turn into moiré.

    Args:
        file: Seekable binary file at its start, or the bytes themselves.
        image_size: Wanted (height, width) in pixels.
        rule: How it is resized, as a pre-trained model may ask for: "crop" to the wanted
            proportions or "squash" into them; the centred share of each side that is taken then,
            above 0 and up to 1; and one of `FILTERS`.

    Returns:
        The pixels, uint8 (height, width, 3).

    Raises:
        BadImageError: The file cannot be decoded to its end, or is no picture of ours.
    """
    height, width = image_size
    picture = open_picture(io.BytesIO(file) if isinstance(file, bytes) else file)
    fit, share, name = rule
    try:
        # JPEG can decode at 1/2, 1/4, 1/8 of its size: enough pixels are left for the resize.
        side = math.ceil(2 * max(image_size) / share)
        picture.draft("RGB", (side, side))
        picture.load()
    except Exception as error:  # damaged bytes raise nearly anything
        raise BadImageError(f"damaged or cut off: {error}") from error
    with contextlib.suppress(Exception):  # a damaged tag says nothing about the pixels
        ImageOps.exif_transpose(picture, in_place=True)
    try:
        picture = to_rgb(picture)
    except Exception as error:
        raise BadImageError(f"colours cannot be read: {error}") from error
    picture = picture.resize(
        (width, height),
        FILTERS[name],
        box=_centre(picture.size, image_size if fit == "crop" else picture.size[::-1], share),
        reducing_gap=3.0,
    )
    return np.asarray(picture)  # (height, width, 3)


def decode_mask(data: bytes, image_size: tuple[int, int]) -> np.ndarray:
    """Decodes a mask of part numbers and cuts and resizes it as `decode` does its picture.

    The nearest pixel is taken: the mean of two part numbers would be a third part.

    Args:
        data: The bytes of a greyscale PNG file.
        image_size: Wanted (height, width) in pixels.

    Returns:
        The part numbers, uint8 (height, width, 1).
    """
    picture = Image.open(io.BytesIO(data))
    size = (image_size[1], image_size[0])
    box = _centre(picture.size, image_size)
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST, box=box))[..., None]


def _centre(
    found: tuple[int, int], image_size: tuple[int, int], share: float = 1.0
) -> tuple[float, ...]:
    """A share of the largest centred box of the wanted proportions; `found` is (width, height)."""
    height, width = image_size
    scale = share * min(found[0] / width, found[1] / height)
    left, top = (found[0] - scale * width) / 2, (found[1] - scale * height) / 2
    right, bottom = left + scale * width, top + scale * height
    # Rounding may set an edge outside by 1e-14, which Pillow refuses.
    return max(left, 0.0), max(top, 0.0), min(right, found[0]), min(bottom, found[1])
