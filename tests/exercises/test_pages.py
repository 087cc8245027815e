"""Every page's checks are checked: each known mistake is named, and the page says what they say."""

import importlib
import re
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest

from vit_keras_lib import exercises
from vit_keras_lib.exercises.ladder import Diagnosis, common_mistakes

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
PAGES = {
    path.stem: importlib.import_module(f"vit_keras_lib.exercises.{path.stem}")
    for path in sorted(Path(exercises.__file__).parent.glob("*.py"))
    if path.stem not in ("__init__", "ladder")
}


def name_of(exercise):
    return exercise.name if isinstance(exercise, Diagnosis) else exercise.reference.__name__


EXERCISES = [(page, exercise) for page, module in PAGES.items() for exercise in module.EXERCISES]
FUNCTIONS = [(page, e) for page, e in EXERCISES if not isinstance(e, Diagnosis)]
DIAGNOSES = [(page, e) for page, e in EXERCISES if isinstance(e, Diagnosis)]
MISTAKES = [(page, e, mistake) for page, e in FUNCTIONS for mistake in e.mistakes]

# Each page's test file holds right answers in other words than the reference: check -> answers.
RIGHT = {
    check: answers
    for page in PAGES
    for check, answers in runpy.run_path(str(HERE / f"test_{page}.py"))["RIGHT"].items()
}
# Wrong answers that raise have no result to be known by, but the page may help with their message.
ALSO_HELPED = {"split_of": [lambda digest: int(digest[:12])]}


def check_of(page, exercise):
    return getattr(PAGES[page], f"check_{name_of(exercise)}")


def label(value):
    if isinstance(value, str):
        return value
    return getattr(value, "title", None) or name_of(value)


# --- The checks -------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "exercise", "mistake"), MISTAKES, ids=label)
def test_each_known_mistake_is_rejected_with_its_own_phrase(page, exercise, mistake, capsys):
    check_of(page, exercise)(mistake.wrong)
    lines = capsys.readouterr().out.splitlines()
    assert "✗ rung" in lines[0]
    assert max(map(len, lines)) <= 115
    assert lines[2:] == [f"Known mistake: {mistake.sentence}"]


@pytest.mark.parametrize(("page", "exercise"), EXERCISES, ids=label)
def test_at_least_six_mistakes_are_known_and_no_two_read_the_same(page, exercise):
    for words in ("title", "says", "sentence"):
        assert len({getattr(m, words) for m in exercise.mistakes}) == len(exercise.mistakes) >= 6


@pytest.mark.parametrize(("page", "diagnosis"), DIAGNOSES, ids=label)
def test_sentences_of_a_diagnosis_fit_on_a_line(page, diagnosis):
    assert max(len(mistake.sentence) for mistake in diagnosis.mistakes) <= 115


@pytest.mark.parametrize(("page", "exercise"), FUNCTIONS, ids=label)
def test_the_reference_passes_with_an_insight(page, exercise, capsys):
    assert check_of(page, exercise)(exercise.reference) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{name_of(exercise)} ✓ all 6 rungs hold."
    assert lines[1].startswith("One more insight: ")
    assert len(lines) <= 3


@pytest.mark.parametrize(("page", "exercise"), FUNCTIONS, ids=label)
def test_right_answers_in_other_words_pass(page, exercise, capsys):
    check = check_of(page, exercise)
    assert len(RIGHT[check]) >= 2
    for answer in RIGHT[check]:
        check(answer)
        assert "✓ all 6 rungs hold" in capsys.readouterr().out, answer.__name__


@pytest.mark.parametrize(("page", "exercise"), FUNCTIONS, ids=label)
def test_the_stub_is_not_solved_yet(page, exercise, capsys):
    check_of(page, exercise)(lambda *_: ...)
    assert "✗ rung 2 of 6, type" in capsys.readouterr().out
    check_of(page, exercise)(lambda *_: None)
    assert "not solved yet" in capsys.readouterr().out


@pytest.mark.parametrize(("page", "diagnosis"), DIAGNOSES, ids=label)
def test_the_right_diagnosis_passes(page, diagnosis, capsys):
    assert check_of(page, diagnosis)(dict(diagnosis.truth)) is None
    shown = capsys.readouterr().out
    assert f"✓ all {len(diagnosis.truth)} causes found" in shown
    assert "One more insight: " in shown


@pytest.mark.parametrize("page", [page for page in PAGES if hasattr(PAGES[page], "CAUSES")])
def test_the_truth_is_not_in_the_order_of_the_list(page):
    truth, causes = PAGES[page].DIAGNOSIS.truth.values(), PAGES[page].CAUSES
    assert set(truth) == set(causes)
    assert all(a != b for a, b in zip(truth, causes, strict=True))


@pytest.mark.parametrize(("page", "diagnosis"), DIAGNOSES, ids=label)
def test_each_confusion_is_named(page, diagnosis, capsys):
    truth = diagnosis.truth
    assert len(set(truth.values())) == len(truth) >= 3
    sentence = {m.wrong: m.sentence for m in diagnosis.mistakes}
    wrong = [(thing, said) for thing in truth for said in truth.values() if said != truth[thing]]
    assert {(truth[thing], said) for thing, said in wrong} == set(sentence)
    for thing, said in wrong:
        check_of(page, diagnosis)({**truth, thing: said})
        expected = [f"diagnosis ✗ {thing} is something else.", sentence[truth[thing], said]]
        assert capsys.readouterr().out.splitlines() == expected


# --- The pages --------------------------------------------------------------------------------


def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def prose_of(page):
    (path,) = NOTEBOOKS.glob(f"??_{page}.ipynb")
    return prose(path)


def unlisted(text, exercises):
    """Return the exercises whose common mistakes a text does not list word for word."""
    return [name_of(e) for e in exercises if common_mistakes(e) not in text]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_lists_the_mistakes_the_checks_know(page):
    assert 3 <= len(PAGES[page].EXERCISES) <= 5
    assert unlisted(prose_of(page), PAGES[page].EXERCISES) == []


def test_a_missing_list_is_seen():
    exercises = PAGES["flowers"].EXERCISES
    text = "\n\n".join(map(common_mistakes, exercises))
    assert unlisted(text, exercises) == []
    assert unlisted(text.replace("at random", "by chance"), exercises) == ["split_of"]


@pytest.mark.parametrize("page", PAGES)
def test_each_exercise_says_what_it_takes(page):
    text = prose_of(page)
    rating = r"### Exercise \d · .+\n\n\*Difficulty ●+○* · Importance ●+○* · \d+ minutes\*"
    assert len(re.findall(rating, text)) == len(PAGES[page].EXERCISES)
    for fold in ("Hint", "Common mistakes", "Solution"):
        folds = re.findall(f"<details><summary>{fold}</summary>", text)
        assert len(folds) == len(PAGES[page].EXERCISES), fold


@pytest.mark.parametrize("page", PAGES)
def test_the_solutions_of_the_page_are_right(page, capsys):
    module = PAGES[page]
    pattern = r"Solution</summary>\n\n```python\n(.*?)```"
    solutions = re.findall(pattern, prose_of(page), re.DOTALL)
    for exercise, solution in zip(module.EXERCISES, solutions, strict=True):
        names = {"np": np, "check_diagnosis": module.check_diagnosis}
        exec(solution, names)
        if not isinstance(exercise, Diagnosis):
            check_of(page, exercise)(names[name_of(exercise)])
        assert "✓ all" in capsys.readouterr().out
        assert len(solution.splitlines()) <= 10


@pytest.mark.parametrize("page", PAGES)
def test_help_is_titled_by_what_the_screen_shows(page, capsys):
    for exercise in PAGES[page].EXERCISES:
        if isinstance(exercise, Diagnosis):
            for thing, cause in exercise.truth.items():
                said = next(other for other in exercise.truth.values() if other != cause)
                check_of(page, exercise)({**exercise.truth, thing: said})
        else:
            for mistake in exercise.mistakes:
                check_of(page, exercise)(mistake.wrong)
            for wrong in ALSO_HELPED.get(name_of(exercise), ()):
                check_of(page, exercise)(wrong)
    shown = capsys.readouterr().out.splitlines()
    titles = re.findall(r"<summary>Help: <code>(.*?)</code>", prose_of(page))
    assert len(titles) >= len(PAGES[page].EXERCISES)
    assert set(titles) <= set(shown)
