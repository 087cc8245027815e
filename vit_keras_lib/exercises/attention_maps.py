"""The exercises of notebook 06_attention_maps: right answers, known mistakes and checks."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(0)


def _attention(*shape):
    """Draws attention weights (..., T, T): each row sums to 1."""
    weights = _RNG.gamma(0.5, size=shape)
    return weights / weights.sum(-1, keepdims=True)


def _turned(*rows):
    """Makes heads (heads, T, T) of a first row each: row q is the first one moved by q."""
    rows = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    return np.stack([[np.roll(row, q) for q in range(len(row))] for row in rows])


# --- 1. The class token's map -----------------------------------------------------------------


def class_map(weights: np.ndarray, grid: tuple[int, int], num_prefix: int) -> np.ndarray:
    """Returns what the class token looks at, mean over the heads, on the patch grid.

    Args:
        weights: (heads, T, T), rows are queries; the class token is token 0.
        grid: (rows, columns) of the patches.
        num_prefix: how many tokens stand before the patches, the class token among them.

    Returns:
        (rows, columns) in units of uniform attention: 1 is what each of T tokens would get if
        attention were spread evenly.
    """
    row = weights[:, 0, num_prefix:].mean(axis=0)  # (heads, T, T) -> (N,)
    return row.reshape(grid) * weights.shape[-1]


def _on_grid(row, grid, T):
    return row[: grid[0] * grid[1]].reshape(grid) * T


CLASS_MAP = Exercise(
    class_map,
    hand_sized=[
        Case(
            "2 heads, a 2 x 3 grid behind 1 prefix token",
            (_turned([2, 1, 0, 4, 3, 0, 6], [4, 0, 2, 2, 0, 8, 0]), (2, 3), 1),
        ),
        Case(
            "2 heads, a 2 x 3 grid behind 3 prefix tokens",
            (_turned([1, 5, 2, 0, 3, 1, 0, 4, 0], [0, 2, 6, 1, 1, 0, 2, 0, 4]), (2, 3), 3),
        ),
        Case("1 head, a 3 x 1 grid behind 2", (_turned([2, 1, 0, 3, 2]), (3, 1), 2)),
    ],
    random=[
        Case(
            f"{h} random heads, a {r} x {c} grid behind {p}",
            (_attention(h, p + r * c, p + r * c), (r, c), p),
        )
        for h, r, c, p in ((12, 6, 9, 1), (3, 5, 2, 5))
    ],
    invariants={
        "no value is below 0": lambda out, *_: out.min() >= 0,
        "the map sums to T at most": (
            lambda out, weights, *_: out.sum() <= weights.shape[-1] + 1e-6
        ),
    },
    mistakes=[
        Mistake(
            "A column",
            "It says which patches look at the class token.",
            lambda w, g, p: class_map(np.swapaxes(w, 1, 2), g, p),
        ),
        Mistake(
            "Only the class token is left out",
            "Registers stand before the patches too.",
            lambda w, g, p: _on_grid(w[:, 0, 1:].mean(0), g, w.shape[-1]),
        ),
        Mistake(
            "Prefix tokens are taken for patches",
            "They have no place on the grid, and come first.",
            lambda w, g, p: _on_grid(w[:, 0].mean(0), g, w.shape[-1]),
        ),
        Mistake(
            "The grid is transposed",
            "Patches are numbered row by row.",
            lambda w, g, p: class_map(w, g[::-1], p).T,
        ),
        Mistake(
            "A sum over the heads",
            "Twelve even heads would make an even map of 12 and not of 1.",
            lambda w, g, p: class_map(w, g, p) * len(w),
        ),
        Mistake(
            "The strongest head for each patch",
            "That is another way to fuse heads: rows then sum to more than 1.",
            lambda w, g, p: class_map(w.max(0, keepdims=True), g, p),
        ),
        Mistake(
            "The first head alone",
            "A single head says little about the others.",
            lambda w, g, p: class_map(w[:1], g, p),
        ),
        Mistake(
            "Plain weights",
            "They shrink as photos get more patches. What is 1 here?",
            lambda w, g, p: class_map(w, g, p) / w.shape[-1],
        ),
        Mistake(
            "Times the number of patches",
            "An even head shares itself out over the prefix tokens as well.",
            lambda w, g, p: class_map(w, g, p) / w.shape[-1] * g[0] * g[1],
        ),
        Mistake(
            "The mean over all queries",
            "Here one token is asked: the one that the head of the model reads.",
            lambda w, g, p: class_map(w.mean(1, keepdims=True), g, p),
        ),
        Mistake(
            "The last query",
            "That is the patch at the bottom right.",
            lambda w, g, p: class_map(w[:, -1:], g, p),
        ),
        Mistake(
            "The first patch's row",
            "The class token comes before it.",
            lambda w, g, p: class_map(w[:, p:], g, p),
        ),
        Mistake(
            "What is left is scaled up again",
            "Then nobody sees how much went to the prefix tokens.",
            lambda w, g, p: class_map(w, g, p) / class_map(w, g, p).mean(),
        ),
    ],
    insight="the sum of this map over T is the share of attention that fell on patches. The rest\n"
    "went to prefix tokens: look at it first, for a map of the last few percent says little.",
)

# --- 2. Lift ----------------------------------------------------------------------------------


def lift(heat: np.ndarray, cover: np.ndarray) -> float:
    """Returns how much more of a map falls on the flower than of its area.

    Args:
        heat: (rows, columns), not below 0, of any sum but 0.
        cover: (rows, columns), the share of each patch that is flower; not all 0.

    Returns:
        The share of the map that falls on the flower, over the flower's share of the area.
    """
    return float((heat * cover).sum() / heat.sum() / cover.mean())


_COVER = np.array([[1.0, 0.5, 0], [0.25, 0.25, 0]])

LIFT = Exercise(
    lift,
    hand_sized=[
        Case("a map of 2 x 3", (np.array([[8.0, 0, 2], [4, 1, 1]]), _COVER)),
        Case("the same map, even", (np.full((2, 3), 0.5), _COVER)),
        Case("the same map, all on the meadow", (np.array([[0.0, 0, 3], [0, 0, 1]]), _COVER)),
    ],
    random=[
        Case(
            f"a random map of {r} x {c}",
            (_RNG.gamma(0.5, size=(r, c)), np.clip(_RNG.normal(0.2, 0.5, (r, c)), 0, 1)),
        )
        for r, c in ((6, 9), (7, 3))
    ],
    invariants={
        "an even map has the lift 1": lambda out, heat, _: (
            heat.min() < heat.max() or np.isclose(out, 1, atol=1e-5)
        )
    },
    mistakes=[
        Mistake(
            "The share alone",
            "A large flower gets a large share of any map.",
            lambda h, c: float((h * c).sum() / h.sum()),
        ),
        Mistake(
            "The map is taken to sum to 1",
            "A brighter picture of the same map should score the same.",
            lambda h, c: float((h * c).sum() / c.mean()),
        ),
        Mistake(
            "The mean of the product",
            "It grows with the map's brightness, which says nothing.",
            lambda h, c: float((h * c).mean() / c.mean()),
        ),
        Mistake(
            "The area is counted in patches",
            "It should be a share, as the other number is.",
            lambda h, c: float((h * c).sum() / h.sum() / c.sum()),
        ),
        Mistake(
            "A vote for each patch",
            "Patches along the edge of the flower are part flower, part meadow.",
            lambda h, c: lift(h, (c >= 0.5).astype(float)),
        ),
        Mistake(
            "Any flower at all",
            "A patch with a quarter of petal is no whole petal.",
            lambda h, c: lift(h, (c > 0).astype(float)),
        ),
        Mistake(
            "On the flower against off it",
            "What is asked is how it compares with the whole photo.",
            lambda h, c: float((h * c).sum() / c.sum() / ((h * (1 - c)).sum() / (1 - c).sum())),
        ),
        Mistake(
            "On the flower over off it",
            "Two shares of the map: where does the area come in?",
            lambda h, c: float((h * c).sum() / (h * (1 - c)).sum()),
        ),
        Mistake(
            "A difference",
            "Chance would be 0 then; a lift is so many times the chance.",
            lambda h, c: float((h * c).sum() / h.sum() - c.mean()),
        ),
        Mistake(
            "Upside down",
            "More attention on the flower should be more.",
            lambda h, c: float(c.mean() / ((h * c).sum() / h.sum())),
        ),
        Mistake(
            "The brightest patch alone",
            "That is a pointing game: all other patches count too.",
            lambda h, c: float(c.flat[h.argmax()] / c.mean()),
        ),
        Mistake(
            "The meadow's lift",
            "The cover is that of the flower.",
            lambda h, c: lift(h, 1 - c),
        ),
    ],
    insight="a lift has a ceiling, 1 over the flower's share of the area, where nothing falls\n"
    "beside it. A small flower can be lifted high, one that fills the photo not at all.",
)

# --- 3. The mask that keeps its mass ----------------------------------------------------------


def keep_mass(heat: np.ndarray, share: float) -> np.ndarray:
    """Returns the smallest mask of brightest patches that holds a share of a map's mass.

    Args:
        heat: (rows, columns), not below 0, of any sum but 0.
        share: above 0, up to 1.

    Returns:
        (rows, columns) bool. Patches as bright as the last one that is needed are kept as well.
    """
    ordered = np.sort(heat, axis=None)[::-1]
    reached = np.cumsum(ordered) / heat.sum() >= share - 1e-9
    return heat >= ordered[reached.argmax()]


def _in_order(heat, places):
    """Makes a mask of places in the flattened map."""
    mask = np.zeros(heat.size, bool)
    mask[places] = True
    return mask.reshape(heat.shape)


def _masses(heat):
    """Returns places, brightest first, and the share held with each of them."""
    order = np.argsort(-heat, axis=None, kind="stable")
    return order, np.cumsum(heat.flat[order]) / heat.sum()


def _by_place(heat, share):
    order, mass = _masses(heat)
    return _in_order(heat, order[: (mass >= share - 1e-9).argmax() + 1])


def _stops_short(heat, share):
    order, mass = _masses(heat)
    return _in_order(heat, order[mass < share - 1e-9])


def _goes_past(heat, share):
    order, mass = _masses(heat)
    before = np.append(0, mass[:-1])
    return heat >= heat.flat[order[before <= share + 1e-9]].min()


def _darkest(heat, share):
    ordered = np.sort(heat, axis=None)
    reached = np.cumsum(ordered) / heat.sum() >= share - 1e-9
    return heat <= ordered[reached.argmax()]


def _so_many(heat, share):
    count = int(np.ceil(share * heat.size - 1e-9))
    return heat >= np.sort(heat, axis=None)[-count]


def _by_plain_sums(heat, share):
    ordered = np.sort(heat, axis=None)[::-1]
    missing = int((np.cumsum(ordered) < share).sum())
    return heat >= ordered[min(missing, heat.size - 1)]


def _keeps_its_share(mask, heat, share):
    return heat[mask].sum() >= share * heat.sum() - 1e-6


def _leaves_no_equal(mask, heat, _):
    return not mask.any() or mask.all() or not np.isin(heat[~mask], heat[mask]).any()


_UNEVEN = np.array([[2.0, 16, 4], [2, 0, 8]]) / 64
_TIES = np.array([[4.0, 1, 2], [2, 2, 1]])

KEEP_MASS = Exercise(
    keep_mass,
    hand_sized=[
        Case("a map of 2 x 3, share 0.75", (_UNEVEN, 0.75)),
        Case("the same map, share 0.8", (_UNEVEN, 0.8)),
        Case("a map with ties, share 0.5", (_TIES, 0.5)),
        Case("an even map, share 0.5", (np.full((3, 2), 0.25), 0.5)),
        Case("the first map, share 1", (_UNEVEN, 1.0)),
    ],
    random=[
        Case(f"a random map of {r} x {c}, share {s}", (_RNG.gamma(0.5, size=(r, c)), s))
        for r, c, s in ((6, 9, 0.6), (7, 4, 0.3))
    ],
    invariants={
        "what is kept holds its share of the map": _keeps_its_share,
        "patches of the same brightness are kept or left together": _leaves_no_equal,
    },
    mistakes=[
        Mistake(
            "A share of the patches",
            "It is the mass that is shared: bright patches hold more of it.",
            _so_many,
        ),
        Mistake(
            "A share of the brightest value",
            "That is a threshold on brightness; how much is above it?",
            lambda h, s: h >= s * h.max(),
        ),
        Mistake(
            "Ties are cut by their place",
            "Of equal patches, those at the top left are no better.",
            _by_place,
        ),
        Mistake(
            "It stops one patch short",
            "The patch that brings it to the share is needed too.",
            _stops_short,
        ),
        Mistake(
            "It goes one patch too far",
            "Where the share is reached exactly, nothing is missing.",
            _goes_past,
        ),
        Mistake(
            "The darkest patches",
            "From which end does your order begin?",
            _darkest,
        ),
        Mistake(
            "What is left over",
            "The mask should be true where a patch is kept.",
            lambda h, s: ~keep_mass(h, s),
        ),
        Mistake(
            "The map is taken to sum to 1",
            "This one does not: compare with a share of its own sum.",
            _by_plain_sums,
        ),
        Mistake(
            "The brightest is taken for the whole",
            "Scaled to a maximum of 1, a map still sums to more.",
            lambda h, s: _by_plain_sums(h / h.max(), s),
        ),
        Mistake(
            "The darkest value is taken off first",
            "Of an even map nothing would be left.",
            lambda h, s: keep_mass(h - h.min(), s) if h.max() > h.min() else h < 0,
        ),
        Mistake(
            "Above the mean",
            "However much is asked for, this mask stays the same.",
            lambda h, s: h > h.mean(),
        ),
        Mistake(
            "Row by row",
            "A row without a flower need not keep anything.",
            lambda h, s: np.concatenate([keep_mass(r[None], s) for r in h]),
        ),
    ],
    insight="an even map keeps everything, whatever the share, and covers every flower there is.\n"
    "So a mask is worth a number only beside that of such a map.",
)

# --- 4. Mean attention distance ---------------------------------------------------------------


def mean_distance(
    weights: np.ndarray, grid: tuple[int, int], patch_size: int, num_prefix: int
) -> float:
    """Returns how far a head looks: figure 7 (right) of arXiv 2010.11929.

    Args:
        weights: (T, T) of one head, rows are queries.
        grid: (rows, columns) of the patches.
        patch_size: P, in pixels.
        num_prefix: how many tokens stand before the patches.

    Returns:
        Pixels between a query patch and the patch looked at: a mean with the attention between
        patches as weights, then over all query patches.
    """
    return float(_distances(weights, grid, patch_size, num_prefix).mean())


def _steps(grid, columns=None):
    """Returns how many patches down and to the right each patch is from each, (N, N) twice."""
    r, c = np.divmod(np.arange(grid[0] * grid[1]), columns or grid[1])
    return np.abs(r[:, None] - r), np.abs(c[:, None] - c)


def _between_patches(weights, p):
    return weights[p:, p:] / weights[p:, p:].sum(1, keepdims=True)


def _distances(weights, grid, P, p, columns=None):
    """Returns the mean distance of each query patch, (N,)."""
    return (_between_patches(weights, p) * P * np.hypot(*_steps(grid, columns))).sum(1)


def _mean(values):
    return float(np.mean(values))


def _of_all_together(weights, grid, P, p):
    kept = weights[p:, p:]
    return float((kept * P * np.hypot(*_steps(grid))).sum() / kept.sum())


def _at_the_brightest(weights, grid, P, p):
    kept = weights[p:, p:]
    return _mean(P * np.hypot(*_steps(grid))[np.arange(len(kept)), kept.argmax(1)])


def _far_enough(out, _, grid, P, __):
    return -1e-6 <= out <= P * np.hypot(grid[0] - 1, grid[1] - 1) + 1e-6


_ROW_OF_THREE = np.array([[0.5, 0.5, 0], [0, 1, 0], [0.25, 0.25, 0.5]])
# Rows are queries; the prefix gets most of some and nothing of others.
_WITH_PREFIX = (
    np.array(
        [
            [2, 2, 1, 1, 1, 1, 0, 2],
            [1, 3, 1, 0, 1, 1, 1, 2],
            [2, 4, 2, 1, 0, 0, 1, 0],
            [0, 0, 1, 2, 4, 1, 2, 0],
            [1, 0, 0, 3, 1, 1, 4, 0],
            [4, 2, 0, 0, 2, 1, 1, 0],
            [0, 1, 3, 1, 1, 0, 2, 2],
            [3, 4, 1, 0, 1, 0, 0, 1],
        ]
    )
    / 10
)

MEAN_DISTANCE = Exercise(
    mean_distance,
    hand_sized=[
        Case("3 patches in a row, P = 2", (_ROW_OF_THREE, (1, 3), 2, 0)),
        Case("a 2 x 3 grid behind 2 prefix tokens, P = 10", (_WITH_PREFIX, (2, 3), 10, 2)),
        Case("the same tokens on a 3 x 2 grid, P = 10", (_WITH_PREFIX, (3, 2), 10, 2)),
        Case("a head that looks at itself only", (np.eye(7), (2, 3), 4, 1)),
    ],
    random=[
        Case(
            f"a random head on a {r} x {c} grid behind {p}, P = {P}",
            (_attention(p + r * c, p + r * c), (r, c), P, p),
        )
        for r, c, P, p in ((6, 9, 16, 1), (5, 2, 8, 5))
    ],
    invariants={"it lies between 0 and the grid's diagonal": _far_enough},
    mistakes=[
        Mistake(
            "What is left is not divided by its sum",
            "A head that looks at prefix tokens would seem near-sighted.",
            lambda w, g, P, p: _mean((w[p:, p:] * P * np.hypot(*_steps(g))).sum(1)),
        ),
        Mistake(
            "All queries are divided by one sum",
            "A query that gives patches little would count for little.",
            _of_all_together,
        ),
        Mistake(
            "The first tokens are taken for patches",
            "Where do the patches begin?",
            lambda w, g, P, p: mean_distance(w[: len(w) - p, : len(w) - p], g, P, 0),
        ),
        Mistake(
            "Counted in patches",
            "A patch has a size, and the answer is in pixels.",
            lambda w, g, P, p: mean_distance(w, g, 1, p),
        ),
        Mistake(
            "Along the streets",
            "Steps down and steps across are added here; the straight way is shorter.",
            lambda w, g, P, p: _mean((_between_patches(w, p) * P * sum(_steps(g))).sum(1)),
        ),
        Mistake(
            "The larger of both steps",
            "A king moves so. How long is the straight line?",
            lambda w, g, P, p: _mean((_between_patches(w, p) * P * np.maximum(*_steps(g))).sum(1)),
        ),
        Mistake(
            "The squared distance",
            "It is not in pixels but in their square: a root is missing.",
            lambda w, g, P, p: _mean(
                (_between_patches(w, p) * (P * np.hypot(*_steps(g))) ** 2).sum(1)
            ),
        ),
        Mistake(
            "Keys for queries",
            "Whose attention is it that is averaged over?",
            lambda w, g, P, p: mean_distance(w.T, g, P, p),
        ),
        Mistake(
            "Rows and columns of the grid are swapped",
            "How many patches stand beside each other in a row?",
            lambda w, g, P, p: _mean(_distances(w, g, P, p, columns=g[0])),
        ),
        Mistake(
            "A square grid",
            "The width is handed in; nothing has to be guessed by a root.",
            lambda w, g, P, p: _mean(_distances(w, g, P, p, columns=int((g[0] * g[1]) ** 0.5))),
        ),
        Mistake(
            "Only where each query looks most",
            "The rest of its attention lies somewhere too.",
            _at_the_brightest,
        ),
        Mistake(
            "A sum over the queries",
            "A photo with more patches would seem to be looked at from afar.",
            lambda w, g, P, p: float(_distances(w, g, P, p).sum()),
        ),
        Mistake(
            "The first patch alone",
            "Every patch asks: take them all.",
            lambda w, g, P, p: float(_distances(w, g, P, p)[0]),
        ),
    ],
    insight="for even attention on a large square of side 1 the mean distance comes to 0.5214.\n"
    "On 96 pixels that is 50, and our grid of 36 centres is within a pixel of it.",
)

# --- 5. What went wrong -----------------------------------------------------------------------

CAUSES = (
    "columns for rows",
    "registers not skipped",
    "grid transposed",
    "a scale for each map",
)
GRID, _PREFIX = (4, 6), 3
# Where the flower of each toy photo begins: 2 x 2 patches, and a photo without one.
_PLACES = ((0, 4), (1, 1), (2, 2), None)


def toy_photos() -> tuple[np.ndarray, np.ndarray]:
    """Makes the attention of one head on four photos with two registers.

    The class token looks at the flower and at the first register. Patches of the meadow look at
    the class token, those of the flower at one another.

    Returns:
        Attention (4, 27, 27), rows are queries, tokens are the class token, two registers and
        the patches; flowers (4, 4, 6) bool, the last photo without any.
    """
    rng = np.random.default_rng(0)
    flowers = np.zeros((len(_PLACES), *GRID), bool)
    for flower, place in zip(flowers, _PLACES, strict=True):
        if place:
            flower[place[0] : place[0] + 2, place[1] : place[1] + 2] = True
    on = np.pad(flowers.reshape(len(flowers), -1), [(0, 0), (_PREFIX, 0)])  # (4, T)
    weights = rng.uniform(0.85, 1.15, (*on.shape, on.shape[1]))  # (4, T, T)
    weights[:, 0] *= np.where(on, 6, 1)
    weights[:, 0, :_PREFIX] *= [1, 6, 0.2]
    weights[:, _PREFIX:, 0] *= np.where(on, 0.3, 4)[:, _PREFIX:]
    weights *= np.where(on[:, :, None] & on[:, None, :], 3, 1)
    return weights / weights.sum(axis=-1, keepdims=True), flowers


def read_maps(weights: np.ndarray, bug: str | None) -> np.ndarray:
    """Reads the class token's maps from toy attention.

    Args:
        weights: (B, T, T), rows are queries.
        bug: one of `CAUSES`, or None to read them right.

    Returns:
        (B, rows, columns), in units of uniform attention. With the bug "a scale for each map",
        each runs from 0 to the brightest of all.
    """
    N, T = GRID[0] * GRID[1], weights.shape[-1]
    first = 1 if bug == "registers not skipped" else _PREFIX
    rows = weights[:, :, 0] if bug == "columns for rows" else weights[:, 0]  # (B, T)
    rows = rows[:, first : first + N] * T  # (B, N)
    if bug == "grid transposed":
        return rows.reshape(-1, *GRID[::-1]).swapaxes(1, 2)  # -> (B, columns, rows) and back
    maps = rows.reshape(-1, *GRID)  # (B, N) -> (B, rows, columns)
    if bug == "a scale for each map":
        low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
        return (maps - low) / (high - low) * maps.max()
    return maps


def broken_maps() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Reads the same attention once right and four times with a planted bug.

    Returns:
        "sound", "A", "B", "C", "D" -> maps (4, 4, 6) of four photos in units of uniform
        attention; flowers (4, 4, 6) bool.
    """
    weights, flowers = toy_photos()
    bugs = {"sound": None, **DIAGNOSIS.truth}
    return {name: read_maps(weights, bug) for name, bug in bugs.items()}, flowers


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={
        "A": "grid transposed",
        "B": "a scale for each map",
        "C": "columns for rows",
        "D": "registers not skipped",
    },
    mistakes=[
        Mistake(
            "A transposed grid taken for columns",
            "Columns would light most of the photo: here four patches are bright.",
            ("grid transposed", "columns for rows"),
        ),
        Mistake(
            "A transposed grid taken for registers left in",
            "A register would be bright in the first corner of every photo.",
            ("grid transposed", "registers not skipped"),
        ),
        Mistake(
            "A transposed grid taken for a scale for each map",
            "A scale moves nothing. Here bright patches are in other places.",
            ("grid transposed", "a scale for each map"),
        ),
        Mistake(
            "A scale for each map taken for a transposed grid",
            "Every flower is in its place. Look at the photo without one.",
            ("a scale for each map", "grid transposed"),
        ),
        Mistake(
            "A scale for each map taken for columns",
            "The flowers are lit, and those of columns would be dark.",
            ("a scale for each map", "columns for rows"),
        ),
        Mistake(
            "A scale for each map taken for registers left in",
            "Nothing has moved, and no corner is lit in all photos.",
            ("a scale for each map", "registers not skipped"),
        ),
        Mistake(
            "Columns taken for a transposed grid",
            "Moved patches would be as many as before; here most of the photo is lit.",
            ("columns for rows", "grid transposed"),
        ),
        Mistake(
            "Columns taken for a scale for each map",
            "A scale keeps the brightest patch the brightest. Is it on the flower?",
            ("columns for rows", "a scale for each map"),
        ),
        Mistake(
            "Columns taken for registers left in",
            "The dark patches are exactly where the flowers are: nothing was shifted.",
            ("columns for rows", "registers not skipped"),
        ),
        Mistake(
            "Registers left in taken for columns",
            "Flowers still have four bright patches. What is bright in all photos?",
            ("registers not skipped", "columns for rows"),
        ),
        Mistake(
            "Registers left in taken for a transposed grid",
            "Transposing leaves the first patch as it is. Look at that one.",
            ("registers not skipped", "grid transposed"),
        ),
        Mistake(
            "Registers left in taken for a scale for each map",
            "That lights the last photo up all over; here one corner is lit.",
            ("registers not skipped", "a scale for each map"),
        ),
    ],
    insight="the photo without a flower told most. A map that is bright where there is nothing to\n"
    "see is the cheapest test of how maps are made: keep such a photo at hand.",
)

EXERCISES = (CLASS_MAP, LIFT, KEEP_MASS, MEAN_DISTANCE, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_class_map(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(CLASS_MAP, answer))


def check_lift(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(LIFT, answer))


def check_keep_mass(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(KEEP_MASS, answer))


def check_mean_distance(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(MEAN_DISTANCE, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each set of maps of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
