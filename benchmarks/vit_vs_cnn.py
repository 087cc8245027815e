"""A ViT and a CNN of one budget, side by side: reach, order of patches, damage, cues, background.

    python benchmarks/vit_vs_cnn.py [--what reach robustness cues background] [--seeds 0 1 2]
    python benchmarks/vit_vs_cnn.py --what order --source path/of/photos --name real_photos

The models are those that `data_efficiency.py` trains from scratch on all photos: a ViT with plain
patches, one as for small data (stem of convolutions, mean pooling), a residual CNN. Same steps,
batch, augmentation and schedule; the epoch is chosen on validation. Then, for each of them:

    order         accuracy on test photos whose patches are shuffled; and models trained so
    reach         how far a unit sees, layer by layer, before training and after
    robustness    accuracy on test photos that are shifted, scaled, covered, blurred, ...
    cues          answers to scenes drawn again in others' colour, or with others' petals
    background    accuracy on test scenes from which the flower, or its petals, were taken out

The last two are for the drawn flowers only; cues need the extra `draw`. Each model and each measure
is stored as soon as it is there, and the same command goes on where it was. Several processes may
share the work, each with its own seeds. Writes results/vit_vs_cnn_<what>_<name>.json (measures),
results/vit_vs_cnn_orders_<name>.json (the models trained on shuffled patches), and
data/flowers_half_vit.keras and data/flowers_half_cnn.keras (two of the models, for page 08).
"""

import argparse
import dataclasses
import hashlib
from functools import partial
from pathlib import Path

import numpy as np
from data_efficiency import (
    EMBEDDED,
    FROM_SCRATCH,
    ROOT,
    WIDTHS,
    home,
    variants,
)

from vit_keras_lib import attention_maps, load_flowers, load_scenes, mean_attention_distance, train
from vit_keras_lib.datasets import CORRUPTIONS, corrupt
from vit_keras_lib.interpret import effective_receptive_field, field_radius
from vit_keras_lib.layers import ShufflePatches
from vit_keras_lib.models import CNN
from vit_keras_lib.training import compare, provenance, read_json, write_json

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

RESULTS = ROOT / "results"
SIZE, PATCH = 96, 16
ORDERS = {"an order each": False, "one order for all": True}
GRADES = range(1, 6)  # of damage; 0 would be none
FIELDS = 50  # photos over which a receptive field is averaged
_DAMAGED = {}


def whole(flowers):
    """The models that are measured: name -> (maker, recipe, maker of photos), for `compare`."""
    return variants(flowers, (1.0,), FROM_SCRATCH)


def shuffled(flowers):
    """The models of `order`: trained on photos whose patches are out of order, or blind to it."""
    in_order, found = whole(flowers), {}
    for way in ("from scratch", "CNN"):
        maker, recipe, _ = in_order[f"{way}, 100%"]
        found[f"{way}, one order for all"] = (partial(behind_shuffle, maker), recipe)

    def blind(recipe):
        size, classes = flowers.image_size, flowers.num_classes
        return recipe.model(size, classes, position="none", **WIDTHS["half"][0])

    return {**found, "without positions": (blind, in_order["from scratch, 100%"][1])}


def behind_shuffle(maker, recipe):
    """A model that gets its photos with their patches out of order, all in the same one."""
    model = maker(recipe)
    shuffle = ShufflePatches(PATCH, one_order=True, name="shuffle")
    return keras.Sequential([keras.Input(model.input_shape[1:]), shuffle, model])


def trained(flowers, name, way, seed):
    """One of the models, as `compare` trained and left it, and the same before its training."""
    maker, recipe, _ = whole(flowers)[f"{way}, 100%"]
    recipe, models = dataclasses.replace(recipe, seed=seed), []
    for _ in range(2):
        keras.utils.set_random_seed(seed)
        models.append(maker(recipe))
    train(models[0], flowers, recipe, home(name)[0] / f"{way}, 100%-{seed}", verbose=2)
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
    whole = accuracy(model, photos, labels)
    curves = {
        kind: [accuracy(model, damaged(photos, kind, grade), labels) for grade in GRADES]
        for kind in CORRUPTIONS
    }
    return {"test": {kind: [whole, *curve] for kind, curve in curves.items()}}


def damaged(photos, kind, grade):
    """`corrupt`, computed once for all models."""
    key = kind, grade, hashlib.sha256(photos.tobytes()).hexdigest()
    if key not in _DAMAGED:
        _DAMAGED[key] = corrupt(photos, kind, grade)
    return _DAMAGED[key]


def cues(model, untrained, photos, labels):
    """What it says of scenes drawn again in the colour, or with the petals, of other species."""
    from cues import species_conflicts  # needs the extra `draw`

    return species_conflicts({"model": model})["model"]


def background(model, untrained, photos, labels):
    """Accuracy on the same scenes without petals and without the flower."""
    shares = {"whole": accuracy(model, photos, labels)}
    for part in ("petals", "flower"):
        scenes = load_scenes("test", SIZE).as_numpy_iterator()
        rest = np.stack([scene[f"without_{part}"] for scene in scenes])  # (B, H, W, 3)
        shares[f"without {part}"] = accuracy(model, rest, labels)
    return {"test": shares}


MEASURES = {m.__name__: m for m in (order, reach, robustness, cues, background)}
OF_SCENES = ("cues", "background")


def measure(what, flowers, name, seeds):
    """Applies a measure to each model; a row is stored as soon as it is there."""
    path = RESULTS / f"vit_vs_cnn_{what}_{name}.json"
    photos, labels = test_photos(flowers)
    for seed in seeds:
        for way in FROM_SCRATCH:
            stored = read_json(path) if path.exists() else {"rows": []}
            if any(row["model"] == way and row["seed"] == seed for row in stored["rows"]):
                continue
            row = MEASURES[what](*trained(flowers, name, way, seed), photos, labels)
            # Another process may have stored rows meanwhile.
            rows = read_json(path)["rows"] if path.exists() else []
            rows = [*rows, {"model": way, "seed": seed, **row}]
            run = provenance(sorted({row["seed"] for row in rows}))
            write_json(path, {"rows": rows, "data": flowers.about(), "run": run})


def keep(flowers, name):
    """Writes the ViT and the CNN of seed 0 to data/, for page 08, without their optimizers."""
    for way, kind in (("from scratch", "vit"), ("CNN", "cnn")):
        model, fresh = trained(flowers, name, way, 0)
        fresh.set_weights(model.get_weights())
        path = ROOT / "data" / f"flowers_half_{kind}.keras"
        fresh.save(path.with_stem("unfinished"))
        path.with_stem("unfinished").replace(path)


def main():
    """Trains and measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=MEASURES)
    parser.add_argument("--source", default=EMBEDDED, help="a set's name, or a folder")
    parser.add_argument("--name", help="what the photos are called in the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    drawn = options.source == EMBEDDED
    asked = options.what or [what for what in MEASURES if drawn or what not in OF_SCENES]
    if not drawn and {*asked} & {*OF_SCENES}:
        parser.error(f"{' and '.join(OF_SCENES)} need the drawn flowers, {EMBEDDED}")
    name = options.name or Path(options.source).name
    flowers = load_flowers(options.source, image_size=SIZE)
    compare(whole(flowers), flowers, options.seeds, *home(name), verbose=2)
    if "order" in asked:
        state, path = ROOT / "build" / f"orders_{name}", RESULTS / f"vit_vs_cnn_orders_{name}.json"
        compare(shuffled(flowers), flowers, options.seeds, state, path, verbose=2)
    for what in asked:
        measure(what, flowers, name, options.seeds)
    if drawn and 0 in options.seeds:
        keep(flowers, name)


if __name__ == "__main__":
    main()
