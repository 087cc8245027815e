"""Small pictures, made on the spot."""

import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def smooth():
    """Returns a maker of smooth pictures, each seed's unlike any other, uint8 (H, W, 3)."""

    def make(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BILINEAR))

    return make


@pytest.fixture(scope="session")
def encoded():
    """Returns a function from pixels, or a Pillow picture, to the bytes of a picture file."""

    def encode(picture, form: str = "PNG", **options) -> bytes:
        file = io.BytesIO()
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(picture)
        picture.save(file, form, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def flower_folder(tmp_path, smooth, encoded):
    """Writes a folder of class folders of different pictures; returns its path."""

    def write(classes=("daisy", "roses"), each=12, name="garden"):
        root = tmp_path / name
        for c, class_name in enumerate(classes):
            (root / class_name).mkdir(parents=True)
            for i in range(each):
                path = root / class_name / f"{i:03d}.png"
                path.write_bytes(encoded(smooth(1000 * c + i)))
        return root

    return write
