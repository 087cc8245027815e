import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import SelfAttention
from vit_keras_lib.layers import attention

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="elsewhere attention is the backend's own"
)


def tokens(B=2, T=7, dim=24, seed=0):
    return np.random.default_rng(seed).normal(size=(B, T, dim)).astype("float32")


def with_the_same_weights(ours, dim, num_heads):
    """Returns a `keras.layers.MultiHeadAttention` that holds the weights of `ours`."""
    theirs = keras.layers.MultiHeadAttention(num_heads, dim // num_heads)
    theirs.build((None, None, dim), (None, None, dim))
    kernel, bias, out_kernel, out_bias = (ops.convert_to_numpy(w) for w in ours.weights)
    per_head = (num_heads, dim // num_heads)
    weights = []
    for part in range(3):  # query, key, value
        columns = slice(part * dim, (part + 1) * dim)
        weights += [kernel[:, columns].reshape(dim, *per_head), bias[columns].reshape(per_head)]
    order = {"query": weights[0:2], "key": weights[2:4], "value": weights[4:6]}
    order["attention_output"] = [out_kernel.reshape(*per_head, dim), out_bias]
    for name, values in order.items():
        getattr(theirs, f"_{name.replace('attention_output', 'output')}_dense").set_weights(values)
    return theirs


@pytest.mark.parametrize(
    ("config", "weights"),
    [({"num_heads": 3}, 4), ({"num_heads": 4, "dropout": 0.2}, 4),
     ({"num_heads": 3, "locality": True}, 5)],
)  # fmt: skip
def test_layer(check_layer, config, weights):
    check_layer(SelfAttention, config, (7, 24), (7, 24), weights=weights)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_locality_has_numbers_for_a_token_left_alone_outside_of_its_layer(dtype):
    layer = SelfAttention(3, locality=True, dtype=dtype)
    layer.build((None, 7, 24))
    x = ops.cast(tokens()[:, :1], layer.compute_dtype)
    weights, _ = layer.weights_and_values(x)  # as maps ask for them: without Keras' casts
    np.testing.assert_array_equal(weights, np.ones((len(x), 3, 1, 1)))


def test_locality_hides_each_token_from_itself_and_learns_its_temperature():
    x, plain, local = tokens(), SelfAttention(3), SelfAttention(3, locality=True)
    for layer in (plain, local):
        layer.build(x.shape)
    temperature = local.temperature
    rest = [w for w in local.weights if w is not temperature]
    assert float(temperature) == pytest.approx(np.sqrt(8))
    for ours, theirs in zip(rest, plain.weights, strict=True):
        ours.assign(theirs)
    everyone = ops.convert_to_numpy(plain.scores(x)) * (1 - np.eye(7))
    expected = everyone / everyone.sum(-1, keepdims=True)  # the softmax over the others
    np.testing.assert_allclose(ops.convert_to_numpy(local.scores(x)), expected, atol=1e-5)
    temperature.assign(1e-3)
    assert ops.convert_to_numpy(local.scores(x)).max(-1).min() > 0.99  # nearly all on one
    with pytest.raises(ValueError, match="there is one token only"):
        SelfAttention(3, locality=True)(x[:, :1])


@pytest.mark.parametrize(
    ("dim", "num_heads", "T"), [(24, 3, 7), (192, 12, 7), (48, 1, 7), (24, 3, 120)]
)
def test_equals_keras_multi_head_attention(dim, num_heads, T):
    x = tokens(T=T, dim=dim)
    ours = SelfAttention(num_heads)
    ours.build(x.shape)
    ours.qkv.bias.assign(np.random.default_rng(1).normal(size=3 * dim))
    theirs = with_the_same_weights(ours, dim, num_heads)
    expected, expected_scores = theirs(x, x, return_attention_scores=True)
    assert np.abs(ops.convert_to_numpy(ours(x) - expected)).max() <= 1e-5
    assert np.abs(ops.convert_to_numpy(ours.scores(x) - expected_scores)).max() <= 1e-5


def test_by_hand():
    """One head, two tokens, identity projections: softmax(x x^T / sqrt(2)) x."""
    x = np.array([[[1.0, 0.0], [0.0, 2.0]]], "float32")
    layer = SelfAttention(1)
    layer.build(x.shape)
    eye = np.eye(2, dtype="float32")
    layer.qkv.set_weights([np.concatenate([eye, eye, eye], axis=1), np.zeros(6)])
    layer.projection.set_weights([eye, np.zeros(2)])
    a, b = np.exp(1 / np.sqrt(2)), np.exp(4 / np.sqrt(2))
    weights = np.array([[a / (a + 1), 1 / (a + 1)], [1 / (b + 1), b / (b + 1)]])
    np.testing.assert_allclose(layer.scores(x)[0, 0], weights, rtol=1e-5)
    np.testing.assert_allclose(layer(x)[0], weights @ x[0], rtol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_scores_are_float32_rows_that_sum_to_one(policy):
    layer = SelfAttention(3, dtype=policy)
    scores = layer.scores(tokens())
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    scores = ops.convert_to_numpy(scores)
    assert scores.shape == (2, 3, 7, 7)
    np.testing.assert_allclose(scores.sum(-1), 1.0, atol=1e-5)
    assert np.ptp(scores.sum(-2)) > 1e-3  # rows are queries: columns do not sum to 1


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_the_output_is_the_same_with_and_without_scores(policy):
    layer = SelfAttention(3, dtype=policy)
    x = tokens()
    plain, (shown, _) = layer(x), layer(x, return_attention_scores=True)
    tolerance = 1e-5 if policy == "float32" else 2e-2
    difference = ops.cast(plain, "float32") - ops.cast(shown, "float32")
    assert np.abs(ops.convert_to_numpy(difference)).max() <= tolerance


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("locality", [False, True])
def test_one_head_at_a_time_is_all_heads(locality, policy):
    layer, x = SelfAttention(3, locality=locality, dtype=policy), tokens()
    layer.build(x.shape)
    y = ops.cast(x, layer.compute_dtype)
    together, _ = layer._all_heads(y, training=False)
    in_turn = layer._one_head_at_a_time(y, training=False)
    assert in_turn.shape == (2, 7, 3, 8)
    difference = ops.cast(in_turn, "float32") - ops.cast(together, "float32")
    tolerance = 1e-6 if policy == "float32" else 2e-2
    assert np.abs(ops.convert_to_numpy(difference)).max() <= tolerance


@on_tensorflow
def test_many_tokens_are_one_head_at_a_time(monkeypatch):
    """At no time are there weights of all heads, and the step is the same."""
    import tensorflow as tf

    x, stepped = tokens(T=120, dim=12), {}
    for together in (False, True):
        if together:
            monkeypatch.setattr(attention, "TOKENS_FOR_ONE_HEAD_AT_A_TIME", 1000)
        keras.utils.set_random_seed(0)
        layer = SelfAttention(3)
        layer.build((None, 120, 12))

        @tf.function
        def step(x, layer=layer):
            with tf.GradientTape() as tape:
                y = layer(x, training=True)
            return y, *tape.gradient(y, layer.trainable_weights, x)

        run = step.get_concrete_function(tf.TensorSpec((None, 120, 12)))
        shapes = [o.shape for node in run.graph.get_operations() for o in node.outputs]
        held = [s for s in shapes if s.rank == 4 and list(s)[1:] == [3, 120, 120]]
        assert bool(held) is together
        stepped[together] = [ops.convert_to_numpy(part) for part in run(tf.constant(x))]
    for ours, theirs in zip(stepped[False], stepped[True], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_dropout_is_there_for_many_tokens_too():
    layer, x = SelfAttention(3, dropout=0.5), tokens(T=120)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert not np.allclose(layer(x, training=True), layer(x, training=True))
    average = np.mean([ops.convert_to_numpy(layer(x, training=True)) for _ in range(200)], axis=0)
    assert np.abs(average - ops.convert_to_numpy(layer(x))).max() < 0.2


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("locality", [False, True])
@pytest.mark.parametrize("T", [7, 120])
def test_some_queries_get_what_they_get_among_all(T, locality, policy):
    layer, x = SelfAttention(3, locality=locality, dtype=policy), tokens(T=T)
    tolerance = 1e-5 if policy == "float32" else 2e-2
    (y, scores), every = layer(x, return_attention_scores=True), layer(x)
    for Q in (1, 3, T):
        few, few_scores = layer(x, return_attention_scores=True, num_queries=Q)
        pairs = [(few, y), (layer(x, num_queries=Q), every)]
        for some, of_all in pairs:
            assert some.shape == (2, Q, 24)
            difference = ops.cast(some, "float32") - ops.cast(of_all[:, :Q], "float32")
            assert np.abs(ops.convert_to_numpy(difference)).max() <= tolerance
        assert few_scores.shape == (2, 3, Q, T)
        np.testing.assert_allclose(few_scores, scores[:, :, :Q], atol=tolerance)


def test_some_queries_in_a_functional_model():
    inputs = keras.Input((None, 24))
    layer = SelfAttention(3)
    y, scores = layer(inputs, return_attention_scores=True, num_queries=2)
    assert (y.shape, scores.shape) == ((None, 2, 24), (None, 3, 2, None))
    found = keras.Model(inputs, [y, scores])(tokens())
    assert [tuple(tensor.shape) for tensor in found] == [(2, 2, 24), (2, 3, 2, 7)]


@pytest.mark.parametrize("num_queries", [0, -1, 8])
def test_there_are_as_many_queries_as_tokens_at_most(num_queries):
    with pytest.raises(ValueError, match=rf"1 to the number of tokens, 7, got {num_queries}\."):
        SelfAttention(3)(tokens(), num_queries=num_queries)
    with pytest.raises(ValueError, match=rf"1 to the number of tokens, 7, got {num_queries}\."):
        SelfAttention(3)(keras.Input((7, 24)), num_queries=num_queries)
    if num_queries < 1:
        with pytest.raises(ValueError, match=r"number of tokens, got"):
            SelfAttention(3)(keras.Input((None, 24)), num_queries=num_queries)


def test_permuting_tokens_permutes_outputs():
    layer, x = SelfAttention(3), tokens()
    order = np.random.default_rng(2).permutation(7)
    np.testing.assert_allclose(layer(x[:, order]), ops.take(layer(x), order, axis=1), atol=1e-5)


def test_scores_in_a_functional_model_with_unknown_length():
    inputs = keras.Input((None, 24))
    layer = SelfAttention(3)
    y, scores = layer(inputs, return_attention_scores=True)
    assert y.shape == (None, None, 24)
    assert scores.shape == (None, 3, None, None)
    model = keras.Model(inputs, [y, scores])
    for T in (4, 7):
        x = tokens(T=T)
        np.testing.assert_allclose(model(x)[1], layer.scores(x), atol=1e-6)


def test_dropout_acts_on_weights_in_training_only():
    layer, x = SelfAttention(3, dropout=0.5), tokens()
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert not np.allclose(layer(x, training=True), layer(x, training=True))


def test_heads_must_divide_dim():
    with pytest.raises(ValueError, match=r"num_heads=5 does not divide dim=24.*\[3, 4, 6\]"):
        SelfAttention(5)(tokens())
    with pytest.raises(ValueError, match=r"positive integer, got 0"):
        SelfAttention(0)
