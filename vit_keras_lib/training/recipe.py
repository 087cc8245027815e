"""What a training run is made of, in one frozen place."""

import dataclasses

import keras

AUGMENTATIONS = ("none", "light", "medium", "strong")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of one training run.

    AdamW with decoupled weight decay (arXiv 1711.05101), linear warm-up then cosine (arXiv
    1608.03983), label smoothing (arXiv 1512.00567), gradients clipped by their global norm.

    Attributes:
        epochs: passes over the training photos, at least 1.
        batch_size: photos per step.
        learning_rate: the peak, reached at the end of warm-up.
        warmup_epochs: length of the linear warm-up, 0 to `epochs` (fractions allowed).
        weight_decay: AdamW's decay, times the learning rate at each step; kernels only.
        clip_norm: bound on the global gradient norm, or None.
        label_smoothing: share of the label spread over all classes, in [0, 1).
        augment: "none", "light", "medium" or "strong".
        jit_compile: True, False, or "auto" for Keras' own choice.
        seed: seeds weights drawn from now on, shuffling and augmentation.

    Raises:
        ValueError: for a value outside these ranges.
    """

    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 5e-4
    warmup_epochs: float = 5.0
    weight_decay: float = 0.05
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.1
    augment: str = "medium"
    jit_compile: bool | str = "auto"
    seed: int = 0

    def __post_init__(self):
        """Checks the values."""
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "warmup_epochs": (0 <= self.warmup_epochs <= self.epochs, f"0 to {self.epochs}"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "clip_norm": (self.clip_norm is None or self.clip_norm > 0, "above 0, or None"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "augment": (self.augment in AUGMENTATIONS, f"one of {AUGMENTATIONS}"),
            "jit_compile": (self.jit_compile in (True, False, "auto"), 'True, False or "auto"'),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise ValueError(f"Recipe.{name} must be {expected}, got {getattr(self, name)!r}.")

    def schedule(self, steps_per_epoch):
        """Returns the learning rate as a function of the step: warm-up, then cosine to 0."""
        warmup = round(self.warmup_epochs * steps_per_epoch)
        decay = max(self.epochs * steps_per_epoch - warmup, 1)
        if not warmup:
            return keras.optimizers.schedules.CosineDecay(self.learning_rate, decay)
        return keras.optimizers.schedules.CosineDecay(
            0.0, decay, warmup_target=self.learning_rate, warmup_steps=warmup
        )

    def optimizer(self, model, steps_per_epoch):
        """Returns AdamW on this schedule, decaying the model's kernels only.

        Biases, norms, positions, tokens and LayerScale factors are not pulled towards 0: for
        them 0 is not a simpler model.
        """
        optimizer = keras.optimizers.AdamW(
            self.schedule(steps_per_epoch),
            weight_decay=self.weight_decay,
            global_clipnorm=self.clip_norm,
        )
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if v.name != "kernel"]
        )
        return optimizer
