"""One door to data: the embedded set, the real sets by name, or a folder of your own."""

import dataclasses
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from vit_keras_lib.datasets.augment import batcher
from vit_keras_lib.datasets.decode import (
    FILTERS,
    RULE,
    BadImageError,
    decode,
    decode_mask,
    open_regular,
)
from vit_keras_lib.datasets.download import prepared_builder
from vit_keras_lib.datasets.folder import BadImages, list_folder, progress
from vit_keras_lib.datasets.gate import gated
from vit_keras_lib.datasets.splits import SPLITS

EMBEDDED = Path(__file__).resolve().parents[2] / "data" / "procedural_flowers" / "1.0.0"
CACHE_BUDGET = 2**30

# Of each named set: which TFDS slice is which split, and a sentence on it.
_PROTOCOLS = {
    "procedural_flowers": (
        {"train": "train", "validation": "validation", "test": "test"},
        "The set's own train, validation and test splits.",
    ),
    "tf_flowers": (
        {"train": "train[:80%]", "validation": "train[80%:90%]", "test": "train[90%:]"},
        "TFDS has one split only; it is cut into fixed slices of 80 %, 10 % and 10 %.",
    ),
    "oxford_flowers102": (
        {"train": "train", "validation": "validation", "test": "test"},
        "The official splits: 10 pictures a class for train and validation, the rest for test.",
    ),
}
NAMES = tuple(_PROTOCOLS)


@dataclass(frozen=True, repr=False)
class Flowers:
    """A data set, split and ready to be batched.

    Attributes:
        train: Unbatched dataset of (image uint8 (H, W, 3), label int64 ()), in a fixed order.
        validation: The same for the validation pictures.
        test: The same for the test pictures.
        class_names: Name of each label.
        image_size: (H, W) in pixels.
        sizes: Number of pictures by split.
        source: Name of the set, or of the folder.
        protocol: One sentence on how it was split.
        fingerprint: Short hash of all the files and their labels and splits.
        skipped: (file name, reason) of all that was left out while loading.
        seed: Default seed of `batches`.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    sizes: Mapping[str, int]
    source: str
    protocol: str = ""
    fingerprint: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    # With random access, shuffling shuffles row numbers: perfect, and free of memory.
    _rows: Mapping[str, np.ndarray] | None = field(default=None, compare=False)
    _read: Callable[[tf.data.Dataset], tf.data.Dataset] | None = field(default=None, compare=False)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def summary(self) -> str:
        """Describes the set in a few lines of text."""
        height, width = self.image_size
        lines = [
            f"{self.source}: {self.num_classes} classes, {height} x {width} pixels",
            "  " + ", ".join(f"{split} {size:,}" for split, size in self.sizes.items()),
            f"  {self.protocol}",
            f"  fingerprint {self.fingerprint}, {len(self.skipped)} files skipped",
        ]
        return "\n".join(lines)

    def about(self) -> dict:
        """Says which photos these are, for a stored result."""
        return {
            "source": self.source,
            "protocol": self.protocol,
            "fingerprint": self.fingerprint,
            "sizes": dict(self.sizes),
            "image_size": list(self.image_size),
        }

    def __repr__(self) -> str:
        """One line: source, classes, image size, pictures by split, number skipped."""
        sizes = ", ".join(f"{split}={size}" for split, size in self.sizes.items())
        return (
            f"Flowers({self.source!r}, {self.num_classes} classes, image_size={self.image_size}, "
            f"{sizes}, skipped={len(self.skipped)})"
        )

    def share(self, fraction: float, seed: int = 0, *, same_length: bool = False) -> "Flowers":
        """Draws a share of the training pictures, from each class alike.

        A smaller share of the same seed lies inside a larger one. Validation and test stay as they
        are.

        Args:
            fraction: Share of each class, above 0 and up to 1; at least one picture of each.
            seed: Seed of the draw.
            same_length: Repeat pictures until an epoch is as long as it was, each as often as any
                other or once more. Then fewer pictures do not mean fewer steps, and `sizes` counts
                the repeated ones.

        Returns:
            The set with the share as its training pictures.

        Raises:
            ValueError: A fraction outside of the range.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction!r}; it must be above 0 and at most 1.")
        if fraction == 1:
            return self
        labels = np.array([*self.train.map(lambda image, label: label).as_numpy_iterator()])
        chosen = []
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            members = np.random.default_rng([seed, label]).permutation(members)
            chosen.extend(members[: max(1, round(fraction * len(members)))])
        chosen, often = np.sort(chosen), np.ones(len(chosen), int)
        if same_length:
            often += len(labels) // len(chosen) - 1
            more = np.random.default_rng(seed).permutation(len(chosen))
            often[more[: len(labels) % len(chosen)]] += 1

        repeated = np.repeat(chosen, often)
        if self._read is not None and len(self._rows["train"]) == len(labels):
            read, rows = self._read, {**self._rows, "train": self._rows["train"][repeated]}
            train = read(tf.data.Dataset.from_tensor_slices(rows["train"]))
        else:  # a streamed set, or one built by hand: its pictures are counted as they come by
            read = rows = None
            times = np.zeros(len(labels), np.int64)
            times[chosen] = often
            train = self.train.enumerate().flat_map(
                lambda n, pair: tf.data.Dataset.from_tensors(pair).repeat(tf.gather(times, n))
            )
            train = train.apply(tf.data.experimental.assert_cardinality(len(repeated)))
        what = (
            f"Of the training pictures {len(chosen):,}, {fraction:.3g} of each class, seed {seed}"
        )
        if same_length:
            what += f", each {often.min()} times or once more"
        drawn = f"{self.fingerprint} {repeated.tolist()}".encode()
        return dataclasses.replace(
            self,
            train=train,
            sizes={**self.sizes, "train": len(repeated)},
            protocol=f"{self.protocol} {what}.".strip(),
            fingerprint=hashlib.sha256(drawn).hexdigest()[:16],
            _rows=rows,
            _read=read,
        )

    def batches(
        self,
        split: str,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        augment: str = "none",
        mix: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        first_epoch: int | None = None,
    ) -> tf.data.Dataset:
        """Makes what `fit`, `evaluate` and `predict` eat.

        Args:
            split: "train", "validation" or "test".
            batch_size: Pictures in a batch.
            shuffle: Shuffle, anew in each epoch.
            augment: "none", "light", "medium" or "strong"; see `augment.batcher`.
            mix: MixUp and CutMix, which make labels soft; see `augment.batcher`.
            seed: Seed of shuffling and augmentation, `Flowers.seed` if None; the same seed gives
                the same epochs.
            drop_remainder: Leave out a last batch that is not full.
            first_epoch: None for one epoch, another one each time the dataset is iterated. A
                number for this epoch (from 0) and all that follow it, without end: for `fit` with
                `steps_per_epoch`. What an epoch holds then depends on the seed and its number
                only, so that a run can be taken up again.

        Returns:
            Dataset of (images float32 (B, H, W, 3) 0..255, one-hot labels float32 (B, classes)),
            prefetched.

        Raises:
            ValueError: Unknown split or augmentation, or a batch size below 1.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is unknown; choose one of {', '.join(SPLITS)}.")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; it must be at least 1.")

        seed = self.seed if seed is None else seed
        classes, make_batches = self.num_classes, batcher(augment, mix)

        @tf.autograph.experimental.do_not_convert
        def epoch(number):
            # Stateless: neither the global seed nor what was drawn before has a say.
            place = tf.stack([tf.constant(seed, tf.int64), number])
            draw = tf.random.stateless_uniform([2], place, None, None, tf.int64)
            pictures = self._shuffled(split, draw) if shuffle else getattr(self, split)
            pictures = pictures.map(lambda image, label: (image, tf.one_hot(label, classes)))
            return make_batches(pictures, batch_size, draw[0], drop_remainder)

        if first_epoch is not None:
            epochs = tf.data.Dataset.counter(first_epoch).flat_map(epoch)
            return epochs.prefetch(tf.data.AUTOTUNE)
        numbers = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        batches = numbers.take(1).flat_map(epoch)
        pictures = int(getattr(self, split).cardinality())
        if pictures >= 0:  # else a streamed set, in which damaged files may come up
            batches = batches.apply(
                tf.data.experimental.assert_cardinality(
                    pictures // batch_size if drop_remainder else -(-pictures // batch_size)
                )
            )
        return batches.prefetch(tf.data.AUTOTUNE)

    def _shuffled(self, split: str, seed: tf.Tensor) -> tf.data.Dataset:
        if self._read is not None:
            rows = tf.random.experimental.stateless_shuffle(self._rows[split], seed)
            return self._read(tf.data.Dataset.from_tensor_slices(rows))
        # Without random access a buffer shuffles; 256 MB of it.
        fitting = 2**28 // (self.image_size[0] * self.image_size[1] * 3)
        pictures = getattr(self, split)
        # Dataset.shuffle would mix in the global seed.
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(pictures),
            buffer_size=max(1, min(self.sizes[split], fitting)),
            seed=seed[0],
            seed2=seed[1],
            output_types=[tf.uint8, tf.int64],
            output_shapes=[(*self.image_size, 3), ()],
            reshuffle_each_iteration=False,
        )
        return tf.data.experimental.from_variant(shuffled, pictures.element_spec)


def load_flowers(
    source: str | os.PathLike = "procedural_flowers",
    image_size: int | tuple[int, int] = 96,
    *,
    seed: int = 0,
    on_bad_image: str = "skip",
    cache_budget: int = CACHE_BUDGET,
    data_dir: str | os.PathLike | None = None,
    resize_rule: Sequence | None = None,
) -> Flowers:
    """Loads flowers: the embedded set, a set by name, or a folder of your own.

    Pictures are turned upright, cut to the wanted proportions around the centre and resized with
    antialiasing; they are never squashed, unless `resize_rule` says so. When all of them fit into
    `cache_budget`, they are decoded once, here, and kept in memory; then every damaged file is
    known when this returns. Larger sets are decoded again in every epoch; a file whose damage lies
    behind its header is then dropped and reported when it is first met, and still counts in
    `sizes`.

    Args:
        source: "procedural_flowers" (embedded), "tf_flowers" or "oxford_flowers102" (downloaded
            by TFDS when first used), or the path of a folder of class folders, or of folders
            train, validation and test of class folders. A known name is the set; for a folder of
            the same name write "./tf_flowers". A folder is split 80/10/10 by the hash of each
            file's bytes; see `splits.split_by_content`.
        image_size: Side in pixels, or (height, width).
        seed: Default seed of `Flowers.batches`; loading itself draws nothing.
        on_bad_image: "skip" leaves out bad files and reports each once; "raise" raises at the
            first. More than 10 % bad pictures are an error in any case.
        cache_budget: Bytes of memory that decoded pictures may take (height x width x 3 each).
        data_dir: Where TFDS keeps its sets; default is TFDS's own, `~/tensorflow_datasets`.
        resize_rule: How pictures are resized, for a pre-trained model its `ViT.resize_rule`: see
            `decode.decode`. None for the rule above.

    Returns:
        The data set.

    Raises:
        ValueError: Unknown source, impossible option, unusable folder, bad pictures (see above),
            or a corrupted download.
        FileNotFoundError: The embedded set is not beside the package.
        ConnectionError: A set to be downloaded cannot be reached.
    """
    size = _checked_size(image_size)
    if on_bad_image not in ("skip", "raise"):
        raise ValueError(f'on_bad_image={on_bad_image!r}; it must be "skip" or "raise".')
    strict = on_bad_image == "raise"
    rule = _checked_rule(resize_rule)
    if source in NAMES:
        parts = _from_tfds(source, size, strict, cache_budget, data_dir, rule)
    elif (folder := Path(source).expanduser()).is_dir():
        parts = _from_folder(folder, size, strict, cache_budget, rule)
    else:
        state = "a file" if folder.exists() else "no existing folder"
        raise ValueError(
            f"Unknown source {os.fspath(source)!r}: it is none of {', '.join(NAMES)}, and as a "
            f"path it is {state}. Pass one of these names, or the path of a folder of class "
            "folders."
        )
    if rule != RULE:
        parts["protocol"] += " Pictures resized by {!r}, {:g}, {!r}.".format(*rule)
    flowers = Flowers(**parts, image_size=size, seed=seed)
    _report(flowers)
    return flowers


def load_scenes(split: str = "test", image_size: int | None = None) -> tf.data.Dataset:
    """Loads the embedded set with all that is known of each scene.

    Scenes come in the order of `load_flowers().test` (or `.train`, `.validation`), and their
    pictures are the same to the bit at the same `image_size`.

    Args:
        split: "train", "validation", "test" or "interventions".
        image_size: Side in pixels; None for the set's own. Scenes are square.

    Returns:
        Dataset of dictionaries, one a scene. "image", "without_flower", "without_petals" are
        uint8 (side, side, 3); "parts" is uint8 (side, side, 1), resized by nearest pixel; the
        others ("label", "factors", ...) are as in the set's card, data/procedural_flowers.

    Raises:
        ValueError: Unknown split, or an impossible size.
        FileNotFoundError: The embedded set is not beside the package.
    """
    builder = _embedded_builder()
    if split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise ValueError(f"split={split!r} is unknown; choose one of {known}.")
    own = builder.info.features["image"].shape[0]
    size = _checked_size(own if image_size is None else image_size)
    if size[0] != size[1]:
        raise ValueError(f"image_size={image_size!r}; scenes are square, pass one integer.")
    pictures = {"image": 3, "without_flower": 3, "without_petals": 3, "parts": 1}
    scenes = _encoded(builder, split)

    def decoded(scene):
        for name, channels in pictures.items():
            how = gated(partial(decode if channels == 3 else decode_mask, image_size=size))
            pixels = tf.numpy_function(how, [scene[name]], tf.uint8)
            scene[name] = tf.ensure_shape(pixels, (*size, channels))
        return scene

    return scenes.map(decoded, num_parallel_calls=os.cpu_count())


def _checked_size(image_size) -> tuple[int, int]:
    pair = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in pair)
    if len(pair) != 2 or not whole:
        raise ValueError(
            f"image_size={image_size!r}; it must be a positive integer or a pair of them, "
            "(height, width)."
        )
    return int(pair[0]), int(pair[1])


def _checked_rule(rule) -> tuple[str, float, str]:
    if rule is None:
        return RULE
    try:
        fit, share, name = rule
        if fit in ("crop", "squash") and 0 < share <= 1 and name in FILTERS:
            return fit, float(share), name
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f'resize_rule={rule!r}; it must be ("crop" or "squash", a share above 0 and up to 1, one '
        f"of {', '.join(FILTERS)}), or None."
    )


def _report(flowers: Flowers):
    if not flowers.skipped:
        return
    lines = [f"  {name}: {reason}" for name, reason in flowers.skipped[:50]]
    if len(flowers.skipped) > len(lines):
        lines.append(f"  and {len(flowers.skipped) - len(lines)} more, see Flowers.skipped")
    warnings.warn(
        f"skipped in {flowers.source!r}, {len(flowers.skipped)} in all:\n" + "\n".join(lines),
        stacklevel=3,
    )


def _decoder(open_row: Callable, size: tuple[int, int], rule: tuple) -> Callable:
    """Makes the function (row, data) -> (image uint8 (H, W, 3), why it is bad or b"")."""

    def pixels(row, data):
        try:
            with open_row(row, data) as file:
                return decode(file, size, rule), b""
        except BadImageError as error:
            return np.zeros((*size, 3), np.uint8), str(error).encode()

    return pixels


def _streamed(
    keys: tf.data.Dataset, pixels: Callable, size, names: Sequence[str], bad: BadImages
) -> tf.data.Dataset:
    """Decodes as the pictures come by: (row, label, data) -> (image, label).

    Bad pictures are dropped, and each is reported once.
    """

    def report(row, reason):
        if reason and bad.add(names[row], reason.decode()):
            warnings.warn(
                f"skipped in {bad.source!r}: {names[row]}: {reason.decode()}", stacklevel=1
            )
        return not reason

    def decoded(row, label, data):
        image, reason = tf.numpy_function(gated(pixels), [row, data], (tf.uint8, tf.string))
        return row, label, tf.ensure_shape(image, (*size, 3)), reason

    def good(row, label, image, reason):
        return tf.ensure_shape(tf.numpy_function(gated(report), [row, reason], tf.bool), ())

    # More threads than cores: they wait for the disk, and for each other's Python.
    pictures = keys.map(decoded, num_parallel_calls=2 * os.cpu_count()).filter(good)
    return pictures.map(lambda row, label, image, reason: (image, label))


def _cached(
    keys: Iterable, pixels: Callable, size, names: Sequence[str], bad: BadImages
) -> Callable:
    """Decodes every (row, label, data) once into memory; returns how to read rows of it."""
    images = np.empty((len(names), *size, 3), np.uint8)
    labels = np.empty(len(names), np.int64)

    def work(row, label, data):
        images[row], reason = pixels(row, data)
        labels[row] = label
        return reason.decode()

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        jobs = [pool.submit(work, *key) for key in keys]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd files that it can read
            for name, job in zip(names, progress(jobs, len(jobs), "decoding"), strict=True):
                if reason := job.result():
                    bad.add(name, reason)
    finally:
        pool.shutdown(cancel_futures=True)
    with tf.device("CPU"):  # tf.data runs there
        images, labels = tf.constant(images), tf.constant(labels)

    def read(rows: tf.data.Dataset) -> tf.data.Dataset:
        return rows.map(lambda row: (tf.gather(images, row), tf.gather(labels, row)))

    return read


def _fits(count: int, size: tuple[int, int], budget: int) -> bool:
    return count * size[0] * size[1] * 3 <= budget


def _from_folder(folder: Path, size, strict: bool, budget: int, rule) -> dict:
    pictures, bad = list_folder(folder, strict)
    names, labels = pictures.names, pictures.labels

    pixels = _decoder(lambda row, _: open_regular(pictures.paths[row]), size, rule)
    if _fits(len(names), size, budget):
        keys = ((row, labels[row], b"") for row in range(len(names)))
        read = _cached(keys, pixels, size, names, bad)
    else:

        def read(rows: tf.data.Dataset) -> tf.data.Dataset:
            keys = rows.map(lambda row: (row, tf.gather(labels, row), ""))
            return _streamed(keys, pixels, size, names, bad)

    rows = pictures.rows(bad)
    content = sorted(
        f"{split} {pictures.class_names[labels[row]]} {pictures.hashes[row]}"
        for split in SPLITS
        for row in rows[split]
    )
    return {
        **{split: read(tf.data.Dataset.from_tensor_slices(rows[split])) for split in SPLITS},
        "class_names": pictures.class_names,
        "sizes": {split: len(rows[split]) for split in SPLITS},
        "source": bad.source,
        "protocol": "Split 80/10/10 by the hash of each file's bytes."
        if pictures.given is None
        else "The folder's own train, validation and test.",
        "fingerprint": hashlib.sha256("\n".join(content).encode()).hexdigest()[:16],
        "skipped": bad.listed(),
        "_rows": rows,
        "_read": read,
    }


def _from_tfds(name: str, size, strict: bool, budget: int, data_dir, rule) -> dict:
    if name == "procedural_flowers":
        builder = _embedded_builder()
    else:
        builder = prepared_builder(name, data_dir)
    slices, protocol = _PROTOCOLS[name]
    counts = {split: builder.info.splits[slices[split]].num_examples for split in SPLITS}
    names = [f"{split}/{i}" for split in SPLITS for i in range(counts[split])]
    first = dict(zip(SPLITS, np.cumsum([0, *counts.values()]), strict=False))
    bad = BadImages(name, len(names), strict)

    digest = hashlib.sha256()
    records = {split: _records(builder, slices[split], first[split]) for split in SPLITS}

    def digested():
        for split in SPLITS:
            for row, label, data in records[split].as_numpy_iterator():
                digest.update(f"{split} {label} ".encode() + hashlib.sha256(data).digest())
                yield row, label, data

    pixels = _decoder(lambda _, data: io.BytesIO(data), size, rule)
    rows = read = None
    if _fits(len(names), size, budget):
        read = _cached(digested(), pixels, size, names, bad)
        rows = {}
        for split in SPLITS:
            every = range(first[split], first[split] + counts[split])
            rows[split] = np.array([row for row in every if names[row] not in bad.reasons])
        pictures = {s: read(tf.data.Dataset.from_tensor_slices(rows[s])) for s in SPLITS}
        counts = {split: len(rows[split]) for split in SPLITS}
    else:
        for _ in digested():
            pass
        pictures = {s: _streamed(records[s], pixels, size, names, bad) for s in SPLITS}
    return {
        **pictures,
        "class_names": tuple(builder.info.features["label"].names),
        "sizes": counts,
        "source": name,
        "protocol": protocol,
        "fingerprint": digest.hexdigest()[:16],
        "skipped": bad.listed(),
        "_rows": rows,
        "_read": read,
    }


def _embedded_builder() -> tfds.core.DatasetBuilder:
    if not EMBEDDED.is_dir():
        raise FileNotFoundError(
            "The embedded set procedural_flowers is not beside the package: expected is the "
            "folder data/procedural_flowers/1.0.0 of the project's repository. Work in a clone "
            'of the repository (pip install -e .), or pass load_flowers("path/of/your/photos").'
        )
    return tfds.builder_from_directory(EMBEDDED)


def _encoded(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Reads a split's examples, always in the same order, their pictures not decoded."""
    features = builder.info.features
    pictures = [name for name in features if isinstance(features[name], tfds.features.Image)]
    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={name: tfds.decode.SkipDecoding() for name in pictures},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )


def _records(builder: tfds.core.DatasetBuilder, split: str, first: int) -> tf.data.Dataset:
    """Reads (row, label, encoded picture) of a split; rows count from `first`."""
    examples = _encoded(builder, split).enumerate(first)
    return examples.map(lambda row, example: (row, example["label"], example["image"]))
