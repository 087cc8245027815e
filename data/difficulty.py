"""Measures how hard the embedded data set is, and fails when it is too easy or too hard.

Three readers of rising skill are trained on all of the training split and scored on the test split:
one that sees colours only, one that sees a thumbnail, and a small convolutional network. The first
two have to fail and the third has to succeed, otherwise the set does not teach what it is for.

Run `python data/difficulty.py`; numbers go to results/embedded_difficulty.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path

import keras
import numpy as np
import sklearn
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "procedural_flowers" / "1.0.0"
RESULTS = HERE.parent / "results" / "embedded_difficulty.json"


def read(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads images uint8 (N, 128, 128, 3) and labels int64 (N,) of a split."""
    builder = tfds.builder_from_directory(str(RECORDS))
    wanted = tfds.decode.PartialDecoding({"image": True, "label": True})
    examples = tfds.as_numpy(builder.as_dataset(split=split, decoders=wanted))
    images, labels = zip(*((e["image"], e["label"]) for e in examples), strict=True)
    return np.stack(images), np.array(labels)


def colour_histograms(images: np.ndarray, bins: int = 8) -> np.ndarray:
    """Counts colours, joint over the channels: (N, H, W, 3) to (N, bins ** 3), square roots."""
    level = images.astype(np.int64) * bins // 256
    cell = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
    counts = [np.bincount(c.ravel(), minlength=bins**3) for c in cell]
    return np.sqrt(np.stack(counts) / cell[0].size)


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Shrinks images, averaging over areas: (N, H, W, 3) to uint8 (N, side, side, 3)."""
    box = Image.Resampling.BOX
    return np.stack([np.asarray(Image.fromarray(i).resize((side, side), box)) for i in images])


def small_cnn(side: int, classes: int) -> keras.Model:
    """Builds four convolutions with batch normalisation; takes (N, side, side, 3), gives logits."""
    layers = keras.layers
    x = inputs = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    for filters in (24, 48, 96, 128):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.3)(layers.GlobalMaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(classes)(x))


def cnn_accuracy(train, test, classes: int, side: int, epochs: int, seed: int) -> float:
    """Trains the small network on all of train, mirrored at random, and scores it on test."""
    keras.utils.set_random_seed(seed)
    model = small_cnn(side, classes)
    batch = 32
    steps = epochs * len(train[0]) // batch
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps), 1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    pairs = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0]), seed=seed)
    pairs = pairs.map(lambda image, label: (tf.image.random_flip_left_right(image), label))
    model.fit(pairs.batch(batch).prefetch(2), epochs=epochs, shuffle=False, verbose=2)
    return float(model.evaluate(*test, batch_size=100, verbose=0)[1])


def measure(epochs: int, side: int, seed: int) -> list[dict]:
    """Measures every reader: name, test accuracy, and the bound it has to keep."""
    (images, labels), (test_images, test_labels) = read("train"), read("test")

    def fitted(classifier, features) -> float:
        return float(
            classifier.fit(features(images), labels).score(features(test_images), test_labels)
        )

    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    neighbours = KNeighborsClassifier(5)
    majority = np.bincount(labels).argmax()

    def thumbnails(pictures):
        return resized(pictures, 16).reshape(len(pictures), -1).astype(np.float32)

    cnn = cnn_accuracy(
        (resized(images, side), labels),
        (resized(test_images, side), test_labels),
        len(set(labels.tolist())),
        side,
        epochs,
        seed,
    )
    rows = [
        ("majority class", float(np.mean(test_labels == majority)), None, None),
        (
            "colour histogram, logistic regression",
            fitted(regression, colour_histograms),
            None,
            0.65,
        ),
        ("16 x 16 thumbnail, 5 nearest neighbours", fitted(neighbours, thumbnails), None, 0.65),
        (f"small CNN, {side} px, {epochs} epochs", cnn, 0.93, None),
    ]
    return [
        {"reader": name, "accuracy": round(accuracy, 4), "at_least": low, "at_most": high}
        for name, accuracy, low, high in rows
    ]


def broken(row: dict) -> bool:
    """Tells whether a reader's accuracy is out of its bounds."""
    too_low = row["at_least"] is not None and row["accuracy"] < row["at_least"]
    too_high = row["at_most"] is not None and row["accuracy"] > row["at_most"]
    return too_low or too_high


def table(rows: list[dict]) -> str:
    """Formats the measurements for a terminal."""
    lines = [f"{'reader':<42}{'accuracy':>9}  bound"]
    for row in rows:
        bound = "-"
        if row["at_least"] is not None:
            bound = f"at least {row['at_least']:.0%}"
        elif row["at_most"] is not None:
            bound = f"at most {row['at_most']:.0%}"
        verdict = "  BROKEN" if broken(row) else ""
        lines.append(f"{row['reader']:<42}{row['accuracy']:>9.1%}  {bound}{verdict}")
    return "\n".join(lines)


def main() -> int:
    """Measures, prints, stores; the exit status is 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description="Measure how hard the embedded data set is.")
    parser.add_argument("--epochs", type=int, default=12, help="of the small CNN")
    parser.add_argument("--side", type=int, default=96, help="pixels the small CNN sees")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.time()
    rows = measure(arguments.epochs, arguments.side, arguments.seed)
    print(table(rows))
    report = {
        "dataset": "procedural_flowers 1.0.0",
        "date": datetime.date.today().isoformat(),
        "device": "GPU"
        if tf.config.list_physical_devices("GPU")
        else f"{os.cpu_count()} CPU cores",
        "seconds": round(time.time() - start),
        "seed": arguments.seed,
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(report, indent=2) + "\n")
    os.replace(part, RESULTS)
    return int(any(broken(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
