"""Positions: who is like whom, and where each patch is taken to be."""

import numpy as np

from vit_keras_lib.plots.style import COLOURS, charts, panels, style

# In the order curves and groups are drawn: what knows nothing, what learned, what is fixed.
_SERIES = (COLOURS["chance"], COLOURS["centre"], COLOURS["petal"])
_MARKERS = "osD"


def similarity_maps(table, grid):
    """Computes the cosine similarity of each place with all places.

    The maps of Dosovitskiy et al. 2021 (arXiv 2010.11929, figure 7, middle).

    Args:
        table: (N, dim), a vector for each place, row-major.
        grid: (rows, columns), N = rows * columns.

    Returns:
        (rows, columns, rows, columns) in [-1, 1]: the map of place (r, c) is `[r, c]`.
    """
    table = np.asarray(table, "float64")
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)  # (N, dim)
    return (unit @ unit.T).reshape(*grid, *grid)


def similarity_by_distance(maps):
    """Averages similarity over all pairs of places that are equally far apart.

    Args:
        maps: (rows, columns, rows, columns).

    Returns:
        (M,) distances in patches, rising, the first above 0, and (M,) mean similarities.
    """
    places = np.argwhere(np.ones(maps.shape[:2]))  # (N, 2)
    squares = ((places[:, None] - places) ** 2).sum(axis=-1).ravel()  # (N * N,), whole numbers
    similarity = maps.reshape(-1)
    apart = np.unique(squares[squares > 0])
    return np.sqrt(apart), np.array([similarity[squares == s].mean() for s in apart])


def show_similarity(atlases, titles, title=None, columns=3, size=3.6, low=None):
    """Shows, for each table, one small map for each place, laid out as the places are.

    Args:
        atlases: arrays (rows, columns, rows, columns) in [-1, 1].
        titles: one for each.
        title: what the figure shows.
        columns: tables in a row.
        size: inches of a table.
        low: similarity of the darkest colour in all tables; None takes the lowest of each, and
            gives each table a colour bar of its own. The brightest colour is always 1.

    Returns:
        The figure.
    """
    lines = -(-len(atlases) // columns)
    with style():
        figure, axes = panels(lines, columns, size)
        rows, cols = np.shape(atlases[0])[:2]
        bars = 0.75 if low is None else 0.35
        figure.set_figheight(lines * (size * (rows / cols) ** 2 + bars) + 0.6)
        for axis in axes.flat[len(atlases) :]:
            axis.set_visible(False)
        for axis, maps, name in zip(axes.flat, atlases, titles, strict=False):
            rows, cols = np.shape(maps)[:2]
            bottom = np.min(maps) if low is None else low
            shown = axis.imshow(_sheet(np.asarray(maps)), vmin=bottom, vmax=1)
            axis.set_xticks(np.arange(cols) * (cols + 1) + (cols - 1) / 2, range(cols))
            axis.set_yticks(np.arange(rows) * (rows + 1) + (rows - 1) / 2, range(rows))
            axis.tick_params(length=0, labelsize=9)
            axis.set_title(name, fontsize=11)
            if low is None:
                _similarity_bar(figure, shown, axis, orientation="horizontal", aspect=30)
        if low is not None:
            _similarity_bar(figure, shown, axes, fraction=0.03)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def _similarity_bar(figure, shown, axes, **kwargs):
    bar = figure.colorbar(shown, ax=axes, pad=0.02, shrink=0.9, **kwargs)
    bar.set_label("cosine similarity", fontsize=10)
    bar.ax.tick_params(labelsize=9)


def _sheet(maps):
    """Lays maps (rows, columns, rows, columns) out on one sheet, a blank line between them."""
    rows, cols = maps.shape[:2]
    sheet = np.full((rows, rows + 1, cols, cols + 1), np.nan)
    sheet[:, :rows, :, :cols] = maps.swapaxes(1, 2)  # (rows, map rows, columns, map columns)
    return sheet.reshape(rows * (rows + 1), -1)[:-1, :-1]


def show_curves(curves, xlabel, ylabel, chance=None, title=None):
    """Shows up to three curves in one chart.

    Args:
        curves: name -> (x, y); by convention what knows no places first, then learned, then fixed.
        xlabel: what x is.
        ylabel: what y is.
        chance: a level to compare with, or None.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (7.5, 3.4))
        if chance is not None:
            axis.axhline(chance, color=COLOURS["chance"], lw=1, ls="--")
        for (name, (x, y)), colour, marker in zip(curves.items(), _SERIES, _MARKERS, strict=False):
            axis.plot(x, y, marker=marker, ms=4, color=colour, label=name)
        axis.legend(frameon=False, fontsize=10)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set(xlabel=xlabel, ylabel=ylabel)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_places(places, titles, grid, title=None, size=2.25):
    """Shows which place of a grid each patch of another grid is given.

    A colour stands for a place of the old grid: blue grows with the row, orange with the column.
    The numbers are the row and the column, rounded.

    Args:
        places: arrays (rows, columns, 2): row and column in the old grid, fractions allowed.
        titles: one for each.
        grid: (rows, columns) of the old grid.
        title: what the figure shows.
        size: inches of a picture.

    Returns:
        The figure.
    """
    with style():
        figure, axes = panels(1, len(places), size)
        tallest = max(np.shape(p)[0] / np.shape(p)[1] for p in places)
        figure.set_figheight(size * min(tallest, 1.25) + 0.8)
        for axis, place, name in zip(axes.flat, places, titles, strict=True):
            place = np.asarray(place)
            axis.imshow(_place_colours(place, grid))
            for r, c in np.ndindex(place.shape[:2]):
                row, column = np.round(place[r, c] + 1e-6).astype(int)
                axis.text(c, r, f"{row},{column}", ha="center", va="center", fontsize=9)
            axis.set_title(name, fontsize=11)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def _place_colours(places, grid):
    """Maps places (..., 2) to light colours (..., 3) that change evenly over the grid."""
    down, right = np.moveaxis(places / (np.array(grid) - 1), -1, 0).clip(0, 1)[..., None]
    blue, orange = np.array([0.35, 0.68, 0.95]), np.array([1.0, 0.68, 0.2])
    white, both = np.ones(3), np.array([0.62, 0.62, 0.62])
    top = (1 - right) * white + right * orange
    bottom = (1 - right) * blue + right * both
    return (1 - down) * top + down * bottom


def show_ways(groups, ways, title=None):
    """Shows how right a model is with each way of treating its positions.

    Args:
        groups: panel title -> (chance, size name -> accuracies in [0, 1], one for each way).
        ways: names of the ways, the right one first.
        title: what the figure shows.

    Returns:
        The figure.
    """
    colours = (COLOURS["leaf"], COLOURS["query"])
    with style():
        figure, axes = charts(len(groups), (4.5 * len(groups), 3.6))
        for axis, (name, (chance, sizes)) in zip(axes, groups.items(), strict=True):
            for w, (way, colour) in enumerate(zip(ways, colours, strict=True)):
                values = [accuracies[w] for accuracies in sizes.values()]
                places = np.arange(len(sizes)) + 0.38 * (w - 0.5)
                axis.bar(places, values, width=0.36, color=colour, label=way)
                for x, value in zip(places, values, strict=True):
                    axis.text(x, 0.03, f"{value:.0%}", ha="center", fontsize=10, color="white")
            axis.axhline(chance, color="black", lw=1, ls="--")
            axis.text(len(sizes) - 0.55, chance + 0.02, "guessing")
            axis.set_xticks(range(len(sizes)), list(sizes))
            axis.set_yticks(np.linspace(0, 1, 6).round(1))
            axis.set(title=name, ylabel="share right", ylim=(0, 1.3), xlim=(-0.5, len(sizes)))
            axis.legend(frameon=False, fontsize=10, loc="upper left")
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_seeds(accuracies, title=None, ylabel="test accuracy"):
    """Shows one dot for each run, and the mean and standard deviation of each variant.

    Args:
        accuracies: name -> accuracies in [0, 1], one for each seed.
        title: what the figure shows.
        ylabel: what the accuracies are.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (7, 3.4))
        for place, (values, colour) in enumerate(zip(accuracies.values(), _SERIES, strict=False)):
            values = 100 * np.asarray(values)
            spread = values.std(ddof=1) if len(values) > 1 else 0
            axis.plot(np.full(len(values), place), values, "o", color=colour, ms=7)
            axis.errorbar(
                place + 0.15, values.mean(), spread, fmt="_", ms=18, color="black", capsize=4, lw=1
            )
        axis.set_xticks(range(len(accuracies)), list(accuracies))
        axis.set(ylabel=f"{ylabel} (%)", xlim=(-0.5, len(accuracies) - 0.3))
        figure.suptitle(title, ha="left", x=0.01)
    return figure
