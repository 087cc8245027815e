"""What the model looks at."""

from vit_keras_lib.interpret.attention import attention_maps, class_attention, keep_mass
from vit_keras_lib.interpret.distance import mean_attention_distance
from vit_keras_lib.interpret.explorer import Explorer, attention_explorer
from vit_keras_lib.interpret.faithfulness import (
    CONTROLS,
    SCORES,
    Deletion,
    Interval,
    Scores,
    against_controls,
    class_contrast,
    clears,
    controls,
    deletion_curve,
    log_odds,
    map_correlation,
    map_scores,
    paired_interval,
    part_coverage,
    part_scores,
    summarise,
    true_map,
)
from vit_keras_lib.interpret.receptive_field import effective_receptive_field, field_radius
from vit_keras_lib.interpret.relevance import class_relevance, grad_cam, input_gradient
from vit_keras_lib.interpret.residual import (
    logit_lens,
    predict_without,
    residual_stream,
    run_from,
)
from vit_keras_lib.interpret.rollout import attention_rollout

__all__ = [
    "CONTROLS",
    "SCORES",
    "Deletion",
    "Explorer",
    "Interval",
    "Scores",
    "against_controls",
    "attention_explorer",
    "attention_maps",
    "attention_rollout",
    "class_attention",
    "class_contrast",
    "class_relevance",
    "clears",
    "controls",
    "deletion_curve",
    "effective_receptive_field",
    "field_radius",
    "grad_cam",
    "input_gradient",
    "keep_mass",
    "log_odds",
    "logit_lens",
    "map_correlation",
    "map_scores",
    "mean_attention_distance",
    "paired_interval",
    "part_coverage",
    "part_scores",
    "predict_without",
    "residual_stream",
    "run_from",
    "summarise",
    "true_map",
]
