"""The drawn scenes again, with a cue of another species: which of the two does a model follow?

After Geirhos et al. 2019 (arXiv 1811.12231), who pasted the texture of one thing on the shape of
another. Here the scene is drawn anew, in the petal colour or with the petals of others, and nothing
else in it changes. Needs the extra `draw`; `vit_vs_cnn.py --what cues` asks its models.
"""

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
from data_efficiency import ROOT
from tqdm import tqdm

from vit_keras_lib.datasets.decode import decode

sys.path.insert(0, str(ROOT / "data"))
from procedural_flowers import drawing
from procedural_flowers.examples import scene_of
from procedural_flowers.scene import CENTRES, PETAL_COLOURS, PETALS, SPECIES

PICTURES = ROOT / "build" / "cues" / "pictures"
SIZE = 96
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
for _form in sorted(set(FORM_OF.values())):
    for _centre in sorted(set(CENTRES.values())):
        PETALS[f"{_form}, {_centre}"], CENTRES[f"{_form}, {_centre}"] = _form, _centre


def dressed(scene, form=None, colour=None):
    """The same scene with other petals: nothing else in it changes, the centres stay.

    Args:
        scene: a scene of the embedded set.
        form: kind of petals, one of `FORM_OF`'s; None leaves it.
        colour: one of `PETAL_COLOURS`; None leaves it. The petals keep their small deviation from
            the pure colour, and darken towards their base without another hue.
    """
    species = f"{form or PETALS[scene.species]}, {CENTRES[scene.species]}"
    scene = dataclasses.replace(scene, species=species)
    if colour is None:
        return scene
    deviation = np.array(scene.petal_rgb) - PETAL_COLOURS[scene.petal_colour]
    rgb = np.clip(PETAL_COLOURS[colour] + deviation, 0.02, 0.99)
    return dataclasses.replace(
        scene,
        petal_colour=colour,
        petal_rgb=tuple(rgb.tolist()),
        base_rgb=tuple((0.8 * rgb).tolist()),
    )


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


def answers(model, images):
    """The class that a model names for each image, (B,)."""
    return model.predict(images.astype("float32"), batch_size=64, verbose=0).argmax(axis=1)


def shares(**follows):
    """Shares of answers: name -> mean of its mask (B,), and "neither"; masks exclude each other."""
    found = {name: float(np.mean(mask)) for name, mask in follows.items()}
    return {**found, "neither": float(np.mean(~np.any(list(follows.values()), axis=0)))}


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
