"""The machinery of the checks, tried on a toy exercise."""

import numpy as np
import pytest

from vit_keras_lib.exercises.ladder import (
    RUNGS,
    Case,
    Diagnosis,
    Exercise,
    Mistake,
    common_mistakes,
    diagnose,
    verdict,
)


def double(x):
    """Return twice x."""
    return 2 * x


DOUBLE = Exercise(
    double,
    hand_sized=[Case("[1 2]", (np.array([1.0, 2.0]),))],
    random=[Case("three numbers", (np.array([0.3, -1.0, 4.0]),))],
    invariants={"the sum doubles": lambda y, x: np.isclose(y.sum(), 2 * x.sum())},
    mistakes=[
        Mistake("Squared", "Four is only sometimes twice two.", lambda x: x**2),
        Mistake("Raises", "It never gets that far.", lambda x: 1 / 0),
    ],
    insight="halving undoes it.",
)
CALLS = []


def fickle(x):
    CALLS.append(x)
    return 2 * x + len(CALLS) * np.array([1, -1, *[0] * (len(x) - 2)])


def spoils_its_input(x):
    x *= 2
    return x


@pytest.mark.parametrize("right", [double, lambda x: x + x, spoils_its_input])
def test_a_right_answer_is_told_one_more_insight(right):
    assert verdict(DOUBLE, right) == (
        "double ✓ all 6 rungs hold.\nOne more insight: halving undoes it."
    )


def test_a_stub_is_not_solved_yet():
    def stub(x): ...

    message = verdict(DOUBLE, stub)
    assert message.startswith("double · not solved yet")
    assert "✗" not in message


@pytest.mark.parametrize(
    ("answer", "rung", "words"),
    [
        (3, 0, "Expected a function, got int"),
        (lambda: 1, 0, "For [1 2]: it raised TypeError"),
        (lambda x: x[5], 0, "IndexError: index 5 is out of bounds"),
        (lambda x: list(2 * x), 1, "expected an array, got list"),
        (lambda x: None if len(x) > 2 else 2 * x, 1, "expected an array, got NoneType"),
        (lambda x: np.array(["a"] * len(x)), 1, "expected an array of float64, got str"),
        (lambda x: (2 * x)[None], 2, "expected the shape (2,), got (1, 2)"),
        (lambda x: 3 * x, 3, "should hold that the sum doubles"),
        (fickle, 3, "second call gave another result"),
        (lambda x: 2 * x[::-1], 4, "For [1 2]: you have 4 at [0], expected 2"),
        (
            lambda x: 2 * x if len(x) < 3 else 2 * x[[1, 0, 2]],
            5,
            "For three numbers: you have -2 at [0], expected 0.6",
        ),
    ],
)
def test_the_first_broken_rung_is_named(answer, rung, words):
    message = verdict(DOUBLE, answer)
    assert message.startswith(f"double ✗ rung {rung + 1} of 6, {RUNGS[rung]}:\n")
    assert words in message
    assert "Known mistake" not in message
    assert len(message.splitlines()) <= 3


def test_a_known_mistake_is_named():
    first, *rest = verdict(DOUBLE, lambda x: x * x).splitlines()
    assert first == "double ✗ rung 4 of 6, invariant:"
    assert rest[-1] == "Known mistake: Squared. Four is only sometimes twice two."


def test_an_answer_that_shares_one_result_with_a_mistake_is_not_taken_for_it():
    assert "Known mistake" not in verdict(DOUBLE, lambda x: x**2 if len(x) == 2 else x**3)


def test_tuples_and_text():
    def ends(text):
        return len(text), 0

    cases = [Case("abc", ("abc",))]
    exercise = Exercise(ends, cases, cases, [], "none.")
    assert "expected a tuple, got list" in verdict(exercise, lambda t: [3, 0])
    assert "expected whole numbers, got float 3.0" in verdict(exercise, lambda t: (3.0, 0))
    assert "expected 2 numbers, got 1" in verdict(exercise, lambda t: (3,))
    assert "you have (0, 3), expected (3, 0)" in verdict(exercise, lambda t: (0, 3))
    assert "✓" in verdict(exercise, lambda t: (np.int64(3), 0))
    exercise = Exercise(str.upper, cases, cases, [], "none.")
    assert "expected str, got int" in verdict(exercise, len)


def test_numbers_are_compared_up_to_rounding():
    def third(x):
        return x / 3

    cases = [Case("one", (1.0,)), Case("two", (2.0,))]
    mistakes = [Mistake("Halved", "A half is more than a third.", lambda x: x / 2)]
    exercise = Exercise(third, cases, cases, mistakes, "none.")
    assert "✓" in verdict(exercise, lambda x: x * 0.3333333)
    assert "✓" in verdict(exercise, lambda x: np.float64(x) / 3)
    assert "expected float, got int" in verdict(exercise, lambda x: 1)
    assert "you have 0.3, expected 0.3333" in verdict(exercise, lambda x: 0.3 * x)
    assert "you have nan, expected 0.3333" in verdict(exercise, lambda x: x * np.nan)
    assert "Known mistake: Halved." in verdict(exercise, lambda x: 0.50000001 * x)


def test_common_mistakes_come_from_the_same_sentences():
    assert common_mistakes(DOUBLE) == (
        "- **Squared.** Four is only sometimes twice two.\n- **Raises.** It never gets that far."
    )


RAIN = Diagnosis(
    "weather",
    {"A": "rain", "B": "snow"},
    [
        Mistake("Rain taken for snow", "Look at the thermometer.", ("rain", "snow")),
        Mistake("Snow taken for rain", "Look at the roofs.", ("snow", "rain")),
    ],
    "both are water.",
)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"A": ..., "B": ...}, "weather · not solved yet"),
        ("rain", "form: expected a dict with the keys A, B"),
        ({"A": "rain"}, "form: expected a dict with the keys A, B"),
        ({"A": "rain", "B": "hail"}, "form: B should be one of 'rain', 'snow'"),
        ({"A": "snow", "B": "snow"}, "A is something else.\nRain taken for snow. Look at the ther"),
        ({"A": "rain", "B": "rain"}, "B is something else.\nSnow taken for rain. Look at the roof"),
        ({"B": "snow", "A": "rain"}, "✓ all 2 causes found.\nOne more insight: both are water."),
    ],
)
def test_diagnosis(answer, words):
    assert words in diagnose(RAIN, answer)
