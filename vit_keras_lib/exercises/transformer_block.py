"""The exercises of notebook 04_transformer_block: right answers, known mistakes and checks."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(0)

# --- 1. Attention -----------------------------------------------------------------------------


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns what each token takes in: equation 1 of Vaswani et al. 2017 (arXiv 1706.03762).

    Args:
        q: (..., T, d) queries.
        k: (..., T, d) keys.
        v: (..., T, c) values.

    Returns:
        (..., T, c).
    """
    return _softmax(_scores(q, k) / q.shape[-1] ** 0.5) @ v


def _scores(q, k):
    return q @ np.swapaxes(k, -1, -2)


def _softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _raw_softmax(scores):
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


def _below_the_largest(q, k):
    return _scores(q, k) - _scores(q, k).max()


_HAND = (
    np.array([[2.0, 0, 2, -2], [0, 0, 0, 0], [0, 2, 0, 1]]),
    np.array([[0.0, 1, 1, 0], [2, 0, 0, 0], [2, 0, 0, 0]]),
    np.array([[4.0, 0], [0, 2], [-2, 6]]),
)
# Scaled, 0, 2240 and 2400 for the first query: two that exp cannot take, far above their mean.
_LARGE = (
    np.array([[160.0, 0, 0, 0], [0, 0, 0, 0], [-160, 0, 0, 0]]),
    np.array([[0.0, 30, 0, 0], [28, 0, 0, 0], [30, 0, 0, 0]]),
    np.array([[1.0, 2, 3], [4, 0, -1], [1, 4, 4]]),
)


def _qkv(*shape, channels):
    """Draws queries, keys and values."""
    return tuple(_RNG.normal(size=(*shape[:-1], n)) for n in (shape[-1], shape[-1], channels))


ATTENTION = Exercise(
    attention,
    hand_sized=[
        Case("3 tokens with d = 4 and 2 values", _HAND),
        Case("scores in the thousands", _LARGE),
    ],
    random=[
        Case("6 random tokens with d = 5", _qkv(6, 5, channels=3)),
        # A cube, so that k.T fits and is wrong.
        Case("3 heads of 3 tokens with d = 3", _qkv(3, 3, 3, channels=2)),
    ],
    invariants={
        "an output lies between the least and the largest value": lambda out, q, k, v: (
            (out > v.min(-2, keepdims=True) - 1e-5) & (out < v.max(-2, keepdims=True) + 1e-5)
        ).all()
    },
    mistakes=[
        Mistake(
            "The scale is missing",
            "Scores grow with d, and the softmax hardens with them.",
            lambda q, k, v: _softmax(_scores(q, k)) @ v,
        ),
        Mistake(
            "Divided by d",
            "A sum of d random products is not d times as large as one of them.",
            lambda q, k, v: _softmax(_scores(q, k) / q.shape[-1]) @ v,
        ),
        Mistake(
            "Softmax over the queries",
            "It is the query that shares itself out: whose weights sum to 1?",
            lambda q, k, v: _softmax(_scores(q, k) / q.shape[-1] ** 0.5, axis=-2) @ v,
        ),
        Mistake(
            "Scaled after the softmax",
            "By then the weights are made, and they no longer sum to 1.",
            lambda q, k, v: _softmax(_scores(q, k)) / q.shape[-1] ** 0.5 @ v,
        ),
        Mistake(
            "Scaled by the number of tokens",
            "It is the channels that are summed over in a score.",
            lambda q, k, v: _softmax(_scores(q, k) / q.shape[-2] ** 0.5) @ v,
        ),
        Mistake(
            "Queries and keys swapped",
            "Row i should hold what token i asks for, not who asks for it.",
            lambda q, k, v: attention(k, q, v),
        ),
        Mistake(
            "The weights are transposed",
            "Each token then hands out its value instead of collecting others'.",
            lambda q, k, v: np.swapaxes(_softmax(_scores(q, k) / q.shape[-1] ** 0.5), -1, -2) @ v,
        ),
        Mistake(
            "One softmax for all",
            "Every query has attention of its own to share out.",
            lambda q, k, v: _softmax(_scores(q, k) / q.shape[-1] ** 0.5, axis=(-1, -2)) @ v,
        ),
        Mistake(
            "Only the best key",
            "A softmax is soft: the second best counts too.",
            lambda q, k, v: np.eye(v.shape[-2])[_scores(q, k).argmax(-1)] @ v,
        ),
        Mistake(
            "The weights, not the values",
            "They say how much of each value to take. Take it.",
            lambda q, k, v: _softmax(_scores(q, k) / q.shape[-1] ** 0.5),
        ),
        Mistake(
            "k.T turns all axes",
            "With heads in front, only the last two should change places.",
            lambda q, k, v: _softmax(q @ k.T / q.shape[-1] ** 0.5) @ v,
        ),
        Mistake(
            "One maximum for all rows",
            "A row far below the largest score of all becomes 0/0.",
            lambda q, k, v: _raw_softmax(_below_the_largest(q, k) / q.shape[-1] ** 0.5) @ v,
        ),
        Mistake(
            "Large scores are cut off",
            "Then 2240 and 2400 weigh the same, and a softmax should prefer the larger.",
            lambda q, k, v: _softmax(np.minimum(_scores(q, k) / q.shape[-1] ** 0.5, 700)) @ v,
        ),
        Mistake(
            "exp of large scores",
            "exp(900) is infinite. A number subtracted from a whole row cancels out.",
            lambda q, k, v: _raw_softmax(_scores(q, k) / q.shape[-1] ** 0.5) @ v,
        ),
    ],
    insight="no weight of the model is in it: attention itself learns nothing. All that is\n"
    "learned sits in the Dense layers which make q, k and v.",
)

# --- 2. Heads ---------------------------------------------------------------------------------


def split_heads(x: np.ndarray, num_heads: int) -> np.ndarray:
    """Cuts the channels of each token into heads.

    Args:
        x: (T, dim) tokens.
        num_heads: a divisor of dim.

    Returns:
        (num_heads, T, dim / num_heads); head 0 holds the first channels of every token.
    """
    T, dim = x.shape
    return x.reshape(T, num_heads, dim // num_heads).swapaxes(0, 1)


_LEGIBLE = 10 * np.arange(4)[:, None] + np.arange(6)  # token and channel as two digits
_TIES = np.array([[0, 0, 5, 5], [1, 0, 0, 1], [2, 7, 7, 2]])

SPLIT_HEADS = Exercise(
    split_heads,
    hand_sized=[
        Case("4 tokens of 6 channels, 2 heads", (_LEGIBLE, 2)),
        Case("the same tokens, 3 heads", (_LEGIBLE, 3)),
        Case("3 tokens of 4 channels, 2 heads", (_TIES, 2)),
    ],
    random=[
        Case(f"{t} random tokens of {d} channels, {k} heads", (_RNG.normal(size=(t, d)), k))
        for t, d, k in ((37, 192, 12), (5, 8, 1))
    ],
    invariants={
        "every number is kept, once": lambda heads, x, k: np.array_equal(
            np.sort(heads, axis=None), np.sort(x, axis=None)
        ),
        "token t of each head comes from token t": lambda heads, x, k: all(
            np.isin(heads[:, t], x[t]).all() for t in range(len(x))
        ),
    },
    mistakes=[
        Mistake(
            "Reshape without transpose",
            "The right shape, but a head now holds a few tokens whole.",
            lambda x, k: x.reshape(k, len(x), -1),
        ),
        Mistake(
            "Every k-th channel",
            "A head takes channels that lie beside each other.",
            lambda x, k: x.reshape(len(x), -1, k).transpose(2, 0, 1),
        ),
        Mistake(
            "Tokens first",
            "Split, but each head's tokens do not lie together yet.",
            lambda x, k: x.reshape(len(x), k, -1),
        ),
        Mistake(
            "Channels before tokens",
            "A head is again a table of tokens: rows are tokens.",
            lambda x, k: x.reshape(len(x), k, -1).transpose(1, 2, 0),
        ),
        Mistake(
            "Heads and channels change places",
            "How many heads are there, and how many channels has one?",
            lambda x, k: x.reshape(len(x), k, -1).transpose(2, 0, 1),
        ),
        Mistake(
            "Transposed too early",
            "Channels came first, and then tokens were cut as if they were channels.",
            lambda x, k: x.T.reshape(k, len(x), -1),
        ),
        Mistake(
            "Every head gets all channels",
            "Heads share the channels out: all together hold dim.",
            lambda x, k: np.repeat(x[None], k, axis=0),
        ),
        Mistake(
            "Heads in reverse",
            "Head 0 holds the first channels.",
            lambda x, k: split_heads(x, k)[::-1],
        ),
    ],
    insight="joining is the way back: swap the axes first, then reshape. Without the swap\n"
    "nothing fails either, and each token gets pieces of other tokens.",
)

# --- 3. The block -----------------------------------------------------------------------------


def block(
    x: np.ndarray, norm1: Callable, attention: Callable, norm2: Callable, mlp: Callable
) -> np.ndarray:
    """Runs a pre-norm encoder block: equations 2 and 3 of arXiv 2010.11929.

    Args:
        x: (T, dim) tokens.
        norm1: function (T, dim) -> (T, dim).
        attention: function (T, dim) -> (T, dim).
        norm2: function (T, dim) -> (T, dim).
        mlp: function (T, dim) -> (T, dim).

    Returns:
        (T, dim).
    """
    x = x + attention(norm1(x))
    return x + mlp(norm2(x))


def _centre(x):
    return x - x.mean(-1, keepdims=True)


def _to_zero(x):
    return x - x.min(-1, keepdims=True)


def _everything(x):
    return np.broadcast_to(x.sum(0), x.shape).copy()  # an answer may add to it in place


def _twice_the_positive(x):
    return 2 * np.maximum(x, 0)


def _layers(dim):
    """Draws two norms, a mixer of tokens and an MLP."""
    scale1, scale2 = _RNG.uniform(0.5, 2, (2, dim))
    mix, inside, outside = _RNG.normal(size=(3, dim, dim))

    def standard(x):
        return _centre(x) / np.sqrt((_centre(x) ** 2).mean(-1, keepdims=True) + 1e-6)

    return (
        lambda x: scale1 * standard(x),
        lambda x: np.tanh(x.mean(0) + 0.3 * x) @ mix,
        lambda x: scale2 * standard(x),
        lambda x: np.tanh(x @ inside) @ outside,
    )


_TOY = (_centre, _everything, _to_zero, _twice_the_positive)
_TOKENS = np.array([[1.0, 3], [0, 0], [6, 2]])


def _post_norm(x, n1, a, n2, m):
    x = n1(x + a(x))
    return n2(x + m(x))


def _from_the_norm(x, n1, a, n2, m):
    x = n1(x) + a(n1(x))
    return n2(x) + m(n2(x))


def _norm_on_the_branch(x, n1, a, n2, m):
    x = x + n1(a(x))
    return x + n2(m(x))


BLOCK = Exercise(
    block,
    hand_sized=[
        Case(
            "3 tokens and branches that return 0",
            (_TOKENS, _centre, np.zeros_like, _to_zero, np.zeros_like),
        ),
        Case("3 tokens and toy layers", (_TOKENS, *_TOY)),
    ],
    random=[
        Case(f"{t} random tokens of {d} channels", (_RNG.normal(size=(t, d)), *_layers(d)))
        for t, d in ((5, 4), (3, 7))
    ],
    invariants={
        "what comes in comes out where the branches return 0": (
            lambda out, x, n1, a, n2, m: a is not np.zeros_like or np.allclose(out, x)
        )
    },
    mistakes=[
        Mistake(
            "Post-norm",
            "Here the norm stands on the path that should stay free.",
            _post_norm,
        ),
        Mistake(
            "No residual around the attention",
            "What a token was before it looked around is lost.",
            lambda x, n1, a, n2, m: a(n1(x)) + m(n2(a(n1(x)))),
        ),
        Mistake(
            "No residual around the MLP",
            "Its result should be a change to the tokens.",
            lambda x, n1, a, n2, m: m(n2(x + a(n1(x)))),
        ),
        Mistake(
            "No residual at all",
            "Two functions one after the other: nothing goes past them.",
            lambda x, n1, a, n2, m: m(n2(a(n1(x)))),
        ),
        Mistake(
            "The residual starts behind the norm",
            "It should carry the tokens as they came.",
            _from_the_norm,
        ),
        Mistake(
            "The first norm twice",
            "Each branch has a norm with scales of its own.",
            lambda x, n1, a, n2, m: block(x, n1, a, n1, m),
        ),
        Mistake(
            "Both branches side by side",
            "The MLP should see what the attention brought.",
            lambda x, n1, a, n2, m: x + a(n1(x)) + m(n2(x)),
        ),
        Mistake(
            "The MLP first",
            "First look around, then think about it.",
            lambda x, n1, a, n2, m: block(x, n2, m, n1, a),
        ),
        Mistake(
            "Added to the block's input",
            "The second sum has lost what the first one added.",
            lambda x, n1, a, n2, m: x + m(n2(x + a(n1(x)))),
        ),
        Mistake(
            "No norms",
            "They are handed in, and the branches count on them.",
            lambda x, n1, a, n2, m: block(x, np.array, a, np.array, m),
        ),
        Mistake(
            "The norm comes behind the branch",
            "A branch wants its input on a known scale.",
            _norm_on_the_branch,
        ),
    ],
    insight="a block whose two branches end in a Dense full of zeros changes nothing. So a model\n"
    "that is trained can be made deeper without moving a logit, and then trained on.",
)

# --- 4. Mean pooling --------------------------------------------------------------------------


def mean_pool(tokens: np.ndarray, num_prefix: int) -> np.ndarray:
    """Returns the mean over the patch tokens.

    Args:
        tokens: (B, T, dim); prefix tokens (class token, registers) stand first.
        num_prefix: how many prefix tokens there are, 0 or more.

    Returns:
        (B, dim).
    """
    return tokens[:, num_prefix:].mean(axis=1)


_POOLED = np.array([[[9.0, 9], [0, 3], [3, 3], [6, 0]], [[-8, 0], [1, 1], [1, 1], [1, 4]]])

MEAN_POOL = Exercise(
    mean_pool,
    hand_sized=[
        Case(f"2 photos of 4 tokens, {p} of them prefix tokens", (_POOLED, p)) for p in (1, 2, 0)
    ],
    random=[
        Case(f"{b} photos of {t} tokens, prefix {p}", (_RNG.normal(size=(b, t, d)), p))
        for b, t, d, p in ((3, 37, 8, 1), (1, 9, 5, 4))
    ],
    invariants={
        "a mean lies between least and largest": lambda mean, tokens, p: (
            (mean >= tokens.min(1) - 1e-6) & (mean <= tokens.max(1) + 1e-6)
        ).all()
    },
    mistakes=[
        Mistake(
            "The class token is averaged in",
            "It is no patch and has no place in the picture.",
            lambda x, p: x.mean(1),
        ),
        Mistake(
            "Only the class token is left out",
            "Registers stand in front too, and sometimes nothing does.",
            lambda x, p: x[:, 1:].mean(1),
        ),
        Mistake(
            "The class token alone",
            "That is the other way to pool.",
            lambda x, p: x[:, 0],
        ),
        Mistake(
            "Cut off at the wrong end",
            "Prefix tokens come first; these are the last patches.",
            lambda x, p: x[:, : x.shape[1] - p].mean(1),
        ),
        Mistake(
            "Divided by all tokens",
            "The sum leaves the prefix out, the division does not.",
            lambda x, p: x[:, p:].sum(1) / x.shape[1],
        ),
        Mistake(
            "A sum",
            "Photos with more patches would speak louder.",
            lambda x, p: x[:, p:].sum(1),
        ),
        Mistake(
            "The mean over channels",
            "Which axis are the tokens on?",
            lambda x, p: x[:, p:].mean(2),
        ),
        Mistake(
            "Over the photos too",
            "Each photo has an answer of its own.",
            lambda x, p: x[:, p:].mean((0, 1)),
        ),
        Mistake(
            "The largest value",
            "That is max pooling: one loud patch decides.",
            lambda x, p: x[:, p:].max(1),
        ),
        Mistake(
            "The first patch",
            "One corner of the picture does not stand for all of it.",
            lambda x, p: x[:, p],
        ),
    ],
    insight="a class token left in is one token of 37 here. Nothing crashes, and the model still\n"
    "learns: only a check like this one finds it.",
)

# --- 5. What went wrong -----------------------------------------------------------------------

CAUSES = ("no scale", "no residual", "softmax over queries", "no norm")


def run_stack(
    bug: str | None, tokens: int = 12, dim: int = 32, depth: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Runs random tokens through random pre-norm blocks of one head.

    Args:
        bug: one of `CAUSES`, or None for sound blocks.
        tokens: T.
        dim: channels of a token.
        depth: number of blocks.

    Returns:
        Attention weights (depth, T, T), rows are queries; size of the tokens (root mean square)
        before the first block and after each, (depth + 1,).
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(tokens, dim))  # (T, dim)
    past, scale = float(bug != "no residual"), 1 if bug == "no scale" else dim**-0.5

    def norm(x):
        if bug == "no norm":
            return x
        return _centre(x) / np.sqrt((_centre(x) ** 2).mean(-1, keepdims=True) + 1e-6)

    def dense(x, units):
        return x @ rng.normal(size=(x.shape[1], units)) / x.shape[1] ** 0.5

    maps, sizes = [], [x]
    for _ in range(depth):
        q, k, v = (dense(norm(x), dim) for _ in range(3))  # (T, dim) each
        weights = _softmax(scale * q @ k.T, 0 if bug == "softmax over queries" else 1)
        x = past * x + dense(weights @ v, dim)
        x = past * x + dense(np.maximum(dense(norm(x), 2 * dim), 0), dim)
        maps.append(weights)
        sizes.append(x)
    return np.stack(maps), np.sqrt((np.stack(sizes) ** 2).mean(axis=(1, 2)))


def broken_blocks() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Makes a sound stack of 12 blocks and four with a planted bug.

    Returns:
        "sound", "A", "B", "C", "D" -> attention weights of the sixth block (12, 12), rows are
        queries, and the size of the tokens before the first block and after each, (13,).
    """
    shown = {}
    for name, bug in {"sound": None, **DIAGNOSIS.truth}.items():
        maps, sizes = run_stack(bug)
        shown[name] = maps[5], sizes
    return shown


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={"A": "no residual", "B": "no norm", "C": "no scale", "D": "softmax over queries"},
    mistakes=[
        Mistake(
            "A missing scale taken for a missing residual",
            "That makes all tokens alike, and no key stands out; here some do.",
            ("no scale", "no residual"),
        ),
        Mistake(
            "A missing scale taken for a softmax over queries",
            "That leaves rows which sum to more or less than 1.",
            ("no scale", "softmax over queries"),
        ),
        Mistake(
            "A missing scale taken for missing norms",
            "Without norms the tokens swell; these keep the size of the sound ones.",
            ("no scale", "no norm"),
        ),
        Mistake(
            "A missing residual taken for a missing scale",
            "Then a few keys would take all; here every key gets the same.",
            ("no residual", "no scale"),
        ),
        Mistake(
            "A missing residual taken for a softmax over queries",
            "That gives some queries more than others.",
            ("no residual", "softmax over queries"),
        ),
        Mistake(
            "A missing residual taken for missing norms",
            "Without norms the tokens swell; these do not grow at all.",
            ("no residual", "no norm"),
        ),
        Mistake(
            "A softmax over queries taken for a missing scale",
            "Sharp or not, without the scale a row still sums to 1. Do these?",
            ("softmax over queries", "no scale"),
        ),
        Mistake(
            "A softmax over queries taken for a missing residual",
            "Without it the map turns even; this one is mottled.",
            ("softmax over queries", "no residual"),
        ),
        Mistake(
            "A softmax over queries taken for missing norms",
            "The size of the tokens is sound. Add up the rows.",
            ("softmax over queries", "no norm"),
        ),
        Mistake(
            "Missing norms taken for a missing scale",
            "That makes maps sharp too, but leaves the tokens their size.",
            ("no norm", "no scale"),
        ),
        Mistake(
            "Missing norms taken for a missing residual",
            "Without it nothing adds up. What does the size of these tokens do?",
            ("no norm", "no residual"),
        ),
        Mistake(
            "Missing norms taken for a softmax over queries",
            "The rows sum to 1, as they should; look at the lower chart.",
            ("no norm", "softmax over queries"),
        ),
    ],
    insight="two of the four have much the same map: a missing scale and missing norms both feed\n"
    "the softmax scores that are too large. One picture is seldom enough.",
)

EXERCISES = (ATTENTION, SPLIT_HEADS, BLOCK, MEAN_POOL, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_attention(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(ATTENTION, answer))


def check_split_heads(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(SPLIT_HEADS, answer))


def check_block(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(BLOCK, answer))


def check_mean_pool(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(MEAN_POOL, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each stack of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
