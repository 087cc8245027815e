"""How far a model's confidence can be believed."""

from typing import NamedTuple

import numpy as np


class Calibration(NamedTuple):
    """Confidence beside accuracy, bin by bin.

    Attributes:
        counts: (bins,) answers in each bin.
        confidence: (bins,) their mean confidence, in [0, 1]; NaN in an empty bin.
        accuracy: (bins,) the share of them that is right, in [0, 1]; NaN in an empty bin.
        error: expected calibration error, in [0, 1].
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def calibration(probabilities, truth, bins=10):
    """Compares how sure a classifier is with how often it is right.

    Answers are sorted by their confidence, the largest probability, into bins of equal width; a
    confidence on an edge belongs to the lower bin. The expected calibration error is the mean
    distance between confidence and accuracy, each bin with the weight of its answers: Guo et al.
    2017 (arXiv 1706.04599), equation 3.

    Args:
        probabilities: (B, classes), rows sum to 1.
        truth: (B,) labels, whole numbers.
        bins: how many bins, at least 1.

    Returns:
        `Calibration`.

    Raises:
        ValueError: for no answers, rows that do not sum to 1, a label that is missing or no class,
            or no bins.
    """
    probabilities, truth = np.asarray(probabilities, "float64"), np.asarray(truth)
    if probabilities.ndim != 2 or not probabilities.size:
        raise ValueError(
            f"probabilities has the shape {probabilities.shape}; expected (B, classes), B at "
            "least 1."
        )
    if truth.shape != probabilities.shape[:1]:
        raise ValueError(
            f"{len(probabilities)} answers need as many labels; truth has the shape {truth.shape}."
        )
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or not np.allclose(sums, 1, atol=1e-3):
        raise ValueError(
            f"Rows of probabilities must be 0 or more and sum to 1; sums go from {sums.min():.3g} "
            f"to {sums.max():.3g}. Logits need a softmax first."
        )
    if truth.dtype.kind not in "iu" or not 0 <= truth.min() <= truth.max() < len(probabilities.T):
        raise ValueError(
            f"Labels must be whole numbers from 0 to {len(probabilities.T) - 1}, got "
            f"{truth.dtype} from {truth.min()} to {truth.max()}."
        )
    if bins < 1:
        raise ValueError(f"bins={bins}; it must be at least 1.")
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth  # (B,) each
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    place = np.digitize(sure, edges, right=True)  # (B,), 0 to bins - 1
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        confidence = np.bincount(place, sure, bins) / counts
        accuracy = np.bincount(place, right, bins) / counts
    gaps = np.nan_to_num(np.abs(accuracy - confidence))
    return Calibration(counts, confidence, accuracy, float(gaps @ counts / len(truth)))
