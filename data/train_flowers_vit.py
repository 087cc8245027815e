"""Trains the small ViTs that come with the repository: `python data/train_flowers_vit.py [NAME]`.

"flowers" has plain patches and a plain recipe: the model that pages 02 to 04 take apart.
"flowers-conv" has a convolutional stem and the recipe of page 05: the one that is good at it.
Writes data/NAME.keras (float16 weights) and results/NAME.json, with _ for - and _vit at the end.
About 20 minutes each on two CPU cores; interrupted, it goes on where it was.
"""

import argparse
import dataclasses
from pathlib import Path

from vit_keras_lib import Recipe, ViT, load_flowers, load_pretrained, train
from vit_keras_lib.training import write_json

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

ROOT = Path(__file__).resolve().parents[1]
# Both with a class token: its row is the attention map that people ask for.
RECIPES = {
    "flowers": Recipe(
        60, 32, 4e-4, warmup_epochs=3, augment="light", mix=False, ema=None, drop_path=0.0,
        pool="cls", stem="patch",
    ),
    "flowers-conv": Recipe(epochs=60, pool="cls"),
}  # fmt: skip


def make(name):
    """Trains one, stores it, loads what was stored and measures that on the test photos."""
    flowers, recipe = load_flowers("procedural_flowers", image_size=96), RECIPES[name]
    file = f"{name.replace('-', '_')}_vit"
    model = recipe.model(flowers.image_size, flowers.num_classes)
    history = train(model, flowers, recipe, directory=ROOT / "build" / file, verbose=2)

    half = ViT.from_config({**model.get_config(), "dtype": "float16"})
    half.set_weights(model.get_weights())
    partial = ROOT / "data" / f"{file}.partial.keras"
    half.save(partial)
    partial.replace(ROOT / "data" / f"{file}.keras")

    stored = load_pretrained(name)
    stored.compile(metrics=["accuracy"], loss=keras.losses.CategoricalCrossentropy(True))
    test = stored.evaluate(flowers.batches("test"), verbose=0, return_dict=True)
    result = {
        **dataclasses.asdict(history),
        "class_names": list(flowers.class_names),
        "test": {name: float(value) for name, value in test.items()},
        "seconds": history.seconds,
    }
    write_json(ROOT / "results" / f"{file}.json", result)
    print(f"test accuracy {test['accuracy']:.3f} after {history.seconds / 60:.0f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {list(RECIPES)}")
    for wanted in parser.parse_args().names or RECIPES:
        make(wanted)
