"""Trains the small ViT that comes with the repository: `python data/train_flowers_vit.py`.

Writes data/flowers_vit.keras (float16 weights) and results/flowers_vit.json. About 20 minutes on
two CPU cores; interrupted, it goes on where it was.
"""

import dataclasses
from pathlib import Path

from vit_keras_lib import Recipe, ViT, load_flowers, load_pretrained, train
from vit_keras_lib.training import write_json

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(60, 32, 4e-4, warmup_epochs=3, augment="light", mix=False, ema=None)


def main():
    """Trains, stores, loads what was stored and measures that on the test photos."""
    flowers = load_flowers("procedural_flowers", image_size=96)
    keras.utils.set_random_seed(RECIPE.seed)
    model = ViT.from_variant("flowers/16", flowers.image_size, flowers.num_classes)
    history = train(model, flowers, RECIPE, directory=ROOT / "build" / "flowers_vit", verbose=2)

    half = ViT.from_config({**model.get_config(), "dtype": "float16"})
    half.set_weights(model.get_weights())
    partial = ROOT / "data" / "flowers_vit.partial.keras"
    half.save(partial)
    partial.replace(ROOT / "data" / "flowers_vit.keras")

    stored = load_pretrained("flowers")
    stored.compile(metrics=["accuracy"], loss=keras.losses.CategoricalCrossentropy(True))
    test = stored.evaluate(flowers.batches("test"), verbose=0, return_dict=True)
    result = {
        **dataclasses.asdict(history),
        "class_names": list(flowers.class_names),
        "test": {name: float(value) for name, value in test.items()},
        "seconds": history.seconds,
    }
    write_json(ROOT / "results" / "flowers_vit.json", result)
    print(f"test accuracy {test['accuracy']:.3f} after {history.seconds / 60:.0f} minutes")


if __name__ == "__main__":
    main()
