"""From their tensors to our weights: what all formats share."""

import dataclasses
import math
import re

import numpy as np

from vit_keras_lib.models import ViT

# What a caller may say over a checkpoint: what some files leave open, and how to train.
CHANGES = (
    "num_heads",
    "activation",
    "epsilon",
    "pixel_mean",
    "pixel_std",
    "resize_rule",
    "dropout",
    "attention_dropout",
    "drop_path",
    "remat",
    "dtype",
    "name",
)


def check_changes(changes):
    """Raises a ValueError for changes that only the checkpoint itself can say."""
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        raise ValueError(f"{unknown} cannot be chosen, expected some of {CHANGES}.")


@dataclasses.dataclass
class Checkpoint:
    """A checkpoint, read and understood, before any model is built.

    Args:
        tensors: from their names to arrays.
        table: one row for each of our weights, `ours: (theirs, axes)`. Names with `{i}` stand for
            every block (`{next}` counts from 1). Several of theirs are joined along the last
            axis, none means zeros; several of ours share the rows of one, the last takes what
            the others, one row each, leave. `axes` names the axes of their tensor and how ours
            come from them, as in "ph pw C dim -> (ph pw C) dim"; the names are keys of `sizes`.
        config: arguments of `ViT`; `num_classes` is None where there is no head.
        positions: rows of their position table.
        head: beginnings of the names of the prediction head, which a new head replaces.
    """

    tensors: dict
    table: dict
    config: dict
    positions: int
    head: tuple

    def to_vit(self, image_size=None, num_classes=None, changes=None, new_head=False):
        """Returns the `ViT`; see `load_pretrained` for the arguments and errors."""
        weights, config = self.weights(num_classes, changes, new_head)
        model = ViT(**{"dtype": "float32", **config})
        # Made in a name scope, such as another model's `build`, all paths begin with it.
        scope = model.get_layer("encoder").path.removesuffix("encoder")
        for weight in model.weights:
            name = weight.path.removeprefix(scope)
            if name in weights:
                weight.assign(weights[name](tuple(weight.shape)))
        return model if image_size is None else model.with_image_size(image_size)

    def weights(self, num_classes=None, changes=None, new_head=False):
        """Checks every tensor; allocates nothing.

        Returns:
            A dictionary from our names to functions that take a shape and return the weight, and
            the arguments of `ViT`.

        Raises:
            ValueError: when a tensor is missing, left over or of another shape, naming it; or when
                there is no head and no `num_classes`.
        """
        config, left = {**self.config, **(changes or {})}, dict(self.tensors)
        if num_classes is None:
            num_classes = config["num_classes"]
        if num_classes is None:
            raise ValueError(
                "This checkpoint has no prediction head: pass num_classes for a new one."
            )
        new_head = new_head or num_classes != config["num_classes"]
        if new_head:
            # The whole head goes, as in section 3.2 of arXiv 2010.11929.
            config.update(num_classes=num_classes, representation_size=None)
            left = {n: t for n, t in left.items() if not n.startswith(self.head)}
        wanted = weight_names(config) - ({"head/kernel", "head/bias"} if new_head else set())
        sizes = self.sizes(config)

        weights, wrong = {}, []
        for ours, theirs, axes in self._rows(config["depth"]):
            if not wanted.issuperset(ours):
                continue
            expected = tuple(sizes[axis] for axis in axes.partition(" -> ")[0].split())
            parts = []
            for name in theirs:
                tensor = left.pop(name, None)
                if tensor is None:
                    wrong.append(f"{name} is missing")
                elif tuple(tensor.shape) != expected or tensor.dtype.kind != "f":
                    wrong.append(
                        f"{name} has shape {tuple(tensor.shape)} and dtype {tensor.dtype}, "
                        f"expected floats of {expected}"
                    )
                parts.append(tensor)
            for row, name in enumerate(ours):
                rows = slice(row, row + 1 if row + 1 < len(ours) else None)
                weights[name] = _Weight(parts, axes, rows if len(ours) > 1 else None)
        wrong += [f"{name} is not known" for name in sorted(left)]
        if wrong:
            raise ValueError(
                f"The checkpoint does not fit a ViT: {'; '.join(wrong[:8])}"
                f"{f'; and {len(wrong) - 8} more' if len(wrong) > 8 else ''}."
            )
        return weights, config

    def _rows(self, depth):
        """Yields the rows of the table, those of blocks once for each."""
        for ours, (theirs, axes) in self.table.items():
            for i in range(depth) if "{i}" in ours else (0,):
                yield ours.format(i=i).split(), theirs.format(i=i, next=i + 1).split(), axes

    def sizes(self, config):
        """Returns what the names of axes stand for."""
        dim, k, classes = config["dim"], config["num_heads"], config["num_classes"]
        if type(k) is not int or k < 1 or dim % k:
            raise ValueError(
                f"num_heads={k!r} does not divide dim={dim}: pass num_heads=..., as many as the "
                "model was trained with."
            )
        ph, pw = config["patch_size"]
        rep = config.get("representation_size")
        return {
            "1": 1,
            "dim": dim,
            "out": dim,
            "3dim": 3 * dim,
            "mlp": config["mlp_dim"],
            "k": k,
            "d": dim // k,
            "ph": ph,
            "pw": pw,
            "C": config["channels"],
            "T": self.positions,
            "R": config.get("register_tokens", 0),
            "rep": rep,
            "features": rep or dim,
            "classes": classes,
        }


@dataclasses.dataclass
class _Weight:
    """One of our weights, to be made of their tensors when it is asked for."""

    parts: list
    axes: str
    rows: slice | None

    def __call__(self, shape):
        """Returns the weight, float32 of `shape`."""
        if not self.parts:
            return np.zeros(shape, "float32")
        value = np.concatenate(
            [rearrange(np.asarray(part, "float32"), self.axes) for part in self.parts], axis=-1
        )
        if self.rows is not None:
            value = value.reshape(-1, value.shape[-1])[self.rows]
        return value.reshape(shape)


def rearrange(array, axes):
    """Transposes and merges axes: "ph pw C dim -> (ph pw C) dim" gives (ph * pw * C, dim).

    Without an arrow the array stays as it is.
    """
    if " -> " not in axes:
        return array
    before, after = axes.split(" -> ")
    size = dict(zip(before.split(), array.shape, strict=True))
    groups = [(a or b).split() for a, b in re.findall(r"\(([^)]*)\)|(\S+)", after)]
    order = [before.split().index(axis) for group in groups for axis in group]
    return array.transpose(order).reshape(
        [math.prod(size[axis] for axis in group) for group in groups]
    )


def weight_names(config):
    """Returns the names of a `ViT`'s weights that a checkpoint has to fill."""
    names = {"encoder/projection/kernel", "encoder/projection/bias", "norm/gamma", "norm/beta"}
    names |= {"head/kernel", "head/bias"}
    learned = config["position"] == "learned"
    if learned:
        names.add("encoder/position_table")
    if config["class_token"]:
        names |= {"encoder/class_token"} | ({"encoder/class_position"} if learned else set())
    if config.get("register_tokens"):
        names.add("encoder/register_tokens")
    if config.get("representation_size"):
        names |= {"pre_logits/kernel", "pre_logits/bias"}
    block = ["norm1/gamma", "norm1/beta", "norm2/gamma", "norm2/beta"]
    for dense in ("attention/qkv", "attention/projection", "mlp_hidden", "mlp_output"):
        block += [f"{dense}/kernel", f"{dense}/bias"]
    if config.get("layer_scale") is not None:
        block += ["scale1", "scale2"]
    return names | {f"block{i}/{name}" for i in range(config["depth"]) for name in block}


def shape_of(tensors, name, rank):
    """Returns the shape of a tensor that says how large the model is.

    Raises:
        ValueError: when it is missing, has another number of axes, or is empty.
    """
    if name not in tensors:
        raise ValueError(
            f"The checkpoint does not fit a ViT: {name} is missing. It begins with "
            f"{sorted(tensors)[:4]}."
        )
    shape = tuple(tensors[name].shape)
    if len(shape) != rank or not all(shape):
        raise ValueError(
            f"The checkpoint does not fit a ViT: {name} has shape {shape}, expected {rank} axes."
        )
    return shape


def count_blocks(tensors, pattern):
    """Returns how many blocks there are: different numbers that `pattern` finds in names."""
    return len({match[1] for match in map(re.compile(pattern).match, tensors) if match})


def square_grid(positions):
    """Returns the side of a square grid of so many places, or None if there is none."""
    side = math.isqrt(positions)
    return side if side * side == positions else None
