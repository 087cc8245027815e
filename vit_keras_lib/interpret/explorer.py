"""An interactive page of what a ViT looks at, in one file that needs nothing else."""

import base64
import html
import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from vit_keras_lib.interpret.attention import attention_maps
from vit_keras_lib.interpret.faithfulness import part_coverage
from vit_keras_lib.interpret.relevance import class_relevance
from vit_keras_lib.interpret.residual import logit_lens, vit_blocks
from vit_keras_lib.interpret.rollout import attention_rollout
from vit_keras_lib.models.vit import check_images

_TEMPLATE = Path(__file__).with_name("explorer.html")
# Eleven evenly spaced colours of viridis, from dark to bright; in between is interpolated.
_COLOURS = [
    [68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
    [34, 168, 132], [66, 190, 113], [122, 209, 81], [189, 223, 38], [253, 231, 37],
]  # fmt: skip
# Ends of the colour scale, in units of uniform attention. Powers of two: each tick doubles.
_SCALE = (1 / 4, 16)
_NOTES = {
    "Attention": "What a head looks at, in one block. It is the same for every class.",
    "Rollout": "Attention multiplied up from the first block to this one, the residual path "
    "counted as half (Abnar & Zuidema 2020). It is the same for every class.",
    "Class relevance": "Attention weighted with its gradient for one class (Chefer et al. 2021): "
    "another class, another map. The model's three first choices.",
}


class Explorer:
    """One HTML page, shown in a notebook or saved.

    Attributes:
        html: the whole page. It fetches nothing, and the same input gives the same bytes.
    """

    def __init__(self, html, still):
        """Stores the page and a still picture of its opening state, as PNG."""
        self.html = html
        self._still = still

    def _repr_html_(self):
        """Returns the page in a frame, and behind it what a notebook without scripts shows."""
        here = "grid-area: 1 / 1; width: 100%;"
        return (
            '<div style="display: grid">'
            f'<div style="{here}"><img alt="photo and attention map" '
            f'src="data:image/png;base64,{_base64(self._still)}">'
            "<p>A photo and what the model looks at, bright where it looks most. "
            "Trust this notebook to explore it.</p></div>"
            f'<iframe title="Attention explorer" srcdoc="{html.escape(self.html)}" '
            f'style="{here} height: 860px; border: 0; position: relative"></iframe></div>'
        )

    def save(self, path):
        """Writes the page to `path`, the bytes of `html` in UTF-8, and returns the path.

        The file is there whole or not at all: it is written under another name and renamed.
        """
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(self.html.encode())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path


def attention_explorer(
    model,
    images,
    parts=None,
    counterfactuals=None,
    class_names=None,
    labels=None,
    part_names=None,
):
    """Returns an interactive page: who looks where, in every block and head.

    It opens on what the head of the model reads (the class token; in a model with pool="mean" the
    mean over the patches as queries), averaged over the heads of the last block. Beside attention
    it shows `attention_rollout` up to each block, the `class_relevance` of the three classes the
    model ranks first, and the `logit_lens`. Colours are in units of uniform attention, weight * T
    (weight * N for relevance, which prefix tokens get none of), on one scale from 1/4 to 16 for
    all maps and pages.

    Weights are stored in 255 steps of their row's largest: a weight is off by at most that
    largest / 510, and the page says how much this is. A photo takes 4/3 * L * heads * T * (T + 4)
    bytes of the page: 0.15 MB for the course's model with 36 patches, 2.1 MB with 144.

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255, C 1 or 3.
        parts: (B, H, W) integers, what each pixel shows: 0 for background, p for part p; or None.
        counterfactuals: (B, H, W, C), the same scenes changed, shown with the model's answer; or
            None.
        class_names: one a class, or None.
        labels: (B,) true classes, or None.
        part_names: names of part 1, 2, ..., or None.

    Returns:
        An `Explorer`: show it as the value of a cell, or `.save("page.html")`.

    Raises:
        ValueError: for a model that is no `ViT`, images of another size, or an argument whose
            shape or numbers do not fit the others.
    """
    vit_blocks(model)
    images = np.asarray(images)
    check_images(model, images)
    given = {"parts": parts, "counterfactuals": counterfactuals, "labels": labels}
    given = {name: None if x is None else np.asarray(x) for name, x in given.items()}
    _check(model, images, class_names, part_names, **given)
    maps = attention_maps(model, images)  # (B, L, heads, T, T)
    data = _data(model, images, maps, class_names, part_names, **given)
    # No "<" may stand in a script: a class could be called "</script>".
    text = json.dumps(data, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")
    page = _TEMPLATE.read_text(encoding="utf-8").replace('"__DATA__"', text)
    opening = maps[0, -1].mean(axis=0)  # (heads, T, T) -> (T, T)
    prefix = model.num_prefix_tokens
    opening = opening[0] if model.pool == "cls" else opening[prefix:].mean(axis=0)  # -> (T,)
    return Explorer(page, _still(images[0], opening[prefix:].reshape(model.grid) * len(opening)))


def _check(model, images, class_names, part_names, parts, counterfactuals, labels):
    """Raises a ValueError for arguments that do not fit each other."""
    B, H, W, C = images.shape
    if not B or C not in (1, 3):
        raise ValueError(f"Expected at least one image of 1 or 3 channels, got {images.shape}.")
    if parts is not None and (parts.shape != (B, H, W) or parts.dtype.kind not in "iu"):
        raise ValueError(
            f"`parts` must be integers of shape (B, H, W) = {(B, H, W)}, got {parts.dtype} "
            f"{parts.shape}. A mask with a channel axis: parts[..., 0]."
        )
    if counterfactuals is not None and counterfactuals.shape != images.shape:
        raise ValueError(
            f"`counterfactuals` must have the shape of `images`, {images.shape}, "
            f"got {counterfactuals.shape}."
        )
    classes = model.num_classes
    if class_names is not None and len(class_names) != classes:
        raise ValueError(f"The model has {classes} classes, got {len(class_names)} class_names.")
    if labels is not None and (labels.shape != (B,) or not np.isin(labels, range(classes)).all()):
        raise ValueError(
            f"`labels` must be {B} class numbers from 0 to {classes - 1}, got {labels!r}."
        )
    if part_names is not None and (parts is None or len(part_names) < parts.max()):
        raise ValueError(
            f"`part_names` names part 1, 2, ... of `parts`, got {len(part_names)} names for "
            f"{0 if parts is None else parts.max()} parts."
        )


def _data(model, images, maps, class_names, part_names, parts, counterfactuals, labels):
    """Returns what the page shows, ready for JSON."""
    rollout = attention_rollout(maps, steps=True)[:, :, None]  # (B, L, T, T) -> (B, L, 1, T, T)
    lens = logit_lens(model, images)  # (B, L, classes)
    rivals = np.argsort(-lens[:, -1], axis=-1, kind="stable")[:, :3]  # (B, classes) -> (B, 3)
    relevance = np.stack([class_relevance(model, images, k) for k in rivals.T], axis=1)
    (B, depth, heads, T, _), N = maps.shape, model.grid[0] * model.grid[1]
    relevance = relevance.reshape(B, 1, -1, 1, N)  # (B, 3, rows, columns) -> (B, 1, 3, 1, N)
    relevance = relevance / np.maximum(relevance.sum(-1, keepdims=True), np.finfo("float32").tiny)
    relevance = np.pad(relevance, [(0, 0)] * 4 + [(T - N, 0)])  # -> (B, 1, 3, 1, T)
    changed = None if counterfactuals is None else logit_lens(model, counterfactuals)
    if parts is not None:
        if part_names is None:
            part_names = [f"part {p}" for p in range(1, parts.max() + 1)]
        coverage = part_coverage(parts, model.grid, len(part_names) + 1)[:, 1:]  # no background
        coverage = coverage.reshape(B, -1, N)  # (B, parts, rows, columns) -> (B, parts, N)
    photos = []
    for b, image in enumerate(images):
        photo = {
            "image": _picture(image),
            "maps": [_packed(each[b]) for each in (maps, rollout, relevance)],
            "lens": _answers(lens[b]),
            "rivals": rivals[b].tolist(),
            "label": None if labels is None else int(labels[b]),
            "changed": None,
            "outlines": "",
            "coverage": [],
        }
        if changed is not None:
            answer = _answers(changed[b])[-1]
            photo["changed"] = {"image": _picture(counterfactuals[b]), "answer": answer}
        if parts is not None:
            photo["outlines"] = _outlines(parts[b])
            photo["coverage"] = coverage[b].tolist()
        photos.append(photo)
    prefix = ["class token"] * model.class_token
    prefix += [f"register token {i}" for i in range(model.register_tokens)]
    sizes = [(depth, heads, T, T), (depth, 1, T, T), (1, rivals.shape[1], 1, N)]
    keys = ("blocks", "heads", "queries", "even")  # even: over how many tokens 1 is spread
    return {
        "methods": [
            {"name": name, "note": note, **dict(zip(keys, size, strict=True))}
            for (name, note), size in zip(_NOTES.items(), sizes, strict=True)
        ],
        "photos": photos,
        "grid": model.grid,
        "patch": model.patch_size,
        "size": model.image_size,
        "depth": depth,
        "prefix": prefix,
        "query": 0 if model.pool == "cls" else -1,
        "classes": None if class_names is None else [str(name) for name in class_names],
        "parts": [] if parts is None else [str(name) for name in part_names],
        "colours": _COLOURS,
        "scale": _SCALE,
    }


def _packed(maps):
    """Packs maps (..., T) in 255 steps of each row's largest; off by at most that / 510."""
    tops = maps.max(axis=-1, keepdims=True)
    steps = np.rint(maps / np.maximum(tops, np.finfo("float32").tiny) * 255).astype("uint8")
    return {"levels": _base64(steps.tobytes()), "tops": _base64(tops.astype("<f4").tobytes())}


def _answers(logits):
    """Returns for logits (L, classes) the pairs (class, its probability)."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    best = odds.argmax(axis=-1)
    return [
        [int(k), round(float(row[k] / row.sum()), 6)] for k, row in zip(best, odds, strict=True)
    ]


def _outlines(parts):
    """Returns the borders between the parts (H, W) as an SVG path, in pixels."""
    right = np.argwhere(parts[:, 1:] != parts[:, :-1])
    below = np.argwhere(parts[1:] != parts[:-1])
    return "".join([f"M{c + 1} {r}v1" for r, c in right] + [f"M{c} {r + 1}h1" for r, c in below])


def _base64(data):
    return base64.b64encode(data).decode("ascii")


def _picture(image):
    return _base64(_png(image))


def _png(image):
    """Encodes an image (H, W, C), C 1 or 3, 0 to 255, as PNG."""
    image = np.broadcast_to(np.clip(np.rint(image), 0, 255), (*image.shape[:2], 3))
    file = io.BytesIO()
    Image.fromarray(image.astype("uint8")).save(file, "PNG", optimize=True)
    return file.getvalue()


def _still(image, weights):
    """Draws the photo and, beside it, its map (rows, columns) in units of uniform attention."""
    H, W, _ = image.shape
    low, high = np.log2(_SCALE)
    place = (np.log2(np.maximum(weights, _SCALE[0])) - low) / (high - low) * (len(_COLOURS) - 1)
    channels = [np.interp(place, range(len(_COLOURS)), c) for c in np.transpose(_COLOURS)]
    colours = np.stack(channels, axis=-1)  # (rows, columns, 3)
    rows, cols = weights.shape
    painted = colours.repeat(H // rows, axis=0).repeat(W // cols, axis=1)  # -> (H, W, 3)
    both = np.concatenate([np.broadcast_to(image, (H, W, 3)), painted], axis=1)  # -> (H, 2W, 3)
    zoom = max(1, 240 // H)
    return _png(both.repeat(zoom, axis=0).repeat(zoom, axis=1))
