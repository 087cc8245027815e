"""The exercises of notebook 09: a trained model is taken on."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(9)

# --- 1. Into the first kernel -----------------------------------------------------------------


def fold_statistics(
    kernel: np.ndarray, bias: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Moves the normalisation of pixels into the projection of patches.

    Args:
        kernel: (P * P * C, D), made for pixels from which the mean is subtracted and that are then
            divided by the deviation. Pixel by pixel, of each all its channels.
        bias: (D,).
        mean: (C,), of pixels from 0 to 255.
        std: (C,).

    Returns:
        (P * P * C + 1, D): the kernel for raw pixels, and its bias as the last row.
    """
    return _folded(kernel, bias, *_tiled(kernel, mean, std))


def _tiled(kernel, *statistics):
    return [np.tile(values, len(kernel) // len(values))[:, None] for values in statistics]


def _folded(kernel, bias, mean, std):
    """Folds statistics (P * P * C, 1)."""
    return np.vstack([kernel / std, bias - (mean / std * kernel).sum(axis=0)])


def _by_repeating(kernel, bias, mean, std):
    times = len(kernel) // len(mean)
    return _folded(kernel, bias, *(np.repeat(v, times)[:, None] for v in (mean, std)))


def _answer_with(fold):
    """Returns an answer from a function of kernel, bias and statistics (P * P * C, 1)."""
    return lambda kernel, bias, mean, std: np.vstack(fold(kernel, bias, *_tiled(kernel, mean, std)))


def _random_projection(pixels, C, D):
    kernel, bias = _RNG.normal(size=(pixels * C, D)), _RNG.normal(size=D)
    return kernel, bias, _RNG.uniform(90, 130, C), _RNG.uniform(50, 70, C)


FOLD_STATISTICS = Exercise(
    fold_statistics,
    hand_sized=[
        Case(
            "2 pixels of 2 channels, D = 1",
            (
                np.array([[2.0], [8.0], [6.0], [0.0]]),
                np.array([5.0]),
                np.array([1.0, 3.0]),
                np.array([2.0, 4.0]),
            ),
        ),
    ],
    random=[
        Case(f"{pixels} pixels of {C} channels, D = {D}", _random_projection(pixels, C, D))
        for pixels, C, D in ((4, 3, 5), (6, 2, 3))
    ],
    invariants={
        "a patch of mean pixels gives the old bias": (
            lambda folded, kernel, bias, mean, std: np.allclose(
                np.tile(mean, len(kernel) // len(mean)) @ folded[:-1] + folded[-1], bias
            )
        ),
    },
    mistakes=[
        Mistake(
            "The bias stays as it was",
            "Subtracting the mean from pixels takes something off every output.",
            _answer_with(lambda k, b, m, s: (k / s, b)),
        ),
        Mistake(
            "The bias moves the wrong way",
            "What is subtracted from pixels is subtracted from outputs.",
            _answer_with(lambda k, b, m, s: (k / s, b + (m / s * k).sum(0))),
        ),
        Mistake(
            "The mean is not divided",
            "It is subtracted first: the division is of both, pixel and mean.",
            _answer_with(lambda k, b, m, s: (k / s, b - (m * k).sum(0))),
        ),
        Mistake(
            "Divided twice",
            "The new kernel has the deviation in it already.",
            _answer_with(lambda k, b, m, s: (k / s, b - (m / s**2 * k).sum(0))),
        ),
        Mistake(
            "Multiplied by the deviation",
            "Raw pixels are the larger ones, so the kernel for them is smaller.",
            _answer_with(lambda k, b, m, s: (k * s, b - (m * s * k).sum(0))),
        ),
        Mistake(
            "The kernel stays as it was",
            "Nobody divides raw pixels any more: the kernel has to do it.",
            _answer_with(lambda k, b, m, s: (k, b - (m / s * k).sum(0))),
        ),
        Mistake(
            "Channel by channel",
            "A patch is flattened pixel by pixel: R, G, B, R, G, B and so on.",
            _by_repeating,
        ),
        Mistake(
            "The same for all channels",
            "Each channel has a mean and a deviation of its own.",
            lambda k, b, m, s: _folded(k, b, m.mean(), s.mean()),
        ),
        Mistake(
            "The mean of the products",
            "An output is a sum over all of a patch's numbers, not a mean.",
            _answer_with(lambda k, b, m, s: (k / s, b - (m / s * k).mean(0))),
        ),
    ],
    insight="both models are the same function, yet not the same to train: the kernel for raw\n"
    "pixels is tiny beside its bias. So ours keeps a layer that rescales, and a kernel as it was.",
)

# --- 2. Another grid, and tokens of no place --------------------------------------------------


def resize_positions(
    table: np.ndarray, prefix: int, grid: tuple[int, int], new_grid: tuple[int, int]
) -> np.ndarray:
    """Resizes a position table that begins with rows of tokens that are no patches.

    Along each axis a new place takes from the two old ones beside its middle, the nearer the more
    (linear interpolation); beyond the middle of the outermost there is only that one.

    Args:
        table: (prefix + rows * columns, D), row-major behind the prefix.
        prefix: rows of the class token and of registers, 0 or more.
        grid: (rows, columns) of the table.
        new_grid: (rows, columns) wanted.

    Returns:
        (prefix + new rows * new columns, D).
    """
    return _resized(table, prefix, grid, new_grid, _middles)


def _middles(old, new):
    return np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)


def _resized(table, prefix, grid, new_grid, places):
    ways = [
        np.maximum(0, 1 - np.abs(places(old, new)[:, None] - np.arange(old)))  # (new, old)
        for old, new in zip(grid, new_grid, strict=True)
    ]
    picture = table[prefix:].reshape(*grid, -1)  # (N, D) -> (rows, columns, D)
    picture = np.einsum("Rr,Cc,rcd->RCd", *ways, picture)  # (new rows, new columns, D)
    return np.concatenate([table[:prefix], picture.reshape(-1, table.shape[1])])


def _not_clipped(old, new):
    return (np.arange(new) + 0.5) * old / new - 0.5


def _corner_to_corner(old, new):
    return np.linspace(0, old - 1, new)


def _by_corners(old, new):
    return np.minimum(np.arange(new) * old / new, old - 1)


def _nearest(old, new):
    return ((2 * np.arange(new) + 1) * old) // (2 * new)


def _with(places):
    return lambda t, p, g, n: _resized(t, p, g, n, places)


def _along_the_list(table, prefix, grid, new_grid):
    places = table[prefix:]
    at = _middles(len(places), new_grid[0] * new_grid[1])
    way = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(len(places))))
    return np.concatenate([table[:prefix], way @ places])


def _patches_only(table, prefix, grid, new_grid):
    return resize_positions(table, prefix, grid, new_grid)[prefix:]


def _columns_first(table, prefix, grid, new_grid):
    places = _patches_only(table, prefix, grid, new_grid).reshape(*new_grid, -1)
    places = places.swapaxes(0, 1).reshape(-1, table.shape[1])
    return np.concatenate([table[:prefix], places])


def _prefix_from_the_end(table, prefix, grid, new_grid):
    """The patches are taken from the front, as if the prefix stood behind them."""
    count = grid[0] * grid[1]
    moved = np.concatenate([table[count:], table[:count]])
    return resize_positions(moved, prefix, grid, new_grid)


def _numbered(rows, columns, prefix):
    """A table whose places say their row and column; the prefix holds 10, 20, ..."""
    places = np.mgrid[:rows, :columns].reshape(2, -1).T.astype(float)  # (N, 2)
    first = 10.0 * np.arange(1, prefix + 1)[:, None] + np.zeros((prefix, 2))
    return np.concatenate([first, places])


RESIZE_POSITIONS = Exercise(
    resize_positions,
    hand_sized=[
        Case(
            f"{prefix} prefix rows, a grid of {a} x {b} made {c} x {d}",
            (_numbered(a, b, prefix), prefix, (a, b), (c, d)),
        )
        for prefix, a, b, c, d in ((1, 2, 3, 4, 3), (2, 2, 2, 2, 4), (0, 3, 2, 2, 5))
    ],
    random=[
        Case(
            f"{prefix} prefix rows, a random grid of {a} x {b} made {c} x {d}",
            (_RNG.normal(size=(prefix + a * b, 4)), prefix, (a, b), (c, d)),
        )
        for prefix, a, b, c, d in ((1, 6, 6, 6, 10), (5, 4, 5, 7, 3))
    ],
    invariants={
        "no number lies outside those of the table": (
            lambda new, table, *_: (
                new.min() >= table.min() - 1e-6 and new.max() <= table.max() + 1e-6
            )
        ),
    },
    mistakes=[
        Mistake(
            "The prefix is gone",
            "The class token and the registers need their rows as well.",
            _patches_only,
        ),
        Mistake(
            "The prefix at the end",
            "The model reads the class token in front.",
            lambda t, p, g, n: np.concatenate([_patches_only(t, p, g, n), t[:p]]),
        ),
        Mistake(
            "The last rows taken for the prefix",
            "They belong to patches; the prefix stands in front of the table.",
            _prefix_from_the_end,
        ),
        Mistake(
            "One row for the prefix",
            "There may be none, or one for each register besides.",
            lambda t, p, g, n: np.concatenate([t[:1], _patches_only(t, p, g, n)]),
        ),
        Mistake(
            "Corner to corner",
            "You laid outermost middles on each other; it is the borders that coincide.",
            _with(_corner_to_corner),
        ),
        Mistake(
            "By the corner, not the middle",
            "A patch sits at its middle, half a patch from where it begins.",
            _with(_by_corners),
        ),
        Mistake(
            "Faded at the border",
            "Out there is only one old place: it gets all of the weight.",
            _with(_not_clipped),
        ),
        Mistake(
            "The nearest one alone",
            "Neighbours then share a vector. Take from both sides, the nearer the more.",
            _with(_nearest),
        ),
        Mistake(
            "Stretched along the list",
            "Between the end of a row and the start of the next there is no place.",
            _along_the_list,
        ),
        Mistake(
            "Rows and columns swapped",
            "A grid is (rows, columns), the old one and the new one.",
            lambda t, p, g, n: resize_positions(t, p, g[::-1], n[::-1]),
        ),
        Mistake(
            "Columns first",
            "The right vectors, listed down the columns: patches are numbered row by row.",
            _columns_first,
        ),
    ],
    insight="shrinking this way skips places, as shrinking a photo does without antialiasing.\n"
    "The library blends more of them (bicubic) and, where a grid shrinks, looks further around.",
)

# --- 3. Small steps below, large ones on top --------------------------------------------------


def layer_rates(depth: int, peak: float, decay: float) -> np.ndarray:
    """Returns the learning rate of each place on the way up.

    Args:
        depth: number of blocks.
        peak: rate of the head.
        decay: factor from each place to the one below it.

    Returns:
        (depth + 2,): of the tokens, of each block, of the head.
    """
    return peak * decay ** np.arange(depth + 1.0, -1, -1)


def _up(depth):
    return np.arange(depth + 2.0)


def _without_the_tokens(depth, peak, decay):
    return layer_rates(depth, peak, decay)[1:]


LAYER_RATES = Exercise(
    layer_rates,
    hand_sized=[
        Case(f"{depth} blocks, peak {peak:g}, decay {decay:g}", (depth, peak, decay))
        for depth, peak, decay in ((2, 8.0, 0.5), (3, 2.0, 1.0), (0, 4.0, 0.25))
    ],
    random=[
        Case(f"{depth} blocks, peak {peak:g}, decay {decay:g}", (depth, peak, decay))
        for depth, peak, decay in ((6, 1.0, 0.75), (12, 3.0, 0.8))
    ],
    invariants={
        "no place learns faster than the head": lambda rates, d, peak, _: rates.max() <= peak + 1e-9
    },
    mistakes=[
        Mistake(
            "From the wrong end",
            "The head is new and has all to learn; the tokens know theirs.",
            lambda d, p, f: p * f ** _up(d),
        ),
        Mistake(
            "The head is slowed down too",
            "It has the peak itself: nothing is above it.",
            lambda d, p, f: p * f ** (_up(d)[::-1] + 1),
        ),
        Mistake(
            "The first block like the tokens",
            "They come before it, so they are one place further down.",
            lambda d, p, f: p * f ** np.minimum(_up(d)[::-1], d),
        ),
        Mistake(
            "The last block like the head",
            "Already the last block has learned before.",
            lambda d, p, f: p * f ** np.maximum(_up(d)[::-1] - 1, 0),
        ),
        Mistake(
            "The tokens are left out",
            "Projection and positions are trained as well: a place for them too.",
            _without_the_tokens,
        ),
        Mistake(
            "The head is left out",
            "It is a place of its own, above the last block.",
            lambda d, p, f: layer_rates(d, p, f)[:-1],
        ),
        Mistake(
            "A factor for all of them",
            "The factor applies again with each place, not once.",
            lambda d, p, f: p * np.where(_up(d) < d + 1, f, 1.0),
        ),
        Mistake(
            "By equal differences",
            "Each place has a share of the one above, not so much less.",
            lambda d, p, f: p * (1 - (1 - f) * _up(d)[::-1] / (d + 1)),
        ),
        Mistake(
            "The peak is left out",
            "These are shares of it.",
            lambda d, p, f: f ** _up(d)[::-1],
        ),
    ],
    insight="decay 1 trains all alike, and a decay near 0 is nearly a linear probe: one number\n"
    "leads from the one to the other. Weight decay should follow the rates, as in AdamW it does.",
)

# --- 4. Two thin kernels into a thick one -----------------------------------------------------


def merge_lora(kernel: np.ndarray, down: np.ndarray, up: np.ndarray, alpha: float) -> np.ndarray:
    """Merges a LoRA adapter into the kernel it was trained beside.

    While it is trained, the layer computes `x @ kernel + alpha / rank * x @ down @ up`.

    Args:
        kernel: (inputs, outputs), frozen.
        down: (inputs, rank).
        up: (rank, outputs).
        alpha: strength of the adapter.

    Returns:
        (inputs, outputs): one kernel that does the same.
    """
    return kernel + alpha / down.shape[1] * down @ up


def _random_adapter(inputs, rank, outputs, alpha):
    shapes = (inputs, outputs), (inputs, rank), (rank, outputs)
    return (*(_RNG.normal(size=shape) for shape in shapes), alpha)


MERGE_LORA = Exercise(
    merge_lora,
    hand_sized=[
        Case(
            "a kernel of 3 x 2, rank 2, alpha 6",
            (
                np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 5.0]]),
                np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]),
                np.array([[4.0, 1.0], [0.0, 3.0]]),
                6.0,
            ),
        ),
        Case(
            "an adapter not trained yet",
            (np.array([[1.0, 4.0]]), np.array([[2.0, 3.0]]), np.zeros((2, 2)), 8.0),
        ),
    ],
    random=[
        Case(f"a kernel of {i} x {o}, rank {r}, alpha {a:g}", _random_adapter(i, r, o, a))
        for i, r, o, a in ((5, 2, 7, 4.0), (4, 3, 4, 1.5))
    ],
    invariants={
        "an adapter whose second kernel is 0 changes nothing": (
            lambda merged, kernel, down, up, alpha: up.any() or np.allclose(merged, kernel)
        ),
        "inputs on which the first kernel gives 0 are treated as before": (
            lambda merged, kernel, down, up, alpha: np.allclose(
                merged[~down.any(axis=1)], kernel[~down.any(axis=1)]
            )
        ),
    },
    mistakes=[
        Mistake(
            "There is no scale",
            "Two arguments of the formula are never used: the strength and the rank.",
            lambda k, a, b, s: k + a @ b,
        ),
        Mistake(
            "Not divided by the rank",
            "A higher rank sums up more: the scale makes up for it.",
            lambda k, a, b, s: k + s * a @ b,
        ),
        Mistake(
            "The strength is left out",
            "The division is right; one factor is missing.",
            lambda k, a, b, s: k + a @ b / a.shape[1],
        ),
        Mistake(
            "Divided by the root of the rank",
            "That is a later variant; here the formula says rank.",
            lambda k, a, b, s: k + s / np.sqrt(a.shape[1]) * a @ b,
        ),
        Mistake(
            "Divided by the inputs",
            "The rank is the short side of the first kernel.",
            lambda k, a, b, s: k + s / len(a) * a @ b,
        ),
        Mistake(
            "The change alone",
            "What was learned before is in the frozen kernel.",
            lambda k, a, b, s: s / a.shape[1] * a @ b,
        ),
        Mistake(
            "All of it is scaled",
            "The scale is the adapter's: the frozen kernel counts in full.",
            lambda k, a, b, s: s / a.shape[1] * (k + a @ b),
        ),
        Mistake(
            "Taken off instead of added",
            "The layer adds what the adapter gives.",
            lambda k, a, b, s: k - s / a.shape[1] * a @ b,
        ),
        Mistake(
            "The scale counts twice",
            "Each of the two kernels was scaled: once is enough.",
            lambda k, a, b, s: k + (s / a.shape[1] * a) @ (s / a.shape[1] * b),
        ),
    ],
    insight="beside a kernel of 192 x 576, rank 8 trains 6 % as many numbers. Merged, it costs\n"
    "nothing any more; kept apart, many tasks can share one frozen model.",
)

# --- 5. What went wrong -----------------------------------------------------------------------

GUESS = (float(np.log(5)), 0.2)


def run_fine_tuning(bug: str | None, epochs: int = 20) -> dict[str, list[float]]:
    """Trains a small network on toy flowers, then on others of as many other species.

    A toy flower is 24 raw pixels, 0 to 255. The network is a body, 48 units that see the pixels
    from -1 to 1, and a head. In a sound run the head is new and learns ten times as fast as the
    body.

    Args:
        bug: one of the causes of `DIAGNOSIS`, or None for a sound run.
        epochs: passes over the 100 training flowers, in batches of 10.

    Returns:
        "loss", "accuracy" (training: means over the batches, each before its step), "val_loss",
        "val_accuracy" (validation, at the end of the epoch) -> one value an epoch, all of the
        second training.
    """
    rng = np.random.default_rng(5)
    pixels_of = rng.normal(size=(4, 24))  # what all species are made of
    old, new = (127.5 + 16 * rng.normal(size=(5, 4)) @ pixels_of for _ in range(2))  # (5, 24)

    def pick(species, count):
        labels = np.arange(count) % 5
        pixels = species[labels] + rng.normal(0, 45, (count, 24))
        return pixels.clip(0, 255), labels

    body = np.vstack([rng.normal(0, np.sqrt(2 / 24), (24, 48)), np.zeros(48)])  # the bias below
    head = rng.normal(0, 0.02, (48, 5))
    x, y = pick(old, 1000)
    for own in np.concatenate([rng.permutation(1000).reshape(50, 20) for _ in range(30)]):
        _step(x[own], y[own], body, head, 0.1, 0.1)

    (x, y), (val_x, val_y) = pick(new, 100), pick(new, 500)
    if bug == "pixels from 0 to 1":
        x, val_x = x / 255, val_x / 255
    if bug == "validation from 0 to 1":
        val_x = val_x / 255
    if bug != "old head":
        head = rng.normal(0, 0.02, (48, 5))
    rates = (8.0, 8.0) if bug == "large steps for all" else (0.005, 0.05)
    measures = {"loss": [], "accuracy": [], "val_loss": [], "val_accuracy": []}
    for _ in range(epochs):
        seen = []
        for own in rng.permutation(100).reshape(10, 10):
            seen.append(_measure(_hidden(x[own], body) @ head, y[own]))
            _step(x[own], y[own], body, head, *rates)
        values = (*np.mean(seen, axis=0), *_measure(_hidden(val_x, body) @ head, val_y))
        for name, value in zip(measures, values, strict=True):
            measures[name].append(float(value))
    return measures


def _hidden(pixels, body):
    return np.maximum((pixels / 127.5 - 1) @ body[:-1] + body[-1], 0)  # (B, 24) -> (B, 48)


def _log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _measure(logits, labels):
    loss = -_log_softmax(logits)[np.arange(len(labels)), labels].mean()
    return loss, (logits.argmax(axis=1) == labels).mean()


def _step(pixels, labels, body, head, body_rate, head_rate):
    """One step of gradient descent, in place."""
    hidden = _hidden(pixels, body)  # (B, 48)
    errors = (np.exp(_log_softmax(hidden @ head)) - np.eye(5)[labels]) / len(labels)  # (B, 5)
    back = errors @ head.T * (hidden > 0)  # (B, 48)
    head -= head_rate * hidden.T @ errors
    body[:-1] -= body_rate * (pixels / 127.5 - 1).T @ back
    body[-1] -= body_rate * back.sum(axis=0)


def broken_runs() -> dict[str, dict[str, list[float]]]:
    """Makes a sound run and four with a planted bug.

    Returns:
        "sound", "A", "B", "C", "D" -> what `run_fine_tuning` returns.
    """
    return {name: run_fine_tuning(bug) for name, bug in {"sound": None, **DIAGNOSIS.truth}.items()}


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={
        "A": "old head",
        "B": "validation from 0 to 1",
        "C": "large steps for all",
        "D": "pixels from 0 to 1",
    },
    mistakes=[
        Mistake(
            "An old head taken for validation from 0 to 1",
            "Then training would be sound; here it starts far above guessing.",
            ("old head", "validation from 0 to 1"),
        ),
        Mistake(
            "An old head taken for large steps",
            "Large steps break the body for good; here it gets better, and evenly.",
            ("old head", "large steps for all"),
        ),
        Mistake(
            "An old head taken for pixels from 0 to 1",
            "Then nothing could be told apart; here it is learned, only late.",
            ("old head", "pixels from 0 to 1"),
        ),
        Mistake(
            "Validation from 0 to 1 taken for an old head",
            "An old head is wrong about training flowers too.",
            ("validation from 0 to 1", "old head"),
        ),
        Mistake(
            "Validation from 0 to 1 taken for large steps",
            "They would spoil training. Compare it with the sound run.",
            ("validation from 0 to 1", "large steps for all"),
        ),
        Mistake(
            "Validation from 0 to 1 taken for pixels from 0 to 1",
            "Training sees flowers well here.",
            ("validation from 0 to 1", "pixels from 0 to 1"),
        ),
        Mistake(
            "Large steps taken for an old head",
            "An old head is unlearned in the end; here what the body knew is lost.",
            ("large steps for all", "old head"),
        ),
        Mistake(
            "Large steps taken for validation from 0 to 1",
            "Then training would be fine; here it suffers as much.",
            ("large steps for all", "validation from 0 to 1"),
        ),
        Mistake(
            "Large steps taken for pixels from 0 to 1",
            "With those the loss stays beside guessing; here it starts far above.",
            ("large steps for all", "pixels from 0 to 1"),
        ),
        Mistake(
            "Pixels from 0 to 1 taken for an old head",
            "An old head starts far above guessing, then learns; this does neither.",
            ("pixels from 0 to 1", "old head"),
        ),
        Mistake(
            "Pixels from 0 to 1 taken for validation from 0 to 1",
            "Then training would learn. Does it?",
            ("pixels from 0 to 1", "validation from 0 to 1"),
        ),
        Mistake(
            "Pixels from 0 to 1 taken for large steps",
            "Those start far above guessing; this stays beside it all along.",
            ("pixels from 0 to 1", "large steps for all"),
        ),
    ],
    insight="the old head is unlearned in the end and goes unseen: with as many classes as before\n"
    "no shape is wrong. load_pretrained keeps such a head unless you ask with new_head=True.",
)

EXERCISES = (FOLD_STATISTICS, RESIZE_POSITIONS, LAYER_RATES, MERGE_LORA, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_fold_statistics(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(FOLD_STATISTICS, answer))


def check_resize_positions(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(RESIZE_POSITIONS, answer))


def check_layer_rates(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(LAYER_RATES, answer))


def check_merge_lora(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(MERGE_LORA, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each run of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
