"""The experiment of benchmarks/cue_conflict.py: what is drawn, and what counts as following it."""

import collections
import colorsys
import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("skia")
from vit_keras_lib import Recipe
from vit_keras_lib.training import read_json

COLOUR_FIELDS = {"petal_colour", "petal_rgb", "base_rgb"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture
def cue(script, monkeypatch, pictures):
    module = script("cue_conflict")
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


def test_in_plain_scenes_form_and_colour_both_name_the_class(cue):
    for kind in cue.SPLITS:
        for index in range(12):
            scene = cue.cue_scene(kind, index)
            assert cue.PETALS[scene.species] == cue.FORMS[index % cue.CLASSES]
            assert scene.petal_colour == cue.COLOURS[index % cue.CLASSES]
            assert np.abs(np.subtract(scene.petal_rgb, cue.RGB[scene.petal_colour])).max() < 0.3


def test_all_else_is_independent_of_the_class(cue):
    scenes = [cue.cue_scene("train", index) for index in range(900)]
    facts = {
        "centre": lambda scene: cue.CENTRES[scene.species],
        "centre's colour": lambda scene: scene.centre_colour,
        "background": lambda scene: scene.background,
        "tips": lambda scene: scene.petal_shape,
        "blooms": lambda scene: len(scene.blooms),
    }
    for name, fact in facts.items():
        counts = collections.Counter((fact(s), s.petal_colour) for s in scenes)
        kinds = {kind for kind, _ in counts}
        table = np.array([[counts[k, c] for c in cue.COLOURS[: cue.CLASSES]] for k in kinds])
        expected = table.sum(1, keepdims=True) / cue.CLASSES
        statistic = ((table - expected) ** 2 / expected).sum()
        freedom = (len(kinds) - 1) * (cue.CLASSES - 1)
        assert statistic < freedom + 4 * np.sqrt(2 * freedom), name


def test_conflicts_are_all_ordered_pairs_alike(cue):
    pairs = collections.Counter(cue.cues("conflict", index) for index in range(24))
    assert len(pairs) == 6 and set(pairs.values()) == {4}
    assert all(form != colour for form, colour in pairs)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("conflict", COLOUR_FIELDS), ("form only", COLOUR_FIELDS), ("colour only", {"species"})],
)
def test_a_twin_differs_from_its_test_scene_where_it_should(cue, kind, fields):
    for index in range(7):
        plain, twin = cue.cue_scene("test", index), cue.cue_scene(kind, index)
        assert changed(plain, twin) == fields
        assert cue.CENTRES[plain.species] == cue.CENTRES[twin.species]


def test_outside_of_the_blooms_the_pictures_are_the_same(cue):
    """Defocus carries a bloom's colours a little beyond its outline."""
    for index in range(3):
        plain, *twins = (cue.drawing.render(cue.cue_scene(k, index)) for k in ("test", *cue.TWINS))
        for kind, twin in zip(cue.TWINS, twins, strict=True):
            blooms = (plain.parts >= 2) | (twin.parts >= 2)
            near = np.asarray(
                Image.fromarray(blooms).convert("L").filter(ImageFilter.MaxFilter(17))
            )
            differs = (plain.image != twin.image).any(-1)
            assert differs[blooms].mean() > 0.3
            assert not differs[near == 0].any()
            assert np.array_equal(plain.parts, twin.parts) == (kind != "colour only")


def test_a_scene_dressed_in_what_it_wears_is_drawn_the_same(cue):
    scene, _ = cue.scene_of("test", 1)
    image = cue.drawing.render(scene).image
    assert np.array_equal(cue.drawing.render(cue.dressed(scene)).image, image)
    as_daisy = cue.dressed(cue.scene_of("test", 0)[0], "rays")  # a dandelion's centre is a daisy's
    daisy = dataclasses.replace(cue.scene_of("test", 0)[0], species="daisy")
    assert np.array_equal(*(cue.drawing.render(s).image for s in (as_daisy, daisy)))


def test_pictures_are_drawn_once(cue, monkeypatch):
    scenes = [cue.cue_scene("test", index) for index in range(2)]
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


def test_a_model_that_reads_the_petals_colour_follows_colour_alone(cue):
    hues = [colorsys.rgb_to_hsv(*cue.RGB[name])[0] for name in cue.COLOURS[: cue.CLASSES]]
    petals, sets = {}, {}
    for kind in cue.TWINS:
        drawn = [cue.drawing.render(cue.cue_scene(kind, index)) for index in range(6)]
        petals |= {picture.image.tobytes(): picture.parts == 2 for picture in drawn}
        numbers = np.array([cue.cues(kind, index) for index in range(6)]).T
        sets[kind] = np.stack([picture.image for picture in drawn]), *numbers

    class Reader:
        def predict(self, images, **_):
            answers = []
            for image in images:
                on = petals[image.astype("uint8").tobytes()]
                hue = colorsys.rgb_to_hsv(*(image[on].mean(0) / 255))[0]
                away = np.abs(np.subtract(hues, hue))
                answers.append(np.argmin(np.minimum(away, 1 - away)))
            return one_hot(answers, cue.CLASSES)

    row = cue.measure(Reader(), sets)
    assert row["conflict"] == {"form": 0.0, "colour": 1.0, "neither": 0.0}
    assert row["colour only"] == 1.0
    assert len(row["pairs"]) == 6
    assert all(pair["colour"] == 1.0 for pair in row["pairs"].values())


def test_a_model_that_names_the_form_follows_form(cue):
    sets = {
        kind: (np.zeros((6, 8, 8, 3), "uint8"), *np.array([cue.cues(kind, i) for i in range(6)]).T)
        for kind in cue.TWINS
    }
    forms = sets["conflict"][1]
    row = cue.measure(Says(forms, forms, np.zeros(6, int), classes=cue.CLASSES), sets)
    assert row["conflict"] == {"form": 1.0, "colour": 0.0, "neither": 0.0}
    assert row["form only"] == 1.0
    assert row["colour only"] == pytest.approx(1 / cue.CLASSES)


# --- The species ------------------------------------------------------------------------------


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


# --- The runs ---------------------------------------------------------------------------------


@pytest.fixture
def sets(cue):
    return cue.cue_sets(30)


def test_models_learn_from_pictures_that_both_cues_label(cue, sets):
    flowers = cue.cue_flowers(sets)
    assert flowers.sizes == {"train": 30, "validation": 6, "test": 6}
    assert flowers.class_names == ("yellow rays", "red cup", "purple whorl")
    images, labels = zip(*flowers.train.as_numpy_iterator(), strict=True)
    assert np.array_equal(np.stack(images), sets["train"][0])
    for cue_of in sets["train"][1:]:
        assert np.array_equal(labels, cue_of)
    darker = {**sets, "conflict": (sets["conflict"][0] // 2, *sets["conflict"][1:])}
    assert cue.cue_flowers(darker).fingerprint != flowers.fingerprint


def test_turned_hues_are_each_pictures_own_and_leave_lightness(cue, sets):
    flowers = cue.cue_flowers(sets)
    turned = cue.hues_turned(flowers, 1)
    before, labels = zip(*flowers.train.as_numpy_iterator(), strict=True)
    after, same_labels = zip(*turned.train.as_numpy_iterator(), strict=True)
    again = np.stack([image for image, _ in turned.train.as_numpy_iterator()])
    other = np.stack([image for image, _ in cue.hues_turned(flowers, 2).train.as_numpy_iterator()])
    before, after = np.stack(before), np.stack(after)
    assert labels == same_labels and turned.validation is flowers.validation
    assert np.array_equal(after, again) and not np.array_equal(after, other)
    # The largest channel, the value of HSV, stays; which channel that is changes.
    assert np.abs(after.max(-1).astype(int) - before.max(-1)).max() <= 2
    strongest = after.mean((1, 2)).argmax(-1)
    assert len(set(strongest)) == 3
    assert turned.about() != flowers.about()


def test_all_models_share_the_recipe_and_each_seed_draws_its_own_weights(cue, sets):
    flowers = cue.cue_flowers(sets)
    found = cue.variants(flowers, dataclasses.replace(cue.RECIPE, epochs=2, seed=1))
    assert len(found) == 6
    done = {
        name: dataclasses.asdict(recipe.as_done_by(object()))
        for name, (_, recipe, *_) in found.items()
    }
    assert all(recipe == done["CNN"] for recipe in done.values())
    assert not cue.RECIPE.mix and cue.RECIPE.augment == "light"
    other = cue.variants(flowers, dataclasses.replace(cue.RECIPE, epochs=2, seed=2))
    models = [make(recipe) for make, recipe in (v["ViT"] for v in (found, found, other))]
    kernels = [model.get_layer("block0").get_weights()[2] for model in models]
    assert np.array_equal(*kernels[:2]) and not np.array_equal(*kernels[1:])


def test_a_run_is_trained_and_measured_once(cue, sets, tmp_path, monkeypatch):
    recipe = Recipe(epochs=1, warmup_epochs=0, augment="light", mix=False, ema=None, seed=3)

    def make(recipe):
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
        return keras.Sequential([keras.Input((96, 96, 3)), *layers, keras.layers.Dense(3)])

    flowers, path = cue.cue_flowers(sets), tmp_path / "cues.json"
    run = ("tiny", (make, recipe, cue.hues_turned), flowers, sets, tmp_path / "state", path)
    row = cue.one(*run)
    stored = read_json(path)
    assert stored["rows"] == [row]
    assert (row["variant"], row["seed"], row["steps"]) == ("tiny", 3, 1)
    assert sum(row["conflict"].values()) == pytest.approx(1)
    assert stored["pictures"]["conflict"] == 6
    assert stored["data"] == flowers.about()
    monkeypatch.setattr(cue, "measure", None)
    assert cue.one(*run) == row
