"""Hugging Face's ViT and ours with the same weights."""

import numpy as np
import pytest

from vit_keras_lib import ViT


def copied(state, ours):
    """Copies a Hugging Face ViT's weights into `ours`; every one must be used."""
    left = {name: value.numpy() for name, value in state.items()}

    def dense(*names):
        kernels = [left.pop(f"{name}.weight") for name in names]
        biases = [left.pop(f"{name}.bias") for name in names]
        return [np.concatenate(kernels).T, np.concatenate(biases)]

    def norm(name):
        return [left.pop(f"{name}.weight"), left.pop(f"{name}.bias")]

    encoder, embeddings = ours.get_layer("encoder"), "vit.embeddings"
    kernel = left.pop(f"{embeddings}.patch_embeddings.projection.weight")  # (dim, C, P, P)
    encoder.projection.kernel.assign(kernel.transpose(2, 3, 1, 0).reshape(-1, ours.dim))
    encoder.projection.bias.assign(left.pop(f"{embeddings}.patch_embeddings.projection.bias"))
    encoder.class_vector.assign(left.pop(f"{embeddings}.cls_token"))
    positions = left.pop(f"{embeddings}.position_embeddings")  # (1, 1 + N, dim)
    encoder.class_position.assign(positions[:, :1])
    encoder.position_table.assign(positions[0, 1:])
    for i in range(ours.depth):
        block, at = ours.get_layer(f"block{i}"), f"vit.layers.{i}"
        block.attention.qkv.set_weights(dense(*(f"{at}.attention.{p}_proj" for p in "qkv")))
        block.attention.projection.set_weights(dense(f"{at}.attention.o_proj"))
        block.norm1.set_weights(norm(f"{at}.layernorm_before"))
        block.norm2.set_weights(norm(f"{at}.layernorm_after"))
        block.mlp_hidden.set_weights(dense(f"{at}.mlp.fc1"))
        block.mlp_output.set_weights(dense(f"{at}.mlp.fc2"))
    ours.get_layer("norm").set_weights(norm("vit.layernorm"))
    ours.get_layer("head").set_weights(dense("classifier"))
    assert not left


@pytest.fixture(scope="module")
def twins():
    """Returns a maker of pairs: our ViT, the same of Hugging Face, and pixels for each."""
    torch = pytest.importorskip("torch", reason="PyTorch (extra: peers) is not installed")
    transformers = pytest.importorskip("transformers", reason="Transformers (extra: peers) missing")

    def make(size):
        config = transformers.ViTConfig(
            hidden_size=48,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=96,
            image_size=size,
            patch_size=16,
            num_labels=7,
            layer_norm_eps=1e-6,
            attn_implementation="eager",
        )
        torch.manual_seed(0)
        theirs = transformers.ViTForImageClassification(config).eval()
        with torch.no_grad():
            for parameter in theirs.parameters():  # biases too must matter
                parameter.add_(torch.randn_like(parameter) * 0.1)
        ours = ViT(size, 7, patch_size=16, dim=48, depth=3, num_heads=3, mlp_dim=96)
        copied(theirs.state_dict(), ours)
        images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
        return ours, theirs, images, torch.tensor(images / 127.5 - 1).permute(0, 3, 1, 2).float()

    return make
