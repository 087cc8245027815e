"""How well photos are told apart, from scratch: ours beside two known examples, and our ladder.

    python benchmarks/accuracy.py --source path/of/photos [--what models ladder] [--seeds 0 1 2]

Hours on a CPU. A row is stored as soon as its run ends; interrupted or killed, the same command
goes on where it was. The epoch is chosen on validation, the test photos are looked at once a run.
Writes results/accuracy_<name>.json and results/ladder_<name>.json; `--name` is what the photos are
called there, `--seeds` which seeds to train now.
"""

import argparse
import dataclasses
from pathlib import Path

from models import Sizes, keras_io_model

from vit_keras_lib import Recipe, load_flowers
from vit_keras_lib.training import compare, ladder

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

ROOT = Path(__file__).resolve().parents[1]
# What both examples do without: no schedule, nothing mixed, smoothed, averaged or clipped.
PLAIN = Recipe(
    learning_rate=1e-3, warmup_epochs=0, decay=False, clip_norm=None, label_smoothing=0.0,
    augment="none", mix=False, ema=None, jit_compile=False,
)  # fmt: skip


def keras_io(flowers):
    """The ViT example of keras.io with its own sizes: 72 pixels, patch 6, dim 64, 8 blocks."""
    sizes = Sizes(72, 6, 64, 8, 4, 128, flowers.num_classes, 256, "float32")
    layers = keras.layers
    normalize = layers.Normalization()
    normalize.adapt(flowers.train.map(lambda image, label: image).batch(256))
    augment = [
        layers.Resizing(72, 72),
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.02),
        layers.RandomZoom(0.2, 0.2),
    ]
    images = keras.Input((*flowers.image_size, 3))
    x = images
    for layer in augment:
        x = layer(x)  # (B, H, W, 3) -> (B, 72, 72, 3)
    return keras.Model(images, keras_io_model(sizes, 64, normalize)(x), name="keras_io")


def tensorflow_tutorial(flowers):
    """The CNN of TensorFlow's image classification tutorial: three convolutions and a Dense."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*flowers.image_size, 3)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(flowers.num_classes),
        ],
        name="tensorflow_tutorial",
    )


def main():
    """Trains what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="procedural_flowers")
    parser.add_argument("--name")
    parser.add_argument("--what", nargs="+", choices=("models", "ladder"), default=["models"])
    parser.add_argument("--rows", nargs="+", help="only these rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ladder-epochs", type=int, default=20)
    options = parser.parse_args()
    flowers = load_flowers(options.source, image_size=96)
    name = options.name or Path(options.source).name

    def ours(recipe, variant="flowers/16"):
        return recipe.model(flowers.image_size, flowers.num_classes, variant)

    everything = {
        "models": {
            "this library": (ours, Recipe()),
            "this library, patches of 8": (lambda recipe: ours(recipe, "flowers/8"), Recipe()),
            "keras.io example": (
                lambda recipe: keras_io(flowers),
                dataclasses.replace(PLAIN, epochs=30, batch_size=256, weight_decay=1e-4),
            ),
            "TensorFlow tutorial": (
                lambda recipe: tensorflow_tutorial(flowers),
                dataclasses.replace(PLAIN, epochs=30, batch_size=32, weight_decay=0.0),
            ),
        },
        "ladder": {rung: (ours, recipe) for rung, recipe in ladder(options.ladder_epochs).items()},
    }
    for what in options.what:
        rows = {k: v for k, v in everything[what].items() if k in (options.rows or [k])}
        title = {"models": "accuracy", "ladder": "ladder"}[what]
        compare(
            rows,
            flowers,
            options.seeds,
            ROOT / "build" / f"{title}_{name}",
            ROOT / "results" / f"{title}_{name}.json",
            verbose=2,
        )


if __name__ == "__main__":
    main()
