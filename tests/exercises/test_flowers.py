"""The checks of notebook 01 are checked: right answers pass, each known mistake is named."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest

from vit_keras_lib.datasets.splits import BOUNDS, place
from vit_keras_lib.exercises import flowers
from vit_keras_lib.exercises.ladder import common_mistakes

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_flowers.ipynb"

# --- Right answers, written in other ways than the reference ----------------------------------


def shares_by_comparing(labels, num_classes):
    return (labels[:, None] == np.arange(num_classes)).mean(axis=0)


def shares_by_counting(labels, num_classes):
    counts = Counter(labels.tolist())
    return np.array([counts[c] / len(labels) for c in range(num_classes)], "float32")


def box_by_margins(height, width):
    surplus = height - width
    return max(surplus, 0) // 2, max(-surplus, 0) // 2, height - max(surplus, 0)


def box_by_cases(height, width):
    if height > width:
        return np.int64((height - width) // 2), 0, width
    return 0, (width - height) // 2, height


def split_by_integers(digest):
    tenths = int(digest[:12], 16) * 10
    return "train" if tenths < 8 * 16**12 else "validation" if tenths < 9 * 16**12 else "test"


def split_by_bounds(digest):
    names = np.array(["train", "validation", "test"])
    return names[np.searchsorted([0.8, 0.9], float.fromhex("0." + digest[:12]), side="right")]


def cover_by_slices(parts, patch_size):
    flower = np.isin(parts, (2, 3))
    corners = [flower[i::patch_size, j::patch_size] for i, j in np.ndindex(patch_size, patch_size)]
    return np.mean(corners, axis=0)


def cover_by_loops(parts, patch_size):
    rows, columns = np.array(parts.shape) // patch_size
    cover = np.zeros((rows, columns), "float32")
    for r, c in np.ndindex(rows, columns):
        top, left = r * patch_size, c * patch_size
        cover[r, c] = (parts[top : top + patch_size, left : left + patch_size] > 1).mean()
    return cover


CHECKS = {
    flowers.check_class_shares: (
        flowers.CLASS_SHARES,
        [flowers.class_shares, shares_by_comparing, shares_by_counting],
    ),
    flowers.check_crop_box: (flowers.CROP_BOX, [flowers.crop_box, box_by_margins, box_by_cases]),
    flowers.check_split_of: (
        flowers.SPLIT_OF,
        [flowers.split_of, split_by_integers, split_by_bounds],
    ),
    flowers.check_flower_cover: (
        flowers.FLOWER_COVER,
        [flowers.flower_cover, cover_by_slices, cover_by_loops],
    ),
}
RIGHT = [(check, answer) for check, (_, answers) in CHECKS.items() for answer in answers]
WRONG = [
    (check, mistake) for check, (exercise, _) in CHECKS.items() for mistake in exercise.mistakes
]


@pytest.mark.parametrize(("check", "answer"), RIGHT, ids=lambda f: f.__name__)
def test_right_answers_pass(check, answer, capsys):
    assert check(answer) is None
    message = capsys.readouterr().out
    assert "✓ all 6 rungs hold" in message
    assert "One more insight" in message
    assert len(message.splitlines()) <= 3


@pytest.mark.parametrize(
    ("check", "mistake"), WRONG, ids=lambda x: getattr(x, "title", None) or x.__name__
)
def test_each_known_mistake_is_rejected_with_its_own_phrase(check, mistake, capsys):
    check(mistake.wrong)
    lines = capsys.readouterr().out.splitlines()
    assert "✗ rung" in lines[0]
    assert max(map(len, lines)) <= 115
    assert lines[2:] == [f"Known mistake: {mistake.sentence}"]


@pytest.mark.parametrize("exercise", flowers.EXERCISES, ids=lambda e: type(e).__name__)
def test_at_least_six_mistakes_are_known_and_no_two_read_the_same(exercise):
    for words in ("title", "says", "sentence"):
        assert len({getattr(m, words) for m in exercise.mistakes}) == len(exercise.mistakes) >= 6


@pytest.mark.parametrize("check", CHECKS, ids=lambda f: f.__name__)
def test_the_stub_is_not_solved_yet(check, capsys):
    check(lambda *_: ...)
    assert "✗ rung 2 of 6, type" in capsys.readouterr().out
    check(lambda *_: None)
    assert "not solved yet" in capsys.readouterr().out


def test_variants_of_hash_and_random_are_recognised(capsys):
    names = np.array(["train", "validation", "test"])
    flowers.check_split_of(lambda d: str(names[np.searchsorted([8, 9], hash(d[:12]) % 10)]))
    assert "Python's hash()" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    flowers.check_split_of(lambda d: str(rng.choice(names)))
    assert "Drawn at random" in capsys.readouterr().out


def test_the_split_is_the_one_of_load_flowers():
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(200)]
    digests += [case.args[0] for case in flowers.SPLIT_OF.hand_sized]
    for digest in digests:
        (right,) = [s for s, (low, high) in BOUNDS.items() if low <= place(digest) < high]
        assert flowers.split_of(digest) == right


# --- What went wrong --------------------------------------------------------------------------


def symptoms(train, train_labels, test, test_labels):
    """Return the accuracy, the share of the commonest answer and the median distance."""
    a, b = (x.reshape(len(x), -1) / 255 for x in (train, test))
    squares = (a**2).sum(1) - 2 * b @ a.T + (b**2).sum(1)[:, None]  # (test, train)
    answers = train_labels[squares.argmin(1)]
    distance = np.sqrt(squares.min(1).clip(0) / a.shape[1])
    commonest = np.bincount(answers).max() / len(answers)
    return (answers == test_labels).mean(), commonest, np.median(distance)


def test_the_planted_bugs_show_what_the_messages_say():
    found = {name: symptoms(*data) for name, data in flowers.broken_sets().items()}
    accuracy, commonest, distance = found.pop("sound")
    assert 0.7 < accuracy < 0.85
    assert commonest < 0.3
    by_cause = {flowers.DIAGNOSIS.truth[name]: symptom for name, symptom in found.items()}
    assert by_cause["twins"][0] > accuracy + 0.1
    assert by_cause["twins"][2] < 0.01
    assert by_cause["shifted labels"][0] < 0.1
    assert by_cause["shifted labels"][1:] == (commonest, distance)
    assert by_cause["divided twice"][:2] == (0.2, 1)
    assert by_cause["divided twice"][2] > 1.5 * distance


def test_the_right_diagnosis_passes(capsys):
    assert flowers.check_diagnosis(dict(flowers.DIAGNOSIS.truth)) is None
    assert "✓ all 3 causes found" in capsys.readouterr().out


def test_each_confusion_is_named(capsys):
    truth = flowers.DIAGNOSIS.truth
    sentence = {m.wrong: m.sentence for m in flowers.DIAGNOSIS.mistakes}
    wrong = [(thing, said) for thing in truth for said in truth.values() if said != truth[thing]]
    assert {(truth[thing], said) for thing, said in wrong} == set(sentence)
    for thing, said in wrong:
        flowers.check_diagnosis({**truth, thing: said})
        expected = [f"diagnosis ✗ {thing} is something else.", sentence[truth[thing], said]]
        assert capsys.readouterr().out.splitlines() == expected


# --- The page ---------------------------------------------------------------------------------


def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def missing_from(path):
    """Return the exercises whose common mistakes a notebook does not list word for word."""
    text = prose(path)
    return [
        exercise.mistakes[0].title
        for exercise in flowers.EXERCISES
        if common_mistakes(exercise) not in text
    ]


def test_the_page_lists_the_mistakes_the_checks_know():
    assert missing_from(NOTEBOOK) == []


def test_a_missing_list_is_seen(tmp_path):
    lists = [common_mistakes(exercise) for exercise in flowers.EXERCISES]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(t) for t in lists])
    nbformat.write(notebook, tmp_path / "page.ipynb")
    assert missing_from(tmp_path / "page.ipynb") == []
    notebook.cells[2].source = lists[2].replace("random", "chance")
    nbformat.write(notebook, tmp_path / "page.ipynb")
    assert missing_from(tmp_path / "page.ipynb") == ["Drawn at random"]


def test_the_solutions_of_the_page_are_right(capsys):
    solutions = re.findall(r"Solution</summary>\n\n```python\n(.*?)```", prose(NOTEBOOK), re.DOTALL)
    assert len(solutions) == len(flowers.EXERCISES)
    for solution in solutions:
        names = {"np": np, "check_diagnosis": flowers.check_diagnosis}
        exec(solution, names)
        for check in CHECKS:
            if answer := names.get(check.__name__.removeprefix("check_")):
                check(answer)
        assert "✓ all" in capsys.readouterr().out
        assert len(solution.splitlines()) <= 10


def test_help_is_titled_by_what_the_screen_shows(capsys):
    for check, mistake in WRONG:
        check(mistake.wrong)
    flowers.check_split_of(lambda digest: int(digest[:12]))
    truth = flowers.DIAGNOSIS.truth
    for thing in truth:
        said = next(cause for cause in truth.values() if cause != truth[thing])
        flowers.check_diagnosis({**truth, thing: said})
    shown = capsys.readouterr().out.splitlines()
    titles = re.findall(r"<summary>Help: <code>(.*?)</code>", prose(NOTEBOOK))
    assert len(titles) >= len(flowers.EXERCISES)
    assert set(titles) <= set(shown)
