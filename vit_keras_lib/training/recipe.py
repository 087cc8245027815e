"""What a training run is made of, in one frozen place."""

import dataclasses

import keras
import numpy as np

from vit_keras_lib.models.vit import POOLS, STEMS, ViT
from vit_keras_lib.training.fine_tuning import LayerwiseAdamW, decay_factors

AUGMENTATIONS = ("none", "light", "medium", "strong")
ARCHITECTURE = ("drop_path", "pool", "stem", "locality", "layer_scale")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of one training run.

    AdamW with decoupled weight decay (arXiv 1711.05101), linear warm-up then cosine (arXiv
    1608.03983), MixUp and CutMix (arXiv 1710.09412, 1905.04899), label smoothing (arXiv
    1512.00567), gradients clipped by their global norm, and an average over the last steps'
    weights (arXiv 1803.05407). The defaults are a sound choice for a few thousand photos; what
    each is worth there, the ladder of page 05 shows.

    Five fields say how the model is built, and `model` reads them: `drop_path`, `pool`, `stem`,
    `locality` and `layer_scale`. `train` takes any model as it is, and its history says what that
    one had.

    Four fields are for fine-tuning a ViT that has learned before: `frozen_blocks`, `layer_decay`,
    `lora_rank` and `probe`.

    Attributes:
        epochs: passes over the training photos, at least 1.
        batch_size: photos per step.
        learning_rate: the peak, reached at the end of warm-up.
        warmup_epochs: length of the linear warm-up, 0 to `epochs` (fractions allowed).
        decay: whether the learning rate then falls to 0 as a cosine, or stays at the peak.
        weight_decay: AdamW's decay, times the learning rate at each step; kernels only.
        clip_norm: bound on the global gradient norm, or None.
        label_smoothing: share of the label spread over all classes, in [0, 1).
        augment: "none", "light", "medium" or "strong"; see `Flowers.batches`.
        mix: whether pictures are mixed in pairs, by MixUp or CutMix. Keras' CutMix draws its alpha
            for each batch, evenly from 0 to 1, where the paper's is 1: more pairs stay nearly as
            they were, or are nearly exchanged.
        ema: share in [0, 1) of the running average of weights that each step keeps, such as
            0.99, or None for no average. With it, validation and the best weights are the
            average's.
        drop_path: rate in [0, 1) of stochastic depth in the last block.
        pool: "mean" over patch tokens, or "cls" for the class token, which "mean" leaves out.
        stem: "patch", "conv" or "shifted"; see `ViT`.
        locality: whether attention is locality self-attention; see `ViT`.
        layer_scale: initial LayerScale factor above 0, or None.
        jit_compile: True, False, or "auto": what `choose_setup` says for the device.
        seed: seeds weights drawn from now on, shuffling and augmentation.
        frozen_blocks: k, 0 to the model's depth: all up to the tokens and the first k blocks are
            not trained, and dropout, stochastic depth and batch-norm statistics are off there.
            None freezes nothing.
        layer_decay: factor in (0, 1] by which the learning rate falls with each block, from the
            head down (arXiv 2106.08254): the head and the norm before it have all of it, the last
            block `layer_decay` of it, the tokens `layer_decay ** (depth + 1)`. None for none.
        lora_rank: rank of the adapters (LoRA, arXiv 2106.09685) of the attention's qkv and
            projection kernels, at least 1. Only they and the head are trained, without weight
            decay of the adapters; in the end they are merged into the kernels. None for none.
        probe: whether only the head is trained, as a linear probe: what it reads is computed once
            a photo, so there is no augmentation or mixing, whatever `augment` and `mix` say.

    Raises:
        ValueError: for a value outside these ranges, or `probe` with another of these four.
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_epochs: float = 5.0
    weight_decay: float = 0.05
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.1
    decay: bool = True
    augment: str = "medium"
    mix: bool = True
    ema: float | None = 0.99
    drop_path: float | None = 0.1
    pool: str | None = "mean"
    stem: str | None = "conv"
    locality: bool | None = False
    layer_scale: float | None = None
    jit_compile: bool | str = "auto"
    seed: int = 0
    frozen_blocks: int | None = None
    layer_decay: float | None = None
    lora_rank: int | None = None
    probe: bool = False

    def __post_init__(self):
        """Checks the values."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):  # JSON and Keras' seeds know Python's numbers only
                object.__setattr__(self, field.name, value.item())
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "warmup_epochs": (0 <= self.warmup_epochs <= self.epochs, f"0 to {self.epochs}"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "clip_norm": (self.clip_norm is None or self.clip_norm > 0, "above 0, or None"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "augment": (self.augment in AUGMENTATIONS, f"one of {AUGMENTATIONS}"),
            "ema": (self.ema is None or 0 <= self.ema < 1, "in [0, 1), or None"),
            "drop_path": (self.drop_path is None or 0 <= self.drop_path < 1, "in [0, 1)"),
            "pool": (self.pool in (*POOLS, None), f"one of {POOLS}"),
            "stem": (self.stem in (*STEMS, None), f"one of {STEMS}"),
            "layer_scale": (self.layer_scale is None or self.layer_scale > 0, "above 0, or None"),
            "jit_compile": (self.jit_compile in (True, False, "auto"), 'True, False or "auto"'),
            "frozen_blocks": (self.frozen_blocks is None or self.frozen_blocks >= 0, "0 or more"),
            "layer_decay": (
                self.layer_decay is None or 0 < self.layer_decay <= 1,
                "above 0 and at most 1, or None",
            ),
            "lora_rank": (self.lora_rank is None or self.lora_rank >= 1, "at least 1, or None"),
            "probe": (
                not self.probe or self.frozen_blocks is self.layer_decay is self.lora_rank is None,
                "False with frozen_blocks, layer_decay or lora_rank: it trains the head alone",
            ),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise ValueError(f"Recipe.{name} must be {expected}, got {getattr(self, name)!r}.")

    def model(self, image_size, num_classes, variant="flowers/16", **kwargs):
        """Returns a new ViT built by this recipe, its weights drawn by the recipe's seed.

        Args:
            image_size: int or (H, W), in pixels.
            num_classes: number of classes.
            variant: as in `ViT.from_variant`.
            **kwargs: further arguments of `ViT`.
        """
        keras.utils.set_random_seed(self.seed)
        fields = {name: getattr(self, name) for name in ARCHITECTURE}
        fields["class_token"] = self.pool == "cls"
        return ViT.from_variant(variant, image_size, num_classes, **{**fields, **kwargs})

    def as_done_by(self, model):
        """Returns this recipe with the fields of the architecture that `model` has.

        None for those it has not, such as a CNN's.
        """
        return dataclasses.replace(
            self, **{name: getattr(model, name, None) for name in ARCHITECTURE}
        )

    def schedule(self, steps_per_epoch):
        """Returns the learning rate as a function of the step: warm-up, then cosine to 0.

        Without warm-up and decay it is one number.
        """
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if not self.decay:
            if not warmup:
                return self.learning_rate
            # 0 to the peak, where it stays.
            return keras.optimizers.schedules.PolynomialDecay(0.0, warmup, self.learning_rate)
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
        settings = {
            "learning_rate": self.schedule(steps_per_epoch),
            "weight_decay": self.weight_decay,
            "global_clipnorm": self.clip_norm,
            "use_ema": self.ema is not None,
            "ema_momentum": self.ema or 0.0,
        }
        if self.layer_decay is None:
            optimizer = keras.optimizers.AdamW(**settings)
        else:
            optimizer = LayerwiseAdamW(decay_factors(model, self.layer_decay), **settings)
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if v.name != "kernel"]
        )
        return optimizer


# One rung each; "variants" do not stay on the ladder.
_RUNGS = (
    ("+ augmentation", {"augment": "medium"}),
    ("+ warm-up and cosine", {"warmup_epochs": 5.0, "decay": True}),
    ("+ MixUp and CutMix", {"mix": True}),
    ("+ label smoothing", {"label_smoothing": 0.1}),
    ("+ stochastic depth", {"drop_path": 0.1}),
    ("+ average of weights", {"ema": 0.99}),
    ("+ mean pooling", {"pool": "mean"}),
    ("+ convolutional stem", {"stem": "conv"}),
)
_VARIANTS = (
    ("shifted patches and locality instead", {"stem": "shifted", "locality": True}),
    ("and LayerScale", {"layer_scale": 1e-4}),
    ("and RandAugment", {"augment": "strong"}),
)


def ladder(epochs=20):
    """Returns the recipe ladder: name -> `Recipe`, each rung what is below it and one thing more.

    From a plain run to the default recipe, then three variants of that: not one on top of the
    other.

    Args:
        epochs: of every rung; at least 5, which the warm-up takes.

    Raises:
        ValueError: for fewer epochs.
    """
    recipe = Recipe(
        epochs=epochs, warmup_epochs=0.0, decay=False, augment="none", mix=False, ema=None,
        label_smoothing=0.0, drop_path=0.0, pool="cls", stem="patch",
    )  # fmt: skip
    rungs = {"plain": recipe}
    for name, change in _RUNGS:
        recipe = dataclasses.replace(recipe, **change)
        rungs[name] = recipe
    return {**rungs, **{name: dataclasses.replace(recipe, **change) for name, change in _VARIANTS}}
