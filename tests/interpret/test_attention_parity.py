"""Attention maps and logits against Hugging Face's ViT, with its weights copied over."""

import numpy as np
import pytest
from keras import ops

from vit_keras_lib import attention_maps

torch = pytest.importorskip("torch", reason="PyTorch (extra: peers) is not installed")


@pytest.mark.parametrize("size", [32, 64])
def test_equals_hugging_face(twins, size):
    ours, theirs, images, pixels = twins(size)
    with torch.no_grad():
        expected = theirs(pixels, output_attentions=True)
    assert np.abs(ops.convert_to_numpy(ours(images)) - expected.logits.numpy()).max() <= 1e-4
    maps = np.stack([a.numpy() for a in expected.attentions], axis=1)
    assert maps.shape == (2, 3, 3, 1 + (size // 16) ** 2, 1 + (size // 16) ** 2)
    assert np.abs(attention_maps(ours, images) - maps).max() <= 1e-5
