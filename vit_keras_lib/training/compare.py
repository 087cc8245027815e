"""Several models, the same budget, several seeds each."""

import dataclasses
from pathlib import Path

import keras
from tqdm import tqdm

from vit_keras_lib.training.fit import about_model, train
from vit_keras_lib.training.recipe import ARCHITECTURE, Recipe
from vit_keras_lib.training.results import provenance, read_json, write_json


def compare(variants, flowers, seeds, directory, path, verbose=0):
    """Trains each variant once a seed and stores how well each does.

    The epoch is chosen on validation; the test photos are looked at once a run, at its end. A row
    is stored as soon as its run ends, and an interrupted run goes on where it was: the same call
    again does what is missing. Several processes may share the file, each with its own variants
    or seeds.

    Args:
        variants: name -> (a function of a `Recipe` that returns a new model, that `Recipe`, whose
            seed is replaced by each of `seeds`); where it should learn from other photos, also a
            function that makes them of `flowers` and a seed, such as `Flowers.share`'s. Validation
            and test photos stay the same for all.
        flowers: what `load_flowers` returns.
        seeds: the seeds.
        directory: where the runs keep their state, a folder each.
        path: JSON file of the results.
        verbose: as in `keras.Model.fit`.

    Returns:
        What is in the file: "rows" (variant, seed, validation and test accuracy in [0, 1],
        epochs, best_epoch from 0, steps, seconds, parameters, device, date, and test_looks: how
        often a test photo was read in the run, on average), "recipes" (by variant;
        the fields of the architecture are those of the model), "models" (by variant, what
        `about_model` says of each), "data" and "run" (seeds, and the device, versions and date of
        the last row).

    Raises:
        ValueError: if the file holds results of another recipe or model for one of these variants,
            or of other photos.
    """
    directory, path = Path(directory), Path(path)
    stored = {"rows": [], "recipes": {}, "data": flowers.about()}
    if path.exists():
        stored = read_json(path)
    if stored["data"] != flowers.about():
        raise ValueError(
            f"{path.name} holds results of other photos: stored {stored['data']}; wanted "
            f"{flowers.about()}. Choose another file, or remove it."
        )
    for name, (_, recipe, *_) in variants.items():
        new = {k: v for k, v in _settings(recipe).items() if k not in ARCHITECTURE}
        _refuse_another(new, stored["recipes"].get(name), name, path)
    done = {(row["variant"], row["seed"]) for row in stored["rows"]}
    wanted = [(name, int(seed)) for seed in seeds for name in variants]
    todo = [run for run in wanted if run not in done]
    for name, seed in tqdm(todo, desc=path.stem, unit="run", disable=None):
        make, recipe, *draw = variants[name]
        recipe = dataclasses.replace(recipe, seed=seed)
        watched, read = _watched(flowers)
        drawn = draw[0](watched, seed) if draw else watched
        keras.utils.set_random_seed(seed)
        model = make(recipe)
        _refuse_another(
            _settings(recipe.as_done_by(model)), stored["recipes"].get(name), name, path
        )
        _refuse_another_model(model, stored, name, path)
        history = train(model, drawn, recipe, directory / f"{name}-{seed}", verbose=verbose)
        test = model.evaluate(
            watched.batches("test", recipe.batch_size), verbose=0, return_dict=True
        )
        row = {
            "variant": name,
            "seed": seed,
            "validation": history.best["val_accuracy"],
            "test": float(test["accuracy"]),
            "test_looks": len(read) / flowers.sizes["test"],
            "best_epoch": history.best_epoch,
            "epochs": recipe.epochs,
            "steps": recipe.epochs * -(-drawn.sizes["train"] // recipe.batch_size),
            "seconds": history.seconds,
            "parameters": history.parameters,
            "device": history.run["device"],
            "date": history.run["date"],
        }
        if path.exists():  # another process may have stored rows meanwhile
            stored = read_json(path)
        run = provenance(sorted({seed, *(other["seed"] for other in stored["rows"])}))
        recipes = {**stored["recipes"], name: _settings(recipe.as_done_by(model))}
        models = {**stored.get("models", {}), name: about_model(model)}
        stored |= {"rows": [*stored["rows"], row], "recipes": recipes, "models": models, "run": run}
        write_json(path, stored)
    return stored


def _watched(flowers):
    """The same photos, and a list that gets longer by one whenever a test photo is read."""
    import tensorflow as tf  # tf.data, on every backend

    read = []

    def watch(image, label):
        tf.py_function(read.append, [label], [])
        return image, label

    return dataclasses.replace(flowers, test=flowers.test.map(watch)), read


def _refuse_another(new, known, name, path):
    """Raises if the stored settings are known and others."""
    known = known and {**_settings(Recipe()), **known}  # what was not yet a field was not done
    changed = [key for key in new if known and known[key] != new[key]]
    if changed:
        raise ValueError(
            f"{path.name} holds results of another recipe for {name!r}: "
            + ", ".join(f"{key} was {known[key]}, is {new[key]}" for key in changed)
            + ". Choose another file, or remove it."
        )


def _refuse_another_model(model, stored, name, path):
    """Raises if there are rows of this variant and another model."""
    known, new = stored.get("models", {}).get(name, {}), about_model(model)
    counts = {row["parameters"] for row in stored["rows"] if row["variant"] == name}
    if {**new, **known} != new or not counts <= {model.count_params()}:
        raise ValueError(
            f"{path.name} holds results of another model for {name!r}: stored {known}, parameters "
            f"{counts}; wanted {new}, {model.count_params()}. Choose another file, or remove it."
        )


def _settings(recipe):
    """A recipe without its seed."""
    return {name: value for name, value in dataclasses.asdict(recipe).items() if name != "seed"}
