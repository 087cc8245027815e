"""Rollout and relevance of Hugging Face's ViT, by hand, against ours with the same weights."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from vit_keras_lib import ViT, attention_maps, attention_rollout, class_relevance

torch = pytest.importorskip("torch", reason="PyTorch (extra: peers) is not installed")
transformers = pytest.importorskip("transformers", reason="Transformers (extra: peers) is missing")

# How the weights are shared is told in the test of the attentions.
copied = runpy.run_path(str(Path(__file__).with_name("test_attention_parity.py")))["copied"]


@pytest.fixture(scope="module")
def twins():
    """Returns our ViT, the same of Hugging Face, and pixels for each."""
    config = transformers.ViTConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=48,
        patch_size=16,
        num_labels=7,
        layer_norm_eps=1e-6,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    theirs = transformers.ViTForImageClassification(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = ViT(48, 7, patch_size=16, dim=48, depth=3, num_heads=3, mlp_dim=96)
    copied(theirs.state_dict(), ours)
    images = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    return ours, theirs, images, torch.tensor(images / 127.5 - 1).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize(("fusion", "fuse"), [("mean", np.mean), ("max", np.max), ("min", np.min)])
def test_rollout_equals_that_of_hugging_face_by_hand(twins, fusion, fuse):
    ours, theirs, images, pixels = twins
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
def test_relevance_equals_that_of_hugging_face_by_hand(twins, class_index):
    """The gradients are PyTorch's, taken at the attentions themselves."""
    ours, theirs, images, pixels = twins
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
