"""Maps that know the class: what speaks for it, by the gradient of its logit."""

import keras
import numpy as np
from keras import ops

from vit_keras_lib.interpret.residual import class_numbers, run_chain, vit_blocks
from vit_keras_lib.layers import patchify
from vit_keras_lib.models.vit import check_images


def gradient(function, inputs):
    """Returns the gradient of a scalar function, on any backend that has gradients.

    Args:
        function: takes a list of tensors like `inputs`, returns (scalar, anything else).
        inputs: list of float tensors.

    Returns:
        (gradients, anything else): one gradient for each input, of its shape.

    Raises:
        ValueError: on a backend without gradients.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # The gradients of the weights would be thrown away.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            value, rest = function(inputs)
        return tape.gradient(value, inputs), rest
    if backend == "jax":
        import jax

        return jax.grad(function, has_aux=True)(inputs)
    if backend == "torch":
        import torch

        inputs = [x.detach().requires_grad_() for x in inputs]
        value, rest = function(inputs)
        return torch.autograd.grad(value, inputs), rest
    raise ValueError(
        f"Keras runs on {backend}, which has no gradients here: set KERAS_BACKEND to tensorflow, "
        "jax or torch before Python starts."
    )


def _open_block(block, x, normed, probe):
    """Runs a block in the open: with its first norm's output and its attention as inputs.

    A `TransformerBlock` from its own sublayers, dropout off.

    Args:
        block: the block.
        x: tokens (B, T, dim): what the residual connection carries.
        normed: (B, T, dim): what attention reads, `block.norm1(x)`.
        probe: (B, heads, T, T), added to the attention weights: the gradient with respect to a
            probe of zeros is that with respect to the weights.

    Returns:
        (B, T, dim), and the weights (B, heads, T, T), float32, without the probe.
    """
    weights, value = block.attention.weights_and_values(normed)
    heads = ops.matmul(ops.cast(weights + probe, value.dtype), value)  # (B, heads, T, d)
    heads = ops.reshape(ops.transpose(heads, (0, 2, 1, 3)), ops.shape(x))  # -> (B, T, dim)
    branch = block.attention.projection(heads)
    if block.layer_scale is not None:
        branch = branch * ops.cast(block.scale1, branch.dtype)
    x = x + branch
    branch = block.mlp(block.norm2(x))
    if block.layer_scale is not None:
        branch = branch * ops.cast(block.scale2, branch.dtype)
    return x + branch, weights


def _class_logits(logits, classes):
    """Returns the sum over images of the logit of each one's class; None: the predicted one."""
    if classes is None:
        classes = ops.argmax(logits, axis=-1)  # (B, classes) -> (B,)
    return ops.sum(ops.take_along_axis(logits, ops.expand_dims(classes, -1), axis=-1))


def _checked(model, images, class_index):
    """Returns images and classes as arrays; raises a ValueError for what cannot be explained."""
    vit_blocks(model)
    images = np.asarray(images)
    check_images(model, images)
    return images, class_numbers(class_index, len(images), model.num_classes)


def _on_grid(explain, grid, images, classes, batch_size):
    """Returns `explain(images, classes)`, (b, N) of every batch, as float32 (B, rows, columns)."""
    parts = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        scores = explain(images[batch], None if classes is None else classes[batch])  # (b, N)
        parts.append(ops.convert_to_numpy(scores))
    return np.concatenate(parts).astype("float32").reshape(-1, *grid)  # (B, N) -> (B, rows, cols)


def class_relevance(model, images, class_index=None, batch_size=32):
    """Returns where the evidence for a class is, by attention weighted with its gradient.

    Chefer et al. 2021 (arXiv 2103.15679, equations 5 and 6; arXiv 2012.09838 is the idea with
    layer-wise relevance in place of the weights). In every block, attention A is multiplied with
    the gradient of the class's logit with respect to A; the positive part is averaged over the
    heads, and, first block first, `R = R + A_bar R`, from the identity on. The map is what the
    class token's row of R gives to the patches. A mean-pooled model has no class row: the map is
    then the mean over the rows of the patches. The identity itself is left out: in that mean it
    would add the same to every patch.

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        class_index: the class asked about, or one for each image (B,); None: the predicted class.
        batch_size: images taken at a time. It bounds the memory used: 12 * depth * heads * T * T
            bytes an image for weights, probes and gradients, beside what a training step holds.

    Returns:
        float32 array (B, rows, columns), not negative. A path through n blocks counts with a
        product of n gradients: compare patches within a map, not values between maps.

    Raises:
        ValueError: for a model that is no `ViT`, images of another size, or a class that is not
            there.
    """
    images, classes = _checked(model, images, class_index)
    blocks, norm, prefix = vit_blocks(model), model.get_layer("norm"), model.num_prefix_tokens
    front = keras.Model(model.input, blocks[0].input)

    def explain(x, classes):
        tokens = front(x)  # (b, T, dim)
        b, T, _ = tokens.shape

        def logit(probes):
            y, maps = tokens, []
            for block, probe in zip(blocks, probes, strict=True):
                y, weights = _open_block(block, y, block.norm1(y), probe)
                maps.append(weights)
            return _class_logits(run_chain(model, norm, y), classes), maps

        slopes, maps = gradient(logit, [ops.zeros((b, k.num_heads, T, T)) for k in blocks])
        R = identity = np.eye(T, dtype="float32")
        for weights, slope in zip(maps, slopes, strict=True):
            signed = ops.convert_to_numpy(weights) * ops.convert_to_numpy(slope)
            R = R + np.maximum(signed, 0).mean(1) @ R  # (b, heads, T, T) -> (b, T, T)
        readers = slice(0, 1) if model.pool == "cls" else slice(prefix, T)
        return (R - identity)[:, readers, prefix:].mean(1)  # (b, T, T) -> (b, N)

    return _on_grid(explain, model.grid, images, classes, batch_size)


def input_gradient(model, images, class_index=None, batch_size=32):
    """Returns gradient x input, summed over each patch: the baseline of Shrikumar et al. 2016.

    arXiv 1605.01713. The input is what the network gets: pixels rescaled to [-1, 1], of which
    mid-grey is the zero (or the model's own `pixel_mean`). Signed: a patch's value is how fast the
    class's logit grows when the contrast of that patch does.

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        class_index: the class asked about, or one for each image (B,); None: the predicted class.
        batch_size: images taken at a time; it bounds the memory used.

    Returns:
        float32 array (B, rows, columns), in logits; negative where contrast speaks against.

    Raises:
        ValueError: for a model that is no `ViT`, images of another size, or a class that is not
            there.
    """
    images, classes = _checked(model, images, class_index)
    rescale = model.get_layer("rescale")
    stem = model.layers[model.layers.index(rescale) + 1]

    def explain(x, classes):
        pixels = rescale(x)  # (b, H, W, C)

        def logit(inputs):
            return _class_logits(run_chain(model, stem, inputs[0]), classes), ()

        (slope,), _ = gradient(logit, [pixels])
        return ops.sum(patchify(pixels * slope, model.patch_size), axis=-1)  # -> (b, N)

    return _on_grid(explain, model.grid, images, classes, batch_size)


def grad_cam(model, images, class_index=None, batch_size=32):
    """Returns Grad-CAM on the first norm of the last block, a baseline.

    Selvaraju et al. 2017 (arXiv 1610.02391, equations 1 and 2), with tokens for pixels: channels
    weighted with the mean over patches of the gradient of the class's logit, summed, positive
    part. The last block's output would not do: a class token's head reads no patch of it.

    Args:
        model: a `ViT`.
        images: (B, H, W, C), raw pixels from 0 to 255.
        class_index: the class asked about, or one for each image (B,); None: the predicted class.
        batch_size: images taken at a time; it bounds the memory used.

    Returns:
        float32 array (B, rows, columns), not negative.

    Raises:
        ValueError: for a model that is no `ViT`, images of another size, or a class that is not
            there.
    """
    images, classes = _checked(model, images, class_index)
    last, norm, prefix = vit_blocks(model)[-1], model.get_layer("norm"), model.num_prefix_tokens
    front = keras.Model(model.input, last.input)

    def explain(x, classes):
        tokens = front(x)  # (b, T, dim)
        normed = last.norm1(tokens)

        def logit(inputs):
            y, _ = _open_block(last, tokens, inputs[0], 0.0)
            return _class_logits(run_chain(model, norm, y), classes), ()

        (slope,), _ = gradient(logit, [normed])
        patches, slope = normed[:, prefix:], slope[:, prefix:]  # (b, T, dim) -> (b, N, dim)
        channels = ops.mean(slope, axis=1, keepdims=True)  # -> (b, 1, dim)
        return ops.relu(ops.sum(channels * patches, axis=-1))  # (b, N, dim) -> (b, N)

    return _on_grid(explain, model.grid, images, classes, batch_size)
