import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vit_keras_lib.datasets import Flowers, flowers, load_flowers, load_scenes


@pytest.fixture(scope="module")
def garden(tmp_path_factory, smooth, encoded):
    """Two classes of 40 pictures, loaded at 16 x 20 pixels."""
    root = tmp_path_factory.mktemp("garden")
    for c, name in enumerate(("daisy", "roses")):
        (root / name).mkdir()
        for i in range(40):
            (root / name / f"{i}.png").write_bytes(encoded(smooth(1000 * c + i)))
    return load_flowers(root, (16, 20))


def epoch(batches):
    parts = list(batches.as_numpy_iterator())
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def by_pixels(images):
    return sorted(image.tobytes() for image in images)


def test_batches_hold_the_split_in_its_order(garden):
    batches = garden.batches("train", 7)
    assert len(batches) == -(-garden.sizes["train"] // 7)
    images, labels = epoch(batches)
    assert images.dtype == np.float32 and images.shape[1:] == (16, 20, 3)
    assert labels.dtype == np.float32 and labels.shape[1:] == (2,)
    for image, one_hot, (pixels, label) in zip(
        images, labels, garden.train.as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(image, pixels)
        np.testing.assert_array_equal(one_hot, np.eye(2)[label])


def test_drop_remainder(garden):
    full = garden.sizes["train"] // 7
    assert [len(x) for x, _ in garden.batches("train", 7, drop_remainder=True)] == [7] * full


def test_shuffling_is_seeded_and_anew_in_each_epoch(garden):
    one, two = (garden.batches("train", 8, shuffle=True, seed=1) for _ in range(2))
    first, second = epoch(one)[0], epoch(one)[0]
    np.testing.assert_array_equal(epoch(two)[0], first)
    np.testing.assert_array_equal(epoch(two)[0], second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(epoch(garden.batches("train", 8, shuffle=True, seed=2))[0], first)
    assert by_pixels(first) == by_pixels(second) == by_pixels(epoch(garden.batches("train"))[0])


def test_shuffling_keeps_labels_with_their_pictures(garden):
    truth = {i.tobytes(): label for i, label in garden.train.as_numpy_iterator()}
    images, labels = epoch(garden.batches("train", 8, shuffle=True))
    for image, label in zip(images, labels, strict=True):
        assert truth[image.astype(np.uint8).tobytes()] == label.argmax()


def test_default_seed_is_the_loaders(garden):
    ours = Flowers(**{**vars(garden), "seed": 5})
    np.testing.assert_array_equal(
        epoch(ours.batches("train", shuffle=True))[0],
        epoch(garden.batches("train", shuffle=True, seed=5))[0],
    )


def test_built_by_hand():
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 3), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(20, dtype=np.int64) % 3))
    ours = Flowers(
        train=dataset,
        validation=dataset,
        test=dataset,
        class_names=("a", "b", "c"),
        image_size=(8, 8),
        sizes={"train": 20, "validation": 20, "test": 20},
        source="by hand",
    )
    plain, shuffled = epoch(ours.batches("train"))[0], epoch(ours.batches("train", shuffle=True))[0]
    assert not np.array_equal(plain, shuffled)
    assert by_pixels(plain) == by_pixels(shuffled)


def test_augmentation_is_wired_through(garden):
    plain = epoch(garden.batches("train"))[0]
    light = epoch(garden.batches("train", augment="light", seed=1))[0]
    assert light.shape == plain.shape and not np.array_equal(light, plain)
    np.testing.assert_array_equal(
        epoch(garden.batches("train", augment="light", seed=1, shuffle=True))[0],
        epoch(garden.batches("train", augment="light", seed=1, shuffle=True))[0],
    )


def test_augmentation_is_anew_in_each_epoch(garden):
    one, two = (garden.batches("train", augment="light", seed=1) for _ in range(2))
    first, second = epoch(one)[0], epoch(one)[0]
    np.testing.assert_array_equal(epoch(two)[0], first)
    np.testing.assert_array_equal(epoch(two)[0], second)
    assert not np.array_equal(first, second)


def without_random_access(root, size):
    return Flowers(**{**vars(load_flowers(root, size)), "_read": None})


@pytest.mark.parametrize(
    "load",
    [load_flowers, partial(load_flowers, cache_budget=0), without_random_access],
    ids=["cached", "streamed", "buffer"],
)
def test_an_epoch_follows_from_its_number(flower_folder, load):
    garden = load(flower_folder(), (16, 20))
    steps = -(-garden.sizes["train"] // 8)

    def epochs(first, count):
        tf.random.set_seed(first)  # has no say
        options = {"shuffle": True, "augment": "light", "seed": 1, "first_epoch": first}
        batches = garden.batches("train", 8, **options).take(count * steps)
        return np.split(epoch(batches)[0], count)

    three = epochs(0, 3)
    assert len({pixels.tobytes() for pixels in three}) == 3
    np.testing.assert_array_equal(epochs(1, 2), three[1:])
    np.testing.assert_array_equal(epochs(2, 1), three[2:])


@pytest.mark.parametrize("budget", [2**20, 0], ids=["cached", "streamed"])
def test_a_resize_rule_reaches_every_picture(flower_folder, budget):
    root, rule = flower_folder(), ["crop", 0.5, "bilinear"]
    plain, ruled = (
        load_flowers(root, 16, cache_budget=budget, resize_rule=how) for how in (None, rule)
    )
    larger = load_flowers(root, 40)
    assert ruled.fingerprint == plain.fingerprint  # the files are the same,
    assert ruled.about() != plain.about()  # the pictures are not
    assert "resized by 'crop', 0.5, 'bilinear'" in ruled.protocol
    for split in ("train", "test"):
        shown, full = (epoch(x.batches(split))[0] for x in (ruled, larger))
        middle = [
            np.asarray(Image.fromarray(i).resize((16, 16), Image.BILINEAR, (10, 10, 30, 30)))
            for i in full.astype(np.uint8)
        ]
        np.testing.assert_array_equal(shown, np.stack(middle))


@pytest.mark.parametrize(
    "rule", ["crop", ("cut", 1.0, "bicubic"), ("crop", 0, "bicubic"), ("crop", 1, "box"), 3]
)
def test_an_impossible_resize_rule_is_refused(rule):
    with pytest.raises(ValueError, match=r"resize_rule=.* share above 0 .* or None"):
        load_flowers(resize_rule=rule)


KINDS = {
    "cached": lambda garden: garden,
    "buffer": lambda garden: Flowers(**{**vars(garden), "_read": None}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_is_drawn_from_each_class_alike_and_lies_in_the_larger(garden, kind):
    garden = KINDS[kind](garden)
    all_of_it = [i.tobytes() for i, _ in garden.train.as_numpy_iterator()]
    inside = set(all_of_it)
    counts = np.bincount([label for _, label in garden.train.as_numpy_iterator()])
    for fraction in (1.0, 0.5, 0.25, 0.001):
        share = garden.share(fraction, seed=3)
        images, labels = epoch(share.batches("train", 7))
        pixels = [image.astype(np.uint8).tobytes() for image in images]
        assert len(set(pixels)) == len(pixels) == share.sizes["train"] == len(share.train)
        assert [p for p in all_of_it if p in pixels] == pixels  # the order stays
        assert set(pixels) <= inside
        expected = [max(1, round(fraction * n)) for n in counts]
        np.testing.assert_array_equal(labels.sum(axis=0), expected)
        inside = set(pixels)
        shuffled = epoch(share.batches("train", 7, shuffle=True))[0]
        assert by_pixels(shuffled) == by_pixels(images)
        for split in ("validation", "test"):
            np.testing.assert_array_equal(
                epoch(share.batches(split))[0], epoch(garden.batches(split))[0]
            )
    assert garden.share(1) is garden


def test_another_seed_is_another_share_with_another_fingerprint(garden):
    one, same, other = (garden.share(0.25, seed) for seed in (0, 0, 1))
    assert one.about() == same.about() != other.about()
    assert one.fingerprint != garden.fingerprint
    first, second = (by_pixels(epoch(s.batches("train"))[0]) for s in (one, other))
    assert first == by_pixels(epoch(same.batches("train"))[0]) != second
    assert f"Of the training pictures {one.sizes['train']}, 0.25 of each class" in one.protocol


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_the_same_length_repeats_its_pictures(garden, kind):
    garden = KINDS[kind](garden)
    once, often = garden.share(0.3, 1), garden.share(0.3, 1, same_length=True)
    assert often.sizes == garden.sizes and len(often.train) == garden.sizes["train"]
    pictures, times = np.unique(
        [i.tobytes() for i, _ in often.train.as_numpy_iterator()], return_counts=True
    )
    assert {*pictures} == {i.tobytes() for i, _ in once.train.as_numpy_iterator()}
    assert times.max() - times.min() <= 1
    shuffled = epoch(often.batches("train", 8, shuffle=True))[0]
    assert by_pixels(shuffled) == by_pixels(epoch(often.batches("train"))[0])


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01])
def test_an_impossible_share_is_refused(garden, fraction):
    with pytest.raises(ValueError, match=r"fraction=.* above 0 and at most 1"):
        garden.share(fraction)


def test_text_forms(garden):
    assert repr(garden).startswith("Flowers('garden") and "(16, 20)" in repr(garden)
    assert garden.fingerprint in garden.summary()
    assert f"train {garden.sizes['train']}" in garden.summary()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("training",), "split='training' is unknown; choose one of train, validation, test"),
        (("train", 0), "batch_size=0; it must be at least 1"),
        (("train", 8, "wild"), "augment='wild' is unknown"),
    ],
)
def test_impossible_batches(garden, arguments, message):
    split, size, augment = (*arguments, 8, "none")[:3] if len(arguments) < 3 else arguments
    with pytest.raises(ValueError, match=message):
        garden.batches(split, size if isinstance(size, int) else 8, augment=augment)


@pytest.mark.parametrize("size", [0, -3, 2.5, (96,), (96, 0), (8, 8, 3), True, "96"])
def test_impossible_image_size(size):
    with pytest.raises(ValueError, match=r"image_size=.*positive integer or a pair"):
        load_flowers(image_size=size)


def test_unknown_source(tmp_path):
    with pytest.raises(ValueError, match=r"'tf_flower'.*procedural_flowers, tf_flowers, oxford"):
        load_flowers("tf_flower")
    file = tmp_path / "roses.jpg"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="it is a file"):
        load_flowers(file)


def test_unknown_way_with_bad_images(tmp_path):
    with pytest.raises(ValueError, match='on_bad_image=\'ignore\'; it must be "skip" or "raise"'):
        load_flowers(tmp_path, on_bad_image="ignore")


def test_folder_named_like_a_set(flower_folder, monkeypatch):
    root = flower_folder(name="tf_flowers")
    monkeypatch.chdir(root.parent)
    assert load_flowers("./tf_flowers", 8).class_names == ("daisy", "roses")
    assert load_flowers(root, 8).source == "tf_flowers"


def test_embedded_set_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(flowers, "EMBEDDED", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"not beside the package.*pip install -e"):
        load_flowers()


@pytest.fixture(scope="module")
def embedded():
    return load_flowers(image_size=48)


def test_embedded_set(embedded):
    assert embedded.class_names == ("dandelion", "daisy", "tulips", "sunflowers", "roses")
    assert embedded.sizes == {"train": 3000, "validation": 500, "test": 1000}
    assert embedded.skipped == ()
    for split in embedded.sizes:
        labels = [int(label) for _, label in getattr(embedded, split)]
        assert len(set(np.bincount(labels, minlength=5))) == 1  # balanced


def test_scenes_are_the_pictures_of_the_set(embedded):
    seen = set()
    for scene, (image, label) in zip(
        load_scenes(image_size=48), embedded.test.take(20), strict=False
    ):
        np.testing.assert_array_equal(scene["image"], image)
        assert scene["label"] == label
        assert scene["parts"].shape == (48, 48, 1)
        assert set(np.unique(scene["parts"])) <= {0, 1, 2, 3}
        seen.add(scene["id"].numpy())
    assert len(seen) == 20


def test_scenes_in_their_own_size_tell_parts_from_background():
    for scene in load_scenes("test").take(5):
        assert scene["image"].shape == (128, 128, 3)
        bloom = scene["parts"].numpy()[..., 0] >= 2
        changed = scene["image"].numpy().astype(int) - scene["without_flower"].numpy()
        changed = np.abs(changed).sum(-1)
        assert changed[bloom].mean() > 10 * changed[~bloom].mean()


def test_reading_logs_nothing(caplog):
    assert next(iter(load_scenes("train", 16)))["image"].shape == (16, 16, 3)
    assert caplog.records == []


def test_impossible_scenes():
    with pytest.raises(ValueError, match=r"split='tests'.*interventions"):
        load_scenes("tests")
    with pytest.raises(ValueError, match=r"scenes are square"):
        load_scenes(image_size=(32, 48))


def test_python_ends_while_pictures_are_decoded(tmp_path):
    """A half-read stream must not keep the process from ending."""
    rng = np.random.default_rng(0)
    for name in ("daisy", "roses"):
        (tmp_path / name).mkdir()
        for i in range(20):
            noise = Image.fromarray(rng.integers(0, 256, (600, 600, 3), dtype=np.uint8))
            noise.save(tmp_path / name / f"{i}.png", compress_level=1)
    code = (
        "import sys; from vit_keras_lib.datasets import load_flowers\n"
        "flowers = load_flowers(sys.argv[1], 96, cache_budget=0)\n"
        "streams = [iter(flowers.batches('train', 2).repeat()) for _ in range(4)]\n"
        "print([len(next(stream)) for stream in streams])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[2, 2, 2, 2]"
