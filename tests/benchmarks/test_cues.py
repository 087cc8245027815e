"""benchmarks/cues.py: what is drawn again, and what counts as following it."""

import collections
import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("skia")

COLOUR_FIELDS = {"petal_colour", "petal_rgb", "base_rgb"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture
def cue(script, monkeypatch, pictures):
    module = script("cues")
    monkeypatch.setattr(module, "PICTURES", pictures)
    return module


def changed(one, other):
    """Names of the fields in which two scenes differ."""
    fields = [field.name for field in dataclasses.fields(one)]
    return {name for name in fields if getattr(one, name) != getattr(other, name)}


def one_hot(answers, classes):
    return np.eye(classes)[answers]


class Says:
    """A made-up model whose answers are given, call by call."""

    def __init__(self, *answers, classes):
        self.answers, self.classes = list(answers), classes

    def predict(self, images, **_):
        said = self.answers.pop(0)
        assert len(said) == len(images)
        return one_hot(said, self.classes)


# --- What is drawn ----------------------------------------------------------------------------


def test_outside_of_the_blooms_the_pictures_are_the_same(cue):
    """Defocus carries a bloom's colours a little beyond its outline."""
    for index in range(3):
        again = cue.swapped(cue.scene_of("test", index)[0], index)
        plain, *twins = (cue.drawing.render(scene) for scene, _ in again.values())
        for kind, twin in zip(("colour", "petals"), twins, strict=True):
            blooms = (plain.parts >= 2) | (twin.parts >= 2)
            near = np.asarray(
                Image.fromarray(blooms).convert("L").filter(ImageFilter.MaxFilter(17))
            )
            differs = (plain.image != twin.image).any(-1)
            assert differs[blooms].mean() > 0.3
            assert not differs[near == 0].any()
            assert np.array_equal(plain.parts, twin.parts) == (kind == "colour")


def test_a_scene_dressed_in_what_it_wears_is_drawn_the_same(cue):
    scene, _ = cue.scene_of("test", 1)
    image = cue.drawing.render(scene).image
    assert np.array_equal(cue.drawing.render(cue.dressed(scene)).image, image)
    as_daisy = cue.dressed(cue.scene_of("test", 0)[0], "rays")  # a dandelion's centre is a daisy's
    daisy = dataclasses.replace(cue.scene_of("test", 0)[0], species="daisy")
    assert np.array_equal(*(cue.drawing.render(s).image for s in (as_daisy, daisy)))


def test_pictures_are_drawn_once(cue, monkeypatch):
    scenes = [cue.scene_of("test", index)[0] for index in range(2)]
    first = cue.drawn(scenes, "test")
    assert first.shape == (2, cue.SIZE, cue.SIZE, 3) and first.dtype == np.uint8
    monkeypatch.setattr(cue.drawing, "render", None)
    assert np.array_equal(cue.drawn(scenes, "test"), first)
    with pytest.raises(TypeError):  # another scene has to be drawn
        cue.drawn(scenes[:1], "test")


# --- What counts as following -----------------------------------------------------------------


def test_shares_sum_to_one(cue):
    said, form, colour = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 2]), np.array([1, 1, 0, 0])
    found = cue.shares(form=said == form, colour=said == colour)
    assert found == {"form": 0.5, "colour": 0.25, "neither": 0.25}


def test_typical_is_the_colour_furthest_above_its_share_in_all(cue):
    from procedural_flowers import scene

    odds = np.array([scene._COLOUR_ODDS[species] for species in cue.SPECIES])
    names = np.array(list(cue.PETAL_COLOURS))
    assert list(names[np.argmax(odds - odds.mean(0), axis=1)]) == list(cue.TYPICAL.values())
    assert list(cue.TYPICAL) == list(cue.SPECIES)


def test_a_swap_puts_on_what_other_species_wear(cue):
    seen = collections.Counter()
    for index in range(15):
        scene, _ = cue.scene_of("test", index)
        again = cue.swapped(scene, index // 5)
        plain, colour, petals = (again[kind][0] for kind in ("plain", "colour", "petals"))
        assert plain.petal_colour == cue.TYPICAL[scene.species]
        assert changed(plain, colour) == COLOUR_FIELDS
        assert changed(plain, petals) == {"species"}
        assert cue.CENTRES[petals.species] == cue.CENTRES[scene.species]
        for kind, worn, name in (
            ("colour", cue.TYPICAL, colour.petal_colour),
            ("petals", cue.FORM_OF, cue.PETALS[petals.species]),
        ):
            assert again[kind][1] == tuple(s for s in cue.SPECIES if worn[s] == name)
            assert scene.species not in again[kind][1]
            seen[kind, scene.species, name] += 1
    assert len(seen) == 30


def test_what_models_of_the_species_follow(cue):
    own = np.arange(5)
    again = [cue.swapped(cue.scene_of("test", i)[0], 0) for i in range(5)]
    other = np.array([cue.SPECIES.index(scene["petals"][1][-1]) for scene in again])
    models = {
        "stays": Says(own, own, own, classes=5),
        "follows petals": Says(own, own, other, classes=5),
        "constant": Says(*[np.full(5, 4)] * 3, classes=5),
    }
    found = cue.species_conflicts(models, count=5)
    stays = {"changed": 0.0, "own": 1.0, "other": 0.0, "neither": 0.0, "other before": 0.0}
    assert found["stays"] == {"plain": 1.0, "colour": stays, "petals": stays}
    assert found["follows petals"]["colour"] == stays
    assert found["follows petals"]["petals"] == {**stays, "changed": 1.0, "own": 0.0, "other": 1.0}
    assert found["constant"]["plain"] == pytest.approx(0.2)
    for kind in ("colour", "petals"):
        row = found["constant"][kind]
        assert row["changed"] == 0 and row["other"] == row["other before"]
        assert row["own"] + row["other"] + row["neither"] == pytest.approx(1)
