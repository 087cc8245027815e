"""How many photos a model needs: ViTs and a CNN from scratch, and a ViT that has learned before.

    python benchmarks/data_efficiency.py [--source path/of/photos --name real_photos] [--seeds 0 1]

Of the training photos 2, 5, 10, 25, 50 and 100 % have labels. From scratch: a ViT with plain
patches, a ViT as for small data (convolutional stem, mean pooling), a residual CNN of as many
weights. From a checkpoint: a small ViT that comes with the repository and has seen drawn flowers
only, with a linear probe, or all of it trained on with smaller steps for earlier layers. All but
the probe have the same number of steps, batch, augmentation, mixing and schedule, whatever the
share: few photos come by more often.

Nothing was tuned for these photos, save that of the two models that come along the one is taken
whose linear probe is better on the real photographs' validation photos. The epoch is chosen on
validation, the test photos are looked at once a run. Photos of a share are drawn anew for each
seed, from each class alike, the small share out of the larger. A row is stored as soon as its run
ends; interrupted or killed, the same command goes on where it was, and several processes may share
the work. Writes results/data_efficiency_<name>.json.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

from vit_keras_lib import Recipe, load_flowers, load_pretrained
from vit_keras_lib.models import CNN
from vit_keras_lib.training import compare, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
CHECKPOINT = "flowers"
FROM_SCRATCH = ("from scratch", "small-data recipe", "CNN")
FROM_CHECKPOINT = ("linear probe", "full fine-tuning")
UNEQUAL = "CNN, not augmented"  # what an unfair comparison would show


def recipes(epochs):
    """Name of the way -> its recipe."""
    warmup = min(5.0, epochs / 6)
    scratch = Recipe(epochs=epochs, warmup_epochs=warmup, pool="cls", stem="patch")
    probe = Recipe(
        epochs=100, learning_rate=1e-2, weight_decay=0.0, augment="none", mix=False, ema=None,
        probe=True, pool="cls", stem="patch",
    )  # fmt: skip
    return {
        "from scratch": scratch,
        "small-data recipe": dataclasses.replace(scratch, pool="mean", stem="conv"),
        "CNN": scratch,
        UNEQUAL: dataclasses.replace(scratch, augment="none", mix=False),
        "linear probe": probe,
        "full fine-tuning": dataclasses.replace(scratch, learning_rate=5e-4, layer_decay=0.75),
    }


def make(flowers, way, recipe):
    """A new model of the recipe, a new CNN, or the checkpoint with a new head."""
    size, classes = flowers.image_size, flowers.num_classes
    if way in ("CNN", UNEQUAL):
        return CNN(size, classes, drop_path=recipe.drop_path)
    if way in FROM_CHECKPOINT:
        return load_pretrained(CHECKPOINT, size, classes, new_head=True, drop_path=recipe.drop_path)
    return recipe.model(size, classes)


def draw(share, flowers, seed):
    """The photos of a share, repeated to an epoch as long as that of all."""
    return flowers.share(share, seed, same_length=True)


def variants(flowers, shares, ways, epochs):
    """What `compare` trains: "way, share %" -> (maker, recipe, maker of photos)."""
    return {
        f"{way}, {share:.0%}": (partial(make, flowers, way), recipe, partial(draw, share))
        for share in shares
        for way, recipe in recipes(epochs).items()
        if way in ways
    }


def main():
    """Trains what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="procedural_flowers", help="a set's name, or a folder")
    parser.add_argument("--name", help="what the photos are called in the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--ways", nargs="+", choices=list(recipes(1)))
    parser.add_argument("--epochs", type=int, default=12, help="of all ways but the probe")
    options = parser.parse_args()
    flowers = load_flowers(options.source, image_size=96)
    # The checkpoint has seen the embedded flowers: there is nothing to transfer to.
    known = options.source == "procedural_flowers"
    ways = options.ways or (FROM_SCRATCH if known else (*FROM_SCRATCH, *FROM_CHECKPOINT))
    name = options.name or Path(options.source).name
    path = ROOT / "results" / f"data_efficiency_{name}.json"
    compare(
        variants(flowers, options.shares, ways, options.epochs),
        flowers,
        options.seeds,
        ROOT / "build" / f"data_efficiency_{name}",
        path,
        verbose=2,
    )
    photos = {f"{share:.0%}": flowers.share(share).sizes["train"] for share in SHARES}
    write_json(path, {**read_json(path), "photos": photos})  # read: others may have stored rows


if __name__ == "__main__":
    main()
