"""Checkpoints with random weights in the published layouts, made when a test asks for them."""

import json
import struct

import numpy as np
import pytest

NUMPY_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8"}


def make_flax(
    dim=24, depth=2, heads=3, mlp=48, patch=8, grid=(3, 3), classes=5, rep=None, class_token=True
):
    """The tensors of a google-research `.npz`, by their published names."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, "float32")

    def dense(name, fan_in, into, out):
        kernel = normal(*into, *out) / np.float32(np.sqrt(fan_in))
        return {f"{name}/kernel": kernel, f"{name}/bias": 0.1 * normal(*out)}

    def norm(name):
        return {f"{name}/scale": 1 + 0.1 * normal(dim), f"{name}/bias": 0.1 * normal(dim)}

    d = dim // heads
    params = dense("embedding", patch * patch * 3, (patch, patch, 3), (dim,))
    if class_token:
        params["cls"] = normal(1, 1, dim)
    rows = grid[0] * grid[1] + class_token
    params["Transformer/posembed_input/pos_embedding"] = normal(1, rows, dim)
    for i in range(depth):
        block = f"Transformer/encoderblock_{i}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        params |= norm(f"{block}/LayerNorm_0") | norm(f"{block}/LayerNorm_2")
        for part in ("query", "key", "value"):
            params |= dense(f"{attention}/{part}", dim, (dim,), (heads, d))
        params |= dense(f"{attention}/out", dim, (heads, d), (dim,))
        params |= dense(f"{block}/MlpBlock_3/Dense_0", dim, (dim,), (mlp,))
        params |= dense(f"{block}/MlpBlock_3/Dense_1", mlp, (mlp,), (dim,))
    params |= norm("Transformer/encoder_norm")
    if rep:
        params |= dense("pre_logits", dim, (dim,), (rep,))
    if classes:
        params |= dense("head", rep or dim, (rep or dim,), (classes,))
    return params


def forward(params, pixels, exact_gelu=False, epsilon=1e-6):
    """The forward pass of these tensors in NumPy, float64; pixels in the range trained with."""
    p = {name: np.float64(value) for name, value in params.items()}

    def norm(x, name):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + epsilon) * p[f"{name}/scale"] + p[f"{name}/bias"]

    def gelu(x):
        if exact_gelu:
            from scipy.special import erf

            return x / 2 * (1 + erf(x / np.sqrt(2)))
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    kernel = p["embedding/kernel"]
    P, (B, H, W, C) = kernel.shape[0], pixels.shape
    x = np.float64(pixels).reshape(B, H // P, P, W // P, P, C)
    x = np.einsum("brpcqi,pqid->brcd", x, kernel).reshape(B, -1, kernel.shape[-1])
    x = x + p["embedding/bias"]
    if "pos_embedding" in p:  # big_vision: positions first, then the class token
        x = x + p["pos_embedding"]
    if "cls" in p:
        x = np.concatenate([np.repeat(p["cls"], B, axis=0), x], axis=1)
    if "Transformer/posembed_input/pos_embedding" in p:
        x = x + p["Transformer/posembed_input/pos_embedding"]
    for i in range(sum(name.endswith("query/kernel") for name in p)):
        block = f"Transformer/encoderblock_{i}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        y = norm(x, f"{block}/LayerNorm_0")
        q, k, v = (
            np.einsum("btd,dkh->btkh", y, p[f"{attention}/{part}/kernel"])
            + p[f"{attention}/{part}/bias"]
            for part in ("query", "key", "value")
        )
        logits = np.einsum("bqkh,btkh->bkqt", q, k) / np.sqrt(q.shape[-1])
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        y = np.einsum("bkqt,btkh->bqkh", weights, v)
        x = x + np.einsum("btkh,khd->btd", y, p[f"{attention}/out/kernel"])
        x = x + p[f"{attention}/out/bias"]
        y = norm(x, f"{block}/LayerNorm_2")
        y = y @ p[f"{block}/MlpBlock_3/Dense_0/kernel"] + p[f"{block}/MlpBlock_3/Dense_0/bias"]
        y = gelu(y) @ p[f"{block}/MlpBlock_3/Dense_1/kernel"]
        x = x + y + p[f"{block}/MlpBlock_3/Dense_1/bias"]
    x = norm(x, "Transformer/encoder_norm")
    x = x[:, 0] if "cls" in p else x.mean(1)
    if "pre_logits/kernel" in p:
        x = np.tanh(x @ p["pre_logits/kernel"] + p["pre_logits/bias"])
    return x @ p["head/kernel"] + p["head/bias"]


def torch_parts(params):
    """Yields (block or None, part, kernel or vector as PyTorch keeps it, bias or None)."""
    dim = params["embedding/bias"].size

    def dense(name):
        kernel = params[f"{name}/kernel"]
        out = params[f"{name}/bias"].size
        return kernel.reshape(-1, out).T, params[f"{name}/bias"].ravel()

    yield None, "patch", params["embedding/kernel"].transpose(3, 2, 0, 1), params["embedding/bias"]
    yield None, "positions", params["Transformer/posembed_input/pos_embedding"], None
    if "cls" in params:
        yield None, "class", params["cls"], None
    for i in range(sum(name.endswith("query/kernel") for name in params)):
        block = f"Transformer/encoderblock_{i}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for number, norm in (("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")):
            yield i, number, params[f"{block}/{norm}/scale"], params[f"{block}/{norm}/bias"]
        for part in ("query", "key", "value"):
            kernel = params[f"{attention}/{part}/kernel"].reshape(dim, dim)
            yield i, part, kernel.T, params[f"{attention}/{part}/bias"].ravel()
        yield i, "out", *dense(f"{attention}/out")
        yield i, "fc1", *dense(f"{block}/MlpBlock_3/Dense_0")
        yield i, "fc2", *dense(f"{block}/MlpBlock_3/Dense_1")
    norm = "Transformer/encoder_norm"
    yield None, "norm", params[f"{norm}/scale"], params[f"{norm}/bias"]
    if "head/kernel" in params:
        yield None, "head", *dense("head")


def make_timm(params):
    """The same tensors by timm's published names."""
    names = {"patch": "patch_embed.proj", "positions": "pos_embed", "class": "cls_token"}
    names |= {"out": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    tensors, qkv = {}, []
    for i, part, weight, bias in torch_parts(params):
        name = names.get(part, part) if i is None else f"blocks.{i}.{names.get(part, part)}"
        if part in ("query", "key", "value"):
            qkv.append((weight, bias))
            if part != "value":
                continue
            name = f"blocks.{i}.attn.qkv"
            weight, bias = (np.concatenate(both) for both in zip(*qkv, strict=True))
            qkv = []
        if bias is None:
            tensors[name] = weight
        else:
            tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return tensors


@pytest.fixture(scope="session")
def timm_tensors():
    return make_timm


@pytest.fixture(scope="session")
def flax_params():
    return make_flax


@pytest.fixture(scope="session")
def flax_forward():
    return forward


@pytest.fixture(scope="session")
def parts():
    return torch_parts


@pytest.fixture(scope="session")
def raw_images():
    """Returns a maker of raw pixels."""

    def make(H, W, B=2):
        return np.random.default_rng(1).integers(0, 256, (B, H, W, 3), dtype="uint8")

    return make


@pytest.fixture(scope="session")
def safetensors_bytes():
    """Returns a writer of the safetensors format: length, JSON header, tensors."""

    def make(tensors, **dtypes):
        header, data = {"__metadata__": {"format": "pt"}}, b""
        for name, value in tensors.items():
            value = np.asarray(value, order="C")
            names = {v: k for k, v in NUMPY_NAMES.items()}
            dtype = dtypes.get(name, names.get(value.dtype.str))
            offsets = [len(data), len(data) + value.nbytes]
            header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": offsets}
            data += value.tobytes()
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    return make
