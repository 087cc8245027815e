"""How many photos a model needs: ViTs and a CNN from scratch, and a ViT that has learned before.

    python benchmarks/data_efficiency.py [--source path/of/photos --name real_photos] [--seeds 0 1]
    python benchmarks/data_efficiency.py --width whole --source path/of/photos --name real_photos \
        --shares 0.05 0.25 1 --ways "from scratch" "linear probe" "full fine-tuning"

Of the training photos 2, 5, 10, 25, 50 and 100 % have labels. From scratch: a ViT with plain
patches, a ViT as for small data (convolutional stem, mean pooling), a residual CNN of as many
weights. From a checkpoint: a ViT with plain patches that has seen drawn flowers only, with a linear
probe, or all of it trained on with smaller steps for earlier layers. All but the probe have the
same number of steps, batch, augmentation, mixing and schedule, whatever the share: few photos come
by more often. If asked for with --ways, also a CNN that trains for as many minutes as the ViT
instead of for as many steps, and one without augmentation, which an unfair comparison would show.

Models are half as wide as elsewhere in the course, with a quarter of the weights, so that a
hundred runs are a matter of hours; the second command is page 09's table, of whole ones.
The half wide checkpoint is trained first, the whole one comes with the repository.

Nothing was tuned for these photos, save that of the two models that come along the one is taken
whose linear probe is better on the real photographs' validation photos. The epoch is chosen on
validation, the test photos are looked at once a run. Photos of a share are drawn anew for each
seed, from each class alike, the small share out of the larger. A row is stored as soon as its run
ends; interrupted or killed, the same command goes on where it was, and several processes may share
the work. Writes results/vit_vs_cnn_data_<name>.json, or results/data_efficiency_<name>.json with
whole models.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

from vit_keras_lib import Recipe, load_flowers, load_pretrained, train
from vit_keras_lib.models import CNN
from vit_keras_lib.training import compare, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED = "procedural_flowers"
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
FROM_SCRATCH = ("from scratch", "small-data recipe", "CNN")
FROM_CHECKPOINT = ("linear probe", "full fine-tuning")
UNEQUAL = "CNN, not augmented"
AS_LONG = "CNN, same minutes"
CNNS = ("CNN", UNEQUAL, AS_LONG)
WAYS = (*FROM_SCRATCH, UNEQUAL, AS_LONG, *FROM_CHECKPOINT)
# Width -> of the ViT, of the CNN.
WIDTHS = {
    "half": ({"dim": 96, "mlp_dim": 384}, {"widths": (16, 32, 64, 128)}),
    "whole": ({}, {}),
}
CHECKPOINT = ROOT / "build" / "pretraining" / "half.keras"
PRETRAINING = 30  # its epochs
PACE = 4 / 3  # epochs of the half wide CNN in the time of one of the ViT, on a core of a Xeon
SHORT = {"batch_size": 32, "mix": False, "ema": None, "drop_path": 0.0}


def recipes(flowers, width="half", epochs=None):
    """Name of the way -> its recipe; short ones for half wide models."""
    if width == "whole":
        epochs, changes = epochs or 12, {}
    else:
        # The drawn flowers take longer to learn.
        usual, augment = (12, "light") if flowers.source == EMBEDDED else (6, "medium")
        epochs, changes = epochs or usual, {"augment": augment, **SHORT}
    scratch = Recipe(
        epochs=epochs, warmup_epochs=min(5.0, epochs / 6), pool="cls", stem="patch", **changes
    )
    probe = Recipe(
        epochs=100, learning_rate=1e-2, weight_decay=0.0, augment="none", mix=False, ema=None,
        probe=True, pool="cls", stem="patch", drop_path=scratch.drop_path,
    )  # fmt: skip
    return {
        "from scratch": scratch,
        "small-data recipe": dataclasses.replace(scratch, pool="mean", stem="conv"),
        "CNN": scratch,
        UNEQUAL: dataclasses.replace(scratch, augment="none"),
        AS_LONG: dataclasses.replace(scratch, epochs=round(PACE * epochs)),
        "linear probe": probe,
        "full fine-tuning": dataclasses.replace(scratch, learning_rate=5e-4, layer_decay=0.75),
    }


def make(flowers, way, width, recipe):
    """A new model of the recipe, a new CNN, or a checkpoint with a new head."""
    size, classes = flowers.image_size, flowers.num_classes
    of_vit, of_cnn = WIDTHS[width]
    if way in CNNS:
        return CNN(size, classes, drop_path=recipe.drop_path, **of_cnn)
    if way in FROM_CHECKPOINT:
        source = CHECKPOINT if width == "half" else "flowers"
        return load_pretrained(source, size, classes, new_head=True, drop_path=recipe.drop_path)
    return recipe.model(size, classes, **of_vit)


def pretrain():
    """Trains the half wide checkpoint on the drawn flowers."""
    flowers = load_flowers(EMBEDDED, image_size=96)
    recipe = recipes(flowers, epochs=PRETRAINING)["from scratch"]
    maker, state = partial(make, flowers, "from scratch", "half"), CHECKPOINT.parent
    results = ROOT / "results" / "vit_vs_cnn_pretraining.json"
    compare({"pre-training": (maker, recipe)}, flowers, [recipe.seed], state, results, verbose=2)
    model = maker(recipe)
    train(model, flowers, recipe, state / f"pre-training-{recipe.seed}")  # done: its best weights
    unfinished = CHECKPOINT.with_stem("unfinished")
    model.with_image_size(model.image_size).save(unfinished)  # without the optimizer's state
    unfinished.replace(CHECKPOINT)


def home(name, width="half"):
    """Where the runs keep their state, and the file of their results."""
    name = f"{'vit_vs_cnn_data' if width == 'half' else 'data_efficiency'}_{name}"
    return ROOT / "build" / name, ROOT / "results" / f"{name}.json"


def draw(share, flowers, seed):
    """The photos of a share, repeated to an epoch as long as that of all."""
    return flowers.share(share, seed, same_length=True)


def variants(flowers, shares, ways, width="half"):
    """What `compare` trains: "way, share %" -> (maker, recipe, maker of photos)."""
    return {
        f"{way}, {share:.0%}": (partial(make, flowers, way, width), recipe, partial(draw, share))
        for share in shares
        for way, recipe in recipes(flowers, width).items()
        if way in ways
    }


def main():
    """Trains what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default=EMBEDDED, help="a set's name, or a folder")
    parser.add_argument("--name", help="what the photos are called in the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    parser.add_argument("--width", choices=WIDTHS, default="half")
    options = parser.parse_args()
    flowers = load_flowers(options.source, image_size=96)
    # The checkpoint has seen the embedded flowers: there is nothing to transfer to.
    known = options.source == EMBEDDED
    ways = options.ways or (FROM_SCRATCH if known else (*FROM_SCRATCH, *FROM_CHECKPOINT))
    name = options.name or Path(options.source).name
    state, path = home(name, options.width)
    if options.width == "half" and {*ways} & {*FROM_CHECKPOINT} and not CHECKPOINT.exists():
        pretrain()
    made = variants(flowers, options.shares, ways, options.width)
    compare(made, flowers, options.seeds, state, path, verbose=2)
    photos = {f"{share:.0%}": flowers.share(share).sizes["train"] for share in SHARES}
    write_json(path, {**read_json(path), "photos": photos})  # read: others may have stored rows


if __name__ == "__main__":
    main()
