"""Notebook 03: other right answers pass, and the planted bugs show what the messages say."""

import keras
import numpy as np
import pytest

from vit_keras_lib import PatchEncoder, plots, sincos2d_table
from vit_keras_lib.exercises import positions

# --- Right answers, written in other ways than the reference ----------------------------------


def add_by_slices(patches, table, class_token, class_position):
    B, N, D = patches.shape
    tokens = np.zeros((B, N + 1, D), "float32")
    tokens[:, 0] = class_token + class_position
    tokens[:, 1:] = patches + table[None]
    return tokens


def add_with_one_long_table(patches, table, class_token, class_position):
    first = np.tile(class_token, (len(patches), 1, 1))
    return np.hstack([first, patches]) + np.vstack([class_position, table])


def vector_by_loops(n, grid, dim):
    row, column = n // grid[1], n % grid[1]
    steps = dim // 4 - 1
    frequencies = [10_000 ** (-k / steps) for k in range(steps + 1)]
    return np.array(
        [wave(at * f) for at in (column, row) for wave in (np.sin, np.cos) for f in frequencies]
    )


def vector_of_the_table(n, grid, dim):
    return sincos2d_table(grid, dim)[n]


def maps_by_einsum(table, grid):
    lengths = np.sqrt((table**2).sum(-1))
    pairs = np.einsum("nd,md->nm", table, table) / np.outer(lengths, lengths)
    return pairs.reshape(grid + grid)


def maps_by_loops(table, grid):
    maps = np.zeros((*grid, *grid), "float32")
    vectors = table.reshape(*grid, -1)
    for a, b in np.ndindex(grid):
        for c, d in np.ndindex(grid):
            u, v = vectors[a, b], vectors[c, d]
            maps[a, b, c, d] = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    return maps


def resized_by_numbers(table, grid, new_grid):
    r, c = np.mgrid[: new_grid[0], : new_grid[1]].reshape(2, -1)
    row = np.floor((r + 0.5) * (grid[0] / new_grid[0]) + 1e-9).astype(int)
    column = np.floor((c + 0.5) * (grid[1] / new_grid[1]) + 1e-9).astype(int)
    return table[row * grid[1] + column]


def resized_by_repeating(table, grid, new_grid):
    picture = table.reshape(*grid, -1)
    for axis, (old, new) in enumerate(zip(grid, new_grid, strict=True)):
        fine = picture.repeat(2 * new, axis=axis)  # each old place 2 * new wide
        picture = fine.take(np.arange(new) * 2 * old + old, axis=axis)
    return picture.reshape(-1, table.shape[1])


# Judged in test_pages.py.
RIGHT = {
    positions.check_add_positions: [add_by_slices, add_with_one_long_table],
    positions.check_place_vector: [vector_by_loops, vector_of_the_table],
    positions.check_similarity_maps: [maps_by_einsum, maps_by_loops, plots.similarity_maps],
    positions.check_resize_nearest: [resized_by_numbers, resized_by_repeating],
}


# --- Known mistakes in other dresses ----------------------------------------------------------


def places_and_then_the_class_position(patches, table, class_token, class_position):
    first = np.tile(class_token, (len(patches), 1, 1))
    return np.hstack([first, patches]) + np.vstack([table, class_position])


def places_and_then_zeros(patches, table, class_token, class_position):
    first = np.tile(class_token + class_position, (len(patches), 1, 1))
    return np.hstack([first, patches]) + np.pad(table, ((0, 1), (0, 0)))


def places_in_place(patches, table, class_token, class_position):
    first = np.tile(class_token + class_position, (len(patches), 1, 1))
    tokens = np.hstack([first, patches])
    tokens += table
    return tokens


def the_table_first(patches, table, class_token, class_position):
    return table + np.hstack([np.tile(class_token, (len(patches), 1, 1)), patches])


def rounded_places(table, grid, new_grid):
    rows, columns = (
        np.rint((np.arange(new) + 0.5) * old / new - 0.5).astype(int)
        for old, new in zip(grid, new_grid, strict=True)
    )
    return table.reshape(*grid, -1)[rows][:, columns].reshape(len(rows) * len(columns), -1)


DRESSES = [
    (positions.check_add_positions, answer, title)
    for answer, title in (
        (places_and_then_the_class_position, "Positions added after the class token"),
        (places_and_then_zeros, "Positions added after the class token"),
        (places_in_place, "More tokens than places"),
        (the_table_first, "More tokens than places"),
    )
] + [(positions.check_resize_nearest, rounded_places, "The border goes to the place before")]


@pytest.mark.parametrize(
    ("check", "answer", "title"), DRESSES, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_mistake_is_known_in_other_dresses(check, answer, title, capsys):
    check(answer)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"Known mistake: {title}. ")


def test_an_error_of_another_kind_is_no_lack_of_places(capsys):
    positions.check_add_positions(lambda patches, *_: patches.no_such_name)
    assert "Known mistake" not in capsys.readouterr().out


def test_the_layer_of_the_library_adds_positions_in_the_same_way():
    keras.utils.set_random_seed(0)
    patches = np.random.default_rng(0).normal(size=(2, 6, 12)).astype("float32")
    layer = PatchEncoder(8)
    layer.build(patches.shape)
    layer.class_vector.assign(np.random.default_rng(1).normal(size=(1, 1, 8)))
    tokens = np.asarray(layer(patches))
    expected = positions.add_positions(
        np.asarray(layer.projection(patches)),
        np.asarray(layer.position_table),
        np.asarray(layer.class_vector)[0, 0],
        np.asarray(layer.class_position)[0, 0],
    )
    np.testing.assert_allclose(tokens, expected, atol=1e-6)


# --- What is wrong with these tables ----------------------------------------------------------


def alike(table, steps):
    """Return the mean similarity of patches that lie so many places apart in the list."""
    pairs = positions.similarity_maps(table, positions.BROKEN_GRID).reshape(24, 24)
    return np.diagonal(pairs, steps).mean()


def test_the_planted_bugs_show_what_the_messages_say():
    tables = positions.broken_tables()
    assert {table.shape for table in tables.values()} == {(24, 32)}
    bright = {}
    for name, table in tables.items():
        steps = np.array([alike(table, k) for k in range(1, 13)])
        bright[name] = set((np.flatnonzero(steps > 0.6) + 1).tolist())
    by_cause = {positions.DIAGNOSIS.truth[name]: bright[name] for name in "ABCD"}
    # A table made for rows of R patches has its spots R places further.
    assert 6 in bright["sound"]
    assert 8 in by_cause["truncated"] and not by_cause["truncated"] & {4, 6}
    assert 4 in by_cause["swapped"] and not by_cause["swapped"] & {6}
    assert by_cause["flat"] == {1}
    assert by_cause["untrained"] == set()


def test_the_second_spots_come_where_the_page_says():
    tables = positions.broken_tables()
    for name, step in (("A", 8), ("D", 4)):
        pairs = positions.similarity_maps(tables[name], positions.BROKEN_GRID).reshape(24, 24)
        for n in range(24 - step):
            assert pairs[n, n + step] > 0.75
    flat = positions.similarity_maps(tables["C"], positions.BROKEN_GRID)
    assert flat[0, 5, 1, 0] > 0.75  # the end of a row and the beginning of the next
    assert flat[0, 2, 1, 2] < 0.6
