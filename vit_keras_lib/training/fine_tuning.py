"""A part of a trained model is trained on: what stays, what learns slower, what is added."""

import contextlib
import dataclasses

import keras
import numpy as np
from keras import ops

from vit_keras_lib.models.vit import ViT

FIELDS = ("frozen_blocks", "layer_decay", "lora_rank", "probe")


def check_fine_tuning(model, recipe):
    """Raises a ValueError if the fields for fine-tuning do not fit `model`."""
    asked = [name for name in FIELDS if getattr(recipe, name) not in (None, False)]
    if asked and not isinstance(model, ViT):
        raise ValueError(
            f"Recipe.{asked[0]} is about the blocks of a ViT, but {model.name} is a "
            f"{type(model).__name__}. Leave it at its default."
        )
    frozen = recipe.frozen_blocks or 0
    if frozen > getattr(model, "depth", frozen):
        raise ValueError(
            f"Recipe.frozen_blocks={frozen}, but {model.name} has {model.depth} blocks. Take at "
            f"most {model.depth}, which leaves the head and the norm before it to be trained."
        )
    if recipe.lora_rank and frozen == model.depth:
        raise ValueError(
            f"Recipe.frozen_blocks={frozen} leaves none of the {model.depth} blocks to "
            f"Recipe.lora_rank={recipe.lora_rank}. Freeze fewer, or adapt none."
        )


def places(model):
    """Returns pairs of a top-level layer and its place on the way from the pixels to the logits.

    Place 0 is all up to the tokens, i + 1 is block i, depth + 1 is what comes behind the blocks.
    """
    first = model.layers.index(model.get_layer("block0"))
    return [
        (layer, min(max(n - first + 1, 0), model.depth + 1)) for n, layer in enumerate(model.layers)
    ]


@contextlib.contextmanager
def partly_trainable(model, recipe):
    """Leaves only that trainable which the recipe names, inside of a `with`.

    - `frozen_blocks`: all up to that block is frozen, with its dropout, stochastic depth and
      batch-norm statistics off.
    - `lora_rank`: of the other blocks only adapters of the attention's projections are trainable,
      and the head. When the `with` ends they are merged into the kernels and gone.

    At the end all flags and rates are as they were. Compile then: compiled functions still hold
    those in between.
    """
    if recipe.frozen_blocks is None and recipe.lora_rank is None:
        yield
        return
    frozen = [layer for layer, place in places(model) if place <= (recipe.frozen_blocks or 0)]
    open_blocks = [model.get_layer(f"block{i}") for i in range(model.depth)]
    open_blocks = open_blocks[recipe.frozen_blocks or 0 :]
    drops = [
        layer
        for top in frozen
        for layer in top._flatten_layers()
        if isinstance(layer, keras.layers.Dropout)
    ]
    rates = [layer.rate for layer in drops]
    # Layers from the outside in, as each sets the flags of all inside; variables last.
    flagged = [*model._flatten_layers(), *model.variables]
    flags = [thing.trainable for thing in flagged]
    adapted = []
    try:
        for layer in frozen:
            layer.trainable = False
        for layer in drops:
            layer.rate = 0.0
        if recipe.lora_rank:
            for layer in model.layers:
                layer.trainable = layer.trainable and layer.name == "head"
            for block in open_blocks:
                for dense in (block.attention.qkv, block.attention.projection):
                    dense.enable_lora(recipe.lora_rank)
                    adapted.append(dense)
                    dense.lora_kernel_a.trainable = dense.lora_kernel_b.trainable = True
        yield
    finally:
        for dense in adapted:
            _merge(dense)
        for layer, rate in zip(drops, rates, strict=True):
            layer.rate = rate
        for thing, flag in zip(flagged, flags, strict=True):
            thing.trainable = flag


def _merge(dense):
    """Adds a Dense's low-rank adapter to its kernel and takes the adapter away."""
    scale = dense.lora_alpha / dense.lora_rank
    change = scale * ops.matmul(dense.lora_kernel_a, dense.lora_kernel_b)  # (in, out)
    dense.lora_enabled = False  # from here on `kernel` is the variable, no sum
    dense.lora_rank = dense.lora_alpha = None
    dense.kernel.assign_add(change)
    del dense.lora_kernel_a, dense.lora_kernel_b


def decay_factors(model, layer_decay):
    """Returns the share of the learning rate of each trainable variable, by place.

    `layer_decay` to the power of the number of places up to the head: 1 for the norm and the head
    behind the blocks, `layer_decay` for the last block, its square for the one before.
    """
    factors = {
        id(variable): layer_decay ** (model.depth + 1 - place)
        for layer, place in places(model)
        for variable in layer.variables
    }
    return [factors[id(variable)] for variable in model.trainable_variables]


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW with a learning rate, and so a weight decay, of its own for each variable.

    Args:
        factors: for each variable, in the order the optimizer is built with, what the learning
            rate is multiplied by.
        **kwargs: arguments of `keras.optimizers.AdamW`.
    """

    def __init__(self, factors, **kwargs):
        """Stores the arguments."""
        super().__init__(**kwargs)
        self.factors = tuple(factors)

    def update_step(self, gradient, variable, learning_rate):
        """Decays and moves one variable at its own rate."""
        rate = ops.cast(learning_rate, variable.dtype)
        rate = rate * self.factors[self._get_variable_index(variable)]
        if self._use_weight_decay(variable):
            self.assign_sub(variable, variable * self.weight_decay * rate)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables):
        """Does nothing: Keras decays all variables at one rate, `update_step` each at its own."""

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {**super().get_config(), "factors": list(self.factors)}


def with_features(flowers, model, batch_size):
    """Returns `flowers` with features in place of photos.

    Args:
        flowers: a `Flowers`.
        model: a `ViT`; what its head reads, (dim,) float32, is computed once a photo, without
            augmentation and with dropout off.
        batch_size: photos at once.

    Returns:
        A `Flowers` of train and validation (its test photos are left out), whose order in an
        epoch is that of photos kept in memory.
    """
    import tensorflow as tf

    body = keras.Model(model.input, model.get_layer("head").input)
    features, labels, rows, first = [], [], {}, 0
    for split in ("train", "validation"):
        for images, one_hot in flowers.batches(split, batch_size).as_numpy_iterator():
            features.append(np.asarray(body.predict_on_batch(images), "float32"))  # (B, dim)
            labels.append(np.argmax(one_hot, axis=-1))  # (B, classes) -> (B,)
        count = sum(map(len, labels))
        rows[split], first = np.arange(first, count), count
    with tf.device("CPU"):  # tf.data runs there
        features, labels = (tf.constant(np.concatenate(parts)) for parts in (features, labels))

    def read(rows):
        return rows.map(lambda row: (tf.gather(features, row), tf.gather(labels, row)))

    rows["test"] = np.arange(0)
    splits = {name: read(tf.data.Dataset.from_tensor_slices(rows[name])) for name in rows}
    return dataclasses.replace(flowers, **splits, _rows=rows, _read=read)
