"""The exercises of notebook 07_is_the_map_true: right answers, known mistakes and checks."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(0)

# --- 1. Lift ----------------------------------------------------------------------------------


def lift(maps: np.ndarray, flower: np.ndarray) -> np.ndarray:
    """Returns the share of each map's mass on the flower, by the share of the area it has.

    Args:
        maps: (B, rows, columns); negative values count as 0.
        flower: (B, rows, columns), share of each patch inside the flower.

    Returns:
        (B,); NaN for a map that is nowhere positive.
    """
    return _share(np.maximum(maps, 0), flower) / flower.mean((1, 2))


def _share(heat, flower):
    return (heat * flower).sum((1, 2)) / heat.sum((1, 2))


def _positive(maps):
    return np.maximum(maps, 0)


_MAPS = np.array([[[3.0, 0, 1], [-4, 2, 0]], [[1, 1, 1], [1, 1, 1]], [[0, -1, 0], [5, 0, 3]]])
_FLOWER = np.array(
    [[[1, 0, 0.5], [0, 0.75, 0]], [[0, 0, 0], [0.25, 1, 0.5]], [[1, 1, 0], [0.5, 0, 0]]]
)
_SILENT = np.array([[[2.0, 0], [1, 1]], [[-1, 0], [-2, -3]]])
_HALF = np.array([[[1, 0.5], [0, 0]], [[0, 0], [0.25, 1]]])


def _random_maps(*shape):
    return _RNG.normal(size=shape), _RNG.random(shape) ** 3


LIFT = Exercise(
    lift,
    hand_sized=[
        Case("3 maps of 2 x 3 patches", (_MAPS, _FLOWER)),
        Case("a map and a silent one, 2 x 2 patches", (_SILENT, _HALF)),
    ],
    random=[
        Case("5 random maps of 4 x 6 patches", _random_maps(5, 4, 6)),
        Case("1 random map of 3 x 2 patches", _random_maps(1, 3, 2)),
    ],
    invariants={
        "no lift is below 0": lambda lifts, maps, flower: not (lifts < -1e-9).any(),
        "a constant map has lift 1": lambda lifts, maps, flower: all(
            np.isclose(value, 1)
            for value, heat in zip(lifts, maps, strict=True)
            if np.ptp(heat) == 0 and heat.max() > 0
        ),
    },
    mistakes=[
        Mistake(
            "Negative values are kept",
            "A sum with both signs is no mass: a share of it may be any number.",
            lambda m, f: _share(m, f) / f.mean((1, 2)),
        ),
        Mistake(
            "Negative values turn positive",
            "What speaks against the class is no evidence for it.",
            lambda m, f: _share(np.abs(m), f) / f.mean((1, 2)),
        ),
        Mistake(
            "Moved until nothing is negative",
            "That gives every patch mass that the map did not give it.",
            lambda m, f: lift(m - m.min((1, 2), keepdims=True), f),
        ),
        Mistake(
            "The area is left out",
            "A large flower gets a large share of any map.",
            lambda m, f: _share(_positive(m), f),
        ),
        Mistake(
            "A sum in place of the share of the area",
            "The flower's area is a share too: of all patches.",
            lambda m, f: _share(_positive(m), f) / f.sum((1, 2)),
        ),
        Mistake(
            "The share is missing",
            "The mass on the flower depends on how strong the map is. Divide by all of it.",
            lambda m, f: (_positive(m) * f).sum((1, 2)) / f.mean((1, 2)),
        ),
        Mistake(
            "Divided by the largest value",
            "A share is a part of the whole mass.",
            lambda m, f: (_positive(m) * f).sum((1, 2)) / m.max((1, 2)) / f.mean((1, 2)),
        ),
        Mistake(
            "Patches are in or out",
            "A patch that is a quarter flower counts a quarter.",
            lambda m, f: lift(m, (f >= 0.5).astype(float)),
        ),
        Mistake(
            "Any touch is enough",
            "A patch with one pixel of flower is not all flower.",
            lambda m, f: lift(m, (f > 0).astype(float)),
        ),
        Mistake(
            "One area for all pictures",
            "Each flower has a size of its own.",
            lambda m, f: _share(_positive(m), f) / f.mean(),
        ),
        Mistake(
            "All pictures in one sum",
            "A strong map then speaks for the weak ones.",
            lambda m, f: (_positive(m) * f).sum((1, 2)) / _positive(m).sum() / f.mean((1, 2)),
        ),
        Mistake(
            "The lift of the background",
            "It is the flower that is asked about.",
            lambda m, f: lift(m, 1 - f),
        ),
        Mistake(
            "Silence is scored",
            "A map that is nowhere positive says nothing: NaN, and count how many there are.",
            lambda m, f: np.nan_to_num(lift(m, f)),
        ),
    ],
    insight="lift judges where the mass is, and a picture in which the flower fills everything\n"
    "leaves nothing to judge: there any map has lift 1.",
)

# --- 2. The area under the curve --------------------------------------------------------------


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Returns how often a flower patch has a larger value than another patch, a tie being half.

    Args:
        values: (N,), the map.
        positive: (N,) bool, some of each: whether a patch is flower.

    Returns:
        In [0, 1]; 0.5 for a constant map.
    """
    differences = np.sign(values[positive][:, None] - values[~positive])
    return float(differences.mean() + 1) / 2


def _by_ranks(ranks, positive, first=1):
    p = positive.sum()
    pairs = p * (len(positive) - p)
    return float((ranks[positive].sum() - p * (p - 1 + 2 * first) / 2) / pairs)


def _stored_ranks(values):
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") + 1


def _rank_below(values):
    return (values[:, None] > values).sum(1) + 1


def _rank_above(values):
    return (values[:, None] >= values).sum(1)


def _dense(values):
    return np.unique(values, return_inverse=True)[1] + 1


def _wins(values, positive, compare):
    return float(compare(values[positive][:, None], values[~positive]).mean())


def _drawn(n, levels):
    """Draws a map with ties, and which of its patches are flower."""
    return _RNG.integers(0, levels, n).astype(float), np.arange(n) % 3 == 1


AUC = Exercise(
    auc,
    hand_sized=[
        Case(
            "6 patches with ties",
            (
                np.array([2.0, 0, 2, 1, 0, 2]),
                np.array([True, False, False, True, False, True]),
            ),
        ),
        Case("a constant map", (np.ones(5), np.array([True, True, False, False, False]))),
        Case(
            "4 patches without ties",
            (np.array([0.5, -1, 3, 0]), np.array([False, True, True, False])),
        ),
    ],
    random=[
        Case("30 patches with 4 levels", _drawn(30, 4)),
        Case("20 patches with 50 levels", _drawn(20, 50)),
    ],
    invariants={
        "the area lies between 0 and 1": lambda area, v, p: -1e-9 <= area <= 1 + 1e-9,
        "a constant map gets 0.5": lambda area, v, p: np.ptp(v) > 0 or abs(area - 0.5) < 1e-6,
    },
    mistakes=[
        Mistake(
            "Ties are won",
            "A map that says nothing would be right about everything.",
            lambda v, p: _wins(v, p, np.greater_equal),
        ),
        Mistake(
            "Ties are lost",
            "A map that says nothing is no worse than guessing.",
            lambda v, p: _wins(v, p, np.greater),
        ),
        Mistake(
            "The order of storage decides ties",
            "Turn the picture upside down, and the score would change.",
            lambda v, p: _by_ranks(_stored_ranks(v), p),
        ),
        Mistake(
            "Tied values get the lowest rank",
            "They take up several ranks: what is the mean of these?",
            lambda v, p: _by_ranks(_rank_below(v), p),
        ),
        Mistake(
            "Tied values get the highest rank",
            "They share several ranks: take the mean, not the end.",
            lambda v, p: _by_ranks(_rank_above(v), p),
        ),
        Mistake(
            "Ranks without gaps",
            "Behind three tied values the next rank is three further on.",
            lambda v, p: _by_ranks(_dense(v), p),
        ),
        Mistake(
            "The wrong way round",
            "A flower patch wins with the larger value.",
            lambda v, p: auc(-v, p),
        ),
        Mistake(
            "Ranks count from 0",
            "What is taken off is the least sum of ranks that count from 1.",
            lambda v, p: _by_ranks((_rank_below(v) + _rank_above(v)) / 2 - 1, p),
        ),
        Mistake(
            "The least sum of ranks is not taken off",
            "Flower patches have ranks even when they lose every time.",
            lambda v, p: _by_ranks(
                (_rank_below(v) + _rank_above(v)) / 2, p, first=0.5 - p.sum() / 2
            ),
        ),
        Mistake(
            "Every patch against every patch",
            "Only a flower patch and another one can be told apart.",
            lambda v, p: float((np.sign(v[p][:, None] - v).mean() + 1) / 2),
        ),
        Mistake(
            "A threshold",
            "Above the mean or not is one cut; the area is taken over all of them.",
            lambda v, p: float(((v > v.mean()) == p).mean()),
        ),
        Mistake(
            "The pointing game",
            "That asks for the largest value only.",
            lambda v, p: float(p[v.argmax()]),
        ),
    ],
    insight="the area knows only the order of patches: a map that is sure and one that hesitates\n"
    "get the same if they put the patches in one order. Lift tells them apart.",
)

# --- 3. Rollout -------------------------------------------------------------------------------


def rollout(maps: np.ndarray) -> np.ndarray:
    """Returns how much of each token reaches each: Abnar and Zuidema 2020 (arXiv 2005.00928).

    Args:
        maps: (L, heads, T, T) attention, first block first, rows are queries.

    Returns:
        (T, T), rows are queries.
    """
    identity = np.eye(maps.shape[-1])
    result = identity
    for block in maps:
        result = (block.mean(0) + identity) / 2 @ result
    return result


def _product(blocks):
    result = np.eye(blocks.shape[-1])
    for block in blocks:
        result = block @ result
    return result


def _with_identity(fused):
    mixed = fused + np.eye(fused.shape[-1])
    return mixed / mixed.sum(-1, keepdims=True)


def _attention(*shape):
    """Draws attention; rows sum to 1."""
    weights = _RNG.random((*shape, shape[-1])) ** 3
    return weights / weights.sum(-1, keepdims=True)


_TWO_BLOCKS = np.array(
    [
        [[[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]], [[0, 0, 1], [0, 1, 0], [0.5, 0, 0.5]]],
        [[[0, 1, 0], [0.5, 0, 0.5], [1, 0, 0]], [[0, 1, 0], [0.25, 0.25, 0.5], [0, 0, 1]]],
    ]
)

ROLLOUT = Exercise(
    rollout,
    hand_sized=[Case("2 blocks of 2 heads, 3 tokens", (_TWO_BLOCKS,))],
    random=[
        Case("3 random blocks of 4 heads, 5 tokens", (_attention(3, 4, 5),)),
        Case("1 random block of 2 heads, 4 tokens", (_attention(1, 2, 4),)),
    ],
    invariants={
        "every row sums to 1": lambda out, maps: np.allclose(out.sum(-1), 1),
    },
    mistakes=[
        Mistake(
            "The residual is left out",
            "Each block also keeps what a token was.",
            lambda m: _product(m.mean(1)),
        ),
        Mistake(
            "Rows are not divided",
            "With the identity a row sums to 2, and each block doubles it again.",
            lambda m: _product(m.mean(1) + np.eye(m.shape[-1])),
        ),
        Mistake(
            "The mean over the blocks",
            "A path goes through one block after the other: that is a product.",
            lambda m: _with_identity(m.mean(1)).mean(0),
        ),
        Mistake(
            "Multiplied from the wrong side",
            "The last block reads what the blocks before it wrote.",
            lambda m: _product(_with_identity(m.mean(1))[::-1]),
        ),
        Mistake(
            "Columns sum to 1",
            "It is the query that shares itself out.",
            lambda m: _product(_with_identity(m.mean(1)).swapaxes(1, 2)),
        ),
        Mistake(
            "The result is turned over",
            "Row i should hold what reaches token i.",
            lambda m: rollout(m).T,
        ),
        Mistake(
            "The largest head",
            "The paper averages them; a maximum does not sum to 1 any more.",
            lambda m: _product(_with_identity(m.max(1))),
        ),
        Mistake(
            "Heads are added up",
            "The residual then weighs less, the more heads there are.",
            lambda m: _product(_with_identity(m.sum(1))),
        ),
        Mistake(
            "Each head is rolled out alone",
            "A block's heads are joined before the next block reads them.",
            lambda m: np.mean([_product(_with_identity(m[:, h])) for h in range(m.shape[1])], 0),
        ),
        Mistake(
            "Patch by patch",
            "`*` multiplies numbers at the same place; a path goes through all tokens between.",
            lambda m: np.prod(_with_identity(m.mean(1)), axis=0),
        ),
        Mistake(
            "The last block alone",
            "The blocks before it have mixed the tokens that it looks at.",
            lambda m: _with_identity(m.mean(1))[-1],
        ),
        Mistake(
            "The residual only once",
            "Every block has one.",
            lambda m: _with_identity(_product(m.mean(1))),
        ),
        Mistake(
            "The first head alone",
            "A block has several heads: fuse them first.",
            lambda m: _product(_with_identity(m[:, 0])),
        ),
    ],
    insight="nothing of the values, the MLPs or the head went in. So rollout cannot know what of\n"
    "all that arrived was used, and it is the same for every class.",
)

# --- 4. The interval --------------------------------------------------------------------------


def paired_interval(a: np.ndarray, b: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Returns the 95 % bootstrap interval of the mean of a - b.

    Args:
        a: (B,) scores of one map.
        b: (B,) scores of another on the same pictures.
        draws: (R, B) whole numbers: which pictures each of R resamples holds.

    Returns:
        (2,), lower and upper end.
    """
    return np.quantile((a - b)[draws].mean(1), [0.025, 0.975])


def _ends(means):
    return np.quantile(means, [0.025, 0.975])


def _bell(middle, width):
    return middle + 1.96 * width * np.array([-1, 1])


def _scores(n, resamples):
    hard = _RNG.normal(size=n)  # some pictures are hard for both
    a, b = hard + _RNG.normal(0.4, 0.3, n), hard + _RNG.exponential(0.3, n)
    return a, b, _RNG.integers(0, n, (resamples, n))


_A, _B = np.array([3.0, 5, 5, 0]), np.array([1.0, 5, 2, 1])
_DRAWS = np.array([[0, 0, 0, 2], [1, 1, 3, 3], [0, 1, 2, 3], [2, 2, 2, 3], [1, 3, 3, 3]])

PAIRED_INTERVAL = Exercise(
    paired_interval,
    hand_sized=[Case("4 pictures, 5 resamples", (_A, _B, _DRAWS))],
    random=[
        Case("30 pictures, 200 resamples", _scores(30, 200)),
        Case("12 pictures, 99 resamples", _scores(12, 99)),
    ],
    invariants={
        "the lower end comes first": lambda ends, a, b, draws: ends[0] <= ends[1] + 1e-9,
        "no end lies beyond the largest difference": lambda ends, a, b, draws: (
            np.abs(ends) <= np.abs(a - b).max() + 1e-9
        ).all(),
    },
    mistakes=[
        Mistake(
            "Not in pairs",
            "What is hard for both maps should cancel: draw the same pictures for both.",
            lambda a, b, d: _ends(a[d].mean(1) - b[d[::-1]].mean(1)),
        ),
        Mistake(
            "Only the first map is drawn anew",
            "The other one was scored on the same few pictures.",
            lambda a, b, d: _ends(a[d].mean(1)) - b.mean(),
        ),
        Mistake(
            "The difference of two intervals",
            "Both go up on easy pictures: take the difference first.",
            lambda a, b, d: _ends(a[d].mean(1)) - _ends(b[d].mean(1)),
        ),
        Mistake(
            "The spread of the pictures",
            "That is where single pictures lie. How far off may their mean be?",
            lambda a, b, d: _ends(a - b),
        ),
        Mistake(
            "Nothing is averaged",
            "Each resample has one number: the mean of its pictures.",
            lambda a, b, d: _ends((a - b)[d]),
        ),
        Mistake(
            "The mean runs over the resamples",
            "Which axis holds the pictures of one resample?",
            lambda a, b, d: _ends((a - b)[d].mean(0)),
        ),
        Mistake(
            "90 %",
            "5 % on each side leave 90: what is left out is shared by two sides.",
            lambda a, b, d: np.quantile((a - b)[d].mean(1), [0.05, 0.95]),
        ),
        Mistake(
            "Per cent and shares mixed up",
            "np.percentile counts to 100, np.quantile to 1.",
            lambda a, b, d: np.percentile((a - b)[d].mean(1), [0.025, 0.975]),
        ),
        Mistake(
            "b minus a",
            "Positive should mean that the first map is better.",
            lambda a, b, d: paired_interval(b, a, d),
        ),
        Mistake(
            "The lowest and the highest resample",
            "With more resamples these only drift apart.",
            lambda a, b, d: np.quantile((a - b)[d].mean(1), [0, 1]),
        ),
        Mistake(
            "Medians",
            "The tables hold means.",
            lambda a, b, d: _ends(np.median((a - b)[d], axis=1)),
        ),
        Mistake(
            "A bell curve is taken for granted",
            "The resamples themselves say where 95 % of them lie.",
            lambda a, b, d: _bell((a - b)[d].mean(1).mean(), (a - b)[d].mean(1).std()),
        ),
        Mistake(
            "Ratios",
            "The mean of a minus b was asked for.",
            lambda a, b, d: _ends(a[d].mean(1) / b[d].mean(1)),
        ),
    ],
    insight="by luck alone a 95 % interval lies above 0 once in forty times. In a table of a\n"
    "hundred cells that is two or three: trust what holds for every rule and every seed.",
)

# --- 5. What went wrong -----------------------------------------------------------------------

CAUSES = ("ties are hits", "sums, not densities", "negative values kept", "best head per picture")
CHANCE = {"right part": 1 / 3, "lift on the flower": 1.0}
_BACKGROUND, _CENTRE = 0, 2


def _toy_scenes(scenes, rng):
    """Draws which part each patch is, (B, 6, 6), and which part decides, (B,)."""
    y, x = np.mgrid[:6, :6]
    parts, deciding = [], rng.integers(1, 3, scenes)
    for top, left in rng.integers(1, 4, (scenes, 2)):
        far = np.maximum(np.abs(y - top - 0.5), np.abs(x - left - 0.5))
        parts.append(np.where(far < 1, _CENTRE, np.where(far < 2, 1, _BACKGROUND)))
    return np.stack(parts), deciding


def judged(bug: str | None, scenes: int = 300) -> dict[str, dict[str, float]]:
    """Judges four kinds of maps whose worth is known.

    Args:
        bug: one of `CAUSES`, or None for a sound evaluation.
        scenes: how many toy scenes of 6 x 6 patches.

    Returns:
        "right part" and "lift on the flower" -> kind of map -> mean score. Of four heads a map
        has, the first is judged.
    """
    rng = np.random.default_rng(0)
    parts, deciding = _toy_scenes(scenes, rng)
    flower = (parts > 0).astype(float)
    pointed = np.repeat(deciding[:, None], 4, axis=1)  # (B, 4): the part that each head points at
    truth = (parts[:, None] == pointed[..., None, None]).astype(float)  # (B, 4, 6, 6)
    pointed = np.where(rng.random(pointed.shape) < 0.3, 3 - pointed, pointed)  # petals for centre
    signed = parts[:, None] == pointed[..., None, None]  # (B, 4, 6, 6)
    signed = signed - 0.06 * (parts == 0)[:, None] + rng.normal(0, 0.12, truth.shape)
    kinds = {
        "true map": truth,
        "signed map": signed,
        "random": rng.random(truth.shape),
        "uniform": np.ones(truth.shape),
    }
    areas = np.stack([(parts == part).sum((1, 2)) for part in range(3)], axis=1)  # (B, 3)
    found = {measure: {} for measure in CHANCE}
    for name, heads in kinds.items():
        heat = heads if bug == "negative values kept" else np.maximum(heads, 0)
        sums = np.stack([(heat * (parts == p)[:, None]).sum((2, 3)) for p in range(3)], axis=2)
        score = sums if bug == "sums, not densities" else np.round(sums / areas[:, None], 9)
        top = score == score.max(2, keepdims=True)  # (B, 4, 3)
        hit = np.take_along_axis(top, deciding[:, None, None], axis=2)[..., 0]  # (B, 4)
        hit = hit / (1 if bug == "ties are hits" else top.sum(2))
        on = (heat * flower[:, None]).sum((2, 3)) / heat.sum((2, 3))
        lifts = on / flower.mean((1, 2))[:, None]  # (B, 4)
        for measure, values in zip(CHANCE, (hit, lifts), strict=True):
            chosen = values.max(1) if bug == "best head per picture" else values[:, 0]
            found[measure][name] = float(chosen.mean())
    return found


def broken_judges() -> dict[str, dict[str, dict[str, float]]]:
    """Judges the same maps in a sound way and in four with a planted bug.

    Returns:
        "sound", "A", "B", "C", "D" -> measure -> kind of map -> mean score.
    """
    return {name: judged(bug) for name, bug in {"sound": None, **DIAGNOSIS.truth}.items()}


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={
        "A": "best head per picture",
        "B": "ties are hits",
        "C": "sums, not densities",
        "D": "negative values kept",
    },
    mistakes=[
        Mistake(
            "The best head taken for ties",
            "Random maps have no ties. Which row should not have moved?",
            ("best head per picture", "ties are hits"),
        ),
        Mistake(
            "The best head taken for negative values",
            "Random maps have none, and theirs is the row that is too good.",
            ("best head per picture", "negative values kept"),
        ),
        Mistake(
            "The best head taken for sums",
            "With sums the large background wins; here chance itself does.",
            ("best head per picture", "sums, not densities"),
        ),
        Mistake(
            "Ties taken for the best head",
            "All heads of a uniform map are the same: none is the best.",
            ("ties are hits", "best head per picture"),
        ),
        Mistake(
            "Ties taken for negative values",
            "A uniform map has none, and it got everything right.",
            ("ties are hits", "negative values kept"),
        ),
        Mistake(
            "Ties taken for sums",
            "By sums a uniform map points at the largest part. Does that ever decide?",
            ("ties are hits", "sums, not densities"),
        ),
        Mistake(
            "Negative values taken for the best head",
            "Choosing would lift the random maps as well.",
            ("negative values kept", "best head per picture"),
        ),
        Mistake(
            "Negative values taken for ties",
            "The uniform map stands at chance in both charts.",
            ("negative values kept", "ties are hits"),
        ),
        Mistake(
            "Negative values taken for sums",
            "Sums change which part wins; look at the lower chart, and at the ceiling.",
            ("negative values kept", "sums, not densities"),
        ),
        Mistake(
            "Sums taken for the best head",
            "That makes scores better. Are these better?",
            ("sums, not densities", "best head per picture"),
        ),
        Mistake(
            "Sums taken for ties",
            "That would make the uniform map perfect; here it is never right.",
            ("sums, not densities", "ties are hits"),
        ),
        Mistake(
            "Sums taken for negative values",
            "Uniform and random maps have none, and theirs are the rows that moved.",
            ("sums, not densities", "negative values kept"),
        ),
    ],
    insight="the true map gets the same in all five. What gives a bug away is a map that knows\n"
    "nothing and leaves chance, or one that beats the ceiling.",
)

EXERCISES = (LIFT, AUC, ROLLOUT, PAIRED_INTERVAL, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_lift(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(LIFT, answer))


def check_auc(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(AUC, answer))


def check_rollout(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(ROLLOUT, answer))


def check_paired_interval(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(PAIRED_INTERVAL, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each evaluation of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
