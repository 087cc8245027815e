"""Draws the contact sheet: a row for every species, the first twelve of each in the test split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "procedural_flowers" / "1.0.0"
COLUMNS, GAP, MARGIN = 12, 4, 104  # pictures in a row; pixels between them; pixels for the names


def contact_sheet(images: np.ndarray, labels: np.ndarray, names: list[str]) -> Image.Image:
    """Lays out the first pictures of each class.

    Args:
        images: uint8 (N, H, W, 3).
        labels: int (N,), indices into names.
        names: One for each row.

    Returns:
        The sheet, a row for each name.
    """
    side = images.shape[1]
    size = (MARGIN + COLUMNS * (side + GAP), GAP + len(names) * (side + GAP))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for row, name in enumerate(names):
        top = GAP + row * (side + GAP)
        pen.text((MARGIN - 8, top + side // 2), name, fill="black", font=font, anchor="rm")
        for column, index in enumerate(np.flatnonzero(labels == row)[:COLUMNS]):
            sheet.paste(Image.fromarray(images[index]), (MARGIN + column * (side + GAP), top))
    return sheet


def main():
    """Writes data/contact_sheet.png."""
    builder = tfds.builder_from_directory(str(RECORDS))
    names = builder.info.features["label"].names
    wanted = tfds.decode.PartialDecoding({"image": True, "label": True})
    first = builder.as_dataset(split=f"test[:{len(names) * COLUMNS}]", decoders=wanted)
    examples = list(tfds.as_numpy(first))
    images = np.stack([e["image"] for e in examples])
    labels = np.array([e["label"] for e in examples])
    target = HERE / "contact_sheet.png"
    part = target.with_suffix(".part")
    sheet = contact_sheet(images, labels, names)
    # 256 colours, chosen for this sheet: half the size, and little difference to the eye.
    palette = sheet.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(part, "PNG")
    os.replace(part, target)
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
