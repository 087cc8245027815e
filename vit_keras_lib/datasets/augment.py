"""Augmentation on the tf.data side, from Keras' own layers, never inside the model."""

from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf

STRENGTHS = ("none", "light", "medium", "strong")


class _FoldedSeeds(keras.random.SeedGenerator):
    """All the seeds of one call, folded from one tensor.

    Keras' own generator keeps a counter that parallel calls of a map would race for. Without
    state, the same call gives the same pixels however many threads run.
    """

    def begin(self, seed: tf.Tensor):
        self._seed, self._draws = seed, 0

    def next(self, ordered=True):
        self._draws += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._draws)


def _set_up(seeds: _FoldedSeeds, layers: list[keras.Layer]) -> list[keras.Layer]:
    for layer in layers:
        # Pixels are not for half precision, whatever policy the model trains under.
        layer.dtype_policy = "float32"
        # The hook through which Keras' data layers ask for their running seed.
        layer._get_seed_generator = lambda backend=None: seeds
    return layers


def _with_seeds(dataset: tf.data.Dataset, seed, salt: int) -> tf.data.Dataset:
    """Pairs every element with a seed of its own, int64 (2,), that follows from its number."""
    base = tf.stack([tf.cast(seed, tf.int64), salt])
    fold = tf.random.experimental.stateless_fold_in
    return dataset.enumerate().map(lambda number, element: (element, fold(base, number)))


def _geometry_and_colour(strength: str) -> list[keras.Layer]:
    if strength == "none":
        return []
    flip = keras.layers.RandomFlip("horizontal")
    if strength == "light":
        # A crop out of the picture padded by 6 % of its mirror image.
        return [
            flip,
            keras.layers.RandomTranslation(0.06, 0.06, interpolation="nearest"),
        ]
    return [
        flip,
        # Shift, then zoom in: a random resized crop that keeps 60 to 100 % of each side. Height
        # and width are drawn apart, so proportions change a little too.
        keras.layers.RandomTranslation(0.15, 0.15, interpolation="nearest"),
        keras.layers.RandomZoom((-0.4, 0.0), (-0.4, 0.0)),
        keras.layers.RandomBrightness(0.15),
        keras.layers.RandomContrast(0.25),
        # Towards grey. Hue stays: colour is part of what makes a species.
        keras.layers.RandomColorDegeneration(0.4),
    ]


def _rand_augment(operations: int = 2):
    """RandAugment (Cubuk et al. 2020): `operations` transformations, drawn for each picture.

    `keras.layers.RandAugment` computes all eleven to keep one, and draws once a batch; a switch
    over the same layers computes only what was drawn.
    """
    seeds = _FoldedSeeds(seed=0)
    layers = _set_up(
        seeds,
        [
            keras.layers.RandomShear(0.2, 0.2),
            keras.layers.RandomTranslation(0.2, 0.2),
            keras.layers.RandomRotation(1 / 12),
            keras.layers.RandomBrightness(0.3),
            keras.layers.RandomColorDegeneration(0.5),
            keras.layers.RandomContrast(0.5),
            keras.layers.RandomSharpness(0.5),
            keras.layers.RandomPosterization(4),
            keras.layers.Solarization(0.3, 0.3),
            keras.layers.AutoContrast(),
            keras.layers.Equalization(),
        ],
    )

    @tf.function(autograph=False)  # traced once for all operations
    def one(image, seed):
        seeds.begin(seed)
        drawn = tf.random.stateless_uniform([], seeds.next(), 0, len(layers), tf.int32)
        branches = [partial(layer, image, training=True) for layer in layers]
        return tf.ensure_shape(tf.switch_case(drawn, branches), image.shape)

    @tf.autograph.experimental.do_not_convert
    def apply(picture, seed):
        image, label = picture  # (H, W, 3), (classes,)
        image = tf.cast(image, tf.float32)
        for number in range(operations):
            image = one(image, tf.random.experimental.stateless_fold_in(seed, number))
        return image, label

    return apply


def _augment_batch(strength: str, mix: bool):
    seeds = _FoldedSeeds(seed=0)
    layers = _set_up(seeds, _geometry_and_colour(strength))
    mix_up, cut_mix = _set_up(seeds, [keras.layers.MixUp(0.2), keras.layers.CutMix(1.0)])

    @tf.autograph.experimental.do_not_convert
    def apply(batch, seed):
        images, labels = batch  # (B, H, W, 3), (B, classes)
        seeds.begin(seed)
        images = tf.cast(images, tf.float32)
        for layer in layers:
            images = layer(images, training=True)
        if mix:
            mixed = mix_up({"images": images, "labels": labels}, training=True)
            cut = cut_mix({"images": images, "labels": labels}, training=True)
            heads = tf.random.stateless_uniform([tf.shape(labels)[0]], seeds.next()) < 0.5  # (B,)
            images = tf.where(heads[:, None, None, None], mixed["images"], cut["images"])
            labels = tf.where(heads[:, None], mixed["labels"], cut["labels"])
        # Rounding may leave the range by a little.
        return tf.clip_by_value(images, 0.0, 255.0), labels

    return apply


def batcher(strength: str = "none", mix: bool = False) -> Callable[..., tf.data.Dataset]:
    """Makes the function that batches pictures and augments them.

    - "none": nothing but the batch.
    - "light": flip, small random crop.
    - "medium": flip, random resized crop, brightness, contrast, saturation.
    - "strong": RandAugment (arXiv 1909.13719), then all of medium.

    Args:
        strength: One of "none", "light", "medium", "strong".
        mix: Whether each picture is mixed with another of its batch, by MixUp (arXiv 1710.09412)
            or by CutMix (arXiv 1905.04899), one as often as the other. Labels get soft.

    Returns:
        A function (pictures, batch_size, seed=0, drop_remainder=False) -> dataset of (images
        float32 (B, H, W, 3) 0..255, labels float32 (B, classes)). `pictures` has elements (image
        (H, W, 3) 0..255 of any dtype, label (classes,) float32). `seed`, a number or an int64
        tensor (), decides all that is random: each pass gives the same pictures.

    Raises:
        ValueError: `strength` is none of the four.
    """
    if strength not in STRENGTHS:
        raise ValueError(f"augment={strength!r} is unknown; choose one of {', '.join(STRENGTHS)}.")
    in_parallel = partial(tf.data.Dataset.map, num_parallel_calls=tf.data.AUTOTUNE)
    # Made once: layers have state, and `batches` may run inside another tf.data function.
    rand_augment = _rand_augment() if strength == "strong" else None
    augment_batch = _augment_batch(strength, mix) if mix or strength != "none" else None

    def batches(pictures, batch_size, seed=0, drop_remainder=False):
        if rand_augment:
            pictures = in_parallel(_with_seeds(pictures, seed, 0), rand_augment)
        batched = pictures.batch(batch_size, drop_remainder=drop_remainder)
        if augment_batch:
            return in_parallel(_with_seeds(batched, seed, 1), augment_batch)
        return in_parallel(batched, lambda x, y: (tf.cast(x, tf.float32), y))

    return batches
