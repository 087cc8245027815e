"""What maps cost: seconds in forward passes of the same batch, in one run.

    python benchmarks/maps_cost.py [--batch 32] [--rounds 15]

The default model at 96 pixels with random weights. All take turns within a round, the median over
rounds counts. Writes results/maps_cost.json, or with another backend than TensorFlow
(KERAS_BACKEND=jax) results/maps_cost_<backend>.json.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vit_keras_lib import ViT, attention_maps, interpret
from vit_keras_lib.training import provenance, write_json

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

ROOT = Path(__file__).resolve().parents[1]
SEED, WARM_UP = 0, 3


def tasks(model, images):
    """Name -> function that computes it of the same images; the first is the unit."""
    return {
        "forward pass": lambda: keras.ops.convert_to_numpy(model(images)),
        "attention_maps": lambda: attention_maps(model, images),
        "class_relevance": lambda: interpret.class_relevance(model, images),
        "input_gradient": lambda: interpret.input_gradient(model, images),
        "grad_cam": lambda: interpret.grad_cam(model, images),
        "logit_lens": lambda: interpret.logit_lens(model, images),
    }


def measure(model, images, rounds):
    """Times all tasks in turns.

    Returns:
        Rows of name, median seconds for the batch, and how many forward passes that is.
    """
    todo = tasks(model, images)
    seconds = {name: [] for name in todo}
    for _ in tqdm(range(WARM_UP + rounds), unit="round", disable=None):
        for name, compute in todo.items():
            start = time.perf_counter()
            compute()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[WARM_UP:]) for name, times in seconds.items()}
    unit = medians["forward pass"]
    return [{"task": n, "seconds": s, "forward passes": s / unit} for n, s in medians.items()]


def main():
    """Measures, prints and stores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    keras.utils.set_random_seed(SEED)
    model = ViT(image_size=96, num_classes=5)
    shape = (options.batch, *model.image_size, 3)
    images = np.random.default_rng(SEED).integers(0, 256, shape, dtype="uint8")
    rows = measure(model, images, options.rounds)
    for row in rows:
        print(f"{row['task']:16s}{1e3 * row['seconds']:8.1f} ms{row['forward passes']:7.2f} x")
    backend = keras.backend.backend()
    name = "maps_cost" if backend == "tensorflow" else f"maps_cost_{backend}"
    result = {**vars(options), "image_size": 96, "rows": rows, "run": provenance(SEED)}
    write_json(ROOT / "results" / f"{name}.json", result)


if __name__ == "__main__":
    main()
