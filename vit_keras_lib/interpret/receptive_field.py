"""The effective receptive field: which pixels one place of a layer reads, and how far off."""

import keras
import numpy as np
from keras import ops

from vit_keras_lib.interpret.relevance import gradient
from vit_keras_lib.models.vit import ViT, check_images


def _middle(model, layer):
    """Returns the index of the middle unit in a layer's output, and its place (y, x) in pixels."""
    shape = model.get_layer(layer).output.shape
    if len(shape) == 4:
        rows, cols = shape[1:3]
        unit = (rows // 2, cols // 2)
    elif len(shape) == 3 and isinstance(model, ViT):
        rows, cols = model.grid
        # Behind the prefix tokens, which there are none of before the encoder.
        unit = (shape[1] - rows * cols + rows // 2 * cols + cols // 2,)
    else:
        raise ValueError(
            f"The layer {layer!r} of {model.name} gives {tuple(shape)}, in which no unit has a "
            "place. Choose a layer with a feature map (B, h, w, C) or, of a ViT, one with tokens "
            "(B, T, dim)."
        )
    H, W = model.input_shape[1:3]
    place = ((rows // 2 + 0.5) * H / rows - 0.5, (cols // 2 + 0.5) * W / cols - 0.5)
    return (slice(None), *unit), place


def effective_receptive_field(model, images, layer, batch_size=32):
    """Returns how much each pixel moves the middle unit of a layer, and where that unit is.

    Luo et al. 2016 (arXiv 1701.04128, section 2): the gradient of one unit's output, summed over
    its channels, with respect to every input pixel; absolute values, averaged over images and
    colour channels, as shares of their sum. The channels' sum is blind to what a layer norm
    takes away: behind one, nothing but rounding is left. Choose the outputs of blocks.

    Of an even number of units the one below or to the right of the middle is taken. Its place is
    the middle of what it stands for: unit i of h is at `(i + 1/2) * H / h - 1/2`, for a ViT the
    middle of its patch. (A convolution with stride and "same" padding reads somewhat further to
    the right and below than to the left and above of that.)

    Args:
        model: a functional model of images: a `ViT`, a CNN, ...
        images: (B, H, W, C), raw pixels from 0 to 255.
        layer: name of one of its layers, whose output is a feature map (B, h, w, C) or, of a
            `ViT`, tokens (B, T, dim).
        batch_size: images taken at a time; it bounds the memory used.

    Returns:
        (field, place). `field`: float32 array (H, W), not negative, its sum 1. `place`: (y, x) of
        the unit in pixels, both floats; (0, 0) is the middle of the first pixel.

    Raises:
        ValueError: for a layer that is not there or has no places, images of another size, or a
            unit that no pixel moves.
    """
    unit, place = _middle(model, layer)
    images = np.asarray(images, dtype="float32")
    check_images(model, images)
    read = keras.Model(model.inputs, model.get_layer(layer).output)

    def output(pixels):
        return ops.sum(ops.cast(read(pixels[0])[unit], "float32")), ()  # (b, C) -> ()

    field = np.zeros(images.shape[1:3])
    for start in range(0, len(images), batch_size):
        pixels = ops.convert_to_tensor(images[start : start + batch_size])
        (slope,), _ = gradient(output, [pixels])  # (b, H, W, C)
        field += np.abs(ops.convert_to_numpy(slope)).sum(axis=(0, 3))  # -> (H, W)
    if not field.any():
        raise ValueError(
            f"No pixel of these {len(images)} images moves the middle unit of {layer!r}: its "
            "units are cut off (ReLU), or their sum is constant (layer norm). Take more images, or "
            "the layer before."
        )
    return (field / field.sum()).astype("float32"), place


def field_radius(field, place=None):
    """Returns how far off the pixels are that a unit reads, on average.

    The distance from a place, weighted with the field. Beside `mean_attention_distance`, which is
    measured between the middles of patches: what reads all of its own P x P patch alike, and
    nothing else, has a radius of 0.38 P here, and 0 there.

    Args:
        field: (H, W), not negative, as from `effective_receptive_field`.
        place: (y, x) in pixels, likewise. None: the field's own centre of mass, which does not mind
            that convolutions with stride and "same" padding read off the middle of their place.

    Returns:
        A float, in pixels.

    Raises:
        ValueError: for anything but one field and one place.
    """
    field = np.asarray(field, dtype="float64")
    if field.ndim != 2 or (place is not None and np.shape(place) != (2,)):
        raise ValueError(
            "A radius is that of one field (H, W) about one place (y, x), got shapes "
            f"{field.shape} and {np.shape(place)}."
        )
    down, right = np.indices(field.shape)  # (H, W) each
    field = field / field.sum()
    y, x = ((field * down).sum(), (field * right).sum()) if place is None else place
    return float((field * np.hypot(down - y, right - x)).sum())
