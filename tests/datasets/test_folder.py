"""A folder as people have it: layouts, odd names, and everything that can be wrong."""

import os
import shutil
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vit_keras_lib.datasets import decode, load_flowers


def load(folder, size=16, **options):
    """Loads; returns the set, and the one warning if there was any."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flowers = load_flowers(folder, size, **options)
    return flowers, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def contents(flowers):
    """Split by pixels."""
    found = {}
    for split in flowers.sizes:
        for image, _ in getattr(flowers, split).as_numpy_iterator():
            found.setdefault(image.tobytes(), set()).add(split)
    return found


def test_class_folders(flower_folder):
    root = flower_folder(("tulips", "daisy", "roses"), each=20)
    flowers, warned = load(root, (16, 24))
    assert flowers.class_names == ("daisy", "roses", "tulips")
    assert flowers.num_classes == 3
    assert sum(flowers.sizes.values()) == 60
    assert flowers.source == "garden" and str(root.parent) not in repr(flowers) + flowers.summary()
    assert "hash" in flowers.protocol
    assert flowers.skipped == () and warned == []
    for split, size in flowers.sizes.items():
        pictures = list(getattr(flowers, split))
        assert len(pictures) == size
        assert {int(label) for _, label in pictures} == {0, 1, 2}
        for image, label in pictures:
            assert image.shape == (16, 24, 3) and image.dtype == tf.uint8
            assert label.shape == () and label.dtype == tf.int64


def test_pixels_come_with_their_own_label(flower_folder):
    root = flower_folder()
    served = {
        decode.decode(path.read_bytes(), (16, 16)).tobytes(): path.parent.name
        for path in root.rglob("*.png")
    }
    flowers, _ = load(root)
    for split in flowers.sizes:
        for image, label in getattr(flowers, split).as_numpy_iterator():
            assert served[image.tobytes()] == flowers.class_names[label]


def test_given_split_folders(flower_folder, tmp_path, smooth, encoded):
    root = tmp_path / "given"
    for s, split in enumerate(("train", "val", "test")):
        for c, name in enumerate(("daisy", "roses")):
            (root / split / name).mkdir(parents=True)
            for i in range(3 - s):
                data = encoded(smooth(100 * s + 10 * c + i))
                (root / split / name / f"{i}.png").write_bytes(data)
    flowers, _ = load(root)
    assert flowers.sizes == {"train": 6, "validation": 4, "test": 2}
    assert "own" in flowers.protocol

    shutil.copy(root / "test/roses/0.png", root / "train/roses/copy.png")
    for i in range(20):  # so that one copy is less than 10 %
        (root / f"train/daisy/more{i}.png").write_bytes(encoded(smooth(5000 + i)))
    flowers, _ = load(root)
    assert flowers.sizes == {"train": 26, "validation": 4, "test": 2}
    assert flowers.skipped == (("train/roses/copy.png", "the same picture is also in test"),)
    assert all(len(splits) == 1 for splits in contents(flowers).values())

    shutil.rmtree(root / "val")
    with pytest.raises(ValueError, match=r"split folders test, train\. Expected.*validation"):
        load(root)


@pytest.mark.parametrize("budget", [2**30, 0], ids=["cached", "streamed"])
def test_splits_do_not_hang_on_names_and_survive_additions(flower_folder, budget):
    root = flower_folder(each=60)
    before, _ = load(root, cache_budget=budget)
    again, _ = load(root, cache_budget=budget)
    assert again.fingerprint == before.fingerprint
    known = contents(before)
    assert list(known) == list(contents(again))  # the order is fixed

    for i, path in enumerate(sorted((root / "daisy").glob("*.png"))[:20]):
        path.rename(path.with_name(f"renamed {i}.PNG"))
        shutil.copy(path.with_name(f"renamed {i}.PNG"), root / "daisy" / f"a copy {i}.png")
    after, _ = load(root, cache_budget=budget)
    assert sum(after.sizes.values()) == 140
    assert contents(after) == known
    assert after.fingerprint != before.fingerprint


def test_streamed_equals_cached(flower_folder):
    root = flower_folder()
    cached, _ = load(root)
    streamed, _ = load(root, cache_budget=0)
    assert streamed.sizes == cached.sizes and streamed.fingerprint == cached.fingerprint
    for split in cached.sizes:
        pairs = zip(getattr(cached, split), getattr(streamed, split), strict=True)
        for (image, label), (same_image, same_label) in pairs:
            np.testing.assert_array_equal(image, same_image)
            assert label == same_label


def test_odd_names_are_pictures_and_hidden_files_are_not(flower_folder, smooth, encoded):
    root = flower_folder(("Gänse blümchen", "薔薇"), each=10)
    names = ["UPPER.PNG", "with space.jpeg", "ümlaut 花.Gif", "two.dots.webp", "line\nbreak.bmp"]
    forms = ["PNG", "JPEG", "GIF", "WEBP", "BMP"]
    for i, (name, form) in enumerate(zip(names, forms, strict=True)):
        (root / "薔薇" / name).write_bytes(encoded(smooth(500 + i), form))
    (root / "薔薇" / "inner" / "folder").mkdir(parents=True)
    (root / "薔薇" / "inner" / "folder" / "deep.png").write_bytes(encoded(smooth(600)))
    (root / "薔薇" / ".hidden.png").write_bytes(b"no picture")
    (root / "薔薇" / "._UPPER.PNG").write_bytes(b"no picture")
    (root / ".cache").mkdir()
    (root / "LICENSE.txt").write_text("outside the class folders")
    flowers, warned = load(root)
    assert flowers.class_names == ("Gänse blümchen", "薔薇")
    assert sum(flowers.sizes.values()) == 26
    assert flowers.skipped == () and warned == []


def header_only(encoded, width, height):
    """A BMP file of a few bytes that claims to be huge."""
    data = bytearray(encoded(np.zeros((1, 1, 3), np.uint8), "BMP"))
    data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return bytes(data)


@pytest.fixture
def bad_files(smooth, encoded):
    """Twenty-odd ways in which a file can be no picture: bytes by name."""
    picture = smooth(9999, 200, 200)
    whole = {form: encoded(picture, form) for form in ("JPEG", "PNG", "GIF", "WEBP", "BMP")}
    noise = np.random.default_rng(0).bytes(3000)
    png = whole["PNG"]
    return {
        **{f"cut off.{form.lower()}": data[: len(data) // 2] for form, data in whole.items()},
        **{f"header alone.{form.lower()}": data[:20] for form, data in whole.items()},
        "empty.jpg": b"",
        "one byte.png": b"\x89",
        "noise.jpg": noise,
        "noise behind the mark.jpg": b"\xff\xd8\xff\xe0" + noise,
        "zeros.png": bytes(3000),
        "text.jpg": b"this is not a picture",
        "page.png": b"<!DOCTYPE html><html><body>404</body></html>",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "document.jpeg": b"%PDF-1.7\n%%EOF",
        "archive.webp": b"PK\x03\x04" + noise,
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        "other format.jpg": encoded(picture, "TIFF"),
        "bomb.bmp": header_only(encoded, 60_000, 60_000),
        "large.bmp": header_only(encoded, 8_001, 8_000),
        "damaged pixels.png": png[:60] + bytes(40) + png[100:],
        "no pixels.png": png[:33] + png[-12:],
        "riff.webp": b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(20),
    }


def plant(root, bad_files):
    """Adds the bad files, and three that are not even files; returns all their names."""
    for name, data in bad_files.items():
        (root / "roses" / name).write_bytes(data)
    (root / "roses" / "broken link.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(root / "roses" / "pipe.jpg")
    (root / "roses" / "device.png").symlink_to("/dev/zero")
    return {f"roses/{n}" for n in (*bad_files, "broken link.jpg", "pipe.jpg", "device.png")}


def test_every_kind_of_bad_file_is_skipped_and_reported_once(flower_folder, bad_files):
    root = flower_folder(each=150)
    planted = plant(root, bad_files)
    assert len(planted) >= 25
    flowers, warned = load(root)
    assert sum(flowers.sizes.values()) == 300
    assert sorted(name for name, _ in flowers.skipped) == sorted(planted)
    reasons = dict(flowers.skipped)
    assert all(reasons.values())
    assert "0 bytes" in reasons["roses/empty.jpg"]
    assert "megapixels" in reasons["roses/bomb.bmp"]
    assert "8001 x 8000" in reasons["roses/large.bmp"]
    assert "cut off" in reasons["roses/cut off.jpeg"]
    assert "not a regular file" in reasons["roses/pipe.jpg"]
    assert len(warned) == 1
    for name in planted:
        assert warned[0].count(f"{name}: ") == 1


def test_streamed_bad_files_are_dropped_and_reported_once(flower_folder, bad_files):
    root = flower_folder(each=150)
    planted = plant(root, bad_files)
    flowers, warned = load(root, cache_budget=0)
    early = {name for name, _ in flowers.skipped}
    assert early < planted  # what lies behind the header is not known yet
    assert sum(flowers.sizes.values()) == 300 + len(planted - early)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            count = sum(len(list(getattr(flowers, split))) for split in flowers.sizes)
            assert count == 300
    for name in planted - early:
        assert sum(name in str(w.message) for w in caught) == 1
    for name in early:
        assert warned[0].count(f"{name}: ") == 1


@pytest.mark.parametrize("name", ["empty.jpg", "cut off.png", "bomb.bmp"])
def test_raise_raises_on_the_first(flower_folder, bad_files, name):
    root = flower_folder(each=30)
    (root / "roses" / name).write_bytes(bad_files[name])
    with pytest.raises(ValueError, match=rf'roses/{name} in .*on_bad_image="skip"'):
        load(root, on_bad_image="raise")
    assert load(root)[0].skipped[0][0] == f"roses/{name}"


def test_more_than_a_tenth_bad_is_an_error(flower_folder):
    root = flower_folder(each=18)
    for i in range(4):
        (root / "roses" / f"bad{i}.jpg").write_bytes(b"")
    assert len(load(root)[0].skipped) == 4  # 4 of 40
    (root / "roses" / "bad4.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"More than 10 % of the 41(.|\n)*bad0\.jpg: empty"):
        load(root)


def test_stream_stops_when_more_than_a_tenth_is_bad(flower_folder, encoded, smooth):
    root = flower_folder(each=18)
    for i in range(8):
        data = encoded(smooth(7000 + i, 64, 64))
        (root / "roses" / f"cut{i}.png").write_bytes(data[: len(data) // 2])
    flowers, _ = load(root, cache_budget=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(tf.errors.InvalidArgumentError, match="More than 10 %"):
            for split in flowers.sizes:
                list(getattr(flowers, split))


def test_other_files_are_listed_but_not_counted(flower_folder):
    root = flower_folder(each=12)
    for i in range(12):
        (root / "roses" / f"{i:03d}.xml").write_text("<annotation/>")
    flowers, _ = load(root, on_bad_image="raise")
    assert len(flowers.skipped) == 12
    assert "ending" in dict(flowers.skipped)["roses/000.xml"]


def test_same_picture_in_two_classes_is_left_out(flower_folder):
    root = flower_folder(each=30)
    shutil.copy(root / "daisy/000.png", root / "roses/copy.png")
    flowers, _ = load(root)
    reason = "the same picture is in two classes: daisy and roses"
    assert dict(flowers.skipped) == {"daisy/000.png": reason, "roses/copy.png": reason}
    assert sum(flowers.sizes.values()) == 59


def test_hard_links_are_pictures_of_their_own(flower_folder):
    root = flower_folder(each=10)
    os.link(root / "daisy/000.png", root / "daisy/link.png")
    assert sum(load(root)[0].sizes.values()) == 21


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds no folders.*class folders"):
        load(tmp_path)
    (tmp_path / "daisy").mkdir()
    (tmp_path / "roses").mkdir()
    with pytest.raises(ValueError, match=r"holds no pictures.*class folders"):
        load(tmp_path)


def test_one_class(flower_folder):
    with pytest.raises(ValueError, match="single class, 'roses'; at least 2"):
        load(flower_folder(("roses",)))


def test_small_class(flower_folder):
    root = flower_folder()
    for path in sorted((root / "roses").glob("*.png"))[2:]:
        path.unlink()
    with pytest.raises(ValueError, match=r"'roses' has 2 usable pictures.*at least 3"):
        load(root)


def test_damaged_pictures_do_not_make_up_a_class(flower_folder):
    root = flower_folder(each=60)
    roses = sorted((root / "roses").glob("*.png"))
    for path in roses[4:]:
        path.unlink()
    for path in roses[:2]:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"'roses' has 2 usable pictures"):
        load(root)


def test_link_to_a_folder_above_is_an_error(flower_folder):
    root = flower_folder()
    (root / "roses" / "again").symlink_to(root, target_is_directory=True)
    with pytest.raises(ValueError, match=r"link 'again' leads back.*remove the link"):
        load(root)


@pytest.mark.parametrize("target", ["self.jpg", "."])
def test_link_to_itself_is_an_error(flower_folder, target):
    root = flower_folder()
    (root / "roses" / "self.jpg").symlink_to(target)
    with pytest.raises(ValueError, match=r"link 'self\.jpg' leads back"):
        load(root)


def test_link_to_itself_beside_the_classes_is_an_error(flower_folder):
    root = flower_folder()
    (root / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match=r"link 'loop' leads back"):
        load(root)


def test_link_to_another_folder_is_followed(flower_folder):
    root = flower_folder()
    other = flower_folder(("more",), each=20, name="elsewhere")
    shutil.rmtree(root / "roses")
    (root / "roses").symlink_to(other / "more", target_is_directory=True)
    for i in range(12):
        (root / "daisy" / f"{i:03d}.png").unlink(missing_ok=True)
    shutil.rmtree(root / "daisy")
    shutil.copytree(flower_folder(("x", "y"), name="third") / "y", root / "daisy")
    assert sum(load(root)[0].sizes.values()) == 32


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(flower_folder):
    root = flower_folder(each=30)
    file = root / "roses/000.png"
    file.chmod(0)
    assert load(root)[0].skipped == (("roses/000.png", "cannot be read: Permission denied"),)
    (root / "roses").chmod(0)
    try:
        with pytest.raises(ValueError, match=r"'roses' may not be read.*chmod"):
            load(root)
    finally:
        (root / "roses").chmod(0o755)


def test_unreadable_as_any_user(flower_folder, monkeypatch):
    """The same, with the refusal of the system acted out, for it refuses root nothing."""
    root = flower_folder(each=30)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("roses"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=r"'roses' may not be read.*chmod"):
        load(root)


@pytest.mark.parametrize(
    "names",
    [("Train", "Val", "Test"), ("train", "valid", "test"), ("training", "VALID", "testing")],
)
def test_split_folders_by_other_names(flower_folder, names):
    root = flower_folder(names, each=0)
    for number, split in enumerate(names):
        for name in ("rose", "tulip"):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((20, 20, 3), 10 * number + len(name), np.uint8)
            Image.fromarray(pixels).save(root / split / name / "1.png")
    (root / "__MACOSX" / "train").mkdir(parents=True)
    flowers, _ = load(root)
    assert flowers.class_names == ("rose", "tulip")
    assert flowers.sizes == {"train": 2, "validation": 2, "test": 2}
