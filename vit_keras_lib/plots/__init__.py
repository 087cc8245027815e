"""Figures. They draw arrays and know nothing of models."""

from vit_keras_lib.plots.attention import overlay, show_atlas, show_maps, show_query
from vit_keras_lib.plots.patches import (
    show_changes,
    show_costs,
    show_filters,
    show_numberings,
    show_patch_grid,
    show_photos,
    show_roughness,
    show_sequence,
    show_side_by_side,
)
from vit_keras_lib.plots.positions import (
    show_curves,
    show_places,
    show_seeds,
    show_similarity,
    show_ways,
    similarity_by_distance,
    similarity_maps,
)
from vit_keras_lib.plots.style import COLOURS, charts, panels, style
from vit_keras_lib.plots.training import show_confusion, show_history
from vit_keras_lib.plots.transformer_block import (
    PARTS,
    show_assembly,
    show_attention_table,
    show_broken_blocks,
    show_budget,
    show_depth,
    show_gelu,
    show_heads,
    show_scale,
)

__all__ = [
    "COLOURS",
    "PARTS",
    "charts",
    "overlay",
    "panels",
    "show_assembly",
    "show_atlas",
    "show_attention_table",
    "show_broken_blocks",
    "show_budget",
    "show_changes",
    "show_confusion",
    "show_costs",
    "show_curves",
    "show_depth",
    "show_filters",
    "show_gelu",
    "show_heads",
    "show_history",
    "show_maps",
    "show_numberings",
    "show_patch_grid",
    "show_photos",
    "show_places",
    "show_query",
    "show_roughness",
    "show_scale",
    "show_seeds",
    "show_sequence",
    "show_side_by_side",
    "show_similarity",
    "show_ways",
    "similarity_by_distance",
    "similarity_maps",
    "style",
]
