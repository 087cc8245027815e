import numpy as np
import pytest

from vit_keras_lib.training import calibration

# Four answers, worked out on paper: 0.75 lies on an edge of four bins and belongs to the lower one.
PROBABILITIES = [[0.5, 0.25, 0.25], [0.75, 0.25, 0], [0, 0.25, 0.75], [0, 1, 0]]
TRUTH = [1, 0, 2, 1]


def test_the_hand_computed_case():
    counts, confidence, accuracy, error = calibration(PROBABILITIES, TRUTH, bins=4)
    np.testing.assert_array_equal(counts, [0, 1, 2, 1])
    np.testing.assert_array_equal(confidence, [np.nan, 0.5, 0.75, 1])
    np.testing.assert_array_equal(accuracy, [np.nan, 0, 1, 1])
    assert error == pytest.approx((1 * 0.5 + 2 * 0.25 + 1 * 0) / 4)


def test_one_bin_compares_the_means():
    _, confidence, accuracy, error = calibration(PROBABILITIES, TRUTH, bins=1)
    assert (confidence, accuracy) == (0.75, 0.75)
    assert error == 0


def test_who_is_as_right_as_sure_has_a_small_error_and_the_overconfident_one_has_not():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), 20000)
    drawn = (probabilities.cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    assert calibration(probabilities, drawn).error < 0.02
    sharper = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    measured = calibration(sharper, drawn)
    assert measured.error > 0.1
    assert (measured.accuracy < measured.confidence)[3:].all()
    assert measured.counts.sum() == 20000


@pytest.mark.parametrize(
    ("probabilities", "truth", "bins", "said"),
    [
        ([[2.0, -1.0]], [0], 10, "must be 0 or more and sum to 1"),
        ([[0.7, 0.7]], [0], 10, "Logits need a softmax first"),
        ([[0.5, 0.5]], [0, 1], 10, "1 answers need as many labels"),
        ([[0.5, 0.5]], [2], 10, "whole numbers from 0 to 1, got int64 from 2 to 2"),
        ([[0.5, 0.5]], [0.0], 10, "got float64"),
        (np.zeros((0, 5)), [], 10, "at least 1"),
        ([[0.5, 0.5]], [0], 0, "bins=0"),
    ],
)
def test_what_cannot_be_measured_is_refused(probabilities, truth, bins, said):
    with pytest.raises(ValueError, match=said):
        calibration(probabilities, np.asarray(truth), bins)
