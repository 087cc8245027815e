"""The encoder block: look around, then think, each added to what was there."""

import keras
from keras import ops

from vit_keras_lib.layers.attention import SelfAttention
from vit_keras_lib.layers.normalization import LayerNormalization
from vit_keras_lib.layers.one_pass import in_one_pass, on_tensorflow_cpu


def _gelu(x):
    # XLA on a CPU computes erf faster than the erfc of `keras.activations.gelu`, and LiteRT has one
    # op for this form. In half precision 1 + erf would keep no digits of the left tail.
    twice_the_share = 1 + ops.erf(ops.cast(x, "float32") * 0.5**0.5)
    return 0.5 * x * ops.cast(twice_the_share, x.dtype)


def _gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)


ACTIVATIONS = {"gelu": _gelu, "gelu_tanh": _gelu_tanh}


@keras.saving.register_keras_serializable(package="vit_keras_lib")
class TransformerBlock(keras.layers.Layer):
    """A pre-norm encoder block: (B, T, dim) -> (B, T, dim).

    `x = x + attention(norm(x))`, then `x = x + mlp(norm(x))`: equations 2 and 3 of
    arXiv 2010.11929. The MLP is Dense, GELU, Dense; its last Dense is linear.

    Args:
        num_heads: number of attention heads; must divide dim.
        mlp_dim: width of the MLP's hidden layer.
        dropout: rate in [0, 1) after each Dense of the MLP and after attention.
        attention_dropout: rate in [0, 1) on the attention weights.
        drop_path: rate in [0, 1) at which a whole branch is skipped for an image
            (stochastic depth, arXiv 1603.09382).
        layer_scale: initial value of a learned factor per channel on each branch
            (LayerScale, arXiv 2103.17239), or None for none.
        locality: whether attention is locality self-attention; see `SelfAttention`.
        activation: "gelu" is exact, "gelu_tanh" its approximation with a tanh (arXiv 1606.08415),
            which the first published checkpoints were trained with.
        epsilon: added to the variance in the layer norms.
        remat: whether training keeps only each branch's input and computes the branch anew for
            the gradient (arXiv 1604.06174): less memory, more time. For high resolution.

    Raises:
        ValueError: for an unknown activation; for `remat` with `dropout` or `attention_dropout`:
            computed anew, a branch would draw other units than it did. `drop_path` draws outside
            the branches.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        layer_scale=None,
        locality=False,
        activation="gelu",
        epsilon=1e-6,
        remat=False,
        **kwargs,
    ):
        """Stores the arguments and creates the sublayers that need no shape."""
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be one of {tuple(ACTIVATIONS)}, got {activation!r}."
            )
        if remat and (dropout or attention_dropout):
            raise ValueError(
                f"remat=True computes branches twice and needs dropout=0 and attention_dropout=0, "
                f"got {dropout} and {attention_dropout}. Use drop_path to regularize, or "
                "remat=False."
            )
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.drop_path = drop_path
        self.layer_scale = layer_scale
        self.locality = locality
        self.activation = activation
        self.epsilon = epsilon
        self.remat = remat

        policy = self.dtype_policy
        norm, dense = LayerNormalization, keras.layers.Dense
        self.norm1 = norm(epsilon=epsilon, dtype=policy, name="norm1")
        self.attention = SelfAttention(
            num_heads, attention_dropout, locality, dtype=policy, name="attention"
        )
        self.norm2 = norm(epsilon=epsilon, dtype=policy, name="norm2")
        self.mlp_hidden = dense(
            mlp_dim, kernel_initializer="lecun_normal", dtype=policy, name="mlp_hidden"
        )
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="drop")
        # One draw for each image and branch: noise of shape (B, 1, 1).
        self.skip = keras.layers.Dropout(
            drop_path, noise_shape=(None, 1, 1), dtype=policy, name="skip"
        )

    def build(self, input_shape):
        """Creates the weights for tokens of shape (B, T, dim)."""
        dim = input_shape[-1]
        hidden_shape = (*input_shape[:-1], self.mlp_dim)
        self.mlp_output = keras.layers.Dense(
            dim, kernel_initializer="lecun_normal", dtype=self.dtype_policy, name="mlp_output"
        )
        for layer in (self.norm1, self.attention, self.norm2, self.mlp_hidden, self.skip):
            layer.build(input_shape)
        for layer in (self.drop, self.mlp_output):
            layer.build(hidden_shape)
        if self.layer_scale is not None:
            start = keras.initializers.Constant(self.layer_scale)
            self.scale1 = self.add_weight(name="scale1", shape=(dim,), initializer=start)
            self.scale2 = self.add_weight(name="scale2", shape=(dim,), initializer=start)

    def mlp(self, x, training=None):
        """Runs the MLP alone: (B, T, dim), normed -> (B, T, dim); dropout in training only."""
        activation = ACTIVATIONS[self.activation]
        # In training only, the one time that takes gradients of weights: what is exported or
        # explained stays the plain equations.
        if training and on_tensorflow_cpu():
            activation = in_one_pass(activation)
        # As one matrix: then TensorFlow on a CPU computes bias and GELU inside the product.
        tokens = ops.reshape(x, (-1, x.shape[-1]))  # (B, T, dim) -> (B * T, dim)
        tokens = activation(self.mlp_hidden(tokens))  # -> (B * T, mlp_dim)
        tokens = self.drop(tokens, training=training)
        tokens = self.drop(self.mlp_output(tokens), training=training)  # -> (B * T, dim)
        return ops.reshape(tokens, ops.shape(x))  # (B * T, dim) -> (B, T, dim)

    def call(self, x, training=None, return_attention_scores=False, num_queries=None):
        """Runs the block.

        Args:
            x: tokens (B, T, dim).
            training: whether dropout and stochastic depth are on.
            return_attention_scores: whether to return the attention weights too.
            num_queries: Q, 1 to T: only the first Q tokens, which look at all, are computed;
                None: all T are.

        Returns:
            (B, Q, dim); with scores, a pair of that and float32 (B, heads, Q, T).

        Raises:
            ValueError: for `num_queries` that are not 1 to T.
        """

        def attend(x):
            return self.attention(
                self.norm1(x),
                training=training,
                return_attention_scores=return_attention_scores,
                num_queries=num_queries,
            )

        def think(x):
            return self.mlp(self.norm2(x), training)

        if self.remat and training:
            attend, think = keras.remat(attend), keras.remat(think)

        attended = attend(x)
        branch, scores = attended if return_attention_scores else (attended, None)
        branch = self.drop(branch, training=training)
        if self.layer_scale is not None:
            branch = branch * self.scale1
        x = x if num_queries is None else x[:, :num_queries]  # (B, T, dim) -> (B, Q, dim)
        x = x + self.skip(branch, training=training)

        branch = think(x)
        if self.layer_scale is not None:
            branch = branch * self.scale2
        x = x + self.skip(branch, training=training)
        return (x, scores) if return_attention_scores else x

    def attention_scores(self, x):
        """Returns the attention weights for tokens (B, T, dim): float32 (B, heads, T, T)."""
        return self.attention.scores(self.norm1(x))

    def compute_output_shape(self, input_shape):
        """Maps (B, T, dim) to itself; `num_queries` are told to `compute_output_spec` only."""
        return input_shape

    def compute_output_spec(
        self, x, training=None, return_attention_scores=False, num_queries=None
    ):
        """Describes what `call` returns, scores included when they are asked for."""
        return self.attention.compute_output_spec(x, training, return_attention_scores, num_queries)

    def get_config(self):
        """Returns the `__init__` arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "drop_path": self.drop_path,
            "layer_scale": self.layer_scale,
            "locality": self.locality,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "remat": self.remat,
        }
