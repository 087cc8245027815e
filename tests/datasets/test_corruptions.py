import ml_dtypes
import numpy as np
import pytest

from vit_keras_lib.datasets import CORRUPTIONS, SEVERITIES, corrupt

DRAWN = [kind for kind in CORRUPTIONS if kind != "blur"]


@pytest.fixture(scope="module")
def photos(smooth):
    """Six smooth pictures, 48 x 64 pixels, uint8."""
    return np.stack([smooth(seed, 48, 64) for seed in range(6)])


def dots(n=24, side=49, value=200):
    """Black squares with one light pixel in the middle, each a little lighter than the last."""
    images = np.zeros((n, side, side, 3), "float32")
    images[:, side // 2, side // 2] = value + np.arange(n)[:, None]
    return images


def greys(n=12, H=40, W=64):
    """Pictures of one grey each."""
    return np.ones((n, H, W, 3)) * np.linspace(120, 135, n)[:, None, None, None]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_severity_zero_changes_nothing(photos, kind):
    same = corrupt(photos, kind, 0)
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, photos)
    pixels = photos.astype("float32")
    assert not np.shares_memory(corrupt(pixels, kind, 0), pixels)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_severity_is_further_from_the_photo(photos, kind):
    distances = []
    for severity in range(6):
        damaged = corrupt(photos, kind, severity)
        assert (damaged.shape, damaged.dtype) == (photos.shape, np.float32)
        assert 0 <= damaged.min() <= damaged.max() <= 255
        distances.append(np.sqrt(((damaged - photos) ** 2).mean(axis=(1, 2, 3))))  # (B,)
    assert (np.diff(np.mean(distances, axis=1)) > 0).all()
    assert (distances[1] > 0).all()  # every photo is touched


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_draw_is_the_pictures_own_in_any_batch(photos, kind):
    together = corrupt(photos, kind, 3, seed=7)
    np.testing.assert_array_equal(corrupt(photos, kind, 3, seed=7), together)
    alone = np.concatenate([corrupt(photo[None], kind, 3, seed=7) for photo in photos[::-1]])
    np.testing.assert_allclose(alone[::-1], together, atol=1e-3)
    for dtype in ("float32", ml_dtypes.bfloat16):
        np.testing.assert_array_equal(corrupt(photos.astype(dtype), kind, 3, seed=7), together)


@pytest.mark.parametrize("kind", DRAWN)
def test_another_seed_draws_anew(photos, kind):
    seeds = [corrupt(photos, kind, 4, seed) for seed in range(4)]
    assert any(np.abs(other - seeds[0]).max() > 1 for other in seeds[1:])


def test_a_shift_moves_a_pixel_as_far_as_the_table_says_in_one_direction():
    images, angles = dots(), []
    for severity, share in enumerate(SEVERITIES["shift"], 1):
        moved = corrupt(images, "shift", severity)
        n, y, x, _ = np.nonzero(moved == moved.max(axis=(1, 2, 3), keepdims=True))
        steps = np.unique(np.stack([n, y - 24, x - 24], axis=1), axis=0)  # one row for each image
        assert len(steps) == len(images)  # whole pixels: none was spread over several
        _, down, right = steps.T
        np.testing.assert_allclose(np.hypot(down, right), share * 49, atol=0.75)
        np.testing.assert_array_equal(moved.max(axis=(1, 2, 3)), images.max(axis=(1, 2, 3)))
        angles.append(np.arctan2(down, right))
    between = np.angle(np.exp(1j * (np.array(angles) - angles[-1])))
    assert np.abs(between[2:]).max() < 0.18  # of few whole pixels the angle is coarse
    assert len(np.unique(angles[-1].round(2))) > 12
    assert np.abs(np.exp(1j * angles[-1]).mean()) < 0.5  # to all sides


def test_a_shift_is_of_each_side_and_filled_with_the_mirror_image():
    image = np.random.default_rng(0).integers(0, 256, (1, 24, 72, 3)).astype("float32")
    moved = corrupt(image, "shift", 5)
    mirrored = np.pad(image, ((0, 0), (6, 6), (18, 18), (0, 0)), "symmetric")
    places = [
        (down, right)
        for down in range(-6, 7)
        for right in range(-18, 19)
        if np.array_equal(moved, mirrored[:, 6 - down : 30 - down, 18 - right : 90 - right])
    ]
    assert len(places) == 1
    (down, right), *_ = places
    assert np.hypot(down / 24, right / 72) == pytest.approx(1 / 4, abs=0.03)


def test_a_ramp_gets_steeper_or_flatter_by_the_factor():
    x = np.arange(81) - 40.0
    images = np.zeros((16, 41, 81, 3))
    images[:] = 2 * x[:, None] + 100 + np.linspace(0, 60, 16)[:, None, None, None]
    kinds = []
    for severity, factor in enumerate(SEVERITIES["scale"], 1):
        slopes = np.diff(corrupt(images, "scale", severity)[:, :, 30:51], axis=2)
        nearer = slopes.mean(axis=(1, 2, 3)) < 2
        expected = np.where(nearer, 2 / factor, 2 * factor)[:, None, None, None]
        np.testing.assert_allclose(slopes, np.broadcast_to(expected, slopes.shape), atol=1e-3)
        kinds.append(nearer)
    assert (np.array(kinds) == kinds[0]).all()
    assert 2 <= kinds[0].sum() <= 14


def test_scaling_keeps_the_middle_in_its_place():
    image = np.zeros((1, 33, 49, 3))
    image[:, 14:19, 22:27] = 250
    for seed in range(4):
        scaled = corrupt(image, "scale", 4, seed)[0, ..., 0]
        down, right = np.indices(scaled.shape)
        centre = (scaled * down).sum() / scaled.sum(), (scaled * right).sum() / scaled.sum()
        np.testing.assert_allclose(centre, (16, 24), atol=1e-3)


@pytest.mark.parametrize("size", [(96, 96), (48, 72), (72, 48)])
def test_grey_squares_cover_the_share_of_the_table(size):
    images = np.zeros((5, *size, 3)) + np.arange(5)[:, None, None, None]
    before = np.zeros((5, *size), bool)
    side = min(size) // 8
    squares = size[0] * size[1] // side**2
    for severity, share in enumerate(SEVERITIES["occlusion"], 1):
        damaged = corrupt(images, "occlusion", severity)
        covered = (damaged == 127.5).all(-1)
        np.testing.assert_array_equal(damaged[~covered], images[~covered])
        np.testing.assert_allclose(covered.mean(axis=(1, 2)), share, atol=0.5 / squares + 1e-9)
        parts = covered.reshape(5, size[0] // side, side, size[1] // side, side).mean((2, 4))
        assert set(np.unique(parts)) == {0, 1}  # whole squares
        assert (covered >= before).all()  # what was covered stays so
        before = covered
    assert len(np.unique(before.reshape(5, -1), axis=0)) == 5


def test_squares_that_do_not_fit_are_cut():
    images = np.zeros((8, 30, 19, 3)) + np.arange(8)[:, None, None, None]  # squares of 2 pixels
    covered = (corrupt(images, "occlusion", 5) == 127.5).mean()
    assert covered == pytest.approx(0.6, abs=0.02)
    assert (corrupt(np.zeros((1, 3, 5, 3)), "occlusion", 5) == 127.5).mean() == 9 / 15


def test_blur_spreads_a_dot_by_its_deviation_and_keeps_the_sum():
    image = dots(1)
    offsets = np.arange(49) - 24
    for severity, deviation in enumerate(SEVERITIES["blur"], 1):
        spread = corrupt(image, "blur", severity)[0, ..., 0]
        assert spread.sum() == pytest.approx(200, rel=1e-4)
        for axis in (0, 1):
            variance = (spread.sum(axis) * offsets**2).sum() / 200
            # Sampled on pixels and cut off, a Gaussian is a little narrower.
            assert variance == pytest.approx(deviation**2, rel=0.15 if deviation < 1 else 0.04)


def test_blur_leaves_one_grey_alone_to_the_edge():
    for severity in range(1, 6):
        np.testing.assert_allclose(
            corrupt(greys(2, 5, 7), "blur", severity), greys(2, 5, 7), rtol=1e-5
        )


def test_noise_has_the_deviation_of_the_table_and_the_same_pattern():
    images = greys()
    first = (corrupt(images, "noise", 1) - images) / SEVERITIES["noise"][0]
    for severity, deviation in enumerate(SEVERITIES["noise"], 1):
        noisy = corrupt(images, "noise", severity)
        noise = noisy - images
        if deviation <= 32:  # beyond it many pixels end at 0 or 255
            np.testing.assert_allclose(noise.mean(axis=(1, 2, 3)), 0, atol=deviation / 15)
            np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), deviation, rtol=0.04)
        kept = (noisy > 0) & (noisy < 255)
        np.testing.assert_allclose((noise / deviation)[kept], first[kept], atol=1e-4)
    between = np.corrcoef(first.reshape(len(images), -1))
    assert np.abs(between - np.eye(len(images))).max() < 0.06  # images, too, are independent


def test_red_turned_by_60_degrees_is_yellow_or_magenta():
    images = np.zeros((16, 4, 6, 3))
    images[..., 0] = np.arange(240, 256)[:, None, None]
    yellow = corrupt(images, "colour", 3)[:, 0, 0, 1] > 100
    for image, before, is_yellow in zip(corrupt(images, "colour", 3), images, yellow, strict=True):
        expected = before[..., [0, 0, 1]] if is_yellow else before[..., [0, 1, 0]]
        np.testing.assert_allclose(image, expected, atol=0.01)
    assert 2 <= yellow.sum() <= 14
    further = corrupt(images, "colour", 5)[:, 0, 0]  # 150 degrees: past green, or past blue
    np.testing.assert_array_equal(further[:, 1] > further[:, 2], yellow)


def test_grey_has_no_hue_to_turn():
    for severity in range(1, 6):
        np.testing.assert_allclose(corrupt(greys(), "colour", severity), greys(), atol=1e-3)


def test_bad_input(photos):
    with pytest.raises(ValueError, match=r"one of shift, scale, .*colour, got 'fog'"):
        corrupt(photos, "fog", 1)
    for severity in (6, -1, 1.5, "3", None):
        with pytest.raises(ValueError, match=r"whole number from 0 to 5, got"):
            corrupt(photos, "blur", severity)
    for shape in [(8, 8, 3), (2, 8, 8, 1), (2, 8, 8)]:
        with pytest.raises(ValueError, match=r"\(B, H, W, 3\), got .*images\[None\]"):
            corrupt(np.zeros(shape), "blur", 1)
    with pytest.raises(ValueError, match=r"0 to 255, got values from -1 to 1\."):
        corrupt(np.linspace(-1, 1, 2 * 8 * 8 * 3).reshape(2, 8, 8, 3), "blur", 1)
