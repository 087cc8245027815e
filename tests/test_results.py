"""What is read from results/ is complete, and what README quotes of it is what it says."""

import re
from itertools import pairwise, product
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from vit_keras_lib import load_flowers, load_pretrained
from vit_keras_lib.training import read_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"


def test_positions_are_compared_over_three_seeds():
    rows = read_json(RESULTS / "positions.json")["rows"]
    runs = sorted((row["variant"], row["seed"]) for row in rows)
    assert runs == sorted(product(("learned", "none", "sincos2d"), range(3)))


@pytest.mark.parametrize("name", ["flowers", "flowers-conv"])
def test_models_that_come_along_are_as_good_as_stored(name):
    stored = read_json(RESULTS / f"{name.replace('-', '_')}_vit.json")
    right = []
    flowers, model = load_flowers("procedural_flowers", image_size=96), load_pretrained(name)
    for photos, labels in flowers.batches("test", 100):
        right.extend(model.predict_on_batch(photos).argmax(axis=1) == np.argmax(labels, axis=1))
    assert len(right) == stored["data"]["sizes"]["test"]
    # Another CPU may round a close call the other way.
    assert np.mean(right) == pytest.approx(stored["test"]["accuracy"], abs=0.003)


def quoted():
    """Return rows of README's table as they must be: name in the row -> figure."""
    readers = {
        r["reader"]: r["accuracy"] for r in read_json(RESULTS / "embedded_difficulty.json")["rows"]
    }
    trained = {
        name: read_json(RESULTS / f"{name}.json")["test"]["accuracy"]
        for name in ("flowers_vit", "flowers_conv_vit")
    }
    figures = {
        "always the same answer": f"{readers['majority class']:.1%}",
        "colour histogram": f"{readers['colour histogram, logistic regression']:.1%}",
        "small CNN": f"{readers['small CNN, 96 px, 12 epochs']:.1%}",
        "**ViT**": f"{trained['flowers_vit']:.1%}",
        "**with a convolutional stem**": f"{trained['flowers_conv_vit']:.1%}",
    }
    compared = {
        ("positions", "sincos2d"): "sine-cosine positions",
        ("positions", "learned"): "with learned",
        ("positions", "none"): "without positions",
        ("accuracy_real_photos", "TensorFlow tutorial"): "CNN of TensorFlow's tutorial",
        ("accuracy_real_photos", "keras.io example"): "plain ViT of the keras.io example",
        ("accuracy_real_photos", "this library"): "**`Recipe()`**",
    }
    for (file, variant), name in compared.items():
        rows = read_json(RESULTS / f"{file}.json")["rows"]
        runs = [100 * row["test"] for row in rows if row["variant"] == variant]
        assert len(runs) == 3
        figures[name] = f"{mean(runs):.1f} ± {stdev(runs):.1f}%"
    return figures


def test_readme_sets_its_two_cnns_beside_each_other():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    right = quoted()["small CNN"].replace("%", " %")
    assert f"is right {right} of the time on the drawn flowers in as many steps" in text


@pytest.mark.parametrize(("name", "figure"), quoted().items())
def test_readme_quotes_what_is_stored(name, figure):
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## What was measured")[1]
    (row,) = [line for line in table.splitlines() if line.startswith("|") and name in line]
    assert figure.replace("%", " %") in row


def test_readme_quotes_the_pipeline_as_stored():
    stored = read_json(RESULTS / "data_pipeline.json")
    scale, throughput = stored["scale"], stored["throughput"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"gives {throughput['ratio after caching']:.1f} times" in text
    assert f"caching and {throughput['ratio while decoding']:.1f} times" in text
    assert f"listed and split in {scale['listing and splitting, s']:.1f} s" in text
    assert f"within {scale['peak memory, GB']:.1f} GB" in text


PEERS = {
    "KerasHub": "KerasHub",
    "keras.io example": "the construction of the keras.io example",
    "PyTorch eager": "PyTorch, eager",
    "PyTorch compiled": "PyTorch, compiled",
    "no attention": "the same dense layers, whose tokens do not attend at all",
}


OWN_AND_KERAS_HUB = ("vit_keras_lib", "KerasHub")


def speed(name):
    """Rows of a machine's file at 144 tokens, by model."""
    rows = read_json(RESULTS / f"speed_{name}.json")["rows"]
    return {row["model"]: row for row in rows if row["tokens"] == 144}


def test_readme_quotes_the_speed_as_stored():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    machines = [speed(name) for name in ("epyc", "epyc_mean", "xeon_mean")]
    kinds = [(kind, rows) for kind in ("train", "inference") for rows in machines]
    for name, title in PEERS.items():
        cells = [f"{1 / rows[name][f'{kind}, ratio to ours']:.1f}" for kind, rows in kinds]
        assert f"| {' | '.join([title, *cells])} |" in text
    peaks = [f"{rows['vit_keras_lib'][f'{kind}, of matmul peak']:.0%}" for kind, rows in kinds]
    assert f"peak (share of it) | {' | '.join(peaks)} |".replace("%", " %") in text
    (size,) = (s for s in read_json(RESULTS / "speed_epyc.json")["sizes"] if s["tokens"] == 144)
    head = size["tokens"] * size["dim"] * 2048 + 2048 * 1024 + 1024 * size["classes"]
    prose = " ".join(text.split())
    assert f"its head of {head / 1e6:.0f} M weights" in prose
    mean, read = (speed(name) for name in ("epyc_mean", "epyc"))
    gains = [read[name]["train, img/s"] / mean[name]["train, img/s"] for name in OWN_AND_KERAS_HUB]
    said = "ours trains {:.2f} times as fast, and KerasHub's ViT {:.2f} times"
    assert said.format(*gains) in prose
    # The prose: on the Xeon PyTorch gets more out of the cores than TensorFlow, on the EPYC less.
    for name, rows in zip(("EPYC", "EPYC", "Xeon"), machines, strict=True):
        torch = [rows[peer]["train, img/s"] for peer in rows if "PyTorch" in peer]
        on_tensorflow = [rows[peer]["train, img/s"] for peer in OWN_AND_KERAS_HUB]
        slower, faster = (torch, on_tensorflow) if name == "EPYC" else (on_tensorflow, torch)
        assert max(slower) < min(faster)


def test_speed_files_are_of_what_their_names_say():
    pools = {"epyc": "cls", "epyc_mean": "mean", "xeon_mean": "mean"}
    for name, pool in pools.items():
        settings = read_json(RESULTS / f"speed_{name}.json")["settings"]
        assert name.split("_")[0] in settings["device"].lower()
        assert settings["pool"] == pool


def test_readme_quotes_how_cost_grows_with_tokens():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    stored = read_json(RESULTS / "speed_epyc.json")
    rows = {(row["model"], row["tokens"]): row for row in stored["rows"]}
    tokens = [size["tokens"] for size in stored["sizes"]]
    assert f"| tokens | {' | '.join(map(str, tokens))} |" in text
    names = {**PEERS, "vit_keras_lib, remat": "ours with `remat=True`"}
    for name, title in names.items():
        of = [rows.get((name, n)) for n in tokens]
        cells = [f"{1 / row['train, ratio to ours']:.1f}" if row else "out of memory" for row in of]
        assert f"| {' | '.join([title, *cells])} |" in text
    for name in ("vit_keras_lib", "vit_keras_lib, remat"):
        title = f"{names.get(name, 'ours')}, peak memory (GB)"
        cells = [f"{rows[name, n]['peak memory, GB']:.1f}" for n in tokens]
        assert f"| {' | '.join([title, *cells])} |" in text
    modes = [rows["vit_keras_lib, remat", n]["train mode"] for n in tokens]
    assert modes == ["jit", "jit", "no jit", "no jit"]  # why its memory falls from 144 to 256
    broken = {size["tokens"]: size["broke off"] for size in stored["sizes"] if size["broke off"]}
    assert broken == {576: ["keras.io example, jit", "keras.io example, no jit"]}


def cost(rows):
    """Epochs and minutes of runs, as README gives them."""
    minutes = mean(row["seconds"] for row in rows) / 60
    return f"{rows[0]['epochs']} epochs, {minutes:.0f} min"


def test_readme_quotes_the_cost_of_training_as_stored():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("flowers_vit", "flowers_conv_vit"):
        stored = read_json(RESULTS / f"{name}.json")
        run = {"epochs": stored["recipe"]["epochs"], "seconds": stored["seconds"]}
        assert f"{cost([run])} | {stored['test']['accuracy']:.1%}".replace("%", " %") in text
    stored = read_json(RESULTS / "accuracy_real_photos.json")
    runs = {}
    for row in stored["rows"]:
        if row["device"] == stored["rows"][0]["device"]:  # two cores, which the table is about
            runs.setdefault(row["variant"], []).append(row)
    assert len(runs) == 3
    for rows in runs.values():
        assert f"{cost(rows)}, three runs |" in text
    accuracies = [mean(row["test"] for row in rows) for rows in runs.values()]
    photos = stored["data"]["sizes"]["test"]
    errors = [100 * (p * (1 - p) / photos) ** 0.5 for p in accuracies]
    assert f"{photos} photographs by {min(errors):.0f} to {max(errors):.0f} points" in text
    (example, *_) = runs["keras.io example"]
    assert f"real photographs, {stored['data']['sizes']['train']:,} |" in text
    assert f"72 px, {example['parameters'] / 1e6:.1f} M |" in text


def test_readme_says_of_the_quick_tier_what_page_05_shows():
    page = (ROOT / "notebooks" / "05_train_vit.ipynb").read_text(encoding="utf-8")
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    seconds = float(re.search(r"best epoch \d+ of \d+, (\d+) s in all", page)[1])
    said = float(re.search(r"for less than a minute, to about (\d+) %", text)[1])
    shown = float(re.search(r"test accuracy ([\d.]+)% ±", page)[1])
    assert seconds < 60 and abs(said - shown) < 3


def test_what_page_05_says_of_the_stored_runs_holds():
    """Its prose names no figures, but ratios and bounds."""
    rows = read_json(RESULTS / "accuracy_real_photos.json")["rows"]
    ours, theirs = (
        [row for row in rows if row["variant"] == name]
        for name in ("this library", "TensorFlow tutorial")
    )
    assert min(row["test"] for row in ours) > max(row["test"] for row in theirs)
    assert ours[0]["parameters"] > 2 * theirs[0]["parameters"]
    there = theirs[0]["device"]
    seconds = [
        mean(row["seconds"] for row in each if row["device"] == there) for each in (ours, theirs)
    ]
    assert 7.5 < seconds[0] / seconds[1] < 9

    rungs = {}
    ladder_rows = read_json(RESULTS / "ladder_real_photos.json")["rows"]
    for row in ladder_rows:
        rungs.setdefault(row["variant"], []).append(row["validation"])
        assert 5 * row["epochs"] == ours[0]["epochs"]
    on_it = [name for name in rungs if name == "plain" or name.startswith("+")]
    steps = {b: mean(rungs[b]) - mean(rungs[a]) for a, b in pairwise(on_it)}
    stand_out = {"+ augmentation", "+ convolutional stem"}
    assert all(step > 0.04 for name, step in steps.items() if name in stand_out)
    assert all(abs(step) < 0.02 for name, step in steps.items() if name not in stand_out)
    last = [row for row in ladder_rows if row["variant"] == "+ convolutional stem"]
    behind = {
        key: mean(row[key] for row in theirs) - mean(row[key] for row in last)
        for key in ("validation", "test")
    }
    assert 0.02 < behind["validation"] < 0.04 and abs(behind["test"]) < 0.02


def test_what_page_05_says_of_other_runs_is_stored():
    page = read_json(ROOT / "notebooks" / "05_train_vit.ipynb")["cells"]
    prose = ("".join(cell["source"]) for cell in page if cell["cell_type"] == "markdown")
    prose = " ".join(" ".join(prose).split())
    conv = read_json(RESULTS / "flowers_conv_vit.json")["epochs"]
    pairs = list(zip(conv["accuracy"], conv["val_accuracy"], strict=True))
    assert f"in {sum(a < b for a, b in pairs)} of the {len(pairs)} epochs of" in prose
    plain = read_json(RESULTS / "flowers_vit.json")["epochs"]
    ends = [f"{100 * plain[key][-1]:.0f} %" for key in ("accuracy", "val_accuracy")]
    assert f"plain ViT of `results/flowers_vit.json` ends with {ends[0]} and {ends[1]}." in prose
    rows = read_json(RESULTS / "vit_vs_cnn_data_procedural_flowers.json")["rows"]
    cnn = 100 * mean(row["test"] for row in rows if row["variant"] == "CNN, 100%")
    assert f"the CNN of page 08, which gets the ViT's recipe, stays at {cnn:.0f} %." in prose
    rows = read_json(RESULTS / "accuracy_real_photos.json")["rows"]
    steps = {row["variant"]: row["steps"] for row in rows if "steps" in row}
    theirs, ours = steps["keras.io example"], steps["this library"]
    assert f"The ViT example makes {theirs} steps where ours makes {ours:,}" in prose
    example = [row for row in rows if row["variant"] == "keras.io example"]
    assert all(row["best_epoch"] >= row["epochs"] - 4 for row in example)  # "still getting better"


def test_readme_quotes_what_maps_cost_as_stored():
    rows = read_json(RESULTS / "maps_cost.json")["rows"]
    times = {row["task"]: row["forward passes"] for row in rows}
    assert times["attention_maps"] <= 1.6 and times["class_relevance"] <= 4
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"maps of a batch take {times['attention_maps']:.1f} times" in text
    assert f"class relevance {times['class_relevance']:.1f} times" in text


WAYS = ("from scratch", "linear probe", "full fine-tuning")


def transfer():
    """Way -> number of photos -> its rows, of the runs on real photographs that page 09 shows."""
    stored, runs = read_json(RESULTS / "data_efficiency_real_photos.json"), {}
    for row in stored["rows"]:
        way, share = row["variant"].rsplit(", ", 1)
        if way in WAYS and share in ("5%", "25%", "100%"):
            runs.setdefault(way, {}).setdefault(stored["photos"][share], []).append(row)
    return runs


def test_transfer_is_compared_over_three_seeds_and_equal_steps():
    runs = transfer()
    assert set(runs) == set(WAYS)
    for way, of in runs.items():
        assert len(of) == 3
        for rows in of.values():
            assert sorted(row["seed"] for row in rows) == [0, 1, 2]
            assert {row["steps"] for row in rows} == {4100 if way == "linear probe" else 492}


@pytest.mark.parametrize("way", WAYS)
def test_readme_quotes_the_transfer_as_stored(way):
    cells = [way]
    for _, rows in sorted(transfer()[way].items()):
        test = [100 * row["test"] for row in rows]
        cells.append(f"{mean(test):.1f} ± {stdev(test):.1f} %")
    assert f"| {' | '.join(cells)} |" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_page_09_says_of_the_stored_runs_holds():
    runs = transfer()
    share = {
        way: [mean(100 * row["test"] for row in rows) for _, rows in sorted(of.items())]
        for way, of in runs.items()
    }
    gains = np.subtract(share["full fine-tuning"], share["from scratch"])
    assert abs(gains[0]) < 1
    assert (gains[1:] > 1.5).all() and (gains[1:] < 4.5).all()
    assert (np.subtract(share["from scratch"], share["linear probe"]) > 2).all()

    def minutes(way):
        return mean(row["seconds"] for rows in runs[way].values() for row in rows) / 60

    assert 0.4 < minutes("linear probe") < 0.6
    assert all(3.5 < minutes(way) < 4.5 for way in ("from scratch", "full fine-tuning"))
    rows = read_json(RESULTS / "accuracy_real_photos.json")["rows"]
    best = [100 * row["test"] for row in rows if row["variant"] == "this library"]
    assert mean(best) > max(map(max, share.values())) + 10
    epochs = {row["epochs"] for row in rows if row["variant"] == "this library"}
    assert epochs == {100}  # 8 times 12
