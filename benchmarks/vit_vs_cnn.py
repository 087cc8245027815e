"""A ViT and a CNN of one budget, side by side: reach, order of patches, damage, background.

    python benchmarks/vit_vs_cnn.py [--what order reach robustness background] [--seeds 0 1 2]

On the embedded flowers, from scratch: a ViT with plain patches, one as for small data (stem of
convolutions, mean pooling), a residual CNN. Same steps, batch, augmentation and schedule; the epoch
is chosen on validation. Then, for each trained model:

    order         accuracy on test photos whose patches are shuffled; and models trained so
    reach         how far a unit sees, layer by layer, before training and after
    robustness    accuracy on test photos that are shifted, scaled, covered, blurred, ...
    background    accuracy on test scenes from which the flower, or its petals, were taken out

Each model and each measure is stored as soon as it is there, and the
same command goes on where it was. Several processes may share the work, each with its own seeds.
Writes results/vit_vs_cnn.json (the models), results/vit_vs_cnn_<what>.json (the measures) and
results/vit_vs_cnn_orders.json (the models trained on shuffled patches).
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
from data_efficiency import FROM_SCRATCH, make, recipes

from vit_keras_lib import attention_maps, load_flowers, load_scenes, mean_attention_distance, train
from vit_keras_lib.datasets import CORRUPTIONS, corrupt
from vit_keras_lib.interpret import effective_receptive_field, field_radius
from vit_keras_lib.layers import ShufflePatches
from vit_keras_lib.models import CNN
from vit_keras_lib.training import compare, provenance, read_json, write_json

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
SIZE, PATCH, EPOCHS = 96, 16, 20
ORDERS = {"an order each": False, "one order for all": True}
GRADES = range(6)  # 0 is no damage
FIELDS = 50  # photos over which a receptive field is averaged


def whole(flowers):
    """The models that are measured: name -> (maker, recipe), as `compare` takes them."""
    return {
        way: (partial(make, flowers, way), recipe)
        for way, recipe in recipes(EPOCHS).items()
        if way in FROM_SCRATCH
    }


def shuffled(flowers):
    """The models of `order`: what is trained on photos whose patches are out of order."""
    both = whole(flowers)
    variants = {}
    for way in ("from scratch", "CNN"):
        maker, recipe = both[way]
        for order, one_order in ORDERS.items():
            variants[f"{way}, {order}"] = (partial(behind_shuffle, maker, one_order), recipe)

    def blind(recipe):
        return recipe.model(flowers.image_size, flowers.num_classes, position="none")

    return {**variants, "without positions": (blind, both["from scratch"][1])}


def behind_shuffle(maker, one_order, recipe):
    """A model that gets its photos with their patches out of order."""
    model = maker(recipe)
    shuffle = ShufflePatches(PATCH, one_order=one_order, name="shuffle")
    return keras.Sequential([keras.Input(model.input_shape[1:]), shuffle, model])


def trained(flowers, way, seed):
    """One of the models, as `compare` trained and left it, and the same before its training."""
    maker, recipe = whole(flowers)[way]
    recipe, models = dataclasses.replace(recipe, seed=seed), []
    for _ in range(2):
        keras.utils.set_random_seed(seed)
        models.append(maker(recipe))
    train(models[0], flowers, recipe, ROOT / "build" / "vit_vs_cnn" / f"{way}-{seed}", verbose=2)
    return models


def accuracy(model, photos, labels):
    """Share right of photos (B, H, W, 3)."""
    logits = model.predict(photos.astype("float32"), batch_size=100, verbose=0)
    return float((logits.argmax(axis=1) == labels).mean())


def test_photos(flowers):
    """All test photos (B, H, W, 3) and labels (B,)."""
    photos, labels = zip(*flowers.test.as_numpy_iterator(), strict=True)
    return np.stack(photos), np.array(labels)


# --- Measures: a trained model, the same untrained, photos and labels -> what goes into a row ----


def order(model, untrained, photos, labels):
    """Accuracy on photos whose patches are shuffled, and on photos as they are."""
    shares = {"in order": accuracy(model, photos, labels)}
    for name, one_order in ORDERS.items():
        shuffle = ShufflePatches(PATCH, one_order=one_order)
        shares[name] = accuracy(model, keras.ops.convert_to_numpy(shuffle(photos)), labels)
    return {"test": shares}


def reach(model, untrained, photos, labels):
    """How far a unit sees after each layer, in pixels; of a ViT also how far its heads look."""
    photos = photos[:FIELDS].astype("float32")
    is_cnn = isinstance(model, CNN)
    depth = len(model.widths) * model.blocks_per_stage if is_cnn else model.depth
    names = ["stem" if is_cnn else "encoder", *(f"block{i}" for i in range(depth))]
    radii = {
        state: {
            name: field_radius(effective_receptive_field(network, photos, name)[0])
            for name in names
        }
        for state, network in (("trained", model), ("untrained", untrained))
    }
    if is_cnn:
        return {"radius, px": radii}
    maps = attention_maps(model, photos)  # (B, L, heads, T, T)
    heads = mean_attention_distance(maps, model.grid, model.patch_size, model.num_prefix_tokens)
    return {"radius, px": radii, "attention distance, px": heads.mean(0).round(2).tolist()}


def robustness(model, untrained, photos, labels):
    """Accuracy under each kind of damage, at each severity."""
    return {
        "test": {
            kind: [accuracy(model, corrupt(photos, kind, grade), labels) for grade in GRADES]
            for kind in CORRUPTIONS
        }
    }


def background(model, untrained, photos, labels):
    """Accuracy on the same scenes without petals and without the flower."""
    shares = {"whole": accuracy(model, photos, labels)}
    for part in ("petals", "flower"):
        scenes = load_scenes("test", SIZE).as_numpy_iterator()
        rest = np.stack([scene[f"without_{part}"] for scene in scenes])  # (B, H, W, 3)
        shares[f"without {part}"] = accuracy(model, rest, labels)
    return {"test": shares}


MEASURES = {m.__name__: m for m in (order, reach, robustness, background)}


def measure(what, flowers, seeds):
    """Applies a measure to each model; a row is stored as soon as it is there."""
    path = RESULTS / f"vit_vs_cnn_{what}.json"
    photos, labels = test_photos(flowers)
    for seed in seeds:
        for way in FROM_SCRATCH:
            stored = read_json(path) if path.exists() else {"rows": []}
            if any(row["model"] == way and row["seed"] == seed for row in stored["rows"]):
                continue
            row = MEASURES[what](*trained(flowers, way, seed), photos, labels)
            # Another process may have stored rows meanwhile.
            rows = read_json(path)["rows"] if path.exists() else []
            rows = [*rows, {"model": way, "seed": seed, **row}]
            run = provenance(sorted({row["seed"] for row in rows}))
            write_json(path, {"rows": rows, "data": flowers.about(), "run": run})


def main():
    """Trains and measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    flowers = load_flowers("procedural_flowers", image_size=SIZE)
    runs = {"vit_vs_cnn": whole(flowers)}
    if "order" in options.what:
        runs["vit_vs_cnn_orders"] = shuffled(flowers)
    for name, variants in runs.items():
        path = RESULTS / f"{name}.json"
        compare(variants, flowers, options.seeds, ROOT / "build" / name, path, verbose=2)
    for what in options.what:
        measure(what, flowers, options.seeds)


if __name__ == "__main__":
    main()
