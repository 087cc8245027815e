"""The whole ViT against KerasHub's, with its weights copied over."""

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import ViT

keras_hub = pytest.importorskip("keras_hub", reason="KerasHub (extra: peers) is not installed")


def copied(theirs, head, ours):
    """Copies KerasHub's weights into `ours`, name by name."""
    arrays = {w.path: ops.convert_to_numpy(w) for w in theirs.weights}
    used = set()

    def take(ending):
        (path,) = [p for p in arrays if p.endswith(ending)]
        used.add(path)
        return arrays[path]

    dim = ours.dim
    positions = take("position_embedding/embeddings")  # (1 + N, dim): class token first
    encoder = ours.get_layer("encoder")
    encoder.projection.kernel.assign(take("patch_embedding/kernel").reshape(-1, dim))
    encoder.projection.bias.assign(take("patch_embedding/bias"))
    encoder.class_vector.assign(take("class_token"))
    encoder.class_position.assign(positions[None, :1])
    encoder.position_table.assign(positions[1:])
    for i in range(ours.depth):
        block, name = ours.get_layer(f"block{i}"), f"transformer_block_{i + 1}"
        parts = [f"{name}/mha/{part}" for part in ("query", "key", "value")]
        qkv = np.concatenate([take(f"{p}/kernel").reshape(dim, dim) for p in parts], axis=1)
        block.attention.qkv.kernel.assign(qkv)
        block.attention.qkv.bias.assign(np.concatenate([take(f"{p}/bias").ravel() for p in parts]))
        out = f"{name}/mha/attention_output"
        block.attention.projection.kernel.assign(take(f"{out}/kernel").reshape(dim, dim))
        block.attention.projection.bias.assign(take(f"{out}/bias"))
        for layer, path in [(block.norm1, "ln_1"), (block.norm2, "ln_2")]:
            layer.set_weights([take(f"{name}/{path}/{w}") for w in ("gamma", "beta")])
        for layer, path in [(block.mlp_hidden, "mlp/dense_1"), (block.mlp_output, "mlp/dense_2")]:
            layer.set_weights([take(f"{name}/{path}/{w}") for w in ("kernel", "bias")])
    ours.get_layer("norm").set_weights([take("vit_encoder/ln/gamma"), take("vit_encoder/ln/beta")])
    ours.get_layer("head").set_weights(head.get_weights())
    assert used == set(arrays)


@pytest.mark.parametrize("size", [(32, 48), (64, 64)])
def test_equals_keras_hub(size):
    config = dict(patch_size=16, num_layers=3, num_heads=3, hidden_dim=48, mlp_dim=96)
    theirs = keras_hub.models.ViTBackbone((*size, 3), layer_norm_epsilon=1e-6, **config)
    head = keras.layers.Dense(7)
    x = np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")
    rng = np.random.default_rng(1)
    for weight in theirs.weights:  # biases and norms too must matter
        weight.assign(rng.normal(0, 0.1, weight.shape) + ("gamma" in weight.path))
    expected = ops.convert_to_numpy(head(theirs(x / 127.5 - 1)[:, 0]))
    ours = ViT(size, 7, patch_size=16, dim=48, depth=3, num_heads=3, mlp_dim=96)
    copied(theirs, head, ours)
    assert np.abs(ops.convert_to_numpy(ours(x)) - expected).max() <= 1e-4
    assert ours.count_params() == theirs.count_params() + head.count_params()
