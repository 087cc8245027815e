"""What a pre-trained ViT is worth: few photos, from scratch and two ways from a checkpoint.

    python benchmarks/transfer.py --source path/of/photos --name real_photos [--seeds 0 1 2]

A small ViT that comes with the repository has seen drawn flowers only. Here it moves to a folder
of photographs, of which 5, 25 and 100 % have labels: a linear probe, or all of it trained on with
smaller steps for earlier layers. Beside it the same architecture from scratch. All but the probe
take the same number of steps, whatever the share: few photos come by more often.

Nothing was tuned for these photos, save that of the two models that come along the one is taken
whose linear probe is better on their validation photos. The epoch is chosen on validation, the test
photos are looked at once a run. Photos of a share are drawn anew for each seed, from each class
alike, the small share out of the larger. A row is stored as soon as its run ends; interrupted or
killed, the same command goes on where it was. Writes results/transfer_<name>.json.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

from vit_keras_lib import Recipe, load_flowers, load_pretrained
from vit_keras_lib.training import compare, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
SHARES = (0.05, 0.25, 1.0)
CHECKPOINT = "flowers"


def ways(epochs):
    """Name -> (whether it starts from the checkpoint, its recipe)."""
    warmup = min(5.0, epochs / 6)
    scratch = Recipe(epochs=epochs, warmup_epochs=warmup, pool="cls", stem="patch")
    probe = Recipe(
        epochs=100, learning_rate=1e-2, weight_decay=0.0, augment="none", mix=False, ema=None,
        probe=True, pool="cls", stem="patch",
    )  # fmt: skip
    full = dataclasses.replace(scratch, learning_rate=5e-4, layer_decay=0.75)
    return {
        "from scratch": (False, scratch),
        "linear probe": (True, probe),
        "full fine-tuning": (True, full),
    }


def make(flowers, pretrained, recipe):
    """A new model of the recipe, or the checkpoint with a new head."""
    if not pretrained:
        return recipe.model(flowers.image_size, flowers.num_classes)
    return load_pretrained(
        CHECKPOINT, flowers.image_size, flowers.num_classes, new_head=True,
        drop_path=recipe.drop_path,
    )  # fmt: skip


def draw(share, flowers, seed):
    """The photos of a share, repeated to an epoch as long as that of all."""
    return flowers.share(share, seed, same_length=True)


def variants(flowers, shares, names, epochs):
    """What `compare` trains: "way, share %" -> (maker, recipe, maker of photos)."""
    return {
        f"{name}, {share:.0%}": (
            partial(make, flowers, pretrained, recipe), recipe, partial(draw, share)
        )
        for share in shares
        for name, (pretrained, recipe) in ways(epochs).items()
        if name in names
    }  # fmt: skip


def main():
    """Trains what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="a folder of photos, or a set's name")
    parser.add_argument("--name", help="what the photos are called in the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--ways", nargs="+", default=list(ways(1)), choices=list(ways(1)))
    parser.add_argument("--epochs", type=int, default=12, help="of all ways but the probe")
    options = parser.parse_args()
    flowers = load_flowers(options.source, image_size=96)
    name = options.name or Path(options.source).name
    path = ROOT / "results" / f"transfer_{name}.json"
    photos = {f"{share:.0%}": flowers.share(share).sizes["train"] for share in options.shares}
    compare(
        variants(flowers, options.shares, options.ways, options.epochs),
        flowers,
        options.seeds,
        ROOT / "build" / f"transfer_{name}",
        path,
        verbose=2,
    )
    stored = read_json(path)  # another process may have stored rows meanwhile
    write_json(path, {**stored, "photos": {**stored.get("photos", {}), **photos}})


if __name__ == "__main__":
    main()
