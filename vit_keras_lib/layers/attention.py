"""Multi-head self-attention, with the scores at hand."""

import numbers

import keras
from keras import ops

from vit_keras_lib.layers.one_pass import on_tensorflow_cpu

# On TensorFlow Keras has no fused attention, and its einsum trains slower than matmul on a CPU.
HAS_FUSED_ATTENTION = keras.backend.backend() != "tensorflow"
# TensorFlow on a CPU goes over memory for each operation. From so many tokens on, the weights of
# all heads no longer fit its caches, and those of one head do.
TOKENS_FOR_ONE_HEAD_AT_A_TIME = 100


def _check_queries(num_queries, T):
    """Raises a ValueError when of T tokens, None for unknown, there are no `num_queries`."""
    if num_queries is not None and not 1 <= num_queries <= (T or num_queries):
        known = "" if T is None else f", {T}"
        raise ValueError(
            f"`num_queries` must be None or 1 to the number of tokens{known}, got {num_queries}."
        )


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention: (B, T, dim) -> (B, T, dim).

    `softmax(q k^T / sqrt(d)) v` of Vaswani et al. 2017 (arXiv 1706.03762, equation 1), k heads of
    d = dim / k channels each; equations 5 to 8 in appendix A of arXiv 2010.11929. One Dense makes
    q, k and v of all heads. Without scores asked for, the backend's own attention is used where it
    is fused; with TensorFlow on a CPU, many tokens are attended to one head at a time. All ways
    share the weights.

    Args:
        num_heads: number of heads; must divide dim.
        dropout: rate in [0, 1) at which attention weights are dropped in training.
        locality: locality self-attention of Lee et al. 2021 (arXiv 2112.13492, section 3.2) for
            small data: no token looks at itself, and the temperature that logits are divided by
            is learned, from sqrt(d) on.

    Raises:
        ValueError: when built on tokens whose channels the heads do not divide, or with locality
            on a single token, which would have nothing to look at.
    """

    def __init__(self, num_heads, dropout=0.0, locality=False, **kwargs):
        """Stores the arguments."""
        super().__init__(**kwargs)
        if not isinstance(num_heads, numbers.Integral) or num_heads < 1:
            raise ValueError(f"`num_heads` must be a positive integer, got {num_heads!r}.")
        self.num_heads = num_heads
        self.dropout = dropout
        self.locality = locality
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")

    def build(self, input_shape):
        """Creates the projections for tokens of shape (B, T, dim)."""
        dim = input_shape[-1]
        if dim % self.num_heads:
            divisors = [k for k in range(1, dim + 1) if dim % k == 0]
            nearest = sorted(divisors, key=lambda k: abs(k - self.num_heads))[:3]
            raise ValueError(
                f"num_heads={self.num_heads} does not divide dim={dim}: each head takes dim / "
                f"num_heads channels. Use a number that does, for example {sorted(nearest)}."
            )
        if self.locality and input_shape[1] == 1:
            raise ValueError(
                f"locality=True hides each token from itself, but there is one token only: shape "
                f"{tuple(input_shape)}. Use smaller patches, or locality=False."
            )
        self.head_dim = dim // self.num_heads
        # lecun_normal looks at the fan-in only, so fusing q, k and v does not change their scale.
        self.qkv = keras.layers.Dense(
            3 * dim, kernel_initializer="lecun_normal", dtype=self.dtype_policy, name="qkv"
        )
        self.qkv.build(input_shape)
        self.projection = keras.layers.Dense(
            dim, kernel_initializer="lecun_normal", dtype=self.dtype_policy, name="projection"
        )
        self.projection.build(input_shape)
        if self.locality:
            self.temperature = self.add_weight(
                name="temperature",
                shape=(),
                initializer=keras.initializers.Constant(self.head_dim**0.5),
            )
        self.drop.build((input_shape[0], self.num_heads, input_shape[1], input_shape[1]))

    def call(self, x, training=None, return_attention_scores=False, num_queries=None):
        """Attends.

        Args:
            x: tokens (B, T, dim).
            training: whether weights are dropped.
            return_attention_scores: whether to return the weights too.
            num_queries: Q, 1 to T: only the first Q tokens look, at all; None: all T do.

        Returns:
            (B, Q, dim); with scores, a pair of that and float32 (B, heads, Q, T), rows are
            queries and sum to 1 (before dropout).

        Raises:
            ValueError: for `num_queries` that are not 1 to T.
        """
        T = x.shape[1]
        _check_queries(num_queries, T)
        plain = not (self.locality or (training and self.dropout > 0))
        many = T is not None and T >= TOKENS_FOR_ONE_HEAD_AT_A_TIME and num_queries is None
        if return_attention_scores:
            heads, weights = self._all_heads(x, training, num_queries)
        # JAX has no float16 attention on a CPU.
        elif HAS_FUSED_ATTENTION and plain and self.compute_dtype != "float16":
            query, key, value = ops.unstack(self._heads(x), 3, axis=2)  # 3 x (B, T, k, d)
            query = query if num_queries is None else query[:, :num_queries]  # (B, Q, k, d)
            heads = ops.dot_product_attention(query, key, value)  # (B, Q, k, d)
        elif many and on_tensorflow_cpu():
            heads = self._one_head_at_a_time(x, training)
        else:
            heads, _ = self._all_heads(x, training, num_queries)
        y = self.projection(ops.reshape(heads, (-1, x.shape[-1])))  # -> (B * Q, dim)
        Q = num_queries or ops.shape(x)[1]
        y = ops.reshape(y, (-1, Q, x.shape[-1]))  # (B * Q, dim) -> (B, Q, dim)
        return (y, weights) if return_attention_scores else y

    def _heads(self, x):
        """Makes q, k and v of all heads: (B, T, dim) -> (B, T, 3, k, d)."""
        # As one matrix: only then TensorFlow on a CPU adds the bias inside the product.
        qkv = self.qkv(ops.reshape(x, (-1, x.shape[-1])))  # (B, T, dim) -> (B * T, 3 * dim)
        return ops.reshape(qkv, (-1, ops.shape(x)[1], 3, self.num_heads, self.head_dim))

    def _all_heads(self, x, training, num_queries=None):
        """Attends: (B, T, dim) -> (B, Q, k, d) and the weights (B, k, Q, T)."""
        weights, value = self.weights_and_values(x, num_queries)
        heads = self._look(weights, value, training)  # (B, k, Q, d)
        return ops.transpose(heads, (0, 2, 1, 3)), weights  # -> (B, Q, k, d)

    def _one_head_at_a_time(self, x, training):
        """Attends, with less in memory at once: (B, T, dim) -> (B, T, k, d)."""
        parts = self._query_key_value(x, (2, 3, 0, 1, 4))  # 3 x (k, B, T, d)
        parts = (ops.unstack(part, self.num_heads) for part in parts)  # 3 x k x (B, T, d)
        heads = [
            self._look(self._weights(query, key), value, training)  # (B, T, d)
            for query, key, value in zip(*parts, strict=True)
        ]
        return ops.stack(heads, axis=2)  # k x (B, T, d) -> (B, T, k, d)

    def weights_and_values(self, x, num_queries=None):
        """Returns who looks where, and what is to be seen there.

        Args:
            x: tokens (B, T, dim).
            num_queries: Q, 1 to T: only the first Q tokens look, at all; None: all T do.

        Returns:
            Attention weights, float32 (B, heads, Q, T), rows are queries and sum to 1; values
            (B, heads, T, d).
        """
        query, key, value = self._query_key_value(x, (2, 0, 3, 1, 4))  # 3 x (B, k, T, d)
        query = query if num_queries is None else query[:, :, :num_queries]  # (B, k, Q, d)
        return self._weights(query, key), value

    def _query_key_value(self, x, order):
        """Makes q, over sqrt(d), k and v, their axes (B, T, 3, k, d) in `order`, 3 first."""
        # One unstack: the gradient of three slices would write three padded copies.
        query, key, value = ops.unstack(ops.transpose(self._heads(x), order), 3)
        scale = self.head_dim**-0.5
        if self.locality:
            scale = 1 / ops.cast(self.temperature, query.dtype)
        return query * scale, key, value

    def _weights(self, query, key):
        """Softmax of logits: q, over sqrt(d), (..., Q, d), k (..., T, d) -> float32 (..., Q, T)."""
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2))  # (..., Q, T)
        # In half precision the rows would sum to 1 only within 3e-3.
        logits = ops.cast(logits, "float32")
        if self.locality:
            own = ops.eye(*ops.shape(logits)[-2:], dtype="bool")  # (Q, T)
            # Not -inf: a token that is left alone with itself would get 0 / 0.
            logits = ops.where(own, -1e30, logits)
        return ops.softmax(logits, axis=-1)

    def _look(self, weights, value, training):
        """Weighs values, with dropout: (..., Q, T) and (..., T, d) -> (..., Q, d)."""
        dropped = self.drop(ops.cast(weights, value.dtype), training=training)
        return ops.matmul(dropped, value)

    def scores(self, x):
        """Returns the attention weights of tokens (B, T, dim): float32 (B, heads, T, T)."""
        return self(x, return_attention_scores=True)[1]

    def compute_output_shape(self, input_shape):
        """Maps (B, T, dim) to itself; `num_queries` are told to `compute_output_spec` only."""
        return input_shape

    def compute_output_spec(
        self, x, training=None, return_attention_scores=False, num_queries=None
    ):
        """Describes what `call` returns, scores included when they are asked for."""
        B, T, dim = x.shape
        _check_queries(num_queries, T)
        Q = num_queries or T
        tokens = keras.KerasTensor((B, Q, dim), dtype=self.compute_dtype)
        if not return_attention_scores:
            return tokens
        return tokens, keras.KerasTensor((B, self.num_heads, Q, T), dtype="float32")

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "locality": self.locality,
        }
