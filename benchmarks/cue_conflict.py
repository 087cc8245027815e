"""Form or colour: which of two cues does each model follow?

    python benchmarks/cue_conflict.py [--seeds 0 1 2] [--epochs 8] [--scenes 1500]

After Geirhos et al. 2019 (arXiv 1811.12231), who pasted the texture of one thing on the shape of
another. Here scenes are drawn (this needs the extra `draw`), so both cues can be set. Form and
colour of the petals name the class, each alone and without fail; all else is drawn independently,
the kind of centre too. Then the same test scenes are drawn again: in the colour of another class
("conflict"), in grey ("form only"), with petals of a form that names no class ("colour only"). What
a model prefers is read from the first; what it sees at all from the other two.

The models are those of `data_efficiency.py`, half as wide as elsewhere. All share recipe, batch,
steps and augmentation: flips and small shifts, which leave both cues as they are. Hermann et al.
2020 (arXiv 1911.09071) shift the preference by distorting colours, so each model is also trained
with the hue of every training picture turned by an angle of its own: then only form is left, but
for what lightness and saturation tell.

Interrupted or killed, the same command goes on where it was. Writes results/cue_conflict.json.
`species_conflicts` asks models of the embedded species.
"""

import argparse
import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
from data_efficiency import ROOT, SHORT, WIDTHS
from tqdm import tqdm

from vit_keras_lib import Flowers, Recipe, train
from vit_keras_lib.datasets.decode import decode
from vit_keras_lib.datasets.splits import SPLITS
from vit_keras_lib.models import CNN
from vit_keras_lib.training import compare, read_json, write_json

import tensorflow as tf  # isort: skip  (after the library, which keeps its start-up lines out)

sys.path.insert(0, str(ROOT / "data"))
from procedural_flowers import drawing
from procedural_flowers.examples import scene_of
from procedural_flowers.scene import (
    CENTRES,
    PETAL_COLOURS,
    PETALS,
    SPECIES,
    sample_scene,
)

PICTURES = ROOT / "build" / "cue_conflict" / "pictures"
SIZE, SEED = 96, 21
# Class k has form k and colour k; the last of each names none.
FORMS = ("rays", "cup", "whorl", "straps")
COLOURS = ("yellow", "red", "purple", "grey")
CLASSES = NONE = 3
TWINS = ("conflict", "form only", "colour only")  # of the test scenes
RGB = {**PETAL_COLOURS, "grey": (0.65, 0.65, 0.65)}
# In the embedded set, the colour whose share in a species is furthest above its share in all.
TYPICAL = {
    "dandelion": "yellow",
    "daisy": "white",
    "tulips": "red",
    "sunflowers": "white",
    "roses": "pink",
}
FORM_OF = {species: PETALS[species] for species in SPECIES}
# The drawing looks up by species what a bloom is put together from: here, any petals and centre.
for _form in FORMS:
    for _centre in sorted(set(CENTRES.values())):
        PETALS[f"{_form}, {_centre}"], CENTRES[f"{_form}, {_centre}"] = _form, _centre
MODELS = ("ViT", "ViT, small-data recipe", "CNN")
VARIANTS = (*MODELS, *(f"{model}, hues turned" for model in MODELS))
RECIPE = Recipe(warmup_epochs=1, augment="light", **SHORT)


# --- Scenes -----------------------------------------------------------------------------------


def dressed(scene, form=None, colour=None, centre=None):
    """The same scene with other blooms: nothing else in it changes.

    Args:
        scene: a scene of the embedded set.
        form: kind of petals, one of `FORMS`; None leaves it.
        colour: colour of the petals, one of `RGB`; None leaves it. The petals keep their small
            deviation from the pure colour, and darken towards their base without another hue.
        centre: kind of centre, "dome", "seeds" or "stamens"; None leaves it.
    """
    species = f"{form or PETALS[scene.species]}, {centre or CENTRES[scene.species]}"
    scene = dataclasses.replace(scene, species=species)
    if colour is None:
        return scene
    deviation = np.array(scene.petal_rgb) - PETAL_COLOURS[scene.petal_colour]
    rgb = np.clip(RGB[colour] + deviation, 0.02, 0.99)
    return dataclasses.replace(
        scene,
        petal_colour=colour,
        petal_rgb=tuple(rgb.tolist()),
        base_rgb=tuple((0.8 * rgb).tolist()),
    )


def cues(kind, index):
    """Form and colour of a picture, as numbers of classes or `NONE`.

    Classes take turns, and so do the two other classes that a conflict takes its colour from.
    """
    own, turn = index % CLASSES, index // CLASSES
    other = (own + 1 + turn % 2) % CLASSES
    twins = {"conflict": (own, other), "form only": (own, NONE), "colour only": (NONE, own)}
    return twins.get(kind, (own, own))


def cue_scene(kind, index):
    """The scene of a picture.

    Args:
        kind: a split, or one of `TWINS`, which differ from the test scene of the same index in
            form or colour only.
        index: number of the picture, from 0.
    """
    split = "test" if kind in TWINS else kind
    rng = np.random.default_rng([SEED, SPLITS.index(split), index])
    scene = sample_scene(rng, "daisy")  # its petals and centre are replaced
    form, colour = cues(kind, index)
    centre = str(rng.choice(["dome", "seeds", "stamens"]))
    return dressed(scene, FORMS[form], COLOURS[colour], centre)


def drawn(scenes, what):
    """Pictures of scenes, uint8 (B, H, W, 3): drawn once, then read from build/."""
    described = repr(scenes).encode() + Path(drawing.__file__).read_bytes()
    file = PICTURES / f"{hashlib.sha256(described).hexdigest()[:16]}.npy"
    if not file.exists():
        images = []
        for scene in tqdm(scenes, desc=f"drawing {what}", disable=None):
            photo = drawing.compress(drawing.render(scene).image, scene.jpeg_quality)
            images.append(decode(photo, (SIZE, SIZE)))
        PICTURES.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".partial")
        with open(unfinished, "wb") as stream:
            np.save(stream, np.stack(images))
        unfinished.replace(file)
    return np.load(file)


def cue_sets(scenes):
    """All pictures: a split or one of `TWINS` -> images (B, H, W, 3), forms and colours (B,).

    Args:
        scenes: number of training scenes; a fifth of it of each other kind.
    """
    sets = {}
    for kind in (*SPLITS, *TWINS):
        count = scenes if kind == "train" else scenes // 5
        images = drawn([cue_scene(kind, index) for index in range(count)], kind)
        sets[kind] = images, *np.array([cues(kind, index) for index in range(count)]).T
    return sets


def cue_flowers(sets):
    """What models are trained on: both cues name the class."""
    fingerprint = hashlib.sha256()
    for images, forms, colours in sets.values():
        for array in (images, forms, colours):
            fingerprint.update(array.tobytes())
    splits = {
        split: tf.data.Dataset.from_tensor_slices((sets[split][0], sets[split][1].astype("int64")))
        for split in SPLITS
    }
    return Flowers(
        **splits,
        class_names=tuple(f"{COLOURS[k]} {FORMS[k]}" for k in range(CLASSES)),
        image_size=(SIZE, SIZE),
        sizes={split: len(sets[split][0]) for split in SPLITS},
        source="drawn scenes whose petals name the class by form and by colour",
        protocol="Drawn for each split from seeds of its own.",
        fingerprint=fingerprint.hexdigest()[:16],
    )


def hues_turned(flowers, seed):
    """The same set, the hue of each training picture turned by a random angle of its own."""

    def turned(number, pair):
        image, label = pair
        place = tf.stack([tf.constant(seed, tf.int64), number])
        return tf.image.stateless_random_hue(image, 0.5, place), label  # 0.5: the whole circle

    return dataclasses.replace(
        flowers,
        train=flowers.train.enumerate().map(turned, num_parallel_calls=tf.data.AUTOTUNE),
        protocol=f"{flowers.protocol} Hues of the training pictures turned, seed {seed}.",
    )


# --- What models answer -----------------------------------------------------------------------


def answers(model, images):
    """The class that a model names for each image, (B,)."""
    return model.predict(images.astype("float32"), batch_size=64, verbose=0).argmax(axis=1)


def shares(**follows):
    """Shares of answers: name -> mean of its mask (B,), and "neither"; masks exclude each other."""
    found = {name: float(np.mean(mask)) for name, mask in follows.items()}
    return {**found, "neither": float(np.mean(~np.any(list(follows.values()), axis=0)))}


def measure(model, sets):
    """What a model follows.

    Returns:
        "conflict" (shares of answers that follow "form", "colour" or "neither"), "pairs" (the same
        for each form in each colour), and "form only" and "colour only" (accuracy in [0, 1]).
    """
    images, forms, colours = sets["conflict"]
    said = answers(model, images)

    def followed(chosen):
        return shares(form=(said == forms)[chosen], colour=(said == colours)[chosen])

    pairs = {
        f"{FORMS[form]} in {COLOURS[colour]}": followed((forms == form) & (colours == colour))
        for form, colour in sorted({*zip(forms.tolist(), colours.tolist(), strict=True)})
    }
    row = {"conflict": followed(np.ones(len(said), bool)), "pairs": pairs}
    for kind, which in (("form only", 1), ("colour only", 2)):
        row[kind] = float(np.mean(answers(model, sets[kind][0]) == sets[kind][which]))
    return row


def swapped(scene, turn):
    """A scene of the species drawn again, with a cue of another species.

    Args:
        scene: a scene of the embedded set.
        turn: number that says which other colour and form it is; they take turns.

    Returns:
        Name -> (scene, the species that wear what is new in it): "plain" in its species' typical
        colour, "colour" in the typical colour of others, "petals" like "plain" but with petals
        of another form, before which the centre stays.
    """
    own = scene.species

    def other(worn):
        kinds = [kind for kind in dict.fromkeys(worn.values()) if kind != worn[own]]
        kind = kinds[turn % len(kinds)]
        return kind, tuple(species for species in SPECIES if worn[species] == kind)

    plain = dressed(scene, colour=TYPICAL[own])
    colour, wearing_colour = other(TYPICAL)
    form, wearing_form = other(FORM_OF)
    return {
        "plain": (plain, (own,)),
        "colour": (dressed(scene, colour=colour), wearing_colour),
        "petals": (dressed(scene, form, TYPICAL[own]), wearing_form),
    }


def species_conflicts(models, count=300):
    """Asks models of the embedded species about test scenes with a cue of another species.

    There the petals' form and the centre make the species, and colours are worn a little more often
    by some than by others.

    Args:
        models: name -> classifier of raw pixels (B, 96, 96, 3) into `SPECIES`, in this order.
        count: number of test scenes; a multiple of 15 has all pairs alike.

    Returns:
        Name -> "plain" (accuracy), and for "colour" and "petals": "changed" (share of scenes with
        another answer than the plain twin), shares of answers that name the "own" species, one
        that wears the new cue ("other") or "neither", and "other before" (the share of plain
        twins that were already taken for one that wears it).
    """
    scenes = [swapped(scene_of("test", i)[0], i // len(SPECIES)) for i in range(count)]
    own = np.arange(count) % len(SPECIES)  # species take turns
    images = {kind: drawn([s[kind][0] for s in scenes], kind) for kind in scenes[0]}
    found = {}
    for name, model in models.items():
        said = {kind: answers(model, pictures) for kind, pictures in images.items()}
        found[name] = {"plain": float(np.mean(said["plain"] == own))}
        for kind in ("colour", "petals"):
            wearing = np.array([[s in scene[kind][1] for s in SPECIES] for scene in scenes])
            follows = {k: wearing[np.arange(count), said[k]] for k in ("plain", kind)}
            found[name][kind] = {
                "changed": float(np.mean(said[kind] != said["plain"])),
                **shares(own=said[kind] == own, other=follows[kind]),
                "other before": float(np.mean(follows["plain"])),
            }
    return found


# --- The runs ---------------------------------------------------------------------------------


def variants(flowers, recipe):
    """What `compare` trains: name -> (maker, recipe), and a maker of photos if hues are turned."""
    shape, (of_vit, of_cnn) = (flowers.image_size, flowers.num_classes), WIDTHS["half"]

    def vit(recipe):
        return recipe.model(*shape, **of_vit)

    def cnn(recipe):
        return CNN(*shape, drop_path=recipe.drop_path, **of_cnn)

    plain = dataclasses.replace(recipe, pool="cls", stem="patch")
    models = ((vit, plain), (vit, recipe), (cnn, recipe))
    turned = ((*how, hues_turned) for how in models)
    return dict(zip(VARIANTS, (*models, *turned), strict=True))


def one(name, variant, flowers, sets, state, path):
    """Trains and measures one model, or does what is missing of it; returns its row."""
    make, recipe, *draw = variant
    run = {"variant": name, "seed": recipe.seed}

    def read():
        stored = read_json(path)
        return stored, next(row for row in stored["rows"] if run.items() <= row.items())

    compare({name: variant}, flowers, [recipe.seed], state, path, verbose=2)
    _, row = read()
    if "conflict" in row:
        return row
    model = make(recipe)
    photos = draw[0](flowers, recipe.seed) if draw else flowers
    train(model, photos, recipe, state / f"{name}-{recipe.seed}")  # done: gives its best weights
    measured = measure(model, sets)
    stored, row = read()  # another process may have stored rows meanwhile
    row |= measured
    counts = {kind: len(images) for kind, (images, *_) in sets.items()}
    about = {"classes": list(flowers.class_names), "names no class": [FORMS[NONE], COLOURS[NONE]]}
    write_json(path, {**stored, **about, "pictures": counts})
    return row


def main():
    """Trains and measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--scenes", type=int, default=1500, help="to train on; others: a fifth")
    parser.add_argument("--models", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "cue_conflict.json")
    options = parser.parse_args()
    sets = cue_sets(options.scenes)
    flowers = cue_flowers(sets)
    for seed in options.seeds:
        recipe = dataclasses.replace(RECIPE, epochs=options.epochs, seed=seed)
        found = variants(flowers, recipe)
        for name in options.models:
            state = ROOT / "build" / options.results.stem
            row = one(name, found[name], flowers, sets, state, options.results)
            print(name, seed, f"test {row['test']:.3f}", row["conflict"])


if __name__ == "__main__":
    main()
