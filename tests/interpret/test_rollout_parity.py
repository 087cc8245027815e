"""Rollout and relevance of Hugging Face's ViT, by hand, against ours with the same weights."""

import numpy as np
import pytest

from vit_keras_lib import attention_maps, attention_rollout, class_relevance

torch = pytest.importorskip("torch", reason="PyTorch (extra: peers) is not installed")


@pytest.fixture(scope="module")
def pair(twins):
    return twins(48)


@pytest.mark.parametrize(("fusion", "fuse"), [("mean", np.mean), ("max", np.max), ("min", np.min)])
def test_rollout_equals_that_of_hugging_face_by_hand(pair, fusion, fuse):
    ours, theirs, images, pixels = pair
    with torch.no_grad():
        attentions = theirs(pixels, output_attentions=True).attentions
    expected = []
    for b in range(2):
        reached = np.eye(10)
        for block in attentions:  # first to last
            weights = fuse(block[b].numpy().astype("float64"), axis=0) + np.eye(10)
            reached = np.diag(1 / weights.sum(1)) @ weights @ reached
        expected.append(reached)
    rollout = attention_rollout(attention_maps(ours, images), fusion)
    assert np.abs(rollout - expected).max() <= 1e-5


@pytest.mark.parametrize("class_index", [0, 6, None])
def test_relevance_equals_that_of_hugging_face_by_hand(pair, class_index):
    """The gradients are PyTorch's, taken at the attentions themselves."""
    ours, theirs, images, pixels = pair
    relevance = class_relevance(ours, images, class_index)
    for b in range(2):
        output = theirs(pixels[b : b + 1], output_attentions=True)
        chosen = output.logits[0].argmax() if class_index is None else class_index
        slopes = torch.autograd.grad(output.logits[0, chosen], output.attentions)
        R = np.eye(10)
        for weights, slope in zip(output.attentions, slopes, strict=True):
            evidence = (weights * slope)[0].detach().numpy().clip(min=0).mean(0)
            R += evidence @ R
        expected = R[0, 1:].reshape(3, 3)
        np.testing.assert_allclose(relevance[b], expected, atol=1e-4 * expected.max())
