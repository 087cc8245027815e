"""The residual stream: read and cut a ViT at the joints between its blocks."""

import keras
import numpy as np
from keras import ops

from vit_keras_lib.interpret.attention import encoder_blocks
from vit_keras_lib.models.vit import ViT, check_images


def vit_blocks(model):
    """Returns the encoder blocks of a `ViT`, first to last.

    Raises:
        ValueError: for anything else.
    """
    blocks = encoder_blocks(model)
    if not isinstance(model, ViT):
        raise ValueError(
            f"{model.name} is a {type(model).__name__} and not a ViT of this library, which alone "
            "is known to be a chain of layers with a patch grid. Pass the ViT itself."
        )
    return blocks


def class_numbers(class_index, B, num_classes):
    """Returns `class_index` as an array of B class numbers, or None for the predicted ones."""
    if class_index is None:
        return None
    given = np.asarray(class_index)
    fits = given.shape in ((), (B,)) and np.issubdtype(given.dtype, np.integer)
    if not fits or (given < 0).any() or (given >= num_classes).any():
        raise ValueError(
            f"`class_index` must be None (the predicted class), one class or one for each of the "
            f"{B} images, whole numbers from 0 to {num_classes - 1}, got {class_index!r}."
        )
    return np.broadcast_to(given, (B,))


def run_chain(model, layer, x):
    """Runs a ViT's layer `layer` and all behind it on the tensor `x`.

    Layer by layer, with no `keras.Model` around them: one that starts in the middle leaves new
    nodes in the layers it shares, every time it is made.
    """
    layers = model.layers
    for step in layers[layers.index(layer) :]:
        x = step(x)
    return x


def _in_batches(function, x, batch_size):
    """Returns `function`, tensors to tensors, of the array `x`, as a NumPy array."""
    starts = range(0, len(x), batch_size)
    return np.concatenate(
        [ops.convert_to_numpy(function(x[start : start + batch_size])) for start in starts]
    )


def residual_stream(model, images, batch_size=32):
    """Returns the tokens at every joint of a ViT.

    Every block only adds to what it got (the residual stream of Elhage et al. 2021,
    transformer-circuits.pub/2021/framework), so the joints are where a run can be read and cut.

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        batch_size: images taken at a time; it bounds the memory used beside the result, which
            takes 4 * (depth + 1) * T * dim bytes an image.

    Returns:
        float32 array (B, depth + 1, T, dim). Joint 0 is what the encoder hands to block 0, joint
        j the output of block j - 1; `run_from(model, j, stream[:, j])` are the model's logits.

    Raises:
        ValueError: for a model that is no `ViT`, or images of another size.
    """
    blocks = vit_blocks(model)
    read = keras.Model(model.input, [blocks[0].input, *(block.output for block in blocks)])
    images = np.asarray(images)
    check_images(model, images)

    def stream(x):
        return ops.cast(ops.stack(read(x), axis=1), "float32")  # -> (b, depth + 1, T, dim)

    return _in_batches(stream, images, batch_size)


def run_from(model, block, tokens, batch_size=32):
    """Returns the logits of a ViT that starts in the middle.

    Activation patching (Meng et al. 2022, arXiv 2202.05262, there called causal tracing): put
    some tokens of one image's `residual_stream` into that of another, run on from there, and see
    how the logits move. Many variants go into one batch:

        clean, corrupt = residual_stream(model, np.stack([image, without_flower]))[:, j]  # (T, dim)
        patched = np.where(np.eye(T)[..., None], clean, corrupt)  # (T, T, dim): one token each
        logits = run_from(model, j, patched)  # (T, classes)

    Args:
        model: a `ViT`; the weights are shared, nothing is copied.
        block: number of the first block to run, counted from 0; the model's depth runs only what
            comes after the blocks: norm, pool and head.
        tokens: (B, T, dim), what this block gets: joint `block` of `residual_stream`.
        batch_size: token sequences taken at a time; it bounds the memory used.

    Returns:
        float32 array (B, classes).

    Raises:
        ValueError: for a model that is no `ViT`, a block that is not there, or tokens of
            another shape.
    """
    blocks = vit_blocks(model)
    if block not in range(len(blocks) + 1):
        raise ValueError(
            f"There is no block {block} to start from: {model.name} has {len(blocks)}, numbered "
            f"from 0; {len(blocks)} starts behind the last one, at the final norm."
        )
    tokens = np.asarray(tokens, dtype="float32")
    T, dim = blocks[0].output.shape[1:]
    if tokens.ndim != 3 or tokens.shape[1:] != (T, dim):
        raise ValueError(
            f"`tokens` must have shape (B, T, dim) = (B, {T}, {dim}), got {tokens.shape}. Take "
            "them from residual_stream(model, images)[:, block]."
        )
    first = [*blocks, model.get_layer("norm")][block]
    return _in_batches(lambda x: run_chain(model, first, x), tokens, batch_size)


def predict_without(model, images, class_index=None, batch_size=32):
    """Returns the function that `deletion_curve` asks: what the model says with patches dropped.

    Tokens are dropped behind the encoder, so those that stay keep their places; prefix tokens
    always stay. Dropping is the removal that is native to a ViT: grey boxes would be a new shape
    in the picture (Jain et al. 2022, arXiv 2204.08945).

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        class_index: the class asked about, or one for each image (B,); None: the predicted class.
        batch_size: token sequences taken at a time; it bounds the memory used.

    Returns:
        A function of kept (B, rows, columns), bool, as many patches in each image and at least
        one, to the probability of the class (B,).

    Raises:
        ValueError: for a model that is no `ViT`, images of another size, a class that is not
            there, or (from the function) patches of another shape or number.
    """
    first, prefix = vit_blocks(model)[0], model.num_prefix_tokens
    images = np.asarray(images)
    check_images(model, images)
    classes = class_numbers(class_index, len(images), model.num_classes)
    read = keras.Model(model.input, first.input)
    tokens = _in_batches(lambda x: ops.cast(read(x), "float32"), images, batch_size)  # (B, T, dim)
    logits = _in_batches(lambda x: run_chain(model, first, x), tokens, batch_size)
    if classes is None:
        classes = logits.argmax(axis=1)

    def predict(kept):
        kept = np.asarray(kept, dtype=bool)
        counts = kept.sum(axis=(1, 2)) if kept.ndim == 3 else np.zeros(1)
        if kept.shape != (len(images), *model.grid) or not counts.min() == counts.max() >= 1:
            raise ValueError(
                f"Kept patches must be bool {(len(images), *model.grid)} with as many in each "
                f"image and at least one, got shape {kept.shape} with {counts.min():.0f} to "
                f"{counts.max():.0f}."
            )
        _, patches = np.nonzero(kept.reshape(len(kept), -1))
        patches = patches.reshape(len(kept), -1)  # (B, kept): numbers of the patches that stay
        front = np.tile(np.arange(prefix), (len(kept), 1))
        places = np.concatenate([front, prefix + patches], axis=1)  # (B, prefix + kept)
        few = np.take_along_axis(tokens, places[..., None], axis=1)  # (B, prefix + kept, dim)
        answers = _in_batches(lambda x: ops.softmax(run_chain(model, first, x)), few, batch_size)
        return answers[np.arange(len(answers)), classes]

    return predict


def logit_lens(model, images, batch_size=32):
    """Returns what the model would say if it stopped behind each block.

    The final norm, pool and head are applied to every block's output (the logit lens,
    nostalgebraist 2020). They were trained for the last block only: an early answer that makes no
    sense does not show that the block knows nothing.

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        batch_size: images taken at a time; it bounds the memory used.

    Returns:
        float32 array (B, depth, classes). Behind the last block, `[:, -1]`, the model's logits.

    Raises:
        ValueError: for a model that is no `ViT`, or images of another size.
    """
    blocks, norm = vit_blocks(model), model.get_layer("norm")
    read = keras.Model(model.input, [block.output for block in blocks])
    images = np.asarray(images)
    check_images(model, images)

    def lens(x):
        logits = [run_chain(model, norm, tokens) for tokens in keras.tree.flatten(read(x))]
        return ops.stack(logits, axis=1)  # (b, depth, classes)

    return _in_batches(lens, images, batch_size)
