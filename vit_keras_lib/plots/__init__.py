"""Figures. They draw arrays and know nothing of models."""

from vit_keras_lib.plots.attention import overlay, show_atlas, show_maps, show_query
from vit_keras_lib.plots.patches import (
    show_costs,
    show_patch_grid,
    show_photos,
    show_sequence,
    show_side_by_side,
)
from vit_keras_lib.plots.style import COLOURS, charts, panels, style
from vit_keras_lib.plots.training import show_confusion, show_history

__all__ = [
    "COLOURS",
    "charts",
    "overlay",
    "panels",
    "show_atlas",
    "show_confusion",
    "show_costs",
    "show_history",
    "show_maps",
    "show_patch_grid",
    "show_photos",
    "show_query",
    "show_sequence",
    "show_side_by_side",
    "style",
]
