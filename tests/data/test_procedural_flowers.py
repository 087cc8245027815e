"""The embedded data set: what is stored, whether the masks are true, whether it can be redrawn."""

import dataclasses
import io
from pathlib import Path

import contact_sheet
import difficulty
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from procedural_flowers.scene import (
    BACKGROUNDS,
    PETAL_COLOURS,
    SPECIES,
    possible_species,
    sample_scene,
)
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "data" / "procedural_flowers" / "1.0.0"
SPLITS = {"train": 3000, "validation": 500, "test": 1000, "interventions": 1000}
PICTURES = ("image", "parts", "without_flower", "without_petals")
PETAL, CENTRE = 2, 3
NOISE = 16  # grey levels; smaller differences between two pictures are compression


@pytest.fixture(scope="module")
def builder():
    return tfds.builder_from_directory(str(RECORDS))


@pytest.fixture(scope="module")
def read(builder):
    """Returns a reader: split and features, decoded or as stored, to a list of examples."""

    def examples(split, *features, stored=()):
        wanted = dict.fromkeys((*features, *stored), True)
        skip = {name: tfds.decode.SkipDecoding() for name in stored}
        decoders = tfds.decode.PartialDecoding(wanted, decoders=skip) if wanted else None
        return list(tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders)))

    return examples


@pytest.fixture(scope="module")
def some(read):
    """Forty whole test examples."""
    return read("test[480:520]")


@pytest.fixture(scope="module")
def masks(read):
    """Parts uint8 (1000, 128, 128) and labels (1000,) of the test split."""
    examples = read("test", "parts", "label")
    return np.stack([e["parts"][..., 0] for e in examples]), np.array(
        [e["label"] for e in examples]
    )


# --- What is stored ---------------------------------------------------------------------------


def test_reading_needs_no_builder_code(builder):
    assert type(builder) is tfds.core.read_only_builder.ReadOnlyBuilder
    assert (builder.name, str(builder.version)) == ("procedural_flowers", "1.0.0")
    assert tuple(builder.info.features["label"].names) == SPECIES
    assert SPECIES == ("dandelion", "daisy", "tulips", "sunflowers", "roses")


def test_records_are_small_and_know_no_machine():
    files = list(RECORDS.iterdir())
    assert sum(file.stat().st_size for file in files) <= 48e6
    assert max(file.stat().st_size for file in files) <= 7.5e6
    for file in RECORDS.glob("*.json"):
        text = file.read_text(encoding="utf-8")
        assert not any(f"/{folder}/" in text for folder in ("home", "root", "work", "tmp", "Users"))


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_whole_balanced_and_in_order(read, split):
    examples = read(split, "id", "label", "removed", "has_counterfactuals")
    assert [e["id"].decode() for e in examples] == [
        f"{split}-{k:04d}" for k in range(SPLITS[split])
    ]
    assert np.bincount([e["label"] for e in examples]).tolist() == [SPLITS[split] // 5] * 5
    assert {bool(e["has_counterfactuals"]) for e in examples} == {split in ("validation", "test")}
    assert (split == "interventions") == all(e["removed"] for e in examples)


def test_features(builder, some):
    assert set(some[0]) == {
        *PICTURES,
        *("id", "label", "possible", "removed", "has_counterfactuals", "factors"),
    }
    for example in some:
        for name in PICTURES:
            channels = 1 if name == "parts" else 3
            assert example[name].shape == (128, 128, channels)
            assert example[name].dtype == np.uint8
        assert set(np.unique(example["parts"])) <= {0, 1, PETAL, CENTRE}
        assert example["possible"].tolist() == np.eye(5)[example["label"]].tolist()
    factors = builder.info.features["factors"]
    assert tuple(factors["background"].names) == BACKGROUNDS
    assert tuple(factors["petal_colour"].names) == tuple(PETAL_COLOURS)


def test_counterfactuals_elsewhere_are_black(read):
    for example in read("train[:2]") + read("interventions[:2]"):
        assert not example["without_flower"].any()
        assert not example["without_petals"].any()


def test_no_picture_is_stored_twice(read):
    stored = [e["image"] for split in SPLITS for e in read(split, stored=["image"])]
    assert len(set(stored)) == len(stored) == sum(SPLITS.values())


def test_most_colours_occur_in_every_species(read):
    examples = read("train", "label", "factors")
    seen = np.zeros((5, len(PETAL_COLOURS)))
    for example in examples:
        seen[example["label"], example["factors"]["petal_colour"]] += 1
    # White, yellow, pink, red and orange: each is worn by at least 4 % of every species.
    assert (seen[:, :5] >= 0.04 * 600).all()


# --- Masks ------------------------------------------------------------------------------------


def near(area, example):
    """Widens an area by the blur of the scene: three deviations and a pixel."""
    if not area.any():
        return area
    radius = np.ceil(3 * example["factors"]["blur"]) + 1
    return ndimage.distance_transform_edt(~area) <= radius


def differs(first, second):
    return np.abs(first.astype(int) - second).max(-1) > NOISE


def test_masks_are_exact(some):
    inside = total = 0
    for example in some:
        changed = differs(example["image"], example["without_flower"])
        inside += (changed & near(example["parts"][..., 0] >= PETAL, example)).sum()
        total += changed.sum()
    assert total > 40 * 500
    assert inside / total >= 0.99


def test_taking_the_flower_out_changes_most_of_it_and_nothing_far_away(some):
    changed_inside, far_difference = [], []
    for example in some:
        flower = example["parts"][..., 0] >= PETAL
        changed = differs(example["image"], example["without_flower"])
        changed_inside.append(changed[flower].mean())
        away = np.abs(example["image"].astype(int) - example["without_flower"])
        far_difference.append(away[~ndimage.binary_dilation(flower, iterations=20)].mean())
    assert np.mean(changed_inside) > 0.85
    assert np.nanmax(far_difference) < 1


def test_without_petals_lies_between(some):
    kept_centres, gone_petals = [], []
    for example in some:
        parts = example["parts"][..., 0]
        heart = ndimage.binary_erosion(parts == CENTRE, iterations=2)
        petals = ndimage.binary_erosion(parts == PETAL, iterations=3)
        if heart.sum() > 30:
            whole, bare, none = (
                example[name][heart].astype(float)
                for name in ("image", "without_petals", "without_flower")
            )
            kept_centres.append(np.abs(whole - bare).mean() < np.abs(whole - none).mean())
        gone_petals.append(differs(example["image"], example["without_petals"])[petals].mean())
    assert np.mean(kept_centres) > 0.9
    assert np.mean(gone_petals) > 0.8


@pytest.mark.parametrize("what", ["petal area", "centre area", "flower place", "centre place"])
def test_size_and_place_of_parts_say_little_about_the_class(masks, what):
    parts, labels = masks
    where = {"petal": parts == PETAL, "centre": parts == CENTRE, "flower": parts >= PETAL}
    area = where[what.split()[0]]
    if "area" in what:
        values = area.mean((1, 2))[:, None]
    else:
        values = np.array([np.argwhere(a).mean(0) if a.any() else (64, 64) for a in area])
    means = np.stack([values[labels == k].mean(0) for k in range(5)])
    # Share of the variance between classes; without any dependence 0.4 % on average.
    explained = means.var(0) / values.var(0)
    assert (explained <= 0.03).all(), explained


# --- Factors ----------------------------------------------------------------------------------


def test_boxes_hold_the_blooms(some):
    for example in some:
        flower = example["parts"][..., 0] >= PETAL
        boxes = example["factors"]["bloom_boxes"] * 128
        covered = np.zeros_like(flower)
        for top, left, bottom, right in boxes:
            rows = slice(int(top), int(np.ceil(bottom)))
            columns = slice(int(left), int(np.ceil(right)))
            assert 0 <= top < bottom <= 128
            assert 0 <= left < right <= 128
            covered[rows, columns] = True
        assert 1 <= len(boxes) <= 6
        assert not (flower & ~covered).any()


def test_centre_size_is_what_the_mask_shows(read):
    said, seen = [], []
    for example in read("test", "parts", "factors"):
        boxes = example["factors"]["bloom_boxes"]
        inside = (boxes[:, :2] > 0.02).all() and (boxes[:, 2:] < 0.98).all()
        if len(boxes) == 1 and inside:
            parts = example["parts"]
            said.append(example["factors"]["centre_size"])
            seen.append((parts == CENTRE).sum() / (parts >= PETAL).sum())
    assert len(said) > 30
    assert np.corrcoef(said, seen)[0, 1] > 0.8
    assert abs(np.median(np.array(seen) / said) - 1) < 0.1


def test_interventions_name_the_species_still_possible(builder, read):
    names = builder.info.features["removed"].names
    taken = {"petals": {PETAL}, "centre": {CENTRE}, "flower": {PETAL, CENTRE}}
    examples = read("interventions", "label", "removed", "possible", "parts")
    for example in examples:
        removed = names[example["removed"]]
        assert not taken[removed] & set(np.unique(example["parts"]).tolist())
        expected = possible_species(SPECIES[example["label"]], removed)
        assert example["possible"].tolist() == expected.tolist()
    counts = np.bincount([e["removed"] for e in examples], minlength=4)
    assert counts[0] == 0
    assert (counts[1:] > 150).all()


def test_possible_species():
    def names(*arguments):
        return {SPECIES[k] for k in np.flatnonzero(possible_species(*arguments))}

    assert names("daisy") == {"daisy"}
    assert names("daisy", "centre") == {"daisy", "sunflowers"}
    assert names("daisy", "petals") == {"daisy", "dandelion"}
    assert names("sunflowers", "petals") == {"sunflowers"}
    assert names("roses", "petals") == {"roses", "tulips"}
    assert names("tulips", "flower") == set(SPECIES)


# --- The generator ----------------------------------------------------------------------------


def test_scenes_are_seeded():
    first, again, other = (sample_scene(np.random.default_rng(k), "roses") for k in (1, 1, 2))
    assert first == again
    assert first != other


def test_spurious_ties_the_background_to_the_species():
    for species, background in zip(SPECIES, BACKGROUNDS, strict=True):
        scenes = [sample_scene(np.random.default_rng(k), species, spurious=True) for k in range(5)]
        assert {s.background for s in scenes} == {background}
        assert all(s.spurious for s in scenes)


def test_generator_says_what_it_takes():
    with pytest.raises(ValueError, match="species is 'lily'; choose one of dandelion"):
        sample_scene(np.random.default_rng(0), "lily")
    with pytest.raises(ValueError, match="without is 'leaf'; choose one of nothing"):
        possible_species("daisy", "leaf")


@pytest.fixture
def examples():
    pytest.importorskip("skia", reason="drawing needs the extra 'draw'")
    from procedural_flowers import examples

    return examples


@pytest.mark.parametrize("split", SPLITS)
def test_redrawing_gives_the_stored_pixels(read, examples, split):
    start = SPLITS[split] // 2
    stored = read(f"{split}[{start}:{start + 5}]", stored=PICTURES)
    for index, example in enumerate(stored, start):
        drawn = examples.make_example(split, index)
        for name in PICTURES:
            one, two = (np.asarray(Image.open(io.BytesIO(e[name]))) for e in (example, drawn))
            # Not all: on another processor skia may round a colour the other way.
            assert (one == two).mean() > 0.99, name


def test_daisy_and_sunflower_differ_in_the_centre_only(examples):
    render = examples.drawing.render
    for seed in range(5):
        daisy, sunflower = (
            sample_scene(np.random.default_rng(seed), species)
            for species in ("daisy", "sunflowers")
        )
        assert dataclasses.replace(sunflower, species="daisy") == daisy
        first, second = render(daisy), render(sunflower)
        np.testing.assert_array_equal(first.parts, second.parts)
        blur = max(bloom.blur for bloom in daisy.blooms)
        centre = ndimage.distance_transform_edt(first.parts != CENTRE) <= np.ceil(3 * blur) + 1
        assert (first.image != second.image)[centre].any()
        assert not differs(first.image, second.image)[~centre].any()


def test_drawing_says_what_it_takes(examples):
    with pytest.raises(ValueError, match="split is 'dev'; choose one of train"):
        examples.scene_of("dev", 0)
    with pytest.raises(ValueError, match="index is 1000; the split 'test' has examples 0 to 999"):
        examples.scene_of("test", 1000)
    scene, _ = examples.scene_of("test", 0)
    with pytest.raises(ValueError, match="without is 'leaf'; choose one of nothing"):
        examples.drawing.render(scene, without="leaf")


# --- The scripts beside it --------------------------------------------------------------------


def test_contact_sheet_takes_the_first_of_each_class():
    labels = np.arange(130) % 5
    images = np.broadcast_to(np.arange(130, dtype=np.uint8)[:, None, None, None], (130, 8, 8, 3))
    sheet = contact_sheet.contact_sheet(images, labels, list(SPECIES))
    left, step = contact_sheet.MARGIN, 8 + contact_sheet.GAP
    assert sheet.getpixel((left, contact_sheet.GAP)) == (0, 0, 0)
    assert sheet.getpixel((left + step, contact_sheet.GAP)) == (5, 5, 5)
    assert sheet.getpixel((left, contact_sheet.GAP + 4 * step)) == (4, 4, 4)


def test_committed_contact_sheet_is_small():
    path = ROOT / "data" / "contact_sheet.png"
    assert path.stat().st_size < 1e6
    assert Image.open(path).size == (104 + 12 * 132, 4 + 5 * 132)


def test_difficulty_bounds():
    low = {"reader": "cnn", "accuracy": 0.92, "at_least": 0.93, "at_most": None}
    high = {"reader": "colours", "accuracy": 0.66, "at_least": None, "at_most": 0.65}
    assert difficulty.broken(low)
    assert difficulty.broken(high)
    assert not difficulty.broken({**low, "accuracy": 0.93})
    assert not difficulty.broken({**high, "accuracy": 0.65})
    assert "at least 93%  BROKEN" in difficulty.table([low])


def test_colour_histograms_count_pixels():
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 0] = 255
    counts = difficulty.colour_histograms(image, bins=2)[0] ** 2
    np.testing.assert_allclose(counts[[0, -1]], [0.75, 0.25])
