"""Are maps of what a model looks at true? Twin rules: the same pictures, three kinds of labels.

    python benchmarks/maps.py [--rules petals centre background] [--seeds 0 1 2]

Models are trained on the embedded flowers with the colour of the petals, of the centre, or the kind
of background as label; the three are drawn independently, so what a model must look at is known.
Then every method's maps are scored on test scenes, beside six controls and the true map. What each
model really uses is measured by drawing the scenes again: without petals, without centres, before
another background (this needs the extra `draw`). A good hour on two CPU cores; interrupted or
killed, the same command goes on where it was. Writes results/maps.json.
"""

import argparse
import dataclasses
import json
import sys
import zlib
from functools import cache, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vit_keras_lib import Flowers, Recipe, attention_maps, load_flowers, train
from vit_keras_lib import interpret as it
from vit_keras_lib.datasets.decode import decode
from vit_keras_lib.datasets.flowers import load_scenes
from vit_keras_lib.training import provenance, write_json

import tensorflow as tf  # isort: skip  (after the library, which keeps its start-up lines out)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "data"))
from procedural_flowers import drawing  # noqa: E402
from procedural_flowers.examples import scene_of  # noqa: E402
from procedural_flowers.scene import BACKGROUNDS  # noqa: E402

SIZE, PATCH, SCENES, PAIRS, DROPS, EXAMPLES = 96, 12, 300, 150, 6, 6
PARTS = {"background": 0, "petals": 2, "centre": 3}  # stems and leaves (1) are nobody's rule
FLOWER = (2, 3)
RULES = {"petals": "petal_colour", "centre": "centre_colour", "background": "background"}
# Shifts and flips leave every label true; changes of colour would not.
RECIPE = Recipe(
    epochs=15, warmup_epochs=1, augment="light", mix=False, drop_path=0.0, pool="cls", stem="patch"
)
# What these draw does not depend on the class asked about.
BLIND = ("attention, last block", "attention, mean of blocks", "rollout")


# --- Scenes -----------------------------------------------------------------------------------


@cache
def scenes(split):
    """All pictures of a split, and the label of each rule."""
    images, labels = [], {rule: [] for rule in RULES}
    for scene in load_scenes(split, SIZE).as_numpy_iterator():
        images.append(scene["image"])
        for rule, factor in RULES.items():
            labels[rule].append(scene["factors"][factor])
    return np.stack(images), {rule: np.array(values) for rule, values in labels.items()}


def flowers_by(rule):
    """The embedded flowers with another label."""
    splits, sizes = {}, {}
    for split in ("train", "validation", "test"):
        images, labels = scenes(split)
        sizes[split] = len(images)
        pair = (images, labels[rule].astype("int64"))
        splits[split] = tf.data.Dataset.from_tensor_slices(pair)
    species = load_flowers("procedural_flowers", image_size=SIZE)
    classes = 1 + max(scenes(split)[1][rule].max() for split in sizes)
    return Flowers(
        **splits,
        class_names=tuple(f"{RULES[rule]} {i}" for i in range(classes)),
        image_size=(SIZE, SIZE),
        sizes=sizes,
        source=f"procedural_flowers by {RULES[rule]}",
        protocol=species.protocol,
        fingerprint=species.fingerprint,
    )


@cache
def drawn_again(split, count):
    """The first scenes of a split without petals, without centres, before another background."""
    again = {part: [] for part in PARTS}
    for index in tqdm(range(count), desc=f"drawing {split}", disable=None):
        scene, _ = scene_of(split, index)
        rng = np.random.default_rng(index)
        others = [kind for kind in BACKGROUNDS if kind != scene.background]
        elsewhere = dataclasses.replace(scene, background=str(rng.choice(others)))
        for part, (what, without) in {
            "background": (elsewhere, "nothing"),
            "petals": (scene, "petals"),
            "centre": (scene, "centre"),
        }.items():
            picture = drawing.render(what, without).image
            file = drawing.compress(picture, scene.jpeg_quality)
            again[part].append(decode(file, (SIZE, SIZE)))
    return {part: np.stack(pictures) for part, pictures in again.items()}


@cache
def coverage(split, count, grid):
    """Share of each patch inside each part: (count, 4, rows, columns)."""
    masks = [s["parts"] for s in load_scenes(split, SIZE).take(count).as_numpy_iterator()]
    return it.part_coverage(np.stack(masks), grid, num_parts=4)


def halves(labels, rule):
    """Pictures of two scenes of unlike labels, the middle of each in one half.

    Returns:
        Images (pairs, H, W, 3), labels of the left and of the right scene.
    """
    images, _ = scenes("test")
    rng = np.random.default_rng(zlib.crc32(rule.encode()))
    left, right = rng.permutation(len(images))[: 4 * PAIRS].reshape(2, -1)
    unlike = np.flatnonzero(labels[left] != labels[right])[:PAIRS]
    left, right = left[unlike], right[unlike]
    quarter = SIZE // 4
    middle = [images[side][:, :, quarter:-quarter] for side in (left, right)]
    return np.concatenate(middle, axis=2), labels[left], labels[right]


# --- Maps and their scores --------------------------------------------------------------------


def methods(model):
    """Name -> function of images and classes to maps (B, rows, columns)."""
    looks = partial(it.class_attention, grid=model.grid)

    def attention(images, classes, blocks=None):
        maps = attention_maps(model, images, blocks)  # (B, L, heads, T, T)
        return looks(maps.mean((1, 2)))  # -> (B, T, T) -> (B, rows, columns)

    def rollout(images, classes):
        return looks(it.attention_rollout(attention_maps(model, images)))

    return {
        "attention, last block": partial(attention, blocks=[model.depth - 1]),
        "attention, mean of blocks": attention,
        "rollout": rollout,
        "class relevance": partial(it.class_relevance, model),
        "gradient x input": partial(it.input_gradient, model),
        "Grad-CAM": partial(it.grad_cam, model),
    }


def odds(model, images, classes):
    """Log-odds of the classes asked about, (B,)."""
    logits = model.predict(images.astype("float32"), batch_size=64, verbose=0)
    return it.log_odds(logits, classes)


def effects_of(model, split, images, classes):
    """How much the log-odds drop when each part is drawn away: (B, parts)."""
    whole = odds(model, images, classes)
    again = drawn_again(split, len(images))
    return np.stack([whole - odds(model, again[part], classes) for part in PARTS], axis=1)


def scores_of(maps, model, images, classes, effects, epsilon, asked, rng):
    """All scores of one kind of map, name -> (B,), and its density on the parts (B, parts)."""
    covered = coverage("test", len(images), model.grid)
    found = it.map_scores(maps, covered, effects, FLOWER, tuple(PARTS.values()), epsilon)
    dropped = it.deletion_curve(asked, maps, DROPS, rng)
    found = {**found, "area_between": dropped.area_between}
    return found, it.part_scores(maps, covered)[:, list(PARTS.values())]


def contrast(model, make, rule):
    """Class contrast of a method on pictures of two scenes: (pairs,)."""
    images, left, right = halves(scenes("test")[1][rule], rule)
    rows, cols = model.grid
    on_left = np.zeros((len(images), rows, cols))
    on_left[:, :, : cols // 2] = 1
    maps = [make(images, list(map(int, classes))) for classes in (left, right)]
    return it.class_contrast(*maps, on_left, 1 - on_left)["class_contrast"]


def patching(model, rule, images, classes):
    """How much of the decision sits where, joint by joint.

    Tokens of the whole scene are put into the run on the scene without what the rule asks about.

    Returns:
        Name of the tokens -> share of the drop in log-odds that they bring back, a joint each.
    """
    spoilt = drawn_again("test", len(images))[rule]
    clean, corrupt = (it.residual_stream(model, x) for x in (images, spoilt))  # (B, L + 1, T, dim)
    on = coverage("test", len(images), model.grid)[:, PARTS[rule]].reshape(len(images), -1) >= 0.25
    prefix = np.ones((len(on), 1), bool)
    groups = {
        "class token": np.concatenate([prefix, np.zeros_like(on)], axis=1),
        "patches of the part": np.concatenate([~prefix, on], axis=1),
        "other patches": np.concatenate([~prefix, ~on], axis=1),
    }
    low, high = odds(model, spoilt, classes), odds(model, images, classes)
    shares = {}
    for name, group in groups.items():
        shares[name] = []
        for joint in range(model.depth + 1):
            mixed = np.where(group[..., None], clean[:, joint], corrupt[:, joint])
            logits = it.run_from(model, joint, mixed)
            back = it.log_odds(logits, classes) - low
            shares[name].append(float(back.sum() / (high - low).sum()))
    return shares


def measure(model, untrained, rule, seed):
    """Everything that is measured on one trained model.

    Returns:
        What goes into the results as it is, and arrays by name that are averaged over seeds.
    """
    images, labels = scenes("test")
    truth = labels[rule]
    logits = model.predict(images.astype("float32"), batch_size=64, verbose=0)
    accuracy = float((logits.argmax(1) == truth).mean())
    images, classes = images[:SCENES], truth[:SCENES]
    chosen_on = [array[: SCENES // 3] for array in (scenes("validation")[0],
                                                    scenes("validation")[1][rule])]  # fmt: skip
    typical = effects_of(model, "validation", *chosen_on)
    epsilon = float(0.1 * np.median(np.abs(typical).max(axis=1)))  # fixed on validation
    effects = effects_of(model, "test", images, classes)
    rng = np.random.default_rng([seed, zlib.crc32(rule.encode())])
    asked = it.predict_without(model, images, classes, batch_size=100)
    score = partial(
        scores_of, model=model, images=images, classes=classes, effects=effects, epsilon=epsilon,
        asked=asked, rng=rng,
    )  # fmt: skip
    asked_about = list(map(int, classes))
    arrays = {"effects": effects}
    covered = coverage("test", SCENES, model.grid)
    oracle = it.true_map(covered, FLOWER, effects, tuple(PARTS.values()))
    rows = {("true map", ""): oracle}
    fresh = methods(untrained)
    for name, make in methods(model).items():
        maps, blank = make(images, asked_about), fresh[name](images, asked_about)
        rows[name, ""] = maps
        arrays[f"{name}||examples"] = maps[:EXAMPLES]
        others = it.controls(images, model.grid, maps, blank, rng)
        rows |= {(name, control): control_maps for control, control_maps in others.items()}
        arrays[f"{name}||contrast"] = contrast(model, make, rule)
        arrays[f"{name}||correlation"] = it.map_correlation(maps, blank)["correlation"]
    same = {}
    for (name, control), maps in rows.items():
        # Four controls know neither model nor method: scored once.
        key = control if control in ("uniform", "random", "centre", "sobel") else (name, control)
        if key not in same:
            same[key] = score(maps)
        found, density = same[key]
        for what, values in found.items():
            arrays[f"{name}|{control}|{what}"] = np.asarray(values)
        arrays[f"{name}|{control}|density"] = density
    lens = it.logit_lens(model, images).argmax(-1) == classes[:, None]  # (B, depth)
    row = {
        "rule": rule,
        "seed": seed,
        "test accuracy": accuracy,
        "accuracy on the scenes": float((logits[:SCENES].argmax(1) == classes).mean()),
        "epsilon": epsilon,
        "effects": dict(zip(PARTS, effects.mean(0).tolist(), strict=True)),
        "logit lens": lens.mean(0).tolist(),
        "patching": patching(model, rule, images, classes),
    }
    return row, arrays


# --- The runs, and what comes out of them -----------------------------------------------------


def one(rule, seed):
    """Trains and measures one model, or reads what was stored of it."""
    directory = ROOT / "build" / "maps" / f"{rule}-{seed}"
    flowers = flowers_by(rule)
    recipe = dataclasses.replace(RECIPE, seed=seed)
    make = partial(recipe.model, flowers.image_size, flowers.num_classes, f"flowers/{PATCH}")
    model, untrained = make(), make()
    history = train(model, flowers, recipe, directory, verbose=2)
    stored = directory / "measured.npz"
    if not stored.exists():
        row, arrays = measure(model, untrained, rule, seed)
        row |= {"seconds": history.seconds, "validation": history.best["val_accuracy"]}
        partial_file = directory / ".measured.partial"
        with open(partial_file, "wb") as file:
            np.savez(file, row=np.array(json.dumps(row)), **arrays)
        partial_file.replace(stored)
    with np.load(stored) as file:
        return json.loads(str(file["row"])), {k: file[k] for k in file.files if k != "row"}


def table(runs, rng):
    """Method -> score -> mean, mean by seed, and the paired interval against each control."""
    maps = (key.split("|")[0] for key in runs[0] if key.count("|") == 2)
    names = dict.fromkeys(["true map", *maps])  # the ceiling first
    whats = [key.split("|")[2] for key in runs[0] if key.startswith("true map||")]
    rows = {}
    for name in names:
        rows[name] = {"class-agnostic": name in BLIND}
        for what in whats:
            if what == "density" or f"{name}||{what}" not in runs[0]:
                continue
            each = np.stack([run[f"{name}||{what}"] for run in runs])  # (seeds, B)
            ours = np.nanmean(each, axis=0)
            cell = {
                "mean": float(np.nanmean(ours)),
                "by seed": np.nanmean(each, axis=1).tolist(),
                "images": int((~np.isnan(ours)).sum()),
            }
            if what in it.SCORES and name != "true map":
                theirs = {
                    control: np.nanmean([run[f"{name}|{control}|{what}"] for run in runs], axis=0)
                    for control in it.CONTROLS
                }
                cell["controls"] = {c: float(np.nanmean(v)) for c, v in theirs.items()}
                against = it.against_controls(
                    {what: ours}, {c: {what: v} for c, v in theirs.items()}, rng
                )[what]
                cell["better by"] = {c: list(i[:3]) for c, i in against.items()}
                cell["clears all six"] = all(i.low > 0 for i in against.values())
            rows[name][what] = cell
        for extra in ("contrast", "correlation"):
            if f"{name}||{extra}" in runs[0]:
                each = np.array([np.nanmean(run[f"{name}||{extra}"]) for run in runs])
                rows[name][extra] = {"mean": float(each.mean()), "by seed": each.tolist()}
    return rows


def moves(runs, rng):
    """Twin rules: how much denser maps lie on a part when the rule asks about it.

    Returns:
        Method (or "method | control") -> part -> mean and interval of the difference, in units of
        the map's mean density, between the rule of that part and the mean of the other two.
    """
    maps = (key.rsplit("|", 1)[0] for key in runs["petals"][0] if key.count("|") == 2)
    kinds = dict.fromkeys(["true map|", *maps])
    result = {}
    for kind in kinds:
        if f"{kind}|density" not in runs["petals"][0]:
            continue
        on = {
            rule: np.nanmean([run[f"{kind}|density"] for run in many], axis=0)  # (B, parts)
            for rule, many in runs.items()
        }
        cell = {}
        for number, part in enumerate(PARTS):
            rest = np.mean([on[rule][:, number] for rule in runs if rule != part], axis=0)
            interval = it.paired_interval(on[part][:, number], rest, rng)
            cell[part] = list(interval[:3])
        name, control = kind.split("|")
        result[f"{name} | {control}" if control else name] = cell
    return result


def in_units_of_mean(maps):
    """Maps (B, rows, columns) to look at, as lists: 1 is an even spread, nothing is negative."""
    heat = np.maximum(maps, 0)
    mean = np.maximum(heat.mean(axis=(1, 2), keepdims=True), 1e-12)  # an empty map stays empty
    return np.round(heat / mean, 2).tolist()


def main():
    """Trains and measures what is missing; writes the results when all is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    rows, arrays = [], {rule: [] for rule in options.rules}
    for seed in options.seeds:
        for rule in options.rules:
            row, measured = one(rule, seed)
            print(rule, seed, f"test accuracy {row['test accuracy']:.3f}", row["effects"])
            rows.append(row)
            arrays[rule].append(measured)
    if set(options.rules) != set(RULES):
        return
    rng = np.random.default_rng(0)
    examples = {
        rule: {
            key.split("|")[0]: in_units_of_mean(maps)
            for key, maps in runs[0].items()
            if key.endswith("||examples")
        }
        for rule, runs in arrays.items()
    }
    settings = dataclasses.asdict(RECIPE)
    del settings["seed"]
    result = {
        "models": rows,
        "tables": {rule: table(runs, rng) for rule, runs in arrays.items()},
        "moves": moves(arrays, rng),
        "examples": examples,
        "scenes": SCENES,
        "pairs": PAIRS,
        "image_size": SIZE,
        "patch_size": PATCH,
        "parts": list(PARTS),
        "recipe": settings,
        "data": load_flowers("procedural_flowers", image_size=SIZE).about(),
        "run": provenance(options.seeds),
    }
    write_json(ROOT / "results" / "maps.json", result)


if __name__ == "__main__":
    main()
