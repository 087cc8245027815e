import io

import numpy as np
import pytest
from PIL import Image

from vit_keras_lib.datasets.decode import (
    FILTERS,
    BadImageError,
    decode,
    open_picture,
    open_regular,
)


def colours(encoded_image, size=(40, 40)):
    """Mean colour of each quarter, (2, 2, 3)."""
    pixels = decode(encoded_image, size).astype(float)
    halves = [np.split(half, 2, axis=1) for half in np.split(pixels, 2, axis=0)]
    return np.array([[quarter.mean((0, 1)) for quarter in half] for half in halves])


@pytest.fixture
def quarters():
    """Four quarters of grey, light to dark, (40, 60, 3): 40 high, 60 wide."""
    levels = np.array([[250, 170], [90, 10]], np.uint8)
    grey = levels.repeat(20, 0).repeat(30, 1)
    return np.repeat(grey[..., None], 3, axis=2)


MODES = {
    "grey": ("L", "PNG"),
    "grey jpeg": ("L", "JPEG"),
    "two colours": ("1", "PNG"),
    "palette": ("P", "PNG"),
    "palette gif": ("P", "GIF"),
    "grey and alpha": ("LA", "PNG"),
    "alpha": ("RGBA", "PNG"),
    "alpha webp": ("RGBA", "WEBP"),
    "print colours": ("CMYK", "JPEG"),
    "video colours": ("YCbCr", "JPEG"),
    "16 bit": ("I;16", "PNG"),
    "bmp": ("RGB", "BMP"),
    "webp": ("RGB", "WEBP"),
    "jpeg": ("RGB", "JPEG"),
    "png": ("RGB", "PNG"),
}


@pytest.mark.parametrize("mode, form", MODES.values(), ids=MODES)
def test_every_mode_shows_the_same_picture(mode, form, quarters, encoded):
    if mode == "I;16":
        picture = Image.fromarray(quarters[..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(quarters).convert(mode)
    data = encoded(picture, form)
    pixels = decode(data, (40, 60))
    assert pixels.dtype == np.uint8 and pixels.shape == (40, 60, 3)
    if mode == "1":  # dithered: only the order of the greys remains
        means = colours(data, (40, 60))[..., 0]
        assert means[0, 0] > means[0, 1] > means[1, 0] > means[1, 1]
    else:
        inner = np.s_[5:15, 5:25]  # away from the edges, where formats ring
        for y, x in ((0, 0), (0, 30), (20, 0), (20, 30)):
            ours = pixels[y:, x:][inner].astype(float).mean((0, 1))
            theirs = quarters[y:, x:][inner].astype(float).mean((0, 1))
            assert np.abs(ours - theirs).max() < 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_becomes_white(mode, encoded):
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, 10:, 3] = 255  # left half: black, but transparent
    picture = Image.fromarray(pixels).convert(mode) if mode != "P" else None
    if mode == "P":
        picture = Image.fromarray((pixels[..., 3] > 0).astype(np.uint8), "P")
        picture.putpalette([0, 0, 0, 0, 0, 0])
        data = encoded(picture, "PNG", transparency=0)
    else:
        data = encoded(picture)
    shown = decode(data, (20, 20))
    assert shown[:, :9].min() == 255 and shown[:, 11:].max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation, quarters, encoded):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored so that a turn to the right shows it upright
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = Image.fromarray(quarters)
    if orientation > 1:
        picture = picture.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture, "JPEG", quality=95, exif=exif)
    difference = decode(data, (40, 60)).astype(int) - quarters
    assert np.abs(difference).mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_no_reason_to_refuse(quarters, encoded):
    data = encoded(quarters, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode(data, (40, 60)).shape == (40, 60, 3)


@pytest.mark.parametrize("height, width", [(200, 100), (100, 200), (100, 100), (37, 211), (8, 5)])
@pytest.mark.parametrize("size", [(32, 32), (24, 48), (48, 24)])
def test_circles_stay_round(height, width, size, encoded):
    """The aspect is kept: a disc in the centre has the same extent in both directions."""
    y, x = np.mgrid[:height, :width]
    radius = min(height, width) / 4
    disc = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 < radius**2
    pixels = np.repeat((disc * 255).astype(np.uint8)[..., None], 3, 2)
    shown = decode(encoded(pixels), size)[..., 0] / 255
    scale = max(size[0] / height, size[1] / width)
    assert shown.sum() == pytest.approx(disc.sum() * scale**2, rel=0.12)
    if disc.sum() > 100:
        assert shown.max(0).sum() == pytest.approx(shown.max(1).sum(), abs=1.5)


def test_centre_is_kept_and_border_of_the_longer_side_lost(encoded):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    assert decode(encoded(pixels), (20, 20)).min() == 200


def test_resize_is_antialiased(encoded):
    """Stripes finer than the new pixels become their mean, not moiré."""
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:, ::2] = 255
    shown = decode(encoded(pixels), (32, 32)).astype(int)
    assert np.abs(shown - 127).max() < 12


def test_large_jpeg_is_shrunk_while_decoding_without_harm(smooth, encoded):
    pixels = smooth(1, 600, 900)
    small = decode(encoded(pixels, "JPEG", quality=95), (40, 60)).astype(int)
    reference = decode(encoded(pixels), (40, 60)).astype(int)
    assert np.abs(small - reference).max() < 8


def test_same_size_is_left_alone(smooth, encoded):
    pixels = smooth(3)
    np.testing.assert_array_equal(decode(encoded(pixels), (40, 40)), pixels)


def test_oversized_picture_is_refused_by_its_header(encoded):
    data = bytearray(encoded(np.zeros((1, 1, 3), np.uint8), "BMP"))
    data[18:26] = (8001).to_bytes(4, "little") + (8000).to_bytes(4, "little")
    with pytest.raises(BadImageError, match=r"8001 x 8000 = 64 megapixels"):
        open_picture(io.BytesIO(bytes(data)))
    data[18:26] = (60_000).to_bytes(4, "little") * 2
    with pytest.raises(BadImageError, match="megapixels"):
        open_picture(io.BytesIO(bytes(data)))


def test_missing_file_says_so(tmp_path):
    with pytest.raises(BadImageError, match="No such file"):
        open_regular(str(tmp_path / "gone.png"))


def test_a_rule_says_what_of_the_picture_is_taken(quarters, encoded):
    data = encoded(quarters)  # 40 high, 60 wide, a quarter each 250, 170, 90, 10
    squashed = decode(data, (40, 40), ("squash", 1.0, "nearest"))[..., 0]
    np.testing.assert_array_equal(squashed[:, [0, 19, 20, 39]], quarters[:, [0, 29, 30, 59], 0])
    cut = decode(data, (40, 40))[..., 0]
    np.testing.assert_array_equal(cut[:, [0, 39]], quarters[:, [10, 49], 0])


@pytest.mark.parametrize(("fit", "box"), [("crop", (20, 10, 40, 30)), ("squash", (15, 10, 45, 30))])
def test_a_share_is_the_middle_of_it(fit, box, smooth, encoded):
    pixels = smooth(1, 40, 60)
    shown = decode(encoded(pixels), (20, 20), (fit, 0.5, "bilinear"))
    expected = Image.fromarray(pixels).resize((20, 20), Image.Resampling.BILINEAR, box=box)
    np.testing.assert_array_equal(shown, np.asarray(expected))


def test_filters_differ(smooth, encoded):
    data = encoded(smooth(2, 40, 60))
    shown = {name: decode(data, (16, 16), ("crop", 1.0, name)).tobytes() for name in FILTERS}
    assert len(set(shown.values())) == len(FILTERS) == 4
    assert shown["bicubic"] == decode(data, (16, 16)).tobytes()


def test_a_share_of_a_large_jpeg_keeps_its_sharpness(smooth, encoded):
    data = encoded(smooth(1, 800, 800), "JPEG", quality=95)
    rule = ("crop", 0.1, "bicubic")
    small = decode(data, (40, 40), rule).astype(int)
    reference = decode(encoded(decode(data, (800, 800))), (40, 40), rule).astype(int)
    assert np.abs(small - reference).max() < 8


@pytest.mark.parametrize("size", [(224, 224), (240, 240), (329, 367)])
def test_rounding_sets_no_edge_outside_the_picture(size):
    for found in ((116, 300), (124, 300), (331, 375), (3940, 5778), (450, 600)):
        file = io.BytesIO()
        Image.new("RGB", found, "red").save(file, "PNG")
        assert decode(file.getvalue(), size).shape == (*size, 3)
