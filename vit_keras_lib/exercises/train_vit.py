"""The exercises of notebook 05_train_vit: right answers, known mistakes and checks."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(0)

# --- 1. The learning rate ---------------------------------------------------------------------


def learning_rates(steps: int, warmup: int, peak: float) -> np.ndarray:
    """Returns the learning rate of each step: linear warm-up, then a cosine (arXiv 1608.03983).

    Args:
        steps: how many steps there are, more than `warmup`.
        warmup: the step, counted from 0, that has the peak; 0 or more.
        peak: the highest rate.

    Returns:
        (steps + 1,), from step 0 to the end, where the rate is 0.
    """
    step = np.arange(steps + 1)
    rise = step / max(warmup, 1)
    fall = (step - warmup) / (steps - warmup)
    return peak * np.where(step < warmup, rise, 0.5 + 0.5 * np.cos(np.pi * fall))


def _rates(shape, rise=lambda step, warmup: step / warmup):
    """Makes a schedule from what follows warm-up: a function of (step, steps, warmup)."""

    def rates(steps, warmup, peak):
        step = np.arange(steps + 1)
        fall = shape(step, steps, warmup) + np.zeros(steps + 1)
        return peak * np.where(step < warmup, rise(step, max(warmup, 1)), fall)

    return rates


def _half_cosine(progress):
    return 0.5 + 0.5 * np.cos(np.pi * progress)


def _fallen(step, steps, warmup):
    return (step - warmup) / (steps - warmup)


LEARNING_RATES = Exercise(
    learning_rates,
    hand_sized=[
        Case("12 steps, warm-up 4, peak 8", (12, 4, 8.0)),
        Case("6 steps, no warm-up, peak 1", (6, 0, 1.0)),
    ],
    random=[
        Case(f"{steps} steps, warm-up {warmup}, peak {peak}", (steps, warmup, peak))
        for steps, warmup, peak in ((97, 13, 0.001), (40, 1, 0.5))
    ],
    invariants={
        "the rate lies between 0 and the peak": lambda rates, steps, warmup, peak: (
            (rates > -1e-9) & (rates < peak * (1 + 1e-6))
        ).all()
    },
    mistakes=[
        Mistake(
            "There is no warm-up",
            "The first steps take the peak already.",
            lambda steps, w, peak: peak * _half_cosine(np.arange(steps + 1) / steps),
        ),
        Mistake(
            "The cosine starts at step 0",
            "Where warm-up ends the rate jumps: there the cosine is under way.",
            _rates(lambda step, steps, w: _half_cosine(step / steps)),
        ),
        Mistake(
            "The cosine comes too late to its end",
            "It has fewer steps than the run: what warm-up leaves.",
            _rates(lambda step, steps, w: _half_cosine((step - w) / steps)),
        ),
        Mistake(
            "Both at once",
            "While it warms up the rate is held down by nothing else.",
            lambda steps, w, peak: (
                peak
                * np.minimum(1, np.arange(steps + 1) / max(w, 1))
                * _half_cosine(np.arange(steps + 1) / steps)
            ),
        ),
        Mistake(
            "A whole turn of the cosine",
            "Halfway the rate is 0, and at the end it is back at the peak.",
            _rates(lambda *a: _half_cosine(2 * _fallen(*a))),
        ),
        Mistake(
            "A quarter of a turn",
            "It ends at 0, but in full fall: a cosine lands softly after half a turn.",
            _rates(lambda *a: np.cos(0.5 * np.pi * _fallen(*a))),
        ),
        Mistake(
            "The cosine is not lifted",
            "A cosine goes down to -1, and a rate below 0 climbs the loss.",
            _rates(lambda *a: np.cos(np.pi * _fallen(*a))),
        ),
        Mistake(
            "A straight line down",
            "That is another schedule: faster at both ends, slower in the middle.",
            _rates(lambda *a: 1 - _fallen(*a)),
        ),
        Mistake(
            "It stays at the peak",
            "Nothing lets the weights settle.",
            _rates(lambda step, steps, w: 1.0),
        ),
        Mistake(
            "Warm-up counts from 1",
            "Step 0 should have the rate 0.",
            _rates(lambda *a: _half_cosine(_fallen(*a)), lambda step, w: (step + 1) / w),
        ),
        Mistake(
            "The angle is in degrees",
            "np.cos takes radians: half a turn is π.",
            _rates(lambda *a: 0.5 + 0.5 * np.cos(180 * _fallen(*a))),
        ),
        Mistake(
            "The peak is left out",
            "These are shares of it.",
            lambda steps, w, peak: learning_rates(steps, w, 1.0),
        ),
    ],
    insight="seven tenths of the fall lie in the middle half of the steps: the cosine lingers\n"
    "near the peak and near 0, where a straight line falls as fast as anywhere.",
)

# --- 2. The label of a CutMix -----------------------------------------------------------------


def cutmix_label(
    first: np.ndarray,
    second: np.ndarray,
    box: tuple[int, int, int, int],
    image_size: tuple[int, int],
) -> np.ndarray:
    """Returns the label of a photo into which a box of another is pasted (arXiv 1905.04899).

    Args:
        first: (classes,) label of the photo that is pasted into, one-hot or soft.
        second: (classes,) label of the photo the box comes from.
        box: (top, left, height, width) in pixels; it may stick out of the photo, top and left may
            be below 0. What sticks out is cut off.
        image_size: (H, W).

    Returns:
        (classes,): each label with the share of pixels that shows its photo.
    """
    (top, left, height, width), (H, W) = box, image_size
    rows = min(top + height, H) - max(top, 0)
    columns = min(left + width, W) - max(left, 0)
    share = rows * columns / (H * W)
    return (1 - share) * first + share * second


def _seen(box, image_size):
    """Rows, columns of what is pasted."""
    (top, left, height, width), (H, W) = box, image_size
    return min(top + height, H) - max(top, 0), min(left + width, W) - max(left, 0)


def _share(box, image_size):
    rows, columns = _seen(box, image_size)
    return rows * columns / (image_size[0] * image_size[1])


def _mixed_by(share):
    """Makes an answer from a share of the second photo, a function of (box, image_size)."""

    def label(first, second, box, image_size):
        s = share(box, image_size)
        return (1 - s) * first + s * second

    return label


def _uncut_near(box, image_size):
    (top, left, height, width), (H, W) = box, image_size
    return (min(top + height, H) - top) * (min(left + width, W) - left) / (H * W)


def _uncut_far(box, image_size):
    (top, left, height, width), (H, W) = box, image_size
    return (top + height - max(top, 0)) * (left + width - max(left, 0)) / (H * W)


def _turned(box, image_size):
    (top, left, height, width), (H, W) = box, image_size
    return _share((left, top, height, width), (H, W))


def _one_hot(*labels, classes=3):
    return tuple(np.eye(classes)[list(labels)])


_BOXES = (((-2, 9, 7, 20), (24, 32)), ((11, -5, 30, 12), (24, 32)), ((3, 4, 10, 6), (16, 16)))

CUTMIX_LABEL = Exercise(
    cutmix_label,
    hand_sized=[
        Case("a box of 2 x 3 inside a photo of 4 x 6", (*_one_hot(0, 2), (1, 2, 2, 3), (4, 6))),
        Case("a box that sticks out at the right", (*_one_hot(0, 2), (1, 4, 2, 3), (4, 6))),
        Case("a box that sticks out at the top", (*_one_hot(1, 0), (-1, 2, 3, 2), (4, 6))),
        Case("a box over all of the photo", (*_one_hot(0, 1), (-1, -1, 9, 9), (4, 6))),
        Case("two photos of one class", (*_one_hot(1, 1), (0, 0, 2, 2), (4, 6))),
    ],
    random=[
        Case(
            f"soft labels, box {box} in a photo of {size[0]} x {size[1]}",
            (*_RNG.dirichlet(np.ones(4), 2), box, size),
        )
        for box, size in _BOXES
    ],
    invariants={"the label sums to 1": lambda label, *_: abs(label.sum() - 1) < 1e-5},
    mistakes=[
        Mistake(
            "The box is not cut off",
            "What sticks out shows nothing: count the pixels that are pasted.",
            _mixed_by(lambda box, size: box[2] * box[3] / (size[0] * size[1])),
        ),
        Mistake(
            "Top and left are not cut off",
            "Below 0 there is no pixel.",
            _mixed_by(_uncut_near),
        ),
        Mistake(
            "Bottom and right are not cut off",
            "A photo ends there as well.",
            _mixed_by(_uncut_far),
        ),
        Mistake(
            "The shares are swapped",
            "The second photo has what is in the box, the first one has the rest.",
            _mixed_by(lambda box, size: 1 - _share(box, size)),
        ),
        Mistake(
            "Half and half",
            "A small box gives the second photo a small share.",
            _mixed_by(lambda box, size: 0.5),
        ),
        Mistake(
            "The larger part takes all",
            "The label is soft: both photos are in it.",
            _mixed_by(lambda box, size: round(_share(box, size))),
        ),
        Mistake(
            "A share of the side",
            "Photos are surfaces: with half of each side you see a quarter.",
            _mixed_by(lambda box, size: _share(box, size) ** 0.5),
        ),
        Mistake(
            "Only the width counts",
            "A box has a height too.",
            _mixed_by(lambda box, size: _seen(box, size)[1] / size[1]),
        ),
        Mistake(
            "Top and left are swapped",
            "A box is (top, left, height, width): rows first, as in an array.",
            _mixed_by(_turned),
        ),
        Mistake(
            "The first photo keeps all of its label",
            "It has lost the pixels that the box covers.",
            lambda a, b, box, size: a + _share(box, size) * b,
        ),
        Mistake(
            "The box is divided by what is left",
            "A share is a part of the whole photo.",
            _mixed_by(lambda box, size: _share(box, size) / max(1 - _share(box, size), 1e-9)),
        ),
        Mistake(
            "The label of the first photo",
            "That is what the photo was before.",
            lambda a, b, box, size: a,
        ),
    ],
    insight="the share counts pixels, not flower. A box may take nothing but background along,\n"
    "and the label still says otherwise: a little noise is the price of the trick.",
)

# --- 3. The smoothed loss ---------------------------------------------------------------------


def smoothed_loss(logits: np.ndarray, labels: np.ndarray, smoothing: float) -> np.ndarray:
    """Returns the cross-entropy with smoothed labels (arXiv 1512.00567, section 7).

    Args:
        logits: (B, classes).
        labels: (B,) whole numbers.
        smoothing: the share of each label that is spread evenly over all classes, in [0, 1).

    Returns:
        (B,) losses in nats.
    """
    classes = logits.shape[1]
    wanted = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    return -(wanted * _log_softmax(logits)).sum(axis=1)


def _log_softmax(logits):
    return _log_of_raw_sum(logits - logits.max(axis=1, keepdims=True))


def _log_of_softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.log(e / e.sum(axis=1, keepdims=True))


def _log_of_raw_sum(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _log_of_raw_softmax(logits):
    return np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def _wanted(logits, labels, smoothing):
    classes = logits.shape[1]
    return (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes


def _over_the_others(logits, labels, s):
    right = np.eye(logits.shape[1])[labels]
    wanted = (1 - s) * right + s * (1 - right) / (logits.shape[1] - 1)
    return -(wanted * _log_softmax(logits)).sum(axis=1)


def _without_its_part(logits, labels, s):
    right = np.eye(logits.shape[1])[labels]
    wanted = (1 - s) * right + s / logits.shape[1] * (1 - right)
    return -(wanted * _log_softmax(logits)).sum(axis=1)


def _smoothed_answers(logits, labels, s):
    p = (1 - s) * np.exp(_log_softmax(logits)) + s / logits.shape[1]
    return -np.log(p[np.arange(len(p)), labels])


# The second row lies far below the largest logit of all.
_LARGE = np.array([[1000.0, 0, -1000], [0, 0, 1]])
_LOGITS = np.array([[0.0, 0, 0, 0], [np.log(3), 0, 0, 0], [0, np.log(3), 0, 0]])

SMOOTHED_LOSS = Exercise(
    smoothed_loss,
    hand_sized=[
        Case("3 answers of 4 classes, smoothing 0.2", (_LOGITS, np.array([1, 0, 0]), 0.2)),
        Case("the same answers, no smoothing", (_LOGITS, np.array([1, 0, 0]), 0.0)),
        Case("logits of 1000", (_LARGE, np.array([0, 1]), 0.3)),
    ],
    random=[
        Case(f"{b} random answers of {k} classes", (3 * _RNG.normal(size=(b, k)), y, s))
        for b, k, y, s in ((6, 5, _RNG.integers(0, 5, 6), 0.1), (2, 3, np.array([2, 2]), 0.5))
    ],
    invariants={"a loss is above 0, or 0": lambda loss, *_: (loss > -1e-9).all()},
    mistakes=[
        Mistake(
            "Nothing is smoothed",
            "That is the plain cross-entropy, for a smoothing of 0.",
            lambda x, y, s: smoothed_loss(x, y, 0.0),
        ),
        Mistake(
            "Spread over the other classes only",
            "The right class is one of all, and gets a part too.",
            _over_the_others,
        ),
        Mistake(
            "The label does not sum to 1",
            "The right class gave its share away and got no part of it back.",
            _without_its_part,
        ),
        Mistake(
            "The right class keeps everything",
            "What is spread over all has to be taken from somewhere.",
            lambda x, y, s: (
                -((np.eye(x.shape[1])[y] + s / x.shape[1]) * _log_softmax(x)).sum(axis=1)
            ),
        ),
        Mistake(
            "The answers are smoothed",
            "It is the label that gets less certain; the answer stays as it is.",
            _smoothed_answers,
        ),
        Mistake(
            "In bits",
            "The base of the logarithm is e here.",
            lambda x, y, s: smoothed_loss(x, y, s) / np.log(2),
        ),
        Mistake(
            "The mean over the classes",
            "A cross-entropy is a sum over them.",
            lambda x, y, s: smoothed_loss(x, y, s) / x.shape[1],
        ),
        Mistake(
            "The mean over the photos",
            "Each photo has a loss of its own.",
            lambda x, y, s: smoothed_loss(x, y, s).mean(),
        ),
        Mistake(
            "The sign is missing",
            "The logarithm of a probability is not above 0.",
            lambda x, y, s: -smoothed_loss(x, y, s),
        ),
        Mistake(
            "There is no softmax",
            "Logits are no logarithms of probabilities yet.",
            lambda x, y, s: -(_wanted(x, y, s) * x).sum(axis=1),
        ),
        Mistake(
            "One maximum for all rows",
            "A row far below the largest logit of all sums to 0: each row has its own.",
            lambda x, y, s: -(_wanted(x, y, s) * _log_of_raw_sum(x - x.max())).sum(axis=1),
        ),
        Mistake(
            "exp of large logits",
            "exp(1000) is infinite. A number taken off a whole row cancels out.",
            lambda x, y, s: -(_wanted(x, y, s) * _log_of_raw_softmax(x)).sum(axis=1),
        ),
        Mistake(
            "The logarithm of 0",
            "A probability was rounded to 0: take the logarithm before it can come to that.",
            lambda x, y, s: -(_wanted(x, y, s) * _log_of_softmax(x)).sum(axis=1),
        ),
    ],
    insight="even a model that is always right cannot reach 0. With 5 classes and a smoothing of\n"
    "0.1 the floor is 0.39 nats: a loss says little before you know its floor.",
)

# --- 4. The calibration error -----------------------------------------------------------------


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Returns the expected calibration error (arXiv 1706.04599, equation 3).

    Args:
        confidence: (B,) probability of each answer, above 0 and up to 1.
        right: (B,) whether the answer is right.
        bins: how many bins of equal width there are; a confidence on an edge belongs to the lower
            one.

    Returns:
        The mean distance between confidence and accuracy, each bin with the weight of its answers.
    """
    return _error(np.ceil(confidence * bins) - 1, confidence, right, bins)


def _gaps(place, confidence, right, bins):
    """Accuracy minus confidence, and the number of answers, of each bin that has some."""
    some = [place == b for b in range(bins) if (place == b).any()]
    gaps = [right[own].mean() - confidence[own].mean() for own in some]
    return np.array(gaps), np.array([own.sum() for own in some])


def _error(place, confidence, right, bins):
    gaps, counts = _gaps(place, confidence, right, bins)
    return float((np.abs(gaps) * counts).sum() / len(right))


def _by_gaps(combine):
    """Makes an answer from (gaps, counts, bins) of the right bins."""

    def error(confidence, right, bins):
        gaps, counts = _gaps(np.ceil(confidence * bins) - 1, confidence, right, bins)
        return float(combine(gaps, counts, bins))

    return error


def _from_the_middle(c, right, bins):
    place = np.ceil(c * bins) - 1
    return _error(place, (place + 0.5) / bins, right, bins)


def _with_empty_bins(c, right, bins):
    own = [np.ceil(c * bins) - 1 == b for b in range(bins)]
    gaps = [abs(right[o].sum() / o.sum() - c[o].sum() / o.sum()) * o.mean() for o in own]
    return float(sum(gaps))


def _equal_counts(c, right, bins):
    place = np.empty(len(c), int)
    for b, own in enumerate(np.array_split(np.argsort(c, kind="stable"), bins)):
        place[own] = b
    return _error(place, c, right, bins)


_SURE = np.array([0.5, 0.625, 0.75, 1, 1, 0.875])
_RIGHT = np.array([True, False, False, True, False, False])


def _answers(count):
    """Draws answers which are too sure above a confidence of 0.5, and not sure enough below."""
    confidence = 1 - 0.95 * _RNG.uniform(0, 1, count) ** 2  # most of them high
    return confidence, _RNG.random(count) < 0.4 + 0.2 * confidence


CALIBRATION_ERROR = Exercise(
    calibration_error,
    hand_sized=[
        Case("6 answers in 4 bins", (_SURE, _RIGHT, 4)),
        Case("4 answers, all on edges", (np.array([0.25, 0.5, 0.75, 1]), _RIGHT[[0, 3, 1, 3]], 4)),
        Case("3 answers, all right", (np.array([0.375, 0.375, 0.25]), np.ones(3, bool), 2)),
    ],
    random=[
        Case(f"{count} random answers in {bins} bins", (*_answers(count), bins))
        for count, bins in ((60, 7), (40, 5))
    ],
    invariants={"the error lies between 0 and 1": lambda error, *_: -1e-9 < error < 1 + 1e-9},
    mistakes=[
        Mistake(
            "Every bin counts alike",
            "A bin with one answer says less than one with a hundred.",
            _by_gaps(lambda gaps, counts, bins: np.abs(gaps).mean()),
        ),
        Mistake(
            "The gaps are added up",
            "It is a mean: weights that belong to it sum to 1.",
            _by_gaps(lambda gaps, counts, bins: np.abs(gaps).sum()),
        ),
        Mistake(
            "Gaps cancel each other",
            "Too sure here and not sure enough there are two errors.",
            _by_gaps(lambda gaps, counts, bins: abs(gaps @ counts / counts.sum())),
        ),
        Mistake(
            "Gaps have a sign",
            "A distance is never below 0.",
            _by_gaps(lambda gaps, counts, bins: -gaps @ counts / counts.sum()),
        ),
        Mistake(
            "The largest gap",
            "That is the maximum calibration error, another measure.",
            _by_gaps(lambda gaps, counts, bins: np.abs(gaps).max()),
        ),
        Mistake(
            "The gaps are squared",
            "That makes small gaps vanish. Take the distance.",
            _by_gaps(lambda gaps, counts, bins: gaps**2 @ counts / counts.sum()),
        ),
        Mistake(
            "Each answer for itself",
            "One answer is right or wrong; only several have an accuracy.",
            lambda c, right, bins: float(np.abs(right - c).mean()),
        ),
        Mistake(
            "The middle of the bin",
            "Compare with the confidence these answers really have, on average.",
            _from_the_middle,
        ),
        Mistake(
            "A confidence on an edge goes up",
            "Here it belongs to the lower bin.",
            lambda c, right, bins: _error(np.minimum(np.floor(c * bins), bins - 1), c, right, bins),
        ),
        Mistake(
            "A confidence of 1 is lost",
            "The upper edge of the last bin belongs to it.",
            lambda c, right, bins: _error(np.floor(c * bins), c, right, bins),
        ),
        Mistake(
            "An empty bin spoils the sum",
            "Its mean is 0 divided by 0. It has nothing to say.",
            _with_empty_bins,
        ),
        Mistake(
            "As many answers in each bin",
            "The bins have equal widths here.",
            _equal_counts,
        ),
    ],
    insight="a model that always answers the commonest class, and is as sure as it is common, has\n"
    "an error of 0. Calibration is no measure of knowledge: read it beside the accuracy.",
)

# --- 5. What went wrong -----------------------------------------------------------------------

CAUSES = ("learning rate too high", "shuffled labels", "sorted flowers", "leaked validation")
GUESS = (float(np.log(5)), 0.2)


def run_training(bug: str | None, epochs: int = 30) -> dict[str, list[float]]:
    """Trains a linear classifier on toy flowers of five species, by plain gradient descent.

    A toy flower is 30 measurements: the mean of its species and noise.

    Args:
        bug: one of `CAUSES`, or None for a sound run.
        epochs: passes over the 250 training flowers, in batches of 10.

    Returns:
        "loss", "accuracy" (training: means over the batches, each before its step), "val_loss",
        "val_accuracy" (validation, at the end of the epoch) -> one value an epoch.
    """
    rng = np.random.default_rng(0)
    species = rng.normal(1, 0.3, (5, 30))

    def pick(count):
        labels = np.arange(count) % 5
        return species[labels] + rng.normal(size=(count, 30)), labels

    (x, y), (val_x, val_y) = pick(250), pick(500)
    if bug == "shuffled labels":
        y = rng.permutation(y)
    if bug == "leaked validation":
        val_x, val_y = x[:125], y[:125]
    rate = 1.0 if bug == "learning rate too high" else 0.03
    weights = np.zeros((30, 5))
    measures = {"loss": [], "accuracy": [], "val_loss": [], "val_accuracy": []}
    for _ in range(epochs):
        order = np.argsort(y, kind="stable") if bug == "sorted flowers" else rng.permutation(250)
        seen = []
        for own in order.reshape(25, 10):  # (250,) -> (25, 10)
            seen.append(_measure(x[own] @ weights, y[own]))
            errors = np.exp(_log_softmax(x[own] @ weights)) - np.eye(5)[y[own]]  # (10, 5)
            weights -= rate * x[own].T @ errors / 10
        values = (*np.mean(seen, axis=0), *_measure(val_x @ weights, val_y))
        for name, value in zip(measures, values, strict=True):
            measures[name].append(float(value))
    return measures


def _measure(logits, labels):
    loss = -_log_softmax(logits)[np.arange(len(labels)), labels].mean()
    return loss, (logits.argmax(axis=1) == labels).mean()


def broken_runs() -> dict[str, dict[str, list[float]]]:
    """Makes a sound run and four with a planted bug.

    Returns:
        "sound", "A", "B", "C", "D" -> what `run_training` returns.
    """
    return {name: run_training(bug) for name, bug in {"sound": None, **DIAGNOSIS.truth}.items()}


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={
        "A": "sorted flowers",
        "B": "leaked validation",
        "C": "learning rate too high",
        "D": "shuffled labels",
    },
    mistakes=[
        Mistake(
            "Sorted flowers taken for leaked validation",
            "Leaked flowers are answered too well; here it starts at guessing.",
            ("sorted flowers", "leaked validation"),
        ),
        Mistake(
            "Sorted flowers taken for a high learning rate",
            "That throws training about as well; this training falls evenly.",
            ("sorted flowers", "learning rate too high"),
        ),
        Mistake(
            "Sorted flowers taken for shuffled labels",
            "With those, validation never leaves guessing; here it does, late.",
            ("sorted flowers", "shuffled labels"),
        ),
        Mistake(
            "Leaked validation taken for sorted flowers",
            "Those make validation worse than it should be; here it is better.",
            ("leaked validation", "sorted flowers"),
        ),
        Mistake(
            "Leaked validation taken for a high learning rate",
            "These curves are smooth, and the losses go down.",
            ("leaked validation", "learning rate too high"),
        ),
        Mistake(
            "Leaked validation taken for shuffled labels",
            "With those, validation would know nothing; here it knows too much.",
            ("leaked validation", "shuffled labels"),
        ),
        Mistake(
            "A high learning rate taken for sorted flowers",
            "With those, training itself looks fine. Does it here?",
            ("learning rate too high", "sorted flowers"),
        ),
        Mistake(
            "A high learning rate taken for leaked validation",
            "Leaked flowers would be answered no worse than those of training.",
            ("learning rate too high", "leaked validation"),
        ),
        Mistake(
            "A high learning rate taken for shuffled labels",
            "Something is learned here: look at the accuracy, then at the loss.",
            ("learning rate too high", "shuffled labels"),
        ),
        Mistake(
            "Shuffled labels taken for sorted flowers",
            "Sorted, the labels would be true, and training would learn them quickly.",
            ("shuffled labels", "sorted flowers"),
        ),
        Mistake(
            "Shuffled labels taken for leaked validation",
            "Then validation would follow training; here they part.",
            ("shuffled labels", "leaked validation"),
        ),
        Mistake(
            "Shuffled labels taken for a high learning rate",
            "Steps that are too long make a ragged curve; this one is even.",
            ("shuffled labels", "learning rate too high"),
        ),
    ],
    insight="the run with the best curves is one of the broken ones. Nothing in its training is\n"
    "wrong; only the judge has seen the answers.",
)

EXERCISES = (LEARNING_RATES, CUTMIX_LABEL, SMOOTHED_LOSS, CALIBRATION_ERROR, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_learning_rates(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(LEARNING_RATES, answer))


def check_cutmix_label(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(CUTMIX_LABEL, answer))


def check_smoothed_loss(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(SMOOTHED_LOSS, answer))


def check_calibration_error(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(CALIBRATION_ERROR, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each run of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
