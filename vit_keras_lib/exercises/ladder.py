"""The ladder every exercise check climbs: it stops at the first broken rung and names it.

A check knows the classic wrong answers of its exercise. Where an answer equals one of them on every
input, the message says which mistake this is; the page's list of common mistakes is made from the
same sentences.
"""

import copy
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RUNGS = ("callable", "type", "shape", "invariant", "hand-sized values", "random values")


@dataclass(frozen=True)
class Case:
    """One input: what it is called in a message, and the arguments."""

    text: str
    args: tuple


@dataclass(frozen=True)
class Mistake:
    """One known wrong answer.

    Attributes:
        title: Its name in a few words.
        says: What the reader is told, without giving the answer away.
        wrong: The wrong answer itself; for a `Diagnosis` the pair (true cause, cause named).
        sign: Tells by another sign than equal results whether an answer makes this mistake.
    """

    title: str
    says: str
    wrong: Any
    sign: Callable[[Callable], bool] | None = None

    @property
    def sentence(self) -> str:
        """The words of the check and of the page."""
        return f"{self.title}. {self.says}"


@dataclass(frozen=True)
class Exercise:
    """A function to write, with all that is needed to judge an answer.

    Attributes:
        reference: A right answer; its name is the exercise's name.
        hand_sized: Inputs small enough to be worked out on paper.
        random: Inputs drawn from a fixed seed.
        invariants: What always holds -> a test of (result, *arguments).
        mistakes: Known wrong answers.
        insight: One more thing to know, told with a right answer.
    """

    reference: Callable
    hand_sized: Sequence[Case]
    random: Sequence[Case]
    mistakes: Sequence[Mistake]
    insight: str
    invariants: Mapping[str, Callable[..., bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """Things gone wrong, each to be given its cause.

    Attributes:
        name: The exercise's name.
        truth: Thing -> its cause.
        mistakes: What to say where a cause is taken for another.
        insight: One more thing to know, told with a right answer.
    """

    name: str
    truth: Mapping[str, str]
    mistakes: Sequence[Mistake]
    insight: str


def verdict(exercise: Exercise, answer: Callable) -> str:
    """Climbs the ladder with an answer.

    Args:
        exercise: The exercise.
        answer: The reader's function.

    Returns:
        Up to three lines: the first broken rung and, where known, the mistake; or an insight.
    """
    name = exercise.reference.__name__
    cases = (*exercise.hand_sized, *exercise.random)
    results = [_outcome(answer, case) for case in cases]
    if all(result is None for result in results):
        return _unsolved(name, "it returns None")
    fault = next(_faults(exercise, answer, results), None)
    if fault is None:
        return f"{name} ✓ all {len(RUNGS)} rungs hold.\nOne more insight: {exercise.insight}"
    rung, text = fault
    lines = [f"{name} ✗ rung {rung + 1} of {len(RUNGS)}, {RUNGS[rung]}:", text]
    for mistake in exercise.mistakes:
        if _makes(mistake, exercise, answer, results):
            lines.append(f"Known mistake: {mistake.sentence}")
            break
    return "\n".join(lines)


def diagnose(diagnosis: Diagnosis, answer: Mapping[str, str]) -> str:
    """Judges an answer to a `Diagnosis`.

    Args:
        diagnosis: The exercise.
        answer: Thing -> the cause the reader names.

    Returns:
        Up to three lines: the first wrong cause and what speaks against it; or an insight.
    """
    name, truth = diagnosis.name, diagnosis.truth
    if not isinstance(answer, Mapping) or set(answer) != set(truth):
        return f"{name} ✗ form: expected a dict with the keys {', '.join(truth)}."
    if all(cause is ... for cause in answer.values()):
        return _unsolved(name, "no cause is named")
    causes = sorted(set(truth.values()))
    for thing in truth:
        if answer[thing] not in causes:
            return f"{name} ✗ form: {thing} should be one of {', '.join(map(repr, causes))}."
    for thing, cause in truth.items():
        for mistake in diagnosis.mistakes:
            if mistake.wrong == (cause, answer[thing]):
                return f"{name} ✗ {thing} is something else.\n{mistake.sentence}"
    return f"{name} ✓ all {len(truth)} causes found.\nOne more insight: {diagnosis.insight}"


def common_mistakes(exercise: Exercise | Diagnosis) -> str:
    """Lists an exercise's known mistakes, for its page.

    Args:
        exercise: The exercise.

    Returns:
        A Markdown list, in the words of the check.
    """
    return "\n".join(f"- **{m.title}.** {m.says}" for m in exercise.mistakes)


def _unsolved(name: str, why: str) -> str:
    return f"{name} · not solved yet: {why}.\nFill in the dots, then run this cell again."


def _outcome(function: Callable, case: Case) -> Any:
    """Returns the result for a case, or the exception; the arguments stay as they are."""
    try:
        with np.errstate(all="ignore"):
            result = function(*copy.deepcopy(case.args))
    except Exception as error:  # whatever the reader's code raises is shown as a message
        return error
    return np.asarray(result) if hasattr(result, "__array__") and np.ndim(result) else result


def _faults(
    exercise: Exercise, answer: Callable, results: Sequence[Any]
) -> Iterator[tuple[int, str]]:
    """Yields (rung, what is wrong there), lowest rung first."""
    if not callable(answer):
        yield 0, f"Expected a function, got {type(answer).__name__}."
        return
    cases = (*exercise.hand_sized, *exercise.random)
    expected = [_outcome(exercise.reference, case) for case in cases]
    rows = list(zip(cases, results, expected, strict=True))
    for case, got, _ in rows:
        if isinstance(got, Exception):
            reason = " ".join(str(got).split())[:120]
            yield 0, f"For {case.text}: it raised {type(got).__name__}: {reason}"
    for find, rung in ((_type_fault, 1), (_shape_fault, 2)):
        for case, got, right in rows:
            if fault := find(got, right):
                yield rung, f"For {case.text}: {fault}."
    for case, got, _ in rows:
        for law, holds in exercise.invariants.items():
            if not holds(got, *case.args):
                yield 3, f"For {case.text}: it should hold that {law}."
        if not _same(_outcome(answer, case), got):
            yield 3, f"For {case.text}: a second call gave another result."
    for i, (case, got, right) in enumerate(rows):
        if not _same(got, right):
            rung = 4 if i < len(exercise.hand_sized) else 5
            yield rung, f"For {case.text}: {_difference(got, right)}."


def _makes(mistake: Mistake, exercise: Exercise, answer: Callable, results: Sequence[Any]) -> bool:
    """Tells whether an answer makes this mistake, alone or with an overflow besides."""
    if mistake.sign:
        return _outcome(mistake.sign, Case("", (answer,))) is True
    cases = (*exercise.hand_sized, *exercise.random)
    rows = [
        (case, got, _outcome(mistake.wrong, case)) for case, got in zip(cases, results, strict=True)
    ]
    told = [row for row in rows if _is_finite(row[1]) or not _is_finite(row[2])]
    if not all(_same(wrong, got) for _, got, wrong in told):
        return False
    # With cases left out, the mistake itself should still be seen in one of the others.
    return len(told) == len(rows) or any(
        not _same(got, _outcome(exercise.reference, case)) for case, got, _ in told
    )


def _is_finite(result: Any) -> bool:
    is_float = isinstance(result, np.ndarray) and result.dtype.kind == "f"
    return not is_float or bool(np.isfinite(result).all())


def _type_fault(got: Any, right: Any) -> str:
    if isinstance(right, np.ndarray):
        if not isinstance(got, np.ndarray):
            return f"expected an array, got {type(got).__name__}"
        if got.dtype.kind != right.dtype.kind:
            return f"expected an array of {right.dtype.name}, got {got.dtype.name}"
    elif isinstance(right, tuple):
        if not isinstance(got, tuple):
            return f"expected a tuple, got {type(got).__name__}"
        for value in got:
            if not isinstance(value, numbers.Integral):
                return f"expected whole numbers, got {type(value).__name__} {value}"
    elif not isinstance(got, type(right)):
        return f"expected {type(right).__name__}, got {type(got).__name__}"
    return ""


def _shape_fault(got: Any, right: Any) -> str:
    if isinstance(right, np.ndarray) and got.shape != right.shape:
        return f"expected the shape {right.shape}, got {got.shape}"
    if isinstance(right, tuple) and len(got) != len(right):
        return f"expected {len(right)} numbers, got {len(got)}"
    return ""


def _same(a: Any, b: Any) -> bool:
    """Tells whether two results are equal, up to rounding."""
    try:
        if any(isinstance(value, np.ndarray | float) for value in (a, b)):
            close = {"rtol": 1e-4, "atol": 1e-5, "equal_nan": True}
            return np.shape(a) == np.shape(b) and np.allclose(a, b, **close)
        return not isinstance(a, Exception) and bool(a == b)
    except (TypeError, ValueError):  # not comparable, so not equal
        return False


def _difference(got: Any, right: Any) -> str:
    """Says in a few words where a result first differs."""
    if isinstance(right, float):
        return f"you have {got:.4g}, expected {right:.4g}"
    if not isinstance(right, np.ndarray):
        return f"you have {got}, expected {right}"
    differs = ~np.isclose(got, right, rtol=1e-4, atol=1e-5)
    at = tuple(int(i) for i in np.argwhere(differs)[0])
    place = ", ".join(map(str, at))
    return f"you have {got[at]:.4g} at [{place}], expected {right[at]:.4g}"
