"""The exercises of notebook 03: a place for each token."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(3)

# --- 1. Give the tokens a place ---------------------------------------------------------------


def add_positions(
    patches: np.ndarray, table: np.ndarray, class_token: np.ndarray, class_position: np.ndarray
) -> np.ndarray:
    """Gives tokens their place and puts the class token in front.

    Args:
        patches: (B, N, D) projected patches.
        table: (N, D), a vector for each place.
        class_token: (D,).
        class_position: (D,), its own vector, of no place in the grid.

    Returns:
        (B, 1 + N, D).
    """
    return _prepend(patches + table, class_token + class_position)


def _prepend(patches, first):
    B, _, D = patches.shape
    return np.concatenate([np.broadcast_to(first, (B, 1, D)), patches], axis=1)


def _after_the_class_token(patches, table, token, position):
    sequence = _prepend(patches, token)
    sequence[:, :-1] += table
    return sequence


def _hand_tokens():
    patches = np.array([[[0, 5], [2, 2], [0, 0]], [[1, 0], [2, 2], [4, 3]]], float)
    table = np.array([[0, 1], [2, 0], [7, 4]], float)
    return patches, table, np.array([6.0, 0.0]), np.array([1.0, 3.0])


def _random_tokens(B, N, D):
    return tuple(_RNG.normal(size=shape) for shape in ((B, N, D), (N, D), (D,), (D,)))


_OTHERS = _random_tokens(2, 4, 3)


def _starts_at_the_class_token(answer):
    """Tells whether each patch gets the row after its own, whatever the two ends get."""
    patches, table, *_ = _OTHERS
    got = answer(*_OTHERS)[:, 1:4] - patches[:, :-1]  # (2, 3, 3)
    return np.allclose(got, table[1:])


def _has_a_row_too_few(answer):
    """Tells whether 1 + N tokens were added to N rows, which cannot be broadcast."""
    try:
        answer(*_OTHERS)
    except ValueError as error:
        return {"(2,5,3)", "(4,3)"} <= set(str(error).split())
    return False


ADD_POSITIONS = Exercise(
    add_positions,
    hand_sized=[Case("2 photos of 3 patches", _hand_tokens())],
    random=[
        Case(f"{B} photos of {N} patches", _random_tokens(B, N, D))
        for B, N, D in ((3, 6, 4), (2, 8, 5))
    ],
    invariants={
        "the first token is the same for every photo": (
            lambda tokens, *_: np.allclose(tokens[:, 0], tokens[0, 0])
        ),
    },
    mistakes=[
        Mistake(
            "Positions added after the class token",
            "Each patch has its neighbour's place; the last has no row.",
            _after_the_class_token,
            sign=_starts_at_the_class_token,
        ),
        Mistake(
            "More tokens than places",
            "With the class token among them there are 1 + N; the table has N rows.",
            lambda x, t, c, p: _prepend(x, c + p) + t,
            sign=_has_a_row_too_few,
        ),
        Mistake(
            "The class token sits on patch 0",
            "It got a place of the grid, but it is nowhere in the picture.",
            lambda x, t, c, p: _prepend(x + t, c + t[0]),
        ),
        Mistake(
            "The class token's own vector is left out",
            "One of the four arguments is never used.",
            lambda x, t, c, p: _prepend(x + t, c),
        ),
        Mistake(
            "The class token's vector for everyone",
            "What all tokens share tells nobody where they are.",
            lambda x, t, c, p: _prepend(x + t, c) + p,
        ),
        Mistake(
            "The class token comes last",
            "The head reads token 0 and would find a patch there.",
            lambda x, t, c, p: np.roll(add_positions(x, t, c, p), -1, axis=1),
        ),
        Mistake(
            "Positions as more channels",
            "They carry the place, but later layers count on D channels.",
            lambda x, t, c, p: _prepend(
                np.concatenate([x, np.broadcast_to(t, x.shape)], axis=-1), np.concatenate([c, p])
            ),
        ),
        Mistake(
            "Positions as more tokens",
            "A place must travel in the token it belongs to, not behind it.",
            lambda x, t, c, p: _prepend(
                np.concatenate([x, np.broadcast_to(t, x.shape)], axis=1), c + p
            ),
        ),
        Mistake(
            "A place for each photo",
            "The table ran along the batch: all patches of one photo share a vector.",
            lambda x, t, c, p: _prepend(x + t[: len(x), None], c + p),
        ),
        Mistake(
            "Positions multiplied",
            "Where the table is 0, the patch is wiped out.",
            lambda x, t, c, p: _prepend(x * t, c + p),
        ),
        Mistake(
            "The patches stay without a place",
            "One of the four arguments is never used, and it is the largest.",
            lambda x, t, c, p: _prepend(x, c + p),
        ),
    ],
    insight="the table was never told where its places are. Patches and table shuffled alike give\n"
    "the same set of tokens: neighbours are for the model to discover.",
)

# --- 2. The vector of a place -----------------------------------------------------------------


def place_vector(n: int, grid: tuple[int, int], dim: int) -> np.ndarray:
    """Returns the 2-D sine-cosine vector of patch n (arXiv 2205.01580).

    Args:
        n: Number of the patch, row-major.
        grid: (rows, columns).
        dim: D, a multiple of 4 and at least 8.

    Returns:
        (D,): sines of the column, cosines of the column, sines of the row, cosines of the row.
    """
    return _vector(*divmod(n, grid[1]), _frequencies(dim))


def _frequencies(dim):
    return 10_000.0 ** -np.linspace(0, 1, dim // 4)  # (D / 4,)


def _vector(row, column, frequencies):
    x, y = column * frequencies, row * frequencies
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)])


def _interleaved(n, grid, dim):
    quarters = place_vector(n, grid, dim).reshape(2, 2, -1)  # (x or y, sin or cos, D / 4)
    return quarters.swapaxes(1, 2).reshape(-1)


def _flat(n, dim):
    angles = n * 10_000.0 ** -np.linspace(0, 1, dim // 2)  # (D / 2,)
    return np.concatenate([np.sin(angles), np.cos(angles)])


PLACE_VECTOR = Exercise(
    place_vector,
    hand_sized=[Case(f"patch {n} of 3 x 5 and 8 channels", (n, (3, 5), 8)) for n in (0, 2, 5, 13)]
    + [Case("patch 14 of 3 x 5 and 12 channels", (14, (3, 5), 12))],
    random=[
        Case(f"patch {n} of {r} x {c} and {d} channels", (n, (r, c), d))
        for n, r, c, d in ((17, 6, 4, 12), (40, 7, 9, 16), (61, 9, 8, 20))
    ],
    invariants={
        "all values lie between -1 and 1": lambda vector, *_: np.abs(vector).max() <= 1 + 1e-6,
        "squares of a sine and its cosine sum to 1": (
            lambda vector, n, grid, dim: np.isclose((vector**2).sum(), dim / 2, atol=1e-4)
        ),
    },
    mistakes=[
        Mistake(
            "The number, not the place",
            "On such a line the patch right below is a whole row away.",
            lambda n, g, d: _flat(n, d),
        ),
        Mistake(
            "Rows before columns",
            "In this table the first half of the channels tells the column.",
            lambda n, g, d: _vector(*divmod(n, g[1])[::-1], _frequencies(d)),
        ),
        Mistake(
            "Divided by the rows",
            "How many patches pass before the next row begins?",
            lambda n, g, d: _vector(*divmod(n, g[0]), _frequencies(d)),
        ),
        Mistake(
            "Sines and cosines take turns",
            "As good a code, but not this one: here they come in blocks of D / 4.",
            _interleaved,
        ),
        Mistake(
            "Ever faster",
            "The exponent has lost its sign: frequencies fall from 1, they do not rise.",
            lambda n, g, d: _vector(*divmod(n, g[1]), 1 / _frequencies(d)),
        ),
        Mistake(
            "The last frequency is missed",
            "D / 4 steps from 1 to 1/10000, both ends included.",
            lambda n, g, d: _vector(
                *divmod(n, g[1]), 10_000.0 ** -np.linspace(0, 1, d // 4, endpoint=False)
            ),
        ),
        Mistake(
            "Evenly spaced frequencies",
            "From 1 to 1/10000 by equal factors, not by equal differences.",
            lambda n, g, d: _vector(*divmod(n, g[1]), np.linspace(1, 1e-4, d // 4)),
        ),
        Mistake(
            "Degrees",
            "np.sin takes radians: do not convert.",
            lambda n, g, d: _vector(*divmod(n, g[1]), np.deg2rad(_frequencies(d))),
        ),
        Mistake(
            "Counted from 1",
            "The first patch of a photo is in row 0, column 0.",
            lambda n, g, d: _vector(n // g[1] + 1, n % g[1] + 1, _frequencies(d)),
        ),
    ],
    insight="the product of two such vectors depends only on how many rows and columns lie\n"
    "between the two places: neighbours are alike before anything is learned.",
)

# --- 3. Who is like whom ----------------------------------------------------------------------


def similarity_maps(table: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Returns the cosine similarity of each place with all places.

    Args:
        table: (N, D), a vector for each place, row-major.
        grid: (rows, columns), N = rows * columns.

    Returns:
        (rows, columns, rows, columns): the map of place (r, c) is `[r, c]`.
    """
    return _as_maps(_cosines(table), grid)


def _cosines(table):
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    return unit @ unit.T  # (N, N)


def _as_maps(pairs, grid):
    return pairs.reshape(*grid, *grid)


_HAND_TABLE = np.array([[1, 0], [2, 0], [0, 3], [3, 4], [-1, 0], [4, 3]], float)

SIMILARITY_MAPS = Exercise(
    similarity_maps,
    hand_sized=[Case("a table of 6 places, grid 2 x 3", (_HAND_TABLE, (2, 3)))],
    random=[
        Case(f"a random table, grid {r} x {c}", (_RNG.normal(0.5, 1, (r * c, d)), (r, c)))
        for r, c, d in ((3, 4, 5), (5, 2, 8))
    ],
    invariants={
        "each place has similarity 1 with itself": (
            lambda maps, table, grid: np.allclose(
                np.diagonal(maps.reshape(len(table), -1)), 1, atol=1e-5
            )
        ),
        "no similarity lies outside -1 to 1": lambda maps, *_: np.abs(maps).max() <= 1 + 1e-5,
    },
    mistakes=[
        Mistake(
            "The dot product alone",
            "Long vectors look alike to everyone; a cosine does not care about length.",
            lambda t, g: _as_maps(t @ t.T, g),
        ),
        Mistake(
            "Lengths along the wrong axis",
            "A vector is a row of the table; you took the length of its columns.",
            lambda t, g: _as_maps(
                (t / np.linalg.norm(t, axis=0)) @ (t / np.linalg.norm(t, axis=0)).T, g
            ),
        ),
        Mistake(
            "One length for the whole table",
            "A norm without an axis is one number for all vectors together.",
            lambda t, g: _as_maps(t @ t.T / np.linalg.norm(t) ** 2, g),
        ),
        Mistake(
            "Divided by one length only",
            "A cosine is free of the lengths of both vectors.",
            lambda t, g: _as_maps(t @ t.T / np.linalg.norm(t, axis=1, keepdims=True), g),
        ),
        Mistake(
            "Rows and columns swapped",
            "A grid is (rows, columns), and patches are numbered row by row.",
            lambda t, g: _as_maps(_cosines(t), g[::-1]),
        ),
        Mistake(
            "Still a list",
            "All the numbers are right, but no map yet: each row of yours is one.",
            lambda t, g: _cosines(t),
        ),
        Mistake(
            "The mean taken off first",
            "That is a correlation: it hides what all places have in common.",
            lambda t, g: _as_maps(_cosines(t - t.mean(axis=0)), g),
        ),
        Mistake(
            "Without the sign",
            "Opposite vectors are as unlike as can be, not alike.",
            lambda t, g: _as_maps(np.abs(_cosines(t)), g),
        ),
        Mistake(
            "Distances",
            "The same vectors then have 0, and unlike ones a large number.",
            lambda t, g: _as_maps(np.linalg.norm(t[:, None] - t, axis=-1), g),
        ),
    ],
    insight="swapped rows and columns cannot be seen on a square grid: the shape is the same.\n"
    "That is why the checks of this page have grids that are not square.",
)

# --- 4. Another grid --------------------------------------------------------------------------


def resize_nearest(
    table: np.ndarray, grid: tuple[int, int], new_grid: tuple[int, int]
) -> np.ndarray:
    """Returns a table for another grid: each new place copies the old place its middle lies in.

    A middle on a border belongs to the place that begins there.

    Args:
        table: (rows * columns, D), row-major.
        grid: (rows, columns) of `table`.
        new_grid: (rows, columns) wanted.

    Returns:
        (new rows * new columns, D).
    """
    return _pick(table, grid, *(_nearest(a, b) for a, b in zip(grid, new_grid, strict=True)))


def _nearest(old, new):
    """Returns the old index in which the middle of each new one lies."""
    return ((2 * np.arange(new) + 1) * old) // (2 * new)  # whole numbers: exact


def _pick(table, grid, rows, columns):
    picture = table.reshape(*grid, -1)
    return picture[rows][:, columns].reshape(len(rows) * len(columns), -1)


def _along_the_list(table, grid, new_grid):
    return table[_nearest(len(table), new_grid[0] * new_grid[1])]


def _by_corner(table, grid, new_grid):
    rows, columns = (np.arange(b) * a // b for a, b in zip(grid, new_grid, strict=True))
    return _pick(table, grid, rows, columns)


def _by_lower_border(table, grid, new_grid):
    rows, columns = (
        np.ceil((np.arange(b) + 0.5) * a / b - 1e-9).astype(int) - 1
        for a, b in zip(grid, new_grid, strict=True)
    )
    return _pick(table, grid, rows, columns)


def _breaks_ties_downwards(answer):
    """Tells whether an answer is right but where a middle lies on a border."""
    free = _numbered(5, 7), (5, 7), (8, 3)  # no middle on a border
    tied = _numbered(1, 6), (1, 6), (1, 3)
    return np.array_equal(answer(*free), resize_nearest(*free)) and np.array_equal(
        answer(*tied), _by_lower_border(*tied)
    )


def _kept_in_place(table, grid, new_grid):
    rows, columns = (np.minimum(np.arange(b), a - 1) for a, b in zip(grid, new_grid, strict=True))
    return _pick(table, grid, rows, columns)


def _columns_first(table, grid, new_grid):
    resized = resize_nearest(table, grid, new_grid).reshape(*new_grid, -1)
    return resized.swapaxes(0, 1).reshape(-1, table.shape[1])


def _numbered(rows, columns):
    """Returns a table whose vectors say their own place: (row, column)."""
    return np.mgrid[:rows, :columns].reshape(2, -1).T.astype(float)  # (N, 2)


RESIZE_NEAREST = Exercise(
    resize_nearest,
    hand_sized=[
        Case(f"a grid of {a} x {b} made {c} x {d}", (_numbered(a, b), (a, b), (c, d)))
        for a, b, c, d in ((4, 6, 4, 3), (2, 3, 4, 6), (3, 2, 3, 2), (3, 4, 2, 6))
    ],
    random=[
        Case(
            f"a random table of {a} x {b} made {c} x {d}",
            (_RNG.normal(size=(a * b, 5)), (a, b), (c, d)),
        )
        for a, b, c, d in ((6, 6, 6, 4), (5, 7, 8, 3), (4, 4, 9, 10))
    ],
    invariants={
        "each new vector is one of the old ones": (
            lambda new, table, *_: all((table == vector).all(axis=1).any() for vector in new)
        ),
    },
    mistakes=[
        Mistake(
            "The first rows of the list",
            "Enough vectors for every patch, but nearly all belong to another place.",
            lambda t, g, n: np.resize(t, (n[0] * n[1], t.shape[1])),
        ),
        Mistake(
            "Stretched along the list",
            "The list is as long as it should be, but its rows now break elsewhere.",
            _along_the_list,
        ),
        Mistake(
            "Old numbers kept",
            "The picture fills either grid; yours is cut off, or smeared at its edge.",
            _kept_in_place,
        ),
        Mistake(
            "By the corner, not the middle",
            "Your picks lean up and left. Where is the middle of a new patch?",
            _by_corner,
        ),
        Mistake(
            "The border goes to the place before",
            "A middle on a border belongs to the place that begins there.",
            _by_lower_border,
            sign=_breaks_ties_downwards,
        ),
        Mistake(
            "Columns first",
            "The right vectors, listed down the columns: patches are numbered row by row.",
            _columns_first,
        ),
        Mistake(
            "Old rows and columns swapped",
            "The table was read as a picture that is as wide as it was high.",
            lambda t, g, n: resize_nearest(t, g[::-1], n),
        ),
        Mistake(
            "New rows and columns swapped",
            "The wanted grid is (rows, columns) too.",
            lambda t, g, n: resize_nearest(t, g, n[::-1]),
        ),
        Mistake(
            "Only the columns",
            "The rows were left as they come, cut off or repeated.",
            lambda t, g, n: _pick(
                t, g, np.minimum(np.arange(n[0]), g[0] - 1), _nearest(g[1], n[1])
            ),
        ),
        Mistake(
            "Still a picture",
            "The model adds the table to a list of tokens: one row for each patch.",
            lambda t, g, n: resize_nearest(t, g, n).reshape(*n, -1),
        ),
    ],
    insight="where a grid grows, nearest neighbours give several patches one and the same place.\n"
    "The library blends the vectors around instead (bicubic), as one does with photos.",
)

# --- 5. What is wrong with these tables -------------------------------------------------------

BROKEN_GRID = (4, 6)


def broken_tables() -> dict[str, np.ndarray]:
    """Makes a sound sine-cosine table for a grid of 4 x 6 and four with a planted bug.

    Returns:
        "sound", "A", "B", "C", "D" -> (24, 32).
    """
    rows, columns = BROKEN_GRID
    n = rows * columns
    return {
        "sound": _waves(rows, columns),
        "A": _waves(8, 8)[:n],
        "B": np.random.default_rng(0).normal(0, 0.02, (n, 32)),
        "C": _waves(1, n),
        "D": _waves(columns, rows),
    }


def _waves(rows, columns):
    """Returns a sine-cosine table (rows * columns, 32) of waves fit for such small grids."""
    frequencies = np.linspace(0.3, 1.5, 8)
    return np.array([_vector(*divmod(n, columns), frequencies) for n in range(rows * columns)])


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={"A": "truncated", "B": "untrained", "C": "flat", "D": "swapped"},
    mistakes=[
        Mistake(
            "Truncated taken for untrained",
            "Nothing is like anything else in an untrained table; here bright spots come back.",
            ("truncated", "untrained"),
        ),
        Mistake(
            "Truncated taken for flat",
            "A line has one bright stretch; here another spot follows, 8 further.",
            ("truncated", "flat"),
        ),
        Mistake(
            "Truncated taken for swapped",
            "Swapped rows are 4 long; here the second spot comes later than one row of the grid.",
            ("truncated", "swapped"),
        ),
        Mistake(
            "Untrained taken for truncated",
            "Truncated tables still know neighbours, only the wrong ones; these places know none.",
            ("untrained", "truncated"),
        ),
        Mistake(
            "Untrained taken for flat",
            "On a line the next patch is always alike; here it is no better than the rest.",
            ("untrained", "flat"),
        ),
        Mistake(
            "Untrained taken for swapped",
            "Swapping moves bright spots, it does not put them out.",
            ("untrained", "swapped"),
        ),
        Mistake(
            "Flat taken for truncated",
            "A longer row would bring a second bright spot; here there is one only.",
            ("flat", "truncated"),
        ),
        Mistake(
            "Flat taken for untrained",
            "Untrained places are alike to themselves only; these are alike to left and right.",
            ("flat", "untrained"),
        ),
        Mistake(
            "Flat taken for swapped",
            "Swapped places still have others above and below, if crooked; these have none.",
            ("flat", "swapped"),
        ),
        Mistake(
            "Swapped taken for truncated",
            "Truncated rows are longer than those of the grid; here a spot comes back too soon.",
            ("swapped", "truncated"),
        ),
        Mistake(
            "Swapped taken for untrained",
            "There is order in these maps: count from one bright spot to the next.",
            ("swapped", "untrained"),
        ),
        Mistake(
            "Swapped taken for flat",
            "A line has one bright stretch; here others come back, 4 further each time.",
            ("swapped", "flat"),
        ),
    ],
    insight="all five tables have the same shape, and a model trains with each of them. Only a\n"
    "look at the maps, or a test that is not square, tells them apart.",
)

EXERCISES = (ADD_POSITIONS, PLACE_VECTOR, SIMILARITY_MAPS, RESIZE_NEAREST, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_add_positions(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(ADD_POSITIONS, answer))


def check_place_vector(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(PLACE_VECTOR, answer))


def check_similarity_maps(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(SIMILARITY_MAPS, answer))


def check_resize_nearest(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(RESIZE_NEAREST, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each table of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
