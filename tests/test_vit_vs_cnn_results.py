"""What the comparison with a CNN has stored is complete and fair, and page 08 says what it says."""

import re
from pathlib import Path

import keras
import nbformat
import numpy as np
import pytest

from vit_keras_lib import load_flowers, mean_attention_distance
from vit_keras_lib.training import read_json

ROOT = Path(__file__).resolve().parents[1]
DRAWN, REAL = "procedural_flowers", "real_photos"
WAYS = ("from scratch", "small-data recipe", "CNN")
LEARNED = ("linear probe", "full fine-tuning")
UNEQUAL, AS_LONG = "CNN, not augmented", "CNN, same minutes"
SHARES = ("2%", "5%", "10%", "25%", "50%", "100%")
SEEDS = [0, 1, 2]
TRAINED = (f"data_{DRAWN}", f"data_{REAL}", f"orders_{REAL}")
MEASURED = {
    f"{what}_{DRAWN}": f"data_{DRAWN}" for what in ("reach", "robustness", "cues", "background")
} | {f"order_{REAL}": f"data_{REAL}"}


def stored(name):
    return read_json(ROOT / "results" / f"vit_vs_cnn_{name}.json")


def accuracies(name, variant):
    """Test accuracies in %, in the order of the seeds."""
    rows = [row for row in stored(name)["rows"] if row["variant"] == variant]
    return 100 * np.array([row["test"] for row in sorted(rows, key=lambda row: row["seed"])])


def measures(name, way):
    rows = [row for row in stored(name)["rows"] if row["model"] == way]
    return sorted(rows, key=lambda row: row["seed"])


def printed():
    """All that page 08 prints, white space folded."""
    page = nbformat.read(ROOT / "notebooks" / "08_vit_vs_cnn.ipynb", as_version=4)
    outputs = [out for cell in page.cells for out in cell.get("outputs", [])]
    return " ".join("".join(out.get("text", "") for out in outputs).split())


def prose():
    page = nbformat.read(ROOT / "notebooks" / "08_vit_vs_cnn.ipynb", as_version=4)
    return " ".join(" ".join(c.source for c in page.cells if c.cell_type == "markdown").split())


def spread(values):
    """Mean and standard deviation, as the page prints them."""
    return " ".join(f"{np.mean(values):5.1f} ± {np.std(values, ddof=1):3.1f} %".split())


# --- Complete and fair ------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_was_trained_with_three_seeds(name):
    seeds = {}
    for row in stored(name)["rows"]:
        seeds.setdefault(row["variant"], []).append(row["seed"])
    assert all(sorted(of) == SEEDS for of in seeds.values()), seeds


def test_every_share_of_the_photos_was_learned_from_in_every_way():
    for name, ways in ((DRAWN, WAYS), (REAL, (*WAYS, *LEARNED))):
        found = {row["variant"] for row in stored(f"data_{name}")["rows"]}
        assert {f"{way}, {share}" for way in ways for share in SHARES} <= found
    assert {f"{way}, 100%" for way in (UNEQUAL, AS_LONG)} <= found


@pytest.mark.parametrize("name", MEASURED)
def test_every_model_was_measured_and_is_the_one_that_was_trained(name):
    found, trained = stored(name), stored(MEASURED[name])
    assert sorted((row["model"], row["seed"]) for row in found["rows"]) == sorted(
        (way, seed) for way in WAYS for seed in SEEDS
    )
    assert found["data"] == trained["data"]


@pytest.mark.parametrize("name", TRAINED)
def test_test_photos_were_looked_at_once_a_run_and_steps_are_equal(name):
    rows = stored(name)["rows"]
    assert {row["test_looks"] for row in rows} == {1}
    other = tuple(f"{way}, " for way in ("linear probe", AS_LONG))
    assert len({row["steps"] for row in rows if not row["variant"].startswith(other)}) == 1


@pytest.mark.parametrize("name", TRAINED)
def test_budgets_are_equal_and_so_are_recipes(name):
    found = stored(name)
    sizes = [row["parameters"] for row in found["rows"]]
    assert max(sizes) < 1.1 * min(sizes)
    same = ("batch_size", "learning_rate", "decay", "mix", "label_smoothing", "epochs", "augment")
    settings = {
        tuple(recipe[key] for key in same)
        for variant, recipe in found["recipes"].items()
        if not variant.startswith((UNEQUAL, AS_LONG, *LEARNED))
    }
    assert len(settings) == 1


@pytest.mark.parametrize("name", (*TRAINED, *MEASURED))
def test_every_run_says_where_it_was_made(name):
    found = stored(name)
    assert found["run"]["seed"] == SEEDS
    assert found["run"]["device"] and found["run"]["versions"]["keras"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["run"]["date"])
    assert found["data"]["fingerprint"]


def test_a_measured_model_is_as_good_as_when_it_was_trained():
    for name, home in MEASURED.items():
        for way in WAYS:
            then = accuracies(home, f"{way}, 100%")
            for row, accuracy in zip(measures(name, way), then, strict=True):
                if name.startswith("reach") or name.startswith("cues"):
                    continue
                shares = row["test"]
                now = shares.get("in order", shares.get("whole", next(iter(shares.values()))))
                now = now[0] if isinstance(now, list) else now
                assert 100 * now == pytest.approx(accuracy, abs=0.35), (name, way)


@pytest.mark.parametrize(("kind", "way"), [("vit", "from scratch"), ("cnn", "CNN")])
def test_models_that_come_along_are_as_good_as_stored(kind, way):
    model = keras.models.load_model(ROOT / "data" / f"flowers_half_{kind}.keras", compile=False)
    flowers, right = load_flowers(DRAWN, image_size=96), []
    for photos, labels in flowers.batches("test", 100):
        right.extend(model.predict_on_batch(photos).argmax(axis=1) == np.argmax(labels, axis=1))
    assert len(right) == flowers.sizes["test"]
    # Another CPU may round a close call the other way.
    then = accuracies(f"data_{DRAWN}", f"{way}, 100%")[0]
    assert 100 * np.mean(right) == pytest.approx(then, abs=0.3)


# --- What is said of it -----------------------------------------------------------------------


def readme_rows():
    """README's table of the comparison, row by row."""
    for name, title in ((DRAWN, "drawn flowers"), (REAL, "photographs")):
        photos = stored(f"data_{name}")["photos"]
        for share in ("2%", "10%", "100%"):
            cells = [spread(accuracies(f"data_{name}", f"{way}, {share}")) for way in WAYS]
            yield f"| {title}, {photos[share]:,} | {' | '.join(cells)} |"


def test_readme_quotes_the_comparison_as_stored():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in readme_rows():
        assert row in text


def test_page_08_prints_what_is_stored():
    said = printed()
    for name, ways in ((DRAWN, WAYS), (REAL, (*WAYS, *LEARNED))):
        for variant in (f"{way}, {share}" for way in ways for share in SHARES):
            assert spread(accuracies(f"data_{name}", variant)) in said
    for way in (UNEQUAL, AS_LONG):
        assert spread(accuracies(f"data_{REAL}", f"{way}, 100%")) in said
    for variant in ("from scratch, one order for all", "CNN, one order for all"):
        assert spread(accuracies(f"orders_{REAL}", variant)) in said
    for way in WAYS:
        for title in ("without petals", "without flower"):
            rows = measures(f"background_{DRAWN}", way)
            assert spread([100 * row["test"][title] for row in rows]) in said
        rows = measures(f"order_{REAL}", way)
        assert spread([100 * row["test"]["an order each"] for row in rows]) in said
        for cue in ("colour", "petals"):
            rows = measures(f"cues_{DRAWN}", way)
            assert spread([100 * row[cue]["own"] for row in rows]) in said
        rows = measures(f"robustness_{DRAWN}", way)
        for kind in rows[0]["test"]:
            kept = np.mean([row["test"][kind][3] / row["test"][kind][0] for row in rows])
            assert f"{kept:.0%}" in said


def mean_of(name, way, *keys):
    """A measure's mean over the seeds, in %."""
    found = []
    for row in measures(name, way):
        for key in keys:
            row = row[key]
        found.append(row)
    return 100 * np.mean(found, axis=0)


def test_what_page_08_says_of_the_start_holds():
    drawn, real = (
        {way: accuracies(f"data_{n}", f"{way}, 100%").mean() for way in WAYS} for n in (DRAWN, REAL)
    )
    assert drawn["CNN"] > drawn["from scratch"] + 15
    assert abs(real["CNN"] - real["small-data recipe"]) < 2
    assert real["CNN"] - real["from scratch"] == pytest.approx(6, abs=0.5)


def test_what_page_08_says_of_order_holds():
    def order(way, which):
        return mean_of(f"order_{REAL}", way, "test", which)

    for way in ("small-data recipe", "CNN"):
        assert order(way, "an order each") < 0.8 * order(way, "in order")
        assert order(way, "an order each") > 40  # a patch is still a picture
    vit, cnn = (order(way, "in order") for way in ("from scratch", "CNN"))
    assert abs(order("from scratch", "an order each") - vit) < 1
    assert accuracies(f"orders_{REAL}", "from scratch, one order for all").mean() > vit - 1
    assert accuracies(f"orders_{REAL}", "CNN, one order for all").mean() < cnn - 3
    assert abs(accuracies(f"orders_{REAL}", "without positions").mean() - vit) < 2


def test_what_page_08_says_of_reach_holds():
    radii = {
        way: np.mean([list(r["radius, px"]["trained"].values()) for r in rows], axis=0)
        for way in WAYS
        for rows in [measures(f"reach_{DRAWN}", way)]
    }
    assert radii["from scratch"][1] > 0.8 * radii["from scratch"][-1]
    cnn = radii["CNN"]
    assert cnn[1] < 0.2 * cnn[-1]
    assert 0.4 < cnn[len(cnn) // 2] / cnn[-1] < 0.6
    assert abs(cnn[-1] - radii["from scratch"][-1]) < 2
    heads = [r["attention distance, px"] for r in measures(f"reach_{DRAWN}", "from scratch")]
    even = mean_attention_distance(np.full((1, 6, 12, 37, 37), 1 / 37), (6, 6), 16, 1).mean()
    assert np.abs(np.mean(heads, axis=(0, 2)) - even).max() < 2


def test_what_page_08_says_of_the_background_holds():
    for way in WAYS:
        whole, petals, flower = (
            mean_of(f"background_{DRAWN}", way, "test", what)
            for what in ("whole", "without petals", "without flower")
        )
        assert abs(flower - 20) < 2 < petals - flower < whole - flower


def test_what_page_08_says_of_cues_holds():
    changed = {
        way: [mean_of(f"cues_{DRAWN}", way, cue, "changed") for cue in ("colour", "petals")]
        for way in WAYS
    }
    colour, petals = changed["from scratch"]
    assert colour > 50 > petals
    colour, petals = changed["CNN"]
    assert petals > 1.9 * colour
    colour, petals = changed["small-data recipe"]
    assert petals > 1.3 * colour


def test_what_page_08_says_of_cost_holds():
    rows = stored("cost")["rows"]
    by = {(row["model"], row["tokens"]): row for row in rows}
    tokens = {size["image"]: size["tokens"] for size in stored("cost")["sizes"]}
    assert list(tokens) == [64, 96, 128, 192]

    def ratio(key):
        """CNN to ViT, by size."""
        return np.array([by["CNN", n][key] / by["vit_keras_lib", n][key] for n in tokens.values()])

    assert np.abs(ratio("multiply-adds") - 0.75).max() < 0.05
    train, infer, memory = map(ratio, ("train, img/s", "inference, img/s", "peak memory, GB"))
    assert 1 < train[0] < 1.1 and train[2:] == pytest.approx(1.25, abs=0.05)
    assert train.max() < 1 / ratio("multiply-adds").max()  # less than the products would give
    assert ratio("train, of matmul peak").max() < 1
    assert infer.min() > 1.3
    assert memory.max() < 1 and memory[3] == pytest.approx(0.75, abs=0.05)


def test_what_page_08_says_of_wrong_comparisons_holds():
    pairs = (
        accuracies(f"data_{REAL}", "CNN, 100%")
        - accuracies(f"data_{REAL}", "from scratch, 100%")[:, None]
    )
    assert pairs.size == 9
    assert pairs.min() / pairs.mean() == pytest.approx(0.5, abs=0.1)
    assert pairs.max() / pairs.mean() == pytest.approx(1.5, abs=0.1)
    vit, cnn, unequal = (
        accuracies(f"data_{REAL}", f"{way}, 100%").mean()
        for way in ("from scratch", "CNN", UNEQUAL)
    )
    assert unequal < vit < cnn
    rows = read_json(ROOT / "results" / "accuracy_real_photos.json")["rows"]
    ours, theirs = (
        [row for row in rows if row["variant"] == name]
        for name in ("this library", "TensorFlow tutorial")
    )
    assert 3 < ours[0]["epochs"] / theirs[0]["epochs"] < 3.5
    here = theirs[0]["device"]  # seconds of one machine only: cores differ
    minutes = [
        np.mean([row["seconds"] for row in of if row["device"] == here]) for of in (ours, theirs)
    ]
    assert minutes[0] / minutes[1] == pytest.approx(8, abs=1)
    rows = stored(f"data_{REAL}")["rows"]
    rows = [row for row in rows if row["variant"].rsplit(", ", 1)[0] in WAYS]
    gaps = [row["validation"] - row["test"] for row in rows]
    assert np.mean(gaps) > 2 * np.std(gaps, ddof=1) / np.sqrt(len(gaps))


def test_what_page_08_says_of_damage_holds():
    def kept(way, kind):
        runs = [row["test"][kind] for row in measures(f"robustness_{DRAWN}", way)]
        return np.mean([run[3] / run[0] for run in runs])

    kinds = measures(f"robustness_{DRAWN}", "CNN")[0]["test"]
    assert all(kept("from scratch", kind) > 0.9 for kind in ("shift", "blur", "noise"))
    assert min(kinds, key=lambda kind: kept("from scratch", kind)) == "colour"
    for way in ("small-data recipe", "CNN"):
        assert kept(way, "noise") < 0.55
    for kind in kinds:
        assert abs(kept("small-data recipe", kind) - kept("CNN", kind)) < 0.2


def means(name, way):
    """Mean test accuracy in % with each share of the photos."""
    return np.array([accuracies(f"data_{name}", f"{way}, {share}").mean() for share in SHARES])


def test_what_page_08_says_of_the_number_of_photos_holds():
    # The text names these numbers of photos, and goes by their places below.
    assert [stored(f"data_{REAL}")["photos"][s] for s in SHARES][:4] == [53, 129, 259, 649]
    assert list(stored(f"data_{DRAWN}")["photos"].values()) == [60, 150, 300, 750, 1500, 3000]
    vit, stem, cnn = (means(REAL, way) for way in WAYS)
    leads = cnn - vit
    assert leads.min() > 2 and leads.max() < 6.5 and leads[-1] > leads[0]
    assert np.ptp(vit[3:]) < 1 and cnn[3] < cnn[4] < cnn[5]
    assert np.abs(stem - cnn)[1:].max() < 2 < stem[0] - cnn[0]
    vit, stem, cnn = (means(DRAWN, way) for way in WAYS)
    assert max(vit[0], stem[0], cnn[0]) < 27
    assert max(vit[2], stem[2], cnn[2]) < 50
    assert abs(cnn[2] - vit[2]) < 2 and (cnn - vit)[3:].min() > 8
    assert (stem - cnn)[:5].min() > 0 and stem[3] > cnn[4] - 1  # with half of the scenes
    assert (stem - np.maximum(cnn, vit))[2:4].min() > 5
    assert cnn[-1] > stem[-1] > vit[-1] + 15
    assert abs(vit[-1] - vit[-2]) < 2


def test_what_page_08_says_of_having_learned_before_holds():
    vit, _, cnn = (means(REAL, way) for way in WAYS)
    probe, tuned = (means(REAL, way) for way in LEARNED)
    gains = tuned - vit
    assert gains.min() > 1.5 and gains.max() < 5.5
    assert (probe < vit).all()
    assert abs(tuned[2] - vit[-1]) < 1 < vit[3] - vit[2] and cnn[2] > tuned[2] - 1
    runs = {}
    for row in read_json(ROOT / "results" / "data_efficiency_real_photos.json")["rows"]:
        runs.setdefault(row["variant"], []).append(100 * row["test"])
    assert abs(np.mean(runs["full fine-tuning, 5%"]) - np.mean(runs["from scratch, 5%"])) < 1


def test_what_page_08_says_of_minutes_holds():
    clocks = {}
    for row in stored(f"data_{REAL}")["rows"]:
        ways = clocks.setdefault(row["device"], {})
        way = row["variant"].rsplit(", ", 1)[0]
        ways.setdefault(way, []).append(row["seconds"] / row["epochs"])
    ratios = sorted(np.median(of["CNN"]) / np.median(of["from scratch"]) for of in clocks.values())
    assert ratios == pytest.approx([0.75, 1.0], abs=0.1)
    epochs = {r["variant"]: r["epochs"] for r in stored(f"data_{REAL}")["rows"]}
    assert (epochs["from scratch, 100%"], epochs[f"{AS_LONG}, 100%"]) == (6, 8)
    longer, cnn = (accuracies(f"data_{REAL}", f"{way}, 100%") for way in (AS_LONG, "CNN"))
    assert abs(longer.mean() - cnn.mean()) < cnn.std(ddof=1)


def test_what_page_08_says_of_longer_training_holds():
    found = {}
    for stem in ("plain patches", "convolutional stem"):
        said = re.search(rf"{stem}, 60 epochs: (\d+)% .*? in order, (\d+)% in disorder", printed())
        found[stem] = np.array(said.groups(), int)
    assert np.diff(found["plain patches"]) > -5
    in_order, in_disorder = found["convolutional stem"]
    assert 0.4 < 1 - in_disorder / in_order < 0.5
    longer = read_json(ROOT / "results" / "flowers_vit.json")
    short = next(
        row for row in stored(f"data_{DRAWN}")["rows"] if row["variant"] == "from scratch, 100%"
    )
    assert longer["recipe"]["epochs"] == 5 * short["epochs"]
    assert longer["parameters"] / short["parameters"] == pytest.approx(4, abs=0.3)
    assert found["plain patches"][0] > accuracies(f"data_{DRAWN}", "from scratch, 100%").mean() + 10
