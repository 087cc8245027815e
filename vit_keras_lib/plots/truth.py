"""Whether maps are true: scores beside their controls, twin rules, what is used where."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from vit_keras_lib.plots.attention import overlay
from vit_keras_lib.plots.style import COLOURS, HEAT, charts, panels, style

# A part keeps its colour, and a rule that asks about a part has the colour of the part.
PART_COLOURS = {
    "petals": COLOURS["petal"],
    "centre": COLOURS["centre"],
    "background": COLOURS["background"],
}
_MARKERS = {
    "uniform": "|",
    "random": "x",
    "centre": "+",
    "sobel": "^",
    "other_image": "s",
    "random_init": "D",
}
_CONTROL = {"color": "#555555", "ms": 4.5, "mew": 1, "mfc": "none", "ls": "none"}
_LINES = ("-", "--", "-.", ":", (0, (1, 2)), (0, (5, 1)))
_MAPS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#555555")
_SIGNED = "PuOr"


def show_map_table(
    photos, maps, rows=None, columns=None, title=None, first=None, top=None, size=1.6
):
    """Shows photos and, beside each, maps of it, on one colour scale.

    Args:
        photos: (R, H, W, 3), 0 to 255: what the maps of a row lie on.
        maps: (R, M, rows, columns), in units of an even spread.
        rows: one name for each photo.
        columns: one for the photo and one for each of the M maps.
        title: what the figure shows.
        first: (R, H, W, 3), 0 to 255, shown in front of the maps; None for the photos.
        top: value of the brightest colour; None takes the 99th percentile of all maps.
        size: inches of a photo.

    Returns:
        The figure.
    """
    photos, maps = np.asarray(photos), np.asarray(maps)
    first = photos if first is None else np.asarray(first)
    top = float(np.percentile(maps, 99)) if top is None else top
    below = 16 * (photos // 16)  # fewer shades under the maps: half the bytes on the page
    with style():
        figure, axes = panels(len(photos), 1 + maps.shape[1], size)
        for r, line in enumerate(axes):
            line[0].imshow(first[r].astype("uint8"))
            for axis, heat in zip(line[1:], maps[r], strict=True):
                axis.imshow(overlay(below[r], heat / top, alpha=0.7))
            if rows is not None:
                line[0].set_ylabel(rows[r], fontsize=11)
        for axis, name in zip(axes[0], columns or [], strict=False):
            axis.set_title(name, fontsize=10)
        scale = plt.cm.ScalarMappable(plt.Normalize(0, top), HEAT)
        bar = figure.colorbar(scale, ax=axes, fraction=0.03, pad=0.01, shrink=0.9)
        bar.set_label("map (1 = spread evenly)", fontsize=10)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def only_part(photo, parts, numbers, rest=0.25):
    """Returns a photo in which all but some parts have faded to grey.

    Args:
        photo: (H, W, 3), 0 to 255.
        parts: (H, W), number of the part that each pixel belongs to.
        numbers: the parts that stay.
        rest: how much is left of the others, in [0, 1].

    Returns:
        float array (H, W, 3), 0 to 255.
    """
    stays = np.isin(parts, numbers)[..., None]  # (H, W, 1)
    return np.where(stays, photo, rest * np.asarray(photo, float) + (1 - rest) * 225)


def show_effects(effects, title=None):
    """Shows what drawing a part away costs each model: a dot a model, a bar the mean of a rule.

    Args:
        effects: rule -> part -> (seeds,) mean drop in log-odds.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, axes = charts(len(effects), (3.1 * len(effects), 2.6))
        values = np.concatenate([np.ravel(v) for row in effects.values() for v in row.values()])
        low, high = min(0, values.min()), max(0, values.max())
        margin = 0.08 * (high - low)
        for axis, (rule, parts) in zip(axes, effects.items(), strict=True):
            for row, (part, drops) in enumerate(parts.items()):
                colour = PART_COLOURS[part]
                axis.barh(row, np.mean(drops), 0.6, color=colour, alpha=0.45)
                axis.plot(drops, np.full(len(drops), row), "o", color=colour, ms=6, mec="black")
            axis.axvline(0, color="black", lw=1)
            axis.set_yticks(range(len(parts)), parts if axis is axes[0] else [])
            axis.invert_yaxis()
            axis.set(xlim=(low - margin, high + margin), xlabel="drop in log-odds (nats)")
            axis.set_title(f"rule: {rule}", color="black", fontsize=12)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_scores(tables, scores, title=None):
    """Shows scores of all maps beside their controls.

    In each row: small grey signs, the mean of each of the six controls; a dot, the mean of the
    map, filled if its paired interval clears all six; a bar, that interval against the control
    which is hardest to clear, so the bar ends short of that control's sign where it is cleared.

    Args:
        tables: rule -> method -> score -> {"mean", "controls": control -> mean, "better by":
            control -> (mean, low, high), "clears all six"}; the last three may lack (a ceiling).
        scores: score -> {"label", "chance" (None: not one number), "higher_is_better"}.
        title: what the figure shows.

    Returns:
        The figure.
    """
    methods = list(next(iter(tables.values())))
    with style():
        figure, axes = plt.subplots(
            len(tables), len(scores), squeeze=False, sharex="col", sharey=True,
            figsize=(max(8.4, 2.4 + 2.35 * len(scores)), 0.9 + 2.15 * len(tables)), dpi=80,
        )  # fmt: skip
        plt.close(figure)
        for line, (rule, table) in zip(axes, tables.items(), strict=True):
            for axis, (score, about) in zip(line, scores.items(), strict=True):
                for row, method in enumerate(methods):
                    _score_row(axis, row, table[method][score], about, PART_COLOURS[rule])
                if about["chance"] is not None:
                    axis.axvline(about["chance"], color=COLOURS["chance"], lw=1, ls="--", zorder=0)
                axis.grid(axis="y", color="#EEEEEE", lw=0.8)
                axis.set_axisbelow(True)
            line[0].set_ylabel(f"rule: {rule}", fontsize=12)
        for axis, about in zip(axes[0], scores.values(), strict=True):
            axis.set_title(about["label"], fontsize=11)
        for axis, about in zip(axes[-1], scores.values(), strict=True):
            axis.set_xlabel("better →" if about["higher_is_better"] else "← better", fontsize=10)
        axes[0, 0].set_yticks(range(len(methods)), methods)
        axes[0, 0].set_ylim(len(methods) - 0.4, -0.6)
        _control_legend(figure)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def _score_row(axis, row, cell, about, colour):
    """Draws one map's score and its controls."""
    if "controls" not in cell:
        axis.plot(cell["mean"], row, "*", ms=11, color="black", zorder=3)
        return
    for control, mean in cell["controls"].items():
        axis.plot(mean, row, _MARKERS[control], **_CONTROL)
    hardest = min(cell["better by"], key=lambda control: cell["better by"][control][1])
    _, low, high = cell["better by"][hardest]
    side = 1 if about["higher_is_better"] else -1
    ends = [cell["controls"][hardest] + side * bound for bound in (low, high)]
    axis.plot(ends, [row, row], color=colour, lw=3, alpha=0.6, solid_capstyle="butt")
    filled = colour if cell["clears all six"] else "white"
    axis.plot(cell["mean"], row, "o", ms=8, color=colour, mfc=filled, mew=1.8, zorder=3)


def _control_legend(figure):
    """Says below a figure which sign is which control."""
    signs = [
        Line2D([], [], marker=marker, label=name.replace("_", " "), **_CONTROL)
        for name, marker in _MARKERS.items()
    ]
    signs.append(Line2D([], [], marker="*", color="black", ms=10, ls="none", label="true map"))
    figure.legend(
        handles=signs, loc="outside lower center", ncols=len(signs), frameon=False, fontsize=10,
        handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip


def show_twin_rules(moves, methods, parts, title=None):
    """Shows how much denser maps lie on a part when it is the part that the rule asks about.

    Args:
        moves: method, or "method | control" -> part -> (mean, low, high), in units of the map's
            mean density.
        methods: the rows, from the top; controls are found by their names.
        parts: the panels.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(parts), squeeze=False, sharey=True, figsize=(10, 0.42 * len(methods) + 1.9)
        )
        plt.close(figure)
        for axis, part in zip(axes[0], parts, strict=True):
            axis.axvline(0, color="black", lw=1, zorder=0)
            for row, method in enumerate(methods):
                for control, marker in _MARKERS.items():
                    if f"{method} | {control}" in moves:
                        mean = moves[f"{method} | {control}"][part][0]
                        axis.plot(mean, row, marker, **_CONTROL)
                mean, low, high = moves[method][part]
                ceiling = f"{method} | uniform" not in moves
                colour = "black" if ceiling else PART_COLOURS[part]
                axis.plot([low, high], [row, row], color=colour, lw=3, solid_capstyle="butt")
                axis.plot(mean, row, "*" if ceiling else "o", ms=11 if ceiling else 8, color=colour)
            axis.grid(axis="y", color="#EEEEEE", lw=0.8)
            axis.set_axisbelow(True)
            axis.set_title(f"density on: {part}", fontsize=11)
            axis.set_xlabel("moves with the rule →", fontsize=10)
        axes[0, 0].set_yticks(range(len(methods)), methods)
        axes[0, 0].set_ylim(len(methods) - 0.4, -0.6)
        _control_legend(figure)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_by_seed(values, chance=None, blind=(), title=None, xlabel=None):
    """Shows one number of every method for models of several rules: a dot a model.

    Args:
        values: measure -> rule -> method -> (seeds,).
        chance: measure -> its chance value, drawn dashed.
        blind: methods that do not know a class; their dots are hollow.
        title: what the figure shows.
        xlabel: measure -> name of the axis.

    Returns:
        The figure.
    """
    methods = list(next(iter(next(iter(values.values())).values())))
    with style():
        figure, axes = plt.subplots(
            1, len(values), squeeze=False, sharey=True, figsize=(9.6, 0.5 * len(methods) + 1.6)
        )
        plt.close(figure)
        for axis, (measure, rules) in zip(axes[0], values.items(), strict=True):
            for r, (rule, table) in enumerate(rules.items()):
                for row, method in enumerate(methods):
                    place = row + 0.24 * (r - (len(rules) - 1) / 2)
                    colour = PART_COLOURS[rule]
                    face = "white" if method in blind else colour
                    dots = table[method]
                    axis.plot(dots, np.full(len(dots), place), "o", ms=6, color=colour, mfc=face)
            if chance and measure in chance:
                axis.axvline(chance[measure], color="black", lw=1, ls="--", zorder=0)
            axis.grid(axis="y", color="#EEEEEE", lw=0.8)
            axis.set_axisbelow(True)
            axis.set_title(measure, fontsize=12)
            axis.set_xlabel((xlabel or {}).get(measure, ""), fontsize=10)
        axes[0, 0].set_yticks(range(len(methods)), methods)
        axes[0, 0].set_ylim(len(methods) - 0.4, -0.6)
        signs = [
            Line2D([], [], marker="o", ls="none", color=PART_COLOURS[rule], label=f"rule: {rule}")
            for rule in next(iter(values.values()))
        ]
        figure.legend(handles=signs, loc="outside lower center", ncols=len(signs), frameon=False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_deletion(dropped, curves, title=None):
    """Shows what is left of a class while patches are dropped.

    Args:
        dropped: (S + 1,) share of the patches that is gone.
        curves: order -> (B, S + 1) probability of the class; "random order" is drawn dashed.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, (axis,) = charts(1, (7.4, 3.8))
        colours, lines = iter(_MAPS), iter(_LINES)
        for name, probabilities in curves.items():
            mean = np.mean(probabilities, axis=0)
            if name == "random order":
                axis.plot(dropped, mean, "--", color="black", lw=2.5, label=name)
            else:
                axis.plot(
                    dropped, mean, ls=next(lines), marker="o", ms=4, color=next(colours), label=name
                )
        axis.set(xlabel="share of the patches that is gone", ylim=(0, 1.02), xlim=(0, 1))
        axis.set_ylabel("probability of the class")
        axis.legend(frameon=False, fontsize=10, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_patching(shares, title=None):
    """Shows how much of a decision sits in which tokens, joint by joint.

    Args:
        shares: rule -> name of the tokens -> (seeds, joints): share of the drop in log-odds that
            comes back with the clean tokens.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, axes = charts(len(shares), (3 * len(shares), 2.9))
        for axis, (rule, groups) in zip(axes, shares.items(), strict=True):
            for (name, many), colour, ls in zip(groups.items(), _MAPS, _LINES, strict=False):
                many = np.asarray(many)
                joints = np.arange(many.shape[1])
                axis.plot(joints, many.T, color=colour, lw=0.8, alpha=0.6)
                axis.plot(joints, many.mean(0), color=colour, ls=ls, marker="o", ms=4, label=name)
            for level in (0, 1):
                axis.axhline(level, color=COLOURS["chance"], lw=1, ls="--", zorder=0)
            axis.set(title=f"rule: {rule}", xlabel="joint (0: before block 0)", xticks=joints)
        axes[0].set_ylabel("share of the drop\nthat comes back")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_patch_layers(image, corrupt, maps, class_token, title=None, size=1.2):
    """Shows, joint by joint, which patch brings the class back.

    Args:
        image: (H, W, 3), 0 to 255.
        corrupt: (H, W, 3), the picture whose run the tokens are put into.
        maps: (joints, rows, columns): share of the difference in log-odds that the token of one
            patch brings back.
        class_token: (joints,), the same of the class token.
        title: what the figure shows.
        size: inches of a picture.

    Returns:
        The figure.
    """
    reach = float(np.abs(maps).max()) or 1.0
    with style():
        figure, axes = panels(1, 2 + len(maps), size)
        figure.set_figheight(size + 1)  # room for what stands above and below the pictures
        for axis, picture, name in zip(
            axes[0], (image, corrupt), ("clean", "corrupt"), strict=False
        ):
            axis.imshow(np.asarray(picture).astype("uint8"))
            axis.set_title(name, fontsize=10)
        for joint, (axis, heat) in enumerate(zip(axes[0, 2:], maps, strict=True)):
            axis.imshow(heat, cmap=_SIGNED, vmin=-reach, vmax=reach)
            axis.set_title(f"joint {joint}", fontsize=10)
            axis.set_xlabel(f"class token\n{class_token[joint]:.0%}", fontsize=10)
        scale = plt.cm.ScalarMappable(plt.Normalize(-reach, reach), _SIGNED)
        bar = figure.colorbar(scale, ax=axes, fraction=0.02, pad=0.01, shrink=0.6)
        bar.set_label("share\nbrought back", fontsize=10)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_claims(claims, names, title=None):
    """Shows what a map says of a few patches beside what is so.

    Args:
        claims: case -> {"what the map says": (n,), "what is so": (n,)} or other two.
        names: one for each of the n patches.
        title: what the figure shows.

    Returns:
        The figure.
    """
    with style():
        figure, axes = charts(len(claims), (3.3 * len(claims), 2.9))
        places = np.arange(len(names))
        for axis, (case, pair) in zip(axes, claims.items(), strict=True):
            for (label, shares), shift, colour in zip(
                pair.items(), (-0.2, 0.2), (COLOURS["centre"], COLOURS["query"]), strict=True
            ):
                axis.bar(places + shift, shares, 0.38, color=colour, label=label)
            axis.set_xticks(places, names)
            axis.set(title=case, ylim=(0, 1.05))
        axes[0].set_ylabel("share")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        figure.suptitle(title, ha="left", x=0.01)
    return figure


def show_judges(judges, chance, title=None):
    """Shows what several ways to judge say of the same maps.

    Args:
        judges: name -> measure -> map -> value.
        chance: measure -> its chance value, drawn dashed.
        title: what the figure shows.

    Returns:
        The figure.
    """
    measures = list(chance)
    with style():
        figure, axes = plt.subplots(
            len(measures), len(judges), squeeze=False, sharex="row", sharey=True,
            figsize=(2 * len(judges) + 1, 2.1 * len(measures) + 0.3),
        )  # fmt: skip
        plt.close(figure)
        for column, (name, said) in zip(axes.T, judges.items(), strict=True):
            column[0].set_title(name, fontsize=12)
            for axis, measure in zip(column, measures, strict=True):
                values = said[measure]
                axis.hlines(range(len(values)), chance[measure], list(values.values()), lw=1.5)
                axis.plot(list(values.values()), range(len(values)), "o", color=COLOURS["query"])
                axis.axvline(chance[measure], color="black", lw=1, ls="--")
                axis.set_xlabel(measure, fontsize=10)
        axes[0, 0].set_yticks(range(len(values)), values)
        axes[0, 0].set_ylim(len(values) - 0.5, -0.5)
        figure.suptitle(title, ha="left", x=0.01)
    return figure
