"""The checks of notebook 04: right answers in other words, planted bugs, and the page's counts."""

import re
from pathlib import Path

import keras
import nbformat
import numpy as np
import pytest
import tensorflow as tf

from vit_keras_lib import SelfAttention, TransformerBlock, ViT
from vit_keras_lib.exercises import transformer_block as page
from vit_keras_lib.models.vit import TokenPooling

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "04_transformer_block.ipynb"

# --- Right answers, written in other ways than the reference ----------------------------------


def attention_by_einsum(q, k, v):
    scores = np.einsum("...id,...jd->...ij", q * q.shape[-1] ** -0.25, k * k.shape[-1] ** -0.25)
    e = np.exp(scores - np.max(scores, -1)[..., None])
    return np.einsum("...ij,...jc->...ic", e, v) / e.sum(-1)[..., None]


def attention_query_by_query(q, k, v):
    if q.ndim > 2:
        return np.stack([attention_query_by_query(*head) for head in zip(q, k, v, strict=True)])
    rows = []
    for query in q:
        scores = (k @ query) / np.sqrt(len(query))
        rows.append(np.average(v, axis=0, weights=np.exp(scores - scores.max())))
    return np.array(rows)


def heads_by_cutting(x, num_heads):
    return np.stack(np.split(x, num_heads, axis=1))


def heads_by_slices(x, num_heads):
    d = x.shape[1] // num_heads
    return np.array([x[:, h * d : (h + 1) * d] for h in range(num_heads)])


def block_in_a_loop(x, norm1, attention, norm2, mlp):
    for norm, branch in ((norm1, attention), (norm2, mlp)):
        x = np.add(branch(norm(x)), x)
    return x


def block_in_one_line(x, norm1, attention, norm2, mlp):
    return x + attention(norm1(x)) + mlp(norm2(x + attention(norm1(x))))


def block_that_adds_in_place(x, norm1, attention, norm2, mlp):
    y = attention(norm1(x))
    y += x
    z = mlp(norm2(y))
    z += y
    return z


def pool_by_taking_off(tokens, num_prefix):
    total = tokens.sum(axis=1) - tokens[:, :num_prefix].sum(axis=1)
    return total / (tokens.shape[1] - num_prefix)


def pool_by_weights(tokens, num_prefix):
    return np.average(tokens, axis=1, weights=np.arange(tokens.shape[1]) >= num_prefix)


# Judged in test_pages.py.
RIGHT = {
    page.check_attention: [attention_by_einsum, attention_query_by_query],
    page.check_split_heads: [heads_by_cutting, heads_by_slices],
    page.check_block: [block_in_a_loop, block_in_one_line, block_that_adds_in_place],
    page.check_mean_pool: [pool_by_taking_off, pool_by_weights],
}


def overflowing(power=0.5, axis=-1):
    """Attention that takes nothing off the scores, with some scale and some axis."""

    def attention(q, k, v):
        e = np.exp(q @ np.swapaxes(k, -1, -2) / q.shape[-1] ** power)
        return e / e.sum(axis, keepdims=True) @ v

    return attention


def overflowing_by_einsum(q, k, v):
    e = np.exp(np.einsum("...id,...jd->...ij", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("...ij,...jc->...ic", e, v) / e.sum(-1)[..., None]


def one_maximum(q, k, v):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    e = np.exp(scores - scores.max())
    return np.einsum("...ij,...jc->...ic", e / e.sum(-1)[..., None], v)


def attention_of(weigh):
    """Attention whose unnormalised weights are made from scaled scores by `weigh`."""

    def attention(q, k, v):
        e = weigh(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
        return e / e.sum(-1, keepdims=True) @ v

    return attention


@pytest.mark.parametrize(
    "weigh",
    [
        lambda s: np.exp(s - s.mean(-1, keepdims=True)),
        lambda s: np.exp(np.clip(s, -700, 700)),
        lambda s: np.exp(np.minimum(s, 100)),
        lambda s: np.nan_to_num(np.exp(s), posinf=1e300),
    ],
    ids=["mean of the row", "clipped", "cut off", "finite"],
)
def test_what_only_looks_like_a_stable_softmax_is_refused(weigh, capsys):
    page.check_attention(attention_of(weigh))
    assert "✗" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        (attention_of(lambda s: np.exp(np.clip(s, -700, 700))), "Large scores are cut off"),
        (overflowing(), "exp of large scores"),
        (overflowing_by_einsum, "exp of large scores"),
        (one_maximum, "One maximum for all rows"),
        (overflowing(power=0), "The scale is missing"),
        (overflowing(power=1), "Divided by d"),
        (overflowing(axis=-2), "Softmax over the queries"),
        (overflowing(axis=(-1, -2)), "One softmax for all"),
    ],
)
def test_overflow_is_named_only_where_nothing_else_is_wrong(answer, title, capsys):
    page.check_attention(answer)
    assert f"Known mistake: {title}. " in capsys.readouterr().out


def test_overflow_on_top_of_an_unknown_mistake_is_not_named(capsys):
    page.check_attention(overflowing(power=0.3))
    assert "Known mistake" not in capsys.readouterr().out


# --- The references are what the library does -------------------------------------------------


def test_attention_and_heads_are_those_of_the_layer():
    layer = SelfAttention(num_heads=3)
    x = np.random.default_rng(0).normal(size=(1, 5, 12)).astype("float32")
    out = np.asarray(layer(x))[0]
    q, k, v = np.split(np.asarray(layer.qkv(x))[0], 3, axis=1)
    heads = page.attention(*(page.split_heads(part, 3) for part in (q, k, v)))
    joined = heads.swapaxes(0, 1).reshape(5, 12)
    np.testing.assert_allclose(np.asarray(layer.projection(joined[None]))[0], out, atol=1e-5)


def test_the_block_is_that_of_the_library():
    layer = TransformerBlock(num_heads=2, mlp_dim=12)
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    out = np.asarray(layer(x[None]))[0]

    def of(f):
        return lambda x: np.asarray(f(x[None]))[0]

    parts = layer.norm1, layer.attention, layer.norm2, layer.mlp
    np.testing.assert_allclose(page.block(x, *map(of, parts)), out, atol=1e-5)


def test_the_mean_is_that_of_the_library():
    tokens = np.random.default_rng(0).normal(size=(2, 7, 3)).astype("float32")
    for prefix in (0, 1, 5):
        pooled = TokenPooling("mean", prefix)(tokens)
        np.testing.assert_allclose(page.mean_pool(tokens, prefix), pooled, atol=1e-6)


# --- What went wrong --------------------------------------------------------------------------


def test_the_planted_bugs_show_what_the_messages_say():
    stacks = page.broken_blocks()
    assert list(stacks) == ["sound", *page.DIAGNOSIS.truth]
    sound, sizes = stacks["sound"]
    assert 3 < sizes[-1] / sizes[0] < 5
    assert sound.max() < 0.4
    by_cause = {cause: stacks[name] for name, cause in page.DIAGNOSIS.truth.items()}
    for cause, (weights, _) in by_cause.items():
        rows_sum_to_1 = np.allclose(weights.sum(axis=1), 1)
        assert rows_sum_to_1 == (cause != "softmax over queries"), cause
        assert (weights.max() > 0.95) == (cause in ("no scale", "no norm")), cause
        assert np.allclose(weights, 1 / 12) == (cause == "no residual"), cause
    for cause in ("no scale", "softmax over queries"):
        np.testing.assert_allclose(by_cause[cause][1], sizes, rtol=0.3)
    assert by_cause["no residual"][1][1:].max() < 1
    assert (np.diff(by_cause["no norm"][1]) > 0).all()
    assert by_cause["no norm"][1][-1] > 100 * sizes[-1]
    sums = by_cause["softmax over queries"][0].sum(axis=1)
    assert sums.min() < 0.5
    assert sums.max() > 1.5
    np.testing.assert_allclose(by_cause["softmax over queries"][0].sum(axis=0), 1)


# --- The page's counts ------------------------------------------------------------------------


def products_in_the_graph(model):
    """Count the multiplications of all matrix products that TensorFlow does for one photo."""
    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec(shape)])
    total = 0
    for op in function.get_concrete_function().graph.get_operations():
        if op.type in ("MatMul", "BatchMatMul", "BatchMatMulV2"):
            turned = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            inner = op.inputs[0].shape[-2 if turned else -1]
            total += int(np.prod(op.outputs[0].shape)) * inner
    return total


@pytest.fixture(scope="module")
def printed():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    outputs = [o for cell in cells if cell.cell_type == "code" for o in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("pixels", [96, 224])
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads TensorFlow's graph")
def test_the_page_counts_the_products_that_are_done(pixels, printed):
    model = ViT(pixels, 5)
    in_full = products_in_the_graph(keras.Model(model.input, model.output))
    assert f"products at {pixels} pixels: {in_full:,};" in printed
    if pixels == 96:
        read = products_in_the_graph(model)
        assert f"products: {read:,} instead of {in_full:,}, {1 - read / in_full:.0%}" in printed


def test_the_page_compares_nothing_that_differs(printed):
    assert len(re.findall(r": largest difference below \S+: True", printed)) >= 9
    assert "False" not in printed
