"""What a forward pass costs."""

from math import prod

import keras

from vit_keras_lib.layers import ConvStem, PatchEncoder, TransformerBlock
from vit_keras_lib.models.vit import ViT


def multiply_adds(model):
    """Counts the multiply-adds of one image's forward pass, in matrix products and convolutions.

    What papers call FLOPs is this number, or twice it. Norms, activations and softmax are left
    out: they cost time, but few operations. Papers count all tokens of the last block too; a
    `ViT` that reads the class token does not compute them.

    Args:
        model: a `ViT`, a `CNN`, or another functional model of Dense and Conv2D layers.

    Returns:
        An int.

    Raises:
        ValueError: for a layer with kernels that is not known here.
    """
    is_vit = isinstance(model, ViT)
    return sum(_products(x, model.num_queries(x) if is_vit else None) for x in model.layers)


def _products(layer, num_queries=None):
    if isinstance(layer, TransformerBlock):
        T, D = layer.input.shape[1:]
        Q = num_queries or T
        qkv = prod(layer.attention.qkv.kernel.shape)  # all tokens go through it
        # and q k', weights v: all heads together
        return T * qkv + Q * (_dense(layer) - qkv) + 2 * Q * T * D
    if isinstance(layer, PatchEncoder):
        return layer.input.shape[1] * _dense(layer)
    if isinstance(layer, ConvStem):
        shape, total = layer.input.shape, 0
        for convolution in layer.convolutions:
            shape = convolution.compute_output_shape(shape)
            total += prod(shape[1:3]) * prod(convolution.kernel.shape)
        return total
    if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
        return prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)
    kernels = [w.path for w in layer.weights if "kernel" in w.name]
    if kernels:
        raise ValueError(
            f"What {layer.name} ({type(layer).__name__}) costs is not known here: it has "
            f"{', '.join(kernels)}. Count models of Dense, Conv2D and this library's layers."
        )
    return 0


def _dense(layer):
    """The entries of all kernels, each of which meets every token once."""
    return sum(prod(w.shape) for w in layer.weights if w.name == "kernel")
