"""How fast pictures arrive, and what a very large folder costs.

    python benchmarks/data.py --folder path/of/photos [--count 100000] [--out results/data.json]
    FLOWERS=path/of/photos make bench

Without a folder, pictures of the size of small photos are made up. Nothing is written into the
folder: a few hundred of its pictures are copied to a temporary place, and linked there.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_SIZE = 96
BATCH = 32


def made_up(root: Path, classes: int = 5, each: int = 100):
    """Writes class folders of JPEG files of 227 x 227 pixels."""
    rng = np.random.default_rng(0)
    for c in range(classes):
        (root / f"class{c}").mkdir(parents=True)
        for i in range(each):
            coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
            picture = coarse.resize((227, 227), Image.Resampling.BICUBIC)
            picture.save(root / f"class{c}" / f"{i}.jpg", quality=90)


def many_names(photos: Path, root: Path, count: int, copies: bool, originals: int = 300):
    """Gives a few hundred pictures `count` names, by hard links or as copies of their own."""
    some = [path for path in sorted(photos.glob("*/*")) if path.suffix.lower() == ".jpg"]
    some = some[:: max(1, len(some) // originals)]
    link = shutil.copyfile if copies else os.link
    first = {}
    for number, path in zip(range(count), cycle(some), strict=False):
        folder = root / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        name = folder / f"{number}.jpg"
        if path in first:
            link(first[path], name)
        else:
            first[path] = shutil.copyfile(path, name)


def peak_memory() -> float:
    """Peak resident memory of this process in GB."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure_scale(folder: str, pictures: int = 10_000) -> dict:
    """Loads a large folder and streams its first pictures; to be run in a fresh process."""
    from vit_keras_lib import load_flowers

    started = time.perf_counter()
    flowers = load_flowers(folder, IMAGE_SIZE)
    listed = time.perf_counter()
    batches = iter(flowers.batches("train", BATCH, shuffle=True, augment="medium"))
    seen = len(next(batches)[0])
    first = time.perf_counter()
    while seen < min(pictures, flowers.sizes["train"]):
        seen += len(next(batches)[0])
    return {
        "files": sum(flowers.sizes.values()),
        "listing and splitting, s": listed - started,
        "first batch, s more": first - listed,
        "streamed pictures": seen,
        "streaming, img/s": (seen - BATCH) / (time.perf_counter() - first),
        "peak memory, GB": peak_memory(),
    }


def rate(batches, seconds: float) -> float:
    """Pictures a second that a dataset gives, after its first two batches."""
    iterator = iter(batches.repeat())
    for _ in range(2):
        next(iterator)
    seen, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        seen += len(next(iterator)[0])
    return seen / spent


def training_rate(flowers, seconds: float) -> float:
    """Pictures a second that the default ViT consumes while it trains on one ready batch."""
    import keras

    from vit_keras_lib import ViT

    model = ViT(flowers.image_size, flowers.num_classes)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss)
    x, y = next(iter(flowers.batches("train", BATCH)))
    for _ in range(2):
        model.train_on_batch(x, y)
    steps, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        model.train_on_batch(x, y)
        steps += 1
    return steps * len(x) / spent


def measure_throughput(folder: str, seconds: float) -> dict:
    """Compares what the pipeline gives with what training takes, three times in turn."""
    from vit_keras_lib import load_flowers

    options = {"shuffle": True, "augment": "medium"}
    cached = load_flowers(folder, IMAGE_SIZE)
    streamed = load_flowers(folder, IMAGE_SIZE, cache_budget=0)
    rounds = []
    for _ in range(3):
        rounds.append(
            (
                training_rate(cached, seconds),
                rate(cached.batches("train", BATCH, **options), seconds),
                rate(streamed.batches("train", BATCH, **options), seconds),
            )
        )
    training, after_caching, decoding = np.median(rounds, axis=0)
    return {
        "pictures": sum(cached.sizes.values()),
        "ViT training, img/s": training,
        "pipeline after caching, img/s": after_caching,
        "pipeline while decoding, img/s": decoding,
        "ratio after caching": after_caching / training,
        "ratio while decoding": decoding / training,
    }


def main():
    """Measures, prints a table, and writes JSON when told to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder",
        type=Path,
        default=os.environ.get("FLOWERS") or None,
        help="a folder of class folders of JPEG photos; default: $FLOWERS",
    )
    parser.add_argument("--count", type=int, default=100_000, help="files in the large folder")
    parser.add_argument("--copies", action="store_true", help="copy instead of hard links")
    parser.add_argument("--seconds", type=float, default=15, help="of each throughput figure")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--scale-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder and not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder.")
    if options.scale_of:
        print(json.dumps(measure_scale(options.scale_of)))
        return

    with tempfile.TemporaryDirectory() as temporary:
        photos = options.folder
        if photos is None:
            photos = Path(temporary) / "photos"
            made_up(photos)
        large = Path(temporary) / "large"
        many_names(photos, large, options.count, options.copies)
        # A process of its own, started while this one is small: a child's peak memory on Linux
        # is never below what its parent held.
        command = [sys.executable, __file__, "--scale-of", str(large)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results = {
            "scale": json.loads(output.splitlines()[-1]),
            "throughput": measure_throughput(str(photos), options.seconds),
        }
    for title, figures in results.items():
        print(f"\n{title}")
        for name, value in figures.items():
            print(
                f"  {name:32} {value:>12,.2f}"
                if isinstance(value, float)
                else f"  {name:32} {value:>12,}"
            )
    if options.out:
        from vit_keras_lib.training import provenance, write_json

        source = photos.name if options.folder else "made up"
        write_json(options.out, {"photos": source, **results, "run": provenance(seed=0)})


if __name__ == "__main__":
    main()
