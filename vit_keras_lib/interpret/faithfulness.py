"""Is the map true? Numbers for maps on the patch grid, where the scene behind a picture is known.

Two truths are kept apart: what the label needs, known by design (lift and AUC ask for the flower),
and what this model uses, known by rendering the scene again without a part, as in FunnyBirds (Hesse
et al. 2023, arXiv 2308.06248). A map explains a model, so the second one judges it.

Everything here is NumPy on arrays. A score that has no meaning for an image is NaN and the reason
is kept beside it; `summarise` counts them.
"""

from typing import NamedTuple

import numpy as np

from vit_keras_lib.layers.patches import _pair

# What each score gives by chance (None: what the uniform map gets), and whether more is better.
SCORES = {
    "lift": {"chance": 1.0, "higher_is_better": True},
    "auc": {"chance": 0.5, "higher_is_better": True},
    "agreement": {"chance": 0.0, "higher_is_better": True},
    "part_hit": {"chance": None, "higher_is_better": True},
    "idle_mass": {"chance": None, "higher_is_better": False},
    "class_contrast": {"chance": 0.5, "higher_is_better": True},
    "area_between": {"chance": 0.0, "higher_is_better": True},  # of `deletion_curve`
}
CONTROLS = ("uniform", "random", "centre", "sobel", "other_image", "random_init")


class Scores(dict):
    """Scores by name, each (B,), NaN where undefined; `reasons[name]` (B,) says why ("" if not).

    Args:
        values: name -> (B,) of numbers.
        reasons: name -> a list of (reason, (B,) bool); the first that holds for an image counts.
    """

    def __init__(self, values, reasons):
        """Puts NaN where a reason holds."""
        super().__init__()
        self.reasons = {}
        for name, value in values.items():
            why = np.full(len(value), "", dtype=object)
            for reason, holds in reversed(reasons[name]):
                why[holds] = reason
            self.reasons[name] = why
            self[name] = np.where(why == "", value, np.nan)


class Interval(NamedTuple):
    """Mean difference of pairs, its interval, the pairs it rests on and those left out (NaN)."""

    mean: float
    low: float
    high: float
    pairs: int
    left_out: int


class Deletion(NamedTuple):
    """What is left of the class while patches are dropped.

    `dropped` (S + 1,): share of the patches that is gone; `by_map` and `at_random` (B, S + 1):
    probability of the class, dropped in the map's order and in a random one; `area_between` (B,):
    mean of `at_random - by_map` along the curve, in [-1, 1], chance 0, more is better.
    """

    dropped: np.ndarray
    by_map: np.ndarray
    at_random: np.ndarray
    area_between: np.ndarray


# --- The truth on the patch grid --------------------------------------------------------------


def part_coverage(parts, grid, num_parts=None):
    """Returns how much of each patch lies inside each part.

    Args:
        parts: integers (B, H, W) or (B, H, W, 1): the part a pixel belongs to, from 0; 0 is the
            background.
        grid: (rows, columns) of the patches; they divide H and W.
        num_parts: K; None for the largest number in these masks plus one. Give it where a batch
            may lack a part.

    Returns:
        (B, K, rows, columns), shares in [0, 1]; over the K parts each patch sums to 1.

    Raises:
        ValueError: for masks of another shape or kind, numbers outside 0 to K - 1, or a grid that
            does not divide the masks.
    """
    parts = np.asarray(parts)
    if parts.ndim == 4 and parts.shape[-1] == 1:
        parts = parts[..., 0]  # (B, H, W, 1) -> (B, H, W)
    if parts.ndim != 3 or not parts.size or not np.issubdtype(parts.dtype, np.integer):
        raise ValueError(
            f"`parts` must be integers (B, H, W) or (B, H, W, 1), got {parts.dtype} {parts.shape}."
        )
    K = int(parts.max()) + 1 if num_parts is None else num_parts
    if parts.min() < 0 or parts.max() >= K:
        raise ValueError(
            f"`parts` holds numbers from {parts.min()} to {parts.max()}; with num_parts={K} they "
            f"must be 0 to {K - 1}, 0 for the background."
        )
    return np.stack([_patch_means(parts == k, grid) for k in range(K)], axis=1)  # (B, K, r, c)


def true_map(coverage, flower=None, effects=None, parts=None):
    """Returns the map that a perfect explanation would draw: the ceiling of every table.

    Args:
        coverage: as in `map_scores`.
        flower: as in `map_scores`.
        effects: as in `map_scores`; None for the flower alone, every part of it alike.
        parts: as in `map_scores`.

    Returns:
        (B, rows, columns): coverage of the flower or, with effects, of each part times the drop
        in log-odds that its removal causes (a rise counts as 0).

    Raises:
        ValueError: as `map_scores`.
    """
    coverage = _checked_coverage(coverage)
    if effects is None:
        return _flower(coverage, flower)
    effects, chosen = _checked_effects(effects, coverage, parts)
    return np.einsum("bp,bprc->brc", np.maximum(effects, 0), coverage[:, chosen])


def log_odds(logits, class_index):
    """Returns how much more likely a class is than all others together, as a logarithm.

    A logit alone has an offset that all classes share; log-odds have none, so that drops in them
    can be compared between images and models.

    Args:
        logits: (B, classes).
        class_index: the class, or one for each image (B,).

    Returns:
        (B,): log(p / (1 - p)) of the softmax's p, in nats.

    Raises:
        ValueError: for logits of another shape, or a class that is not there.
    """
    logits = np.asarray(logits, dtype="float64")
    classes = np.asarray(class_index)
    if logits.ndim != 2 or logits.shape[1] < 2 or classes.shape not in ((), logits.shape[:1]):
        raise ValueError(
            "`logits` must be (B, classes) with two classes or more and `class_index` one number "
            f"or (B,), got {logits.shape} and {classes.shape}."
        )
    if not ((classes >= 0) & (classes < logits.shape[1])).all():
        raise ValueError(f"class_index={class_index!r} is not among 0 to {logits.shape[1] - 1}.")
    chosen = np.arange(logits.shape[1]) == np.broadcast_to(classes, len(logits))[:, None]
    others = np.where(chosen, -np.inf, logits)
    top = others.max(axis=1)
    return logits[chosen] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))


# --- Scores -----------------------------------------------------------------------------------


def part_scores(maps, coverage):
    """Returns how dense a map lies on each part.

    A density, not a sum: a sum would follow the size of the part. Where every patch belongs to one
    part it is the mean over the patches of the part. Where parts share patches, a small part would
    inherit what belongs to its neighbours (on 16-pixel patches even a true map of the petals would
    more often than not be densest on the centre). So these are the densities that, spread over the
    parts, give the map back best (least squares). Parts that the grid cannot tell apart get the
    same.

    Args:
        maps: (B, rows, columns), finite; rectified first.
        coverage: (B, K, rows, columns) as `part_coverage` returns it; a patch sums to 1.

    Returns:
        (B, K), in units of the map's mean (1 = as dense as a uniform map); may fall below 0 where
        the map is thinner than noise. NaN for parts out of sight and for maps nowhere positive.

    Raises:
        ValueError: for shapes or grids that do not belong together, or impossible values.
    """
    maps, coverage = _checked_maps(maps), _checked_coverage(coverage)
    _same_grid(maps, coverage)
    _needs_parts(coverage)
    heat = _rectified(maps)
    defined = heat.any(axis=(1, 2))[:, None] & (_total(coverage) > 0)  # (B, K)
    return np.where(defined, _densities(heat, coverage), np.nan)


def map_scores(maps, coverage, effects=None, flower=None, parts=None, epsilon=None):
    """Scores maps against what is known of the scene.

    Maps are rectified first: negative values count as 0, for a signed map has no share of mass
    (its "mass" on a part could be any number). What is judged is the evidence *for* the class.

    Without effects, two scores:
        "lift": share of the map's mass on the flower / share of the area the flower covers.
            1 is chance; area and place of the flower are no help.
        "auc": area under the ROC curve of patch values against "at least half flower", ties as
            mid-ranks, so that the order of storage decides nothing. In [0, 1], 0.5 is chance,
            exactly so for a constant map.

    With effects, three more, on the densities of `part_scores`. Parts out of sight in an image are
    left out there.
        "agreement": Kendall's tau-b between the part scores and the effects, in [-1, 1]. A map
            that gives all parts the same score gets 0, chance, and not NaN: keeping silent on the
            hard images must not pay.
        "part_hit": whether the part with the largest score is the one with the largest effect;
            of n tied parts each counts 1/n. Chance is what the uniform map gets: 1 / parts.
        "idle_mass": false alarms: of the mass (density, if positive, times area) on all these
            parts, the share on parts whose removal changes the log-odds by less than epsilon. In
            [0, 1], less is better; chance is their share of the parts' area, what the uniform map
            gets. (Of the whole map's mass it would reward maps that lie on the background.
            Distractibility in FunnyBirds, arXiv 2308.06248, asks the like of drops in a logit;
            log-odds have no common offset.)

    Args:
        maps: (B, rows, columns), finite.
        coverage: share of each patch inside the flower (B, rows, columns), or inside each part
            (B, K, rows, columns) as `part_coverage` returns it; in [0, 1].
        effects: (B, E): how much the log-odds of the explained class drop when a part is rendered
            away (positive: the part spoke for the class). Needs the coverage of the parts.
        flower: numbers of the parts that are "the flower"; None for all but 0, the background.
        parts: numbers of the parts whose removal the columns of `effects` are; None for
            1 to K - 1.
        epsilon: changes in log-odds below it count as none. Choose it on validation scenes.

    Returns:
        `Scores`: name -> (B,), NaN where the score has no meaning, with the reasons.

    Raises:
        ValueError: for shapes or grids that do not belong together, values that are not finite,
            coverage outside [0, 1], unknown parts, or effects without epsilon.
    """
    maps, coverage = _checked_maps(maps), _checked_coverage(coverage)
    _same_grid(maps, coverage)
    silent = ("the map is nowhere positive", ~(maps > 0).any(axis=(1, 2)))
    heat, on = _rectified(maps), _flower(coverage, flower)
    covered = on > 0.5 - 1e-6  # sums of float32 shares may miss a half by rounding
    values = {
        "lift": _ratio(_total(heat * on) * on[0].size, _total(heat) * _total(on)),
        "auc": np.array([_auc(h.ravel(), c.ravel()) for h, c in zip(heat, covered, strict=True)]),
    }
    reasons = {
        "lift": [silent, ("no flower in the picture", _total(on) == 0)],
        "auc": [
            silent,
            ("no patch is half flower", ~covered.any(axis=(1, 2))),
            ("every patch is half flower", covered.all(axis=(1, 2))),
        ],
    }
    if effects is not None:
        effects, chosen = _checked_effects(effects, coverage, parts)
        if epsilon is None or not 0 <= epsilon < np.inf:
            raise ValueError(
                f"epsilon={epsilon!r}, but effects need one, 0 or more: the change in log-odds "
                "that counts as none. Choose it on validation scenes."
            )
        densities, areas = _densities(heat, coverage), _total(coverage)  # (B, K)
        of_effects, why = _effect_scores(densities[:, chosen], areas[:, chosen], effects, epsilon)
        values.update(of_effects)
        reasons.update({name: [silent, *why[name]] for name in of_effects})
    return Scores(values, reasons)


def _effect_scores(density, area, effects, epsilon):
    """Returns the three scores that need effects, and when they are undefined; all (B, E)."""
    seen = area > 0
    mass = np.maximum(density, 0) * area
    # Two sums of the same values may differ in the last digit: that is no opinion.
    density = np.round(_ratio(density, np.abs(density).max(axis=1, keepdims=True)), 9)
    idle = seen & (np.abs(effects) < epsilon)
    largest = np.max(effects, axis=1, where=seen, initial=-np.inf)
    smallest = np.min(effects, axis=1, where=seen, initial=np.inf)
    rows = [(d[s], e[s]) for d, e, s in zip(density, effects, seen, strict=True)]
    values = {
        "agreement": np.array([_kendall(d, e) for d, e in rows]),
        "part_hit": np.array([_hit(d, e) for d, e in rows]),
        "idle_mass": _ratio((mass * idle).sum(axis=1), mass.sum(axis=1)),
    }
    few = ("fewer than two parts in sight", seen.sum(axis=1) < 2)
    equal = ("all parts have the same effect", largest == smallest)
    reasons = {
        "agreement": [few, ("no removal changes epsilon", (idle == seen).all(axis=1)), equal],
        "part_hit": [few, ("no removal costs epsilon", largest < epsilon), equal],
        "idle_mass": [
            ("no mass on these parts", ~mass.any(axis=1)),
            ("every removal changes epsilon", ~idle.any(axis=1)),
        ],
    }
    return values, reasons


def class_contrast(maps_a, maps_b, coverage_a, coverage_b):
    """Scores whether maps for two classes part on pictures that show both.

    The flower of class A should get a larger share of the mass in the map for A than in the map
    for B, and the flower of B the other way round: the mean of the two answers, 1 for yes, 0 for
    no, 0.5 for a tie. (Target sensitivity of FunnyBirds, arXiv 2308.06248, asked of pictures with
    two flowers.) A map that is not made for a class is the same for both, so it gets 0.5 here by
    design: mark such methods as class-agnostic. Maps are rectified as in `map_scores`.

    Args:
        maps_a: (B, rows, columns), for the class of the first flower.
        maps_b: (B, rows, columns), for the class of the second, same pictures.
        coverage_a: (B, rows, columns), share of each patch inside the first flower.
        coverage_b: (B, rows, columns), inside the second.

    Returns:
        `Scores` with "class_contrast" (B,).

    Raises:
        ValueError: if the four have not one shape, or hold impossible values.
    """
    maps = [_checked_maps(maps_a), _checked_maps(maps_b)]
    flowers = [_checked_coverage(coverage_a), _checked_coverage(coverage_b)]
    shapes = [array.shape for array in (*maps, *flowers)]
    if len(set(shapes)) > 1:
        raise ValueError(f"Maps and coverages must all be (B, rows, columns), got {shapes}.")
    shares = [  # [map][flower] -> (B,); rounded: a map times two is the same map
        [np.round(_ratio(_total(_rectified(m) * on), _total(_rectified(m))), 9) for on in flowers]
        for m in maps
    ]
    on_a = np.sign(shares[0][0] - shares[1][0])
    on_b = np.sign(shares[1][1] - shares[0][1])
    silent = [~(m > 0).any(axis=(1, 2)) for m in maps]
    absent = [_total(on) == 0 for on in flowers]
    reasons = [
        ("a map is nowhere positive", silent[0] | silent[1]),
        ("a flower is not in the picture", absent[0] | absent[1]),
    ]
    return Scores({"class_contrast": 0.5 + (on_a + on_b) / 4}, {"class_contrast": reasons})


def deletion_curve(predict_without, maps, steps, rng):
    """Drops patches, the map's largest first, and in random order beside it.

    Dropping tokens (the others keep their positions) is the removal that is native to a ViT: grey
    boxes would be a new shape in the picture. Ties in the map are broken by lot.

    Args:
        predict_without: function of kept (B, rows, columns), bool, to the probability of the
            class (B,). Every image keeps the same number of patches, at least one.
        maps: (B, rows, columns), finite; not rectified: the order of all values counts.
        steps: S, how many times patches are dropped until one is left; at most N - 1.
        rng: `numpy.random.Generator`.

    Returns:
        `Deletion`. `predict_without` is called 2 S + 1 times.

    Raises:
        ValueError: for maps of another shape, impossible steps, or an answer of
            `predict_without` that is not (B,) probabilities.
    """
    maps = _checked_maps(maps)
    B, rows, cols = maps.shape
    N = rows * cols
    if not 1 <= steps < N:
        raise ValueError(f"steps={steps}, but {N} patches can be dropped in 1 to {N - 1} steps.")

    def probabilities(kept):
        answer = np.asarray(predict_without(kept), dtype="float64")
        if answer.shape != (B,):
            raise ValueError(
                f"`predict_without` must return one probability an image, shape ({B},), got "
                f"{answer.shape}. Return that of the class which the map explains."
            )
        if not ((answer >= 0) & (answer <= 1)).all():
            raise ValueError(
                "`predict_without` must return probabilities, got values from "
                f"{answer.min()} to {answer.max()}. Take the softmax of the logits."
            )
        return answer

    lots = rng.random((2, B, N))
    places = np.empty((2, B, N), int)  # [order, image, patch] -> when the patch is dropped
    for place, keys in zip(places, ((lots[0], -maps.reshape(B, N)), (lots[1],)), strict=True):
        np.put_along_axis(place, np.lexsort(keys, axis=-1), np.arange(N)[None], axis=-1)
    counts = np.round(np.linspace(0, N - 1, steps + 1)).astype(int)
    whole = probabilities(np.ones(maps.shape, bool))
    curves = [
        [whole, *(probabilities(place.reshape(maps.shape) >= n) for n in counts[1:])]
        for place in places
    ]
    by_map, at_random = np.stack(curves[0], axis=1), np.stack(curves[1], axis=1)  # (B, S + 1)
    gap = at_random - by_map
    widths = np.diff(counts) / counts[-1]
    area = ((gap[:, 1:] + gap[:, :-1]) / 2 * widths).sum(axis=1)  # (B, S + 1) -> (B,)
    return Deletion(counts / N, by_map, at_random, area)


def map_correlation(a, b):
    """Returns how alike two maps of the same image are.

    With `b` the maps of a model whose weights were randomised, this is the check of Adebayo et
    al. 2018 (arXiv 1810.03292): a map that hardly changes does not depend on what was learnt, so
    a high correlation is bad. Maps are compared as they are, signs included.

    Args:
        a: (B, rows, columns), finite.
        b: (B, rows, columns), finite.

    Returns:
        `Scores` with "correlation" (B,): Spearman's rank correlation over patches, ties as
        mid-ranks, in [-1, 1]; NaN where a map is constant.

    Raises:
        ValueError: if the two have not one shape, or hold values that are not finite.
    """
    a, b = _checked_maps(a), _checked_maps(b)
    if a.shape != b.shape:
        raise ValueError(f"Maps of one shape are needed, got {a.shape} and {b.shape}.")
    constant = [np.ptp(m, axis=(1, 2)) == 0 for m in (a, b)]
    ranks = [np.array([_mid_ranks(m.ravel()) for m in many]) for many in (a, b)]  # (B, N)
    x, y = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    rho = _ratio((x * y).sum(1), np.sqrt((x * x).sum(1) * (y * y).sum(1)))
    return Scores(
        {"correlation": rho}, {"correlation": [("a map is constant", constant[0] | constant[1])]}
    )


def summarise(scores):
    """Returns the mean of each score and what it rests on.

    Args:
        scores: `Scores`.

    Returns:
        name -> {"mean": over the images where the score is defined (None if there are none),
        "images": their number, "left_out": reason -> number of images}; ready for JSON.
    """
    summary = {}
    for name, values in scores.items():
        why, counts = np.unique(scores.reasons[name].astype(str), return_counts=True)
        left_out = {str(w): int(n) for w, n in zip(why, counts, strict=True) if w}
        defined = values[~np.isnan(values)]
        mean = float(defined.mean()) if len(defined) else None
        summary[name] = {"mean": mean, "images": len(defined), "left_out": left_out}
    return summary


# --- What a map has to beat -------------------------------------------------------------------


def controls(images, grid, maps, random_init, rng, centre_width=0.25):
    """Returns the six maps that stand in every table beside the one in question.

    Args:
        images: (B, H, W, C), raw pixels.
        grid: (rows, columns) of the patches.
        maps: (B, rows, columns), the maps in question.
        random_init: (B, rows, columns), the same method on a model with untrained weights.
        rng: `numpy.random.Generator`.
        centre_width: standard deviation of the centre Gaussian, as a share of the picture's side.

    Returns:
        Name -> (B, rows, columns): "uniform"; "random", drawn from [0, 1); "centre", a Gaussian in
        the middle; "sobel", mean edge strength of a patch; "other_image", the map of another image
        (never its own); "random_init".

    Raises:
        ValueError: for shapes that do not belong together, or fewer than two images.
    """
    images, maps, random_init = np.asarray(images), _checked_maps(maps), _checked_maps(random_init)
    rows, cols = _pair(grid, "grid")
    wanted = (len(images), rows, cols)
    if images.ndim != 4 or maps.shape != wanted or random_init.shape != wanted or len(maps) < 2:
        raise ValueError(
            f"Images (B, H, W, C) of at least two scenes and maps (B, {rows}, {cols}) of the same "
            f"are needed, got images {images.shape}, maps {maps.shape} and random_init "
            f"{random_init.shape}."
        )
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in (rows, cols))
    centre = np.exp(-(y[:, None] ** 2 + x**2) / (2 * centre_width**2))  # (rows, columns)
    ring = rng.permutation(len(maps))  # each image takes the map of the next one on the ring
    other = np.empty_like(maps)
    other[ring] = maps[np.roll(ring, -1)]
    return {
        "uniform": np.ones(wanted),
        "random": rng.random(wanted),
        "centre": np.tile(centre, (len(maps), 1, 1)),
        "sobel": np.stack([_patch_means(_sobel(image), grid) for image in images]),
        "other_image": other,
        "random_init": random_init,
    }


def paired_interval(a, b, rng, level=0.95, resamples=2000):
    """Returns the mean of a - b over images, with its bootstrap interval.

    Percentile bootstrap over pairs (Efron 1979). The unit is the image: average over models of
    several seeds before. With fewer than some twenty pairs the interval is too narrow.

    Args:
        a: (B,), scores of one method.
        b: (B,), scores of another on the same images.
        rng: `numpy.random.Generator`.
        level: share of resamples inside the interval, between 0 and 1.
        resamples: how often the images are drawn anew.

    Returns:
        `Interval`. Pairs with a NaN are left out and counted; with fewer than two left, mean and
        bounds are NaN.

    Raises:
        ValueError: if the scores are not of the same images, or for an impossible level.
    """
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"Scores of the same images are needed, both of shape (B,), got {a.shape} and "
            f"{b.shape}. Do not drop images: leave NaN where a score is undefined."
        )
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(
            f"level={level} must lie between 0 and 1, resamples={resamples} must be 1 or more."
        )
    difference = (a - b)[~np.isnan(a - b)]
    n, left_out = len(difference), len(a) - len(difference)
    if n < 2:
        return Interval(np.nan, np.nan, np.nan, n, left_out)
    means = [difference[rng.integers(0, n, n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(difference.mean()), float(low), float(high), n, left_out)


def against_controls(scores, control_scores, rng, level=0.95, resamples=2000):
    """Returns how much better than each control a map is, in every score.

    Args:
        scores: name -> (B,), as `map_scores` returns it.
        control_scores: control -> the same of that control; all six of `controls`.
        rng: `numpy.random.Generator`.
        level: as in `paired_interval`.
        resamples: as in `paired_interval`.

    Returns:
        Score -> control -> `Interval`, positive where the map is better (so turned round for
        "idle_mass").

    Raises:
        ValueError: for an unknown score, or controls other than the six.
    """
    if sorted(control_scores) != sorted(CONTROLS):
        raise ValueError(
            f"Scores of all six controls are needed, {', '.join(CONTROLS)}; got "
            f"{', '.join(control_scores) or 'none'}. (The true map is a ceiling, no control.)"
        )
    for name in scores:
        if name not in SCORES:
            raise ValueError(f"Unknown score {name!r}; choose from {', '.join(SCORES)}.")
        lacking = [control for control in CONTROLS if name not in control_scores[control]]
        if lacking:
            raise ValueError(f"{', '.join(lacking)}: no score {name!r}. Score all in the same way.")

    def interval(name, theirs):
        pair = (scores[name], theirs[name])
        better, worse = pair if SCORES[name]["higher_is_better"] else pair[::-1]
        return paired_interval(better, worse, rng, level, resamples)

    return {
        name: {control: interval(name, control_scores[control]) for control in CONTROLS}
        for name in scores
    }


def clears(scores, control_scores, rng, level=0.95, resamples=2000):
    """Returns which controls a map beats: its paired interval lies above 0.

    A method works, by a score, only if it clears all six: `all(clears(...)[score].values())`.

    Args:
        scores: as in `against_controls`.
        control_scores: as in `against_controls`.
        rng: `numpy.random.Generator`.
        level: as in `paired_interval`.
        resamples: as in `paired_interval`.

    Returns:
        Score -> control -> bool. Too few pairs for an interval do not clear.

    Raises:
        ValueError: as `against_controls`.
    """
    intervals = against_controls(scores, control_scores, rng, level, resamples)
    return {
        name: {control: interval.low > 0 for control, interval in row.items()}
        for name, row in intervals.items()
    }


# --- Small parts ------------------------------------------------------------------------------


def _checked_maps(maps):
    """Returns maps as float64 (B, rows, columns)."""
    maps = np.asarray(maps)
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"Maps must have shape (B, rows, columns), got {maps.shape}. One map needs a batch "
            "axis, maps[None]; flat ones a reshape to the grid."
        )
    if not np.isfinite(maps).all():
        raise ValueError(f"Maps hold {(~np.isfinite(maps)).sum()} values that are not finite.")
    return maps.astype("float64")


def _checked_coverage(coverage):
    """Returns coverage as float64 (B, r, c) or (B, K, r, c)."""
    coverage = np.asarray(coverage, "float64")
    if coverage.ndim not in (3, 4) or 0 in coverage.shape:
        raise ValueError(
            "Coverage must have shape (B, rows, columns) or, for parts, (B, K, rows, columns), "
            f"got {coverage.shape}."
        )
    if not ((coverage >= 0) & (coverage <= 1)).all():
        raise ValueError(
            f"Coverage must lie in [0, 1], got {coverage.min()} to {coverage.max()}: the share of "
            "each patch, as part_coverage returns it."
        )
    if coverage.ndim == 4 and (off := np.abs(coverage.sum(axis=1) - 1).max()) > 1e-5:
        raise ValueError(
            f"The shares of the parts in a patch must sum to 1, one is off by {off:.3g}. Leave no "
            "part out: number 0 is the background."
        )
    return coverage


def _chosen_parts(name, numbers, K):
    """Returns part numbers as a list, all of 0 to K - 1 and none twice; None is 1 to K - 1."""
    chosen = list(range(1, K)) if numbers is None else list(numbers)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(K)):
        raise ValueError(
            f"{name}={numbers!r}: choose different parts from 0 to {K - 1}, the parts that the "
            "coverage holds."
        )
    return chosen


def _flower(coverage, flower):
    """Returns the share of each patch inside the flower, (B, r, c)."""
    if coverage.ndim == 3:
        if flower is not None:
            raise ValueError(
                f"flower={flower!r} chooses parts, but the coverage is of the flower alone, "
                f"{coverage.shape}. Leave it out, or pass coverage (B, K, rows, columns)."
            )
        return coverage
    return coverage[:, _chosen_parts("flower", flower, coverage.shape[1])].sum(axis=1)


def _checked_effects(effects, coverage, parts):
    """Returns effects as float64 (B, E) and the numbers of their parts."""
    effects = np.asarray(effects, "float64")
    _needs_parts(coverage)
    chosen = _chosen_parts("parts", parts, coverage.shape[1])
    if effects.shape != (len(coverage), len(chosen)):
        raise ValueError(
            f"`effects` must have shape {(len(coverage), len(chosen))}, one column for each of the "
            f"parts {chosen}, got {effects.shape}. Say with `parts` which parts were removed."
        )
    if not np.isfinite(effects).all():
        raise ValueError(
            f"`effects` hold {(~np.isfinite(effects)).sum()} values that are not finite. Take "
            "log-odds from the logits; a probability of exactly 0 or 1 has none."
        )
    return effects, chosen


def _needs_parts(coverage):
    if coverage.ndim == 3:
        raise ValueError(
            "The coverage of the parts is needed, but it is of the flower alone, "
            f"{coverage.shape}. Pass part_coverage(...), shape (B, K, rows, columns)."
        )


def _same_grid(maps, coverage):
    if maps.shape != (len(coverage), *coverage.shape[-2:]):
        raise ValueError(
            f"{len(maps)} maps of {maps.shape[1]} x {maps.shape[2]} patches came with the coverage "
            f"of {len(coverage)} images on {coverage.shape[-2]} x {coverage.shape[-1]} patches. "
            "Make both for the same images and the same grid."
        )


def _patch_means(pixels, grid):
    """Means over patches: (..., H, W) -> (..., rows, columns)."""
    rows, cols = _pair(grid, "grid")
    *front, H, W = pixels.shape
    if H % rows or W % cols:
        raise ValueError(
            f"A grid of {rows} x {cols} patches does not divide {H} x {W} pixels. "
            "Use the grid of the model that takes these pictures."
        )
    cut = pixels.reshape(*front, rows, H // rows, cols, W // cols)  # (..., r, ph, c, pw)
    return cut.mean(axis=(-3, -1))


def _sobel(image):
    """Edge strength of the mean over channels, (H, W, C) -> (H, W); edges are repeated."""
    grey = np.pad(image.astype("float64").mean(axis=-1), 1, mode="edge")  # (H + 2, W + 2)
    down = grey[:-2] + 2 * grey[1:-1] + grey[2:]  # (H, W + 2)
    across = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]  # (H + 2, W)
    return np.hypot(down[:, 2:] - down[:, :-2], across[2:] - across[:-2])


def _rectified(maps):
    """Positive part, largest value 1: so a constant map is exactly 1 everywhere."""
    heat = np.maximum(maps, 0)
    return _ratio(heat, heat.max(axis=(1, 2), keepdims=True))


def _densities(heat, coverage):
    """Densities (B, K) that give maps (B, r, c) back from coverage (B, K, r, c); mean map is 1."""
    B, K = coverage.shape[:2]
    heat = _ratio(heat, heat.mean(axis=(1, 2), keepdims=True)).reshape(B, -1, 1)  # (B, N, 1)
    # Columns scaled by area: parts on the same patches then share the smallest solution evenly.
    scale = np.sqrt(_ratio(1.0, _total(coverage)))[:, None]  # (B, 1, K)
    columns = coverage.reshape(B, K, -1).transpose(0, 2, 1) * scale  # (B, N, K)
    fit = np.linalg.pinv(columns, rcond=1e-6) @ (heat - 1)  # (B, K, 1)
    return 1 + fit[..., 0] * scale[:, 0]


def _total(arrays):
    """Sums over the grid, in one order always, so that equal maps have equal sums."""
    return arrays.reshape(*arrays.shape[:-2], -1).sum(axis=-1)


def _ratio(over, under):
    """Divides; 0 where there is nothing to divide by (there a reason stands in `Scores`)."""
    over, under = np.broadcast_arrays(over, under)
    return np.divide(over, under, out=np.zeros(over.shape), where=under != 0)


def _mid_ranks(values):
    """Ranks from 1 of (N,); tied values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


def _auc(values, positive):
    """Mann-Whitney's U as a share of all pairs: ROC-AUC with mid-ranks."""
    p = positive.sum()
    pairs = p * (len(values) - p)
    return (_mid_ranks(values)[positive].sum() - p * (p + 1) / 2) / pairs if pairs else np.nan


def _kendall(x, y):
    """Kendall's tau-b of (n,) and (n,); 0 if one is constant."""
    dx, dy = (np.sign(v[:, None] - v) for v in (x, y))  # (n,) -> (n, n)
    return float(_ratio((dx * dy).sum(), np.sqrt((dx**2).sum() * (dy**2).sum())))


def _hit(scores, effects):
    """Chance that a draw among the parts of largest score is a part of largest effect."""
    if not len(scores):
        return np.nan
    top = scores == scores.max()
    return (effects[top] == effects.max()).mean()
