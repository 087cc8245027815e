"""The exercises of notebook 08_vit_vs_cnn: right answers, known mistakes and checks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(8)

# --- 1. How far a unit can see ----------------------------------------------------------------


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Returns how many pixels side by side one unit can see through a stack of convolutions.

    Args:
        kernels: side of each layer's kernel, the first layer first.
        strides: stride of each layer.

    Returns:
        The side of what a unit of the last layer can see, in pixels.
    """
    side, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        side += (kernel - 1) * step
        step *= stride
    return side


def _steps(strides):
    """Pixels between neighbours below each layer."""
    return [int(np.prod(strides[:i], dtype=int)) for i in range(len(strides))]


def _field(step_of, start=1, less=1):
    """Makes an answer from the step below layer i, a function of (strides, i)."""

    def field(kernels, strides):
        return start + sum((k - less) * step_of(strides, i) for i, k in enumerate(kernels))

    return field


_OUR_CNN = ((3,) * 17, (2, *(2, 1, 1, 1) * 4))

RECEPTIVE_FIELD = Exercise(
    receptive_field,
    hand_sized=[
        Case("kernels 3, 3 and strides 1, 1", ((3, 3), (1, 1))),
        Case("kernels 3, 3 and strides 2, 1", ((3, 3), (2, 1))),
        Case("patches of 16, a kernel and a stride of 16", ((16,), (16,))),
        Case("kernels 7, 3, 1, 3 and strides 2, 2, 1, 1", ((7, 3, 1, 3), (2, 2, 1, 1))),
    ],
    random=[
        Case("the 17 layers of our CNN", _OUR_CNN),
        Case(
            "6 random layers",
            tuple(tuple(_RNG.integers(1, high, 6).tolist()) for high in (8, 4)),
        ),
    ],
    invariants={
        "a unit sees at least its largest kernel": lambda side, kernels, _: side >= max(kernels)
    },
    mistakes=[
        Mistake(
            "Kernels are added up",
            "Neighbouring windows overlap: a second 3 x 3 adds one pixel on each side.",
            lambda k, s: sum(k),
        ),
        Mistake(
            "Kernels are multiplied",
            "That would hold if windows never overlapped.",
            lambda k, s: int(np.prod(k)),
        ),
        Mistake(
            "Strides are forgotten",
            "Behind a stride of 2, a step to the next unit is two pixels.",
            _field(lambda s, i: 1),
        ),
        Mistake(
            "A layer's own stride comes too early",
            "Its kernel reads the layer below, where units are closer.",
            _field(lambda s, i: _steps(s)[i] * s[i]),
        ),
        Mistake(
            "Only the stride just below",
            "All strides below count, however far down.",
            _field(lambda s, i: s[i - 1] if i else 1),
        ),
        Mistake(
            "Strides are added up",
            "Each stride makes steps as many times longer.",
            _field(lambda s, i: sum(s[:i]) if i else 1),
        ),
        Mistake(
            "The first pixel is missing",
            "With kernels of 1 a unit still sees something.",
            _field(lambda s, i: _steps(s)[i], start=0),
        ),
        Mistake(
            "Windows side by side",
            "How many steps are there from the first to the last of 3 units?",
            _field(lambda s, i: _steps(s)[i], start=0, less=0),
        ),
        Mistake(
            "A whole kernel for each layer",
            "One of its units was seen already, before this layer looked around.",
            _field(lambda s, i: _steps(s)[i], less=0),
        ),
        Mistake(
            "From the wrong end",
            "A stride makes the layers above it see further, not those below.",
            lambda k, s: receptive_field(k[::-1], s[::-1]),
        ),
        Mistake(
            "The last layer is left out",
            "It looks around as well, whatever its stride is.",
            lambda k, s: receptive_field(k[:-1], s[:-1]),
        ),
        Mistake(
            "The distance of two neighbours",
            "How far apart units are is another number than how far they see.",
            lambda k, s: int(np.prod(s)),
        ),
        Mistake(
            "An area",
            "The side was asked for.",
            lambda k, s: receptive_field(k, s) ** 2,
        ),
        Mistake(
            "To one side only",
            "A unit sees as far to the other side, and its middle too.",
            lambda k, s: receptive_field(k, s) // 2,
        ),
    ],
    insight="a unit of our CNN's last layer can see 423 pixels, and a photo has 96. That is the\n"
    "most it could; which pixels really move it, only a measurement says.",
)

# --- 2. The number that may be reported -------------------------------------------------------


def reported_accuracy(validation: np.ndarray, test: np.ndarray) -> float:
    """Returns the test accuracy of the epoch that is best on validation.

    Args:
        validation: (E,) accuracies, one for each epoch.
        test: (E,) likewise.

    Returns:
        One of `test`; of several best epochs that of the first.
    """
    return float(test[validation.argmax()])


def _ties(validation):
    return validation == validation.max()


def _curves(epochs, photos):
    """Draws accuracies on so many photos, validation and test."""
    right = 0.2 + 0.5 * (1 - np.exp(-np.arange(1, epochs + 1) / 4))
    return tuple(_RNG.binomial(photos, right, (2, epochs)) / photos)


REPORTED_ACCURACY = Exercise(
    reported_accuracy,
    hand_sized=[
        Case(
            "6 epochs",
            (np.array([0.3, 0.5, 0.9, 0.7, 0.6, 0.6]), np.array([0.4, 0.5, 0.6, 0.7, 0.95, 0.65])),
        ),
        Case(
            "5 epochs with ties",
            (np.array([0.5, 0.7, 0.7, 0.6, 0.7]), np.array([0.8, 0.5, 0.7, 0.4, 0.55])),
        ),
        Case("a single epoch", (np.array([0.5]), np.array([0.25]))),
    ],
    random=[
        Case("30 random epochs on 20 photos", _curves(30, 20)),
        Case("12 random epochs on 100 photos", _curves(12, 100)),
    ],
    invariants={
        "some epoch has this test accuracy": lambda accuracy, _, test: bool(
            np.isclose(test, accuracy).any()
        )
    },
    mistakes=[
        Mistake(
            "The best on test",
            "Then the test photos chose, and a number they chose flatters.",
            lambda v, t: float(t.max()),
        ),
        Mistake(
            "The last epoch",
            "Validation is there to say which epoch to keep.",
            lambda v, t: float(t[-1]),
        ),
        Mistake(
            "The last of several best",
            "Where epochs tie, keep the first one.",
            lambda v, t: float(t[np.flatnonzero(_ties(v))[-1]]),
        ),
        Mistake(
            "Test photos break ties",
            "A small choice of theirs is a choice: decide without them.",
            lambda v, t: float(t[_ties(v)].max()),
        ),
        Mistake(
            "The mean of several best",
            "One model is kept, and only that one is tested.",
            lambda v, t: float(t[_ties(v)].mean()),
        ),
        Mistake(
            "The validation accuracy",
            "It was chosen for being high: fresh photos tell how much of that is luck.",
            lambda v, t: float(v.max()),
        ),
        Mistake(
            "Validation of the epoch that is best on test",
            "The two sets changed places.",
            lambda v, t: float(v[t.argmax()]),
        ),
        Mistake(
            "The mean over the epochs",
            "Nobody keeps all of them.",
            lambda v, t: float(t.mean()),
        ),
        Mistake(
            "The number of the epoch",
            "That says which one to keep. How right is it?",
            lambda v, t: int(v.argmax()),
        ),
        Mistake(
            "The epoch after it",
            "The entry of epoch 1 is [0]: what argmax returns needs nothing added.",
            lambda v, t: float(t[min(v.argmax() + 1, len(t) - 1)]),
        ),
        Mistake(
            "The worst epoch",
            "These are accuracies, not losses: more is better.",
            lambda v, t: float(t[v.argmin()]),
        ),
        Mistake(
            "Both sets choose",
            "A test set that has a say has been looked at.",
            lambda v, t: float(t[(v + t).argmax()]),
        ),
        Mistake(
            "Where both sets agree best",
            "Whoever looks for that has looked at the test photos.",
            lambda v, t: float(t[np.abs(v - t).argmin()]),
        ),
    ],
    insight="on 200 photos an accuracy of 70 % is off by 3 points through luck alone. The best of\n"
    "30 equally good epochs looks 6 to 7 points better than it is, if each is lucky on its own.",
)

# --- 3. Is it ahead, and how sure is that -----------------------------------------------------


def advantage(vit: np.ndarray, cnn: np.ndarray) -> np.ndarray:
    """Returns how far a ViT is ahead of a CNN, and the standard error of that.

    Args:
        vit: (S, P) test accuracies, a row for each seed, a column for each share of the photos.
        cnn: (S, P) likewise, of the same seeds.

    Returns:
        (2, P): mean difference over the seeds; its standard error, of paired differences.
    """
    difference = vit - cnn
    return np.stack([difference.mean(0), difference.std(0, ddof=1) / np.sqrt(len(vit))])


def _with_error(error):
    """Makes an answer from an error, a function of (vit, cnn)."""
    return lambda vit, cnn: np.stack([(vit - cnn).mean(0), error(vit, cnn)])


def _single_error(values, axis=0):
    return values.std(axis, ddof=1) / np.sqrt(values.shape[axis])


def _of_ratios(vit, cnn):
    ratio = vit / cnn - 1
    return np.stack([ratio.mean(0), _single_error(ratio)])


def _one_for_all(vit, cnn):
    difference = vit - cnn
    error = difference.std(ddof=1) / np.sqrt(difference.size)
    return np.stack([difference.mean(0), np.full(vit.shape[1], error)])


def _over_the_shares(vit, cnn):
    difference = vit - cnn
    return np.stack([difference.mean(1), _single_error(difference, 1)])


def _seeds(seeds, shares):
    """Draws accuracies; a seed is lucky for both models."""
    luck = _RNG.normal(0, 0.05, (seeds, 1))
    level = np.linspace(0.4, 0.8, shares) + luck
    lead = np.linspace(-0.1, 0.05, shares)
    return tuple(level + side * lead + _RNG.normal(0, 0.02, level.shape) for side in (0.5, -0.5))


ADVANTAGE = Exercise(
    advantage,
    hand_sized=[
        Case(
            "3 seeds, 2 shares",
            (
                np.array([[0.5, 0.7], [0.6, 0.65], [0.4, 0.75]]),
                np.array([[0.3, 0.75], [0.4, 0.7], [0.5, 0.65]]),
            ),
        ),
        Case(
            "2 seeds, 3 shares",
            (
                np.array([[0.3, 0.5, 0.8], [0.4, 0.7, 0.9]]),
                np.array([[0.1, 0.5, 0.7], [0.4, 0.9, 0.8]]),
            ),
        ),
    ],
    random=[
        Case("5 random seeds, 4 shares", _seeds(5, 4)),
        Case("3 random seeds, 3 shares", _seeds(3, 3)),
    ],
    invariants={
        "no error is below 0": lambda result, *_: (result[1] > -1e-9).all(),
        "a lead that is the same for all seeds has no error": lambda result, vit, cnn: (
            np.abs(result[1][np.ptp(vit - cnn, axis=0) < 1e-9]) < 1e-6
        ).all(),
    },
    mistakes=[
        Mistake(
            "Not in pairs",
            "A seed that is lucky for both models says nothing about their difference.",
            _with_error(lambda a, b: np.hypot(_single_error(a), _single_error(b))),
        ),
        Mistake(
            "The difference of two errors",
            "Take the difference of accuracies first, then its error.",
            _with_error(lambda a, b: _single_error(a) - _single_error(b)),
        ),
        Mistake(
            "Divided by S inside the root",
            "The mean was fitted to these seeds: S - 1 of them are left to vary.",
            _with_error(lambda a, b: (a - b).std(0) / np.sqrt(len(a))),
        ),
        Mistake(
            "S - 1 counts twice",
            "It belongs to the deviation; what the mean gains is the root of S.",
            _with_error(lambda a, b: (a - b).std(0, ddof=1) / np.sqrt(len(a) - 1)),
        ),
        Mistake(
            "The standard deviation",
            "That is how far off a single seed is. Their mean is closer.",
            _with_error(lambda a, b: (a - b).std(0, ddof=1)),
        ),
        Mistake(
            "Divided by S",
            "Four times as many seeds halve the error: no more than that.",
            _with_error(lambda a, b: (a - b).std(0, ddof=1) / len(a)),
        ),
        Mistake(
            "A variance",
            "It is in squared points: its root is missing.",
            _with_error(lambda a, b: (a - b).var(0, ddof=1) / len(a)),
        ),
        Mistake(
            "The shares are counted",
            "What is averaged are the seeds: how many of those are there?",
            _with_error(lambda a, b: (a - b).std(0, ddof=1) / np.sqrt(a.shape[1])),
        ),
        Mistake(
            "The mean runs over the shares",
            "Each share keeps a number of its own. Which axis holds the seeds?",
            _over_the_shares,
        ),
        Mistake(
            "One error for all shares",
            "With few photos seeds differ more than with many.",
            _one_for_all,
        ),
        Mistake(
            "CNN minus ViT",
            "Above 0 should mean that the ViT is ahead.",
            lambda a, b: advantage(b, a),
        ),
        Mistake(
            "Ratios",
            "Points were asked for, not per cent of what the CNN has.",
            _of_ratios,
        ),
        Mistake(
            "Differences lose their sign",
            "Where seeds disagree, leads should cancel.",
            lambda a, b: np.stack([np.abs(a - b).mean(0), _single_error(a - b)]),
        ),
        Mistake(
            "Medians",
            "The error is that of a mean: report the mean it belongs to.",
            lambda a, b: np.stack([np.median(a - b, axis=0), _single_error(a - b)]),
        ),
        Mistake(
            "Half a 95 % interval",
            "Times 1.96 is a later step, and too short for few seeds.",
            _with_error(lambda a, b: 1.96 * _single_error(a - b)),
        ),
    ],
    insight="two errors to each side make a 95 % interval only with many seeds. With three it\n"
    "takes 4.3 (Student's t): a lead of three errors may still be luck.",
)

# --- 4. What a convolution costs --------------------------------------------------------------


def convolution_cost(
    height: int, width: int, kernel: int, channels: int, filters: int, stride: int
) -> int:
    """Returns the multiply-adds of a convolution with "same" padding.

    Args:
        height: rows of its input.
        width: columns of its input.
        kernel: side of its kernel.
        channels: channels of its input.
        filters: channels of its output.
        stride: from one place to the next; there are height / stride rows of them, rounded up.

    Returns:
        How many products are added up; zeros of the padding count as pixels.
    """
    return -(-height // stride) * -(-width // stride) * kernel**2 * channels * filters


def _places(height, width, stride):
    return -(-height // stride) * -(-width // stride)


def _at(places):
    """Makes an answer from the number of places, a function of (height, width, kernel, stride)."""
    return lambda h, w, k, c, f, s: places(h, w, k, s) * k * k * c * f


def _each(work):
    """Makes an answer from the work at a place, a function of (kernel, channels, filters)."""
    return lambda h, w, k, c, f, s: _places(h, w, s) * work(k, c, f)


def _convolution(*sizes):
    h, w, k, c, f, s = sizes
    return Case(f"{h} x {w} x {c}, {f} kernels of {k} x {k}, stride {s}", sizes)


CONVOLUTION_COST = Exercise(
    convolution_cost,
    hand_sized=[
        _convolution(4, 6, 3, 2, 5, 1),
        _convolution(4, 6, 3, 2, 5, 2),
        _convolution(5, 7, 3, 1, 2, 2),
        _convolution(8, 8, 1, 3, 2, 1),
    ],
    random=[
        _convolution(96, 96, 16, 3, 192, 16),
        _convolution(24, 24, 3, 32, 64, 2),
        _convolution(*_RNG.integers((20, 30, 2, 2, 2, 3), (30, 40, 6, 9, 9, 5)).tolist()),
    ],
    invariants={
        "each weight is used at least once": lambda cost, h, w, k, c, f, s: cost >= k * k * c * f
    },
    mistakes=[
        Mistake(
            "The stride is left out",
            "It skips places, and what is skipped costs nothing.",
            _at(lambda h, w, k, s: h * w),
        ),
        Mistake(
            "The stride along one side only",
            "It skips rows and columns alike.",
            _at(lambda h, w, k, s: -(-h // s) * w),
        ),
        Mistake(
            "Rounded down",
            "A place that is begun at the border is a place.",
            _at(lambda h, w, k, s: (h // s) * (w // s)),
        ),
        Mistake(
            "Without padding",
            'That is "valid": with "same" a kernel may stick out at the border.',
            _at(lambda h, w, k, s: ((h - k) // s + 1) * ((w - k) // s + 1)),
        ),
        Mistake(
            "The padding makes places",
            "Zeros around a picture are read, but nothing is computed for them.",
            _at(lambda h, w, k, s: _places(h + k - 1, w + k - 1, s)),
        ),
        Mistake(
            "The kernel is a line",
            "It has rows and columns.",
            _each(lambda k, c, f: k * c * f),
        ),
        Mistake(
            "Each channel for itself",
            "That is a depthwise convolution: here each filter reads all channels.",
            _each(lambda k, c, f: k * k * c),
        ),
        Mistake(
            "A single channel is read",
            "A kernel is as deep as its input.",
            _each(lambda k, c, f: k * k * f),
        ),
        Mistake(
            "Channels are added",
            "Every channel that goes in meets every one that comes out.",
            _each(lambda k, c, f: k * k * (c + f)),
        ),
        Mistake(
            "The number of weights",
            "Weights are shared: each works again at every place.",
            _at(lambda h, w, k, s: 1),
        ),
        Mistake(
            "The number of outputs",
            "How many products are added up for each of them?",
            _each(lambda k, c, f: f),
        ),
        Mistake(
            "Everything with everything",
            "That is a Dense layer: a kernel sees its surroundings only.",
            lambda h, w, k, c, f, s: h * w * c * _places(h, w, s) * f,
        ),
        Mistake(
            "Products and sums counted apart",
            "A multiply-add is one of each.",
            lambda *sizes: 2 * convolution_cost(*sizes),
        ),
        Mistake(
            "The bias is counted",
            "It is added, and nothing is multiplied for it.",
            _each(lambda k, c, f: k * k * c * f + f),
        ),
    ],
    insight="half the side and twice the channels cost the same. And cutting into patches is a\n"
    "convolution whose stride is its kernel: each pixel is read once.",
)

# --- 5. What went wrong -----------------------------------------------------------------------

CAUSES = (
    "one seed",
    "unequal augmentation",
    "epoch chosen on the test photos",
    "unequal budget",
)
CHANCE = 0.2
_RUNS, _EPOCHS, _PHOTOS = 5, 30, 200


def compared(flaw: str | None) -> dict[str, dict[str, np.ndarray]]:
    """Compares two models on toy photos of five species. Nothing is trained: accuracies are drawn.

    What a run knows rises towards a ceiling, which is the same for both models up to the luck of
    the seed. It is asked about 1000 training photos, 200 of validation and 200 of the test in each
    epoch. In a sound comparison the epoch that is best on validation is kept, and tested.

    Args:
        flaw: one of `CAUSES`, or None for a sound comparison.

    Returns:
        "new", "old" -> "training", "validation" (runs, epochs), accuracies in [0, 1], NaN for an
        epoch that was not trained; "kept" (runs,), an epoch, from 0; "test" (runs,), of that epoch.
    """
    rng = np.random.default_rng(142)  # here a first run is lucky, and the mean of five is not
    found = {}
    for model in ("new", "old"):
        luck = rng.normal(0, 0.03, (_RUNS, 1))
        by_heart = flaw == "unequal augmentation" and model == "old"
        # Augmented photos are harder than others. As they are, they can be learned by heart.
        pace, ceilings = (3, (1.0, 0.6)) if by_heart else (8, (0.66, 0.74))
        learned = 1 - np.exp(-np.arange(1, _EPOCHS + 1) / pace)
        seen, unseen = (CHANCE + (ceiling - CHANCE) * learned for ceiling in ceilings)
        training = _share_right(rng, seen + np.zeros((_RUNS, 1)), 1000)
        validation = _share_right(rng, unseen + luck * learned, _PHOTOS)
        test = _share_right(rng, unseen + luck * learned, _PHOTOS)
        if flaw == "unequal budget" and model == "old":
            for curves in (training, validation, test):
                curves[:, _EPOCHS // 3 :] = np.nan
        chosen_on_test = flaw == "epoch chosen on the test photos" and model == "new"
        kept = np.nanargmax(test if chosen_on_test else validation, axis=1)
        runs = 1 if flaw == "one seed" else _RUNS
        found[model] = {
            "training": training[:runs],
            "validation": validation[:runs],
            "kept": kept[:runs],
            "test": test[np.arange(_RUNS), kept][:runs],
        }
    return found


def _share_right(rng, probability, photos):
    """Asks about so many photos: the share of right answers, in the shape of the probabilities."""
    return (rng.random((*probability.shape, photos)) < probability[..., None]).mean(axis=-1)


def broken_comparisons() -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Makes a sound comparison and four with a flaw.

    Returns:
        "sound", "A", "B", "C", "D" -> what `compared` returns.
    """
    return {name: compared(flaw) for name, flaw in {"sound": None, **DIAGNOSIS.truth}.items()}


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={
        "A": "unequal budget",
        "B": "epoch chosen on the test photos",
        "C": "one seed",
        "D": "unequal augmentation",
    },
    mistakes=[
        Mistake(
            "An unequal budget taken for one seed",
            "There are five runs of each. Where do the lines end?",
            ("unequal budget", "one seed"),
        ),
        Mistake(
            "An unequal budget taken for unequal augmentation",
            "Nobody knows training photos by heart here.",
            ("unequal budget", "unequal augmentation"),
        ),
        Mistake(
            "An unequal budget taken for a choice on test",
            "Both kept their best on validation. Was more to come?",
            ("unequal budget", "epoch chosen on the test photos"),
        ),
        Mistake(
            "A choice on test taken for one seed",
            "There are five runs of each. Look at which epoch was kept.",
            ("epoch chosen on the test photos", "one seed"),
        ),
        Mistake(
            "A choice on test taken for unequal augmentation",
            "Both dotted lines are those of the sound chart.",
            ("epoch chosen on the test photos", "unequal augmentation"),
        ),
        Mistake(
            "A choice on test taken for an unequal budget",
            "Both had all epochs, and validation sees no winner.",
            ("epoch chosen on the test photos", "unequal budget"),
        ),
        Mistake(
            "One seed taken for unequal augmentation",
            "Then training would be learned by heart. Is it, by any of them?",
            ("one seed", "unequal augmentation"),
        ),
        Mistake(
            "One seed taken for a choice on test",
            "Both kept the epoch that is best on validation.",
            ("one seed", "epoch chosen on the test photos"),
        ),
        Mistake(
            "One seed taken for an unequal budget",
            "Both had all epochs. What is there less of than elsewhere?",
            ("one seed", "unequal budget"),
        ),
        Mistake(
            "Unequal augmentation taken for one seed",
            "There are five runs of each, and they all agree.",
            ("unequal augmentation", "one seed"),
        ),
        Mistake(
            "Unequal augmentation taken for a choice on test",
            "Validation sees the same gap as the test does.",
            ("unequal augmentation", "epoch chosen on the test photos"),
        ),
        Mistake(
            "Unequal augmentation taken for an unequal budget",
            "Both had all epochs. Look at the dotted lines.",
            ("unequal augmentation", "unequal budget"),
        ),
    ],
    insight="new and old are one and the same model in all five charts: only their luck differs.\n"
    "Every winner that you saw was made by the comparison.",
)

EXERCISES = (RECEPTIVE_FIELD, REPORTED_ACCURACY, ADVANTAGE, CONVOLUTION_COST, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_receptive_field(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(RECEPTIVE_FIELD, answer))


def check_reported_accuracy(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(REPORTED_ACCURACY, answer))


def check_advantage(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(ADVANTAGE, answer))


def check_convolution_cost(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(CONVOLUTION_COST, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each comparison of exercise 5 has been given its flaw."""
    print(diagnose(DIAGNOSIS, answer))
