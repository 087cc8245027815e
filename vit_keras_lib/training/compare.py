"""Several models, the same budget, several seeds each."""

import dataclasses
from pathlib import Path

import keras
from tqdm import tqdm

from vit_keras_lib.training.fit import train
from vit_keras_lib.training.results import provenance, read_json, write_json


def compare(variants, flowers, recipe, seeds, directory, path, verbose=0):
    """Trains each variant once a seed, all by one recipe, and stores how well each does.

    The epoch is chosen on validation; the test photos are looked at once a run, at its end. A row
    is stored as soon as its run ends, and an interrupted run goes on where it was: the same call
    again does what is missing.

    Args:
        variants: name -> a function without arguments that returns a new model.
        flowers: what `load_flowers` returns.
        recipe: a `Recipe`; its seed is replaced by each of `seeds`.
        seeds: the seeds.
        directory: where the runs keep their state, a folder each.
        path: JSON file of the results.
        verbose: as in `keras.Model.fit`.

    Returns:
        What is in the file: "rows" (variant, seed, validation and test accuracy in [0, 1],
        epochs, best_epoch from 0, seconds, parameters, device, date), "recipe", "data" and "run"
        (seeds, and the device, versions and date of the last row).

    Raises:
        ValueError: if the file holds results of another recipe or of other photos.
    """
    directory, path = Path(directory), Path(path)
    settings = dataclasses.asdict(recipe)
    del settings["seed"]
    about = {"recipe": settings, "data": flowers.about()}
    stored = read_json(path) if path.exists() else {"rows": [], **about}
    if {key: stored[key] for key in about} != about:
        raise ValueError(
            f"{path.name} holds results of another recipe or of other photos: stored "
            f"{stored['recipe']}, {stored['data']}; wanted {settings}, {about['data']}. "
            "Choose another file, or remove it."
        )
    done = {(row["variant"], row["seed"]) for row in stored["rows"]}
    wanted = [(name, seed) for seed in seeds for name in variants]
    todo = [run for run in wanted if run not in done]
    for name, seed in tqdm(todo, desc=path.stem, unit="run", disable=None):
        keras.utils.set_random_seed(seed)
        model = variants[name]()
        one = dataclasses.replace(recipe, seed=seed)
        history = train(model, flowers, one, directory / f"{name}-{seed}", verbose=verbose)
        test = model.evaluate(
            flowers.batches("test", recipe.batch_size), verbose=0, return_dict=True
        )
        row = {
            "variant": name,
            "seed": seed,
            "validation": history.best["val_accuracy"],
            "test": float(test["accuracy"]),
            "best_epoch": history.best_epoch,
            "epochs": recipe.epochs,
            "seconds": history.seconds,
            "parameters": history.parameters,
            "device": history.run["device"],
            "date": history.run["date"],
        }
        run = provenance(sorted({seed, *(other for _, other in done)}))
        done.add((name, seed))
        stored = {**stored, "rows": [*stored["rows"], row], "run": run}
        write_json(path, stored)
    return stored
