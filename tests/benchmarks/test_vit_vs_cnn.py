"""The experiments of benchmarks/vit_vs_cnn.py: what is compared, what is measured."""

import json

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")
from vit_keras_lib import ViT, load_flowers
from vit_keras_lib.datasets import CORRUPTIONS
from vit_keras_lib.models import CNN

SIDE = 48  # patches of 16: a grid of 3 x 3


@pytest.fixture
def experiment(script):
    return script("vit_vs_cnn")


@pytest.fixture(scope="module")
def flowers():
    return load_flowers("procedural_flowers", image_size=96)


@pytest.fixture
def photos():
    return np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), "uint8")


def vit(**changes):
    sizes = {"dim": 24, "depth": 2, "num_heads": 3, "mlp_dim": 48}
    return ViT(SIDE, 5, 16, **sizes, **changes)


def answers(model, photos):
    return model.predict(photos.astype("float32"), verbose=0).argmax(axis=1)


def test_all_learn_by_the_same_recipe(experiment, flowers):
    rows = experiment.whole(flowers)
    assert list(rows) == ["from scratch, 100%", "small-data recipe, 100%", "CNN, 100%"]
    fields = [
        (r.epochs, r.batch_size, r.augment, r.mix, r.learning_rate, r.warmup_epochs, r.decay)
        for _, r, *_ in (*rows.values(), *experiment.shuffled(flowers).values())
    ]
    assert len(set(fields)) == 1


def test_models_trained_out_of_order_get_shuffled_photos(experiment, flowers):
    rows = experiment.shuffled(flowers)
    assert list(rows) == [
        "from scratch, one order for all", "CNN, one order for all", "without positions",
    ]  # fmt: skip
    build = {name: maker(recipe) for name, (maker, recipe) in rows.items()}
    model = build["CNN, one order for all"]
    shuffle, cnn = model.layers
    assert isinstance(cnn, CNN) and shuffle.one_order
    assert build["without positions"].position == "none"
    in_order = {
        name: maker(recipe) for name, (maker, recipe, _) in experiment.whole(flowers).items()
    }
    for name, shuffled in build.items():  # as large as the same in order
        one = in_order["CNN, 100%" if "CNN" in name else "from scratch, 100%"]
        positions = one.get_layer("encoder").count_params() if name == "without positions" else 0
        assert one.count_params() - positions <= shuffled.count_params() <= one.count_params()


def test_order_leaves_a_model_without_positions_alone(experiment, photos):
    blind = vit(position="none")
    labels = answers(blind, photos)
    found = experiment.order(blind, None, photos, labels)["test"]
    assert found == {"in order": 1, "an order each": 1, "one order for all": 1}


def test_order_disturbs_a_cnn(experiment, photos):
    cnn = CNN(SIDE, 5, widths=(4, 8), blocks_per_stage=1)
    labels = cnn.predict(photos.astype("float32"), verbose=0)
    cnn.get_layer("head").bias.assign(-labels.mean(axis=0))  # so that answers differ
    labels = answers(cnn, photos)
    assert len(set(labels)) > 1
    found = experiment.order(cnn, None, photos, labels)["test"]
    assert found["in order"] == 1 > max(found["an order each"], found["one order for all"])


def test_reach_grows_with_the_layers(experiment, photos):
    cnn = CNN(SIDE, 5, widths=(4, 8), blocks_per_stage=2)
    found = experiment.reach(cnn, cnn, photos, None)
    radii = found["radius, px"]["trained"]
    assert list(radii) == ["stem", "block0", "block1", "block2", "block3"]
    assert radii == found["radius, px"]["untrained"]
    assert 0 < radii["stem"] < radii["block0"] < radii["block3"] < SIDE

    found = experiment.reach(vit(), vit(), photos, None)
    assert list(found["radius, px"]["trained"]) == ["encoder", "block0", "block1"]
    assert found["radius, px"]["trained"]["encoder"] < 8  # within its own patch
    heads = np.array(found["attention distance, px"])
    assert heads.shape == (2, 3) and (heads > 0).all()
    json.dumps(found)


def test_without_damage_robustness_is_accuracy(experiment, photos):
    model = vit()
    found = experiment.robustness(model, None, photos, answers(model, photos))["test"]
    assert list(found) == list(CORRUPTIONS)
    assert all(len(curve) == 6 and curve[0] == 1 for curve in found.values())


def test_damage_is_computed_once_for_all_models(experiment, photos, monkeypatch):
    computed = []

    def count(images, kind, grade):
        computed.append((kind, grade))
        return images

    monkeypatch.setattr(experiment, "_DAMAGED", {})
    monkeypatch.setattr(experiment, "corrupt", count)
    monkeypatch.setattr(experiment, "accuracy", lambda *_: 0.5)
    for _ in range(2):
        experiment.robustness(None, None, photos, None)
    assert len(computed) == len(set(computed)) == 5 * len(CORRUPTIONS)
    experiment.robustness(None, None, photos[:3], None)  # other photos are damaged anew
    assert len(computed) == 10 * len(CORRUPTIONS)


def test_background_asks_about_the_same_scenes(experiment, flowers, monkeypatch):
    photos, labels = experiment.test_photos(flowers)
    asked = []
    monkeypatch.setattr(experiment, "accuracy", lambda model, *what: asked.append(what) or 0.5)
    found = experiment.background(None, None, photos, labels)["test"]
    assert list(found) == ["whole", "without petals", "without flower"]
    whole, without_petals, without_flower = (pictures for pictures, _ in asked)
    assert all(np.array_equal(given, labels) for _, given in asked)
    # Backgrounds stay: most pixels hardly change, and more do without all of the flower.
    changed = [
        (np.abs(rest.astype(int) - whole).max(axis=3) > 16).mean()
        for rest in (without_petals, without_flower)
    ]
    assert 0.05 < changed[0] < changed[1] < 0.5


def test_what_is_measured_is_not_measured_again(experiment, flowers, monkeypatch, tmp_path):
    calls = []

    def count(model, untrained, photos, labels):
        calls.append(model)
        return {"test": len(calls)}

    monkeypatch.setattr(experiment, "RESULTS", tmp_path)
    monkeypatch.setattr(
        experiment, "trained", lambda flowers, name, way, seed: (f"{name} {way}-{seed}", None)
    )
    monkeypatch.setitem(experiment.MEASURES, "order", count)
    experiment.measure("order", flowers, "these", [1])
    experiment.measure("order", flowers, "these", [0, 1])
    assert calls == [f"these {way}-{seed}" for seed in (1, 0) for way in experiment.FROM_SCRATCH]
    stored = json.loads((tmp_path / "vit_vs_cnn_order_these.json").read_text())
    assert [row["test"] for row in stored["rows"]] == [1, 2, 3, 4, 5, 6]
    assert stored["run"]["seed"] == [0, 1]
    assert stored["data"] == flowers.about()


def test_trained_and_untrained_begin_alike(experiment, flowers, monkeypatch):
    monkeypatch.setattr(experiment, "train", lambda *arguments, **options: None)
    model, untrained = experiment.trained(flowers, "these", "CNN", 3)
    for one, other in zip(model.get_weights(), untrained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert isinstance(model, keras.Model) and model is not untrained


@pytest.mark.parametrize("way", ["from scratch", "small-data recipe", "CNN"])
def test_each_seed_has_weights_of_its_own(experiment, flowers, monkeypatch, way):
    monkeypatch.setattr(experiment, "train", lambda *arguments, **options: None)
    one, other = (experiment.trained(flowers, "these", way, seed)[0] for seed in (0, 1))
    kernels = [model.get_layer("head").get_weights()[0] for model in (one, other)]
    assert not np.array_equal(*kernels)


def test_models_are_kept_without_their_optimizers(experiment, photos, monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    models = {
        way: [CNN(SIDE, 5, widths=(4, 8), blocks_per_stage=1) for _ in range(2)]
        for way in ("from scratch", "CNN")
    }
    models["CNN"][0].compile(optimizer="adam", loss="mse")
    monkeypatch.setattr(experiment, "ROOT", tmp_path)
    monkeypatch.setattr(experiment, "trained", lambda flowers, name, way, seed: models[way])
    experiment.keep(None, "these")
    kept = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert kept == ["flowers_half_cnn.keras", "flowers_half_vit.keras"]
    again = keras.models.load_model(tmp_path / "data" / "flowers_half_cnn.keras")
    assert getattr(again, "optimizer", None) is None
    expected = models["CNN"][0].predict(photos.astype("float32"), verbose=0)
    np.testing.assert_allclose(again.predict(photos.astype("float32"), verbose=0), expected, 1e-5)
