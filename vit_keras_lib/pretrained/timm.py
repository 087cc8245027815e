"""timm's VisionTransformer: `model.safetensors`, with the hub's `config.json` or without.

Names, defaults and the exact GELU are those of timm/models/vision_transformer.py.
"""

from vit_keras_lib.pretrained.checkpoint import (
    Checkpoint,
    count_blocks,
    shape_of,
    square_grid,
)
from vit_keras_lib.pretrained.hugging_face import pixel_statistics

BLOCK = "blocks.{i}"

TABLE = {
    "encoder/projection/kernel": ("patch_embed.proj.weight", "dim C ph pw -> (ph pw C) dim"),
    "encoder/projection/bias": ("patch_embed.proj.bias", "dim"),
    "encoder/class_token": ("cls_token", "1 1 dim"),
    "encoder/register_tokens": ("reg_token", "1 R dim"),
    "block{i}/norm1/gamma": (f"{BLOCK}.norm1.weight", "dim"),
    "block{i}/norm1/beta": (f"{BLOCK}.norm1.bias", "dim"),
    "block{i}/attention/qkv/kernel": (f"{BLOCK}.attn.qkv.weight", "3dim dim -> dim 3dim"),
    "block{i}/attention/qkv/bias": (f"{BLOCK}.attn.qkv.bias", "3dim"),
    "block{i}/attention/projection/kernel": (f"{BLOCK}.attn.proj.weight", "out dim -> dim out"),
    "block{i}/attention/projection/bias": (f"{BLOCK}.attn.proj.bias", "dim"),
    "block{i}/scale1": (f"{BLOCK}.ls1.gamma", "dim"),
    "block{i}/norm2/gamma": (f"{BLOCK}.norm2.weight", "dim"),
    "block{i}/norm2/beta": (f"{BLOCK}.norm2.bias", "dim"),
    "block{i}/mlp_hidden/kernel": (f"{BLOCK}.mlp.fc1.weight", "mlp dim -> dim mlp"),
    "block{i}/mlp_hidden/bias": (f"{BLOCK}.mlp.fc1.bias", "mlp"),
    "block{i}/mlp_output/kernel": (f"{BLOCK}.mlp.fc2.weight", "dim mlp -> mlp dim"),
    "block{i}/mlp_output/bias": (f"{BLOCK}.mlp.fc2.bias", "dim"),
    "block{i}/scale2": (f"{BLOCK}.ls2.gamma", "dim"),
    "norm/gamma": ("norm.weight", "dim"),
    "norm/beta": ("norm.bias", "dim"),
    "head/kernel": ("head.weight", "classes dim -> dim classes"),
    "head/bias": ("head.bias", "classes"),
}
# Beginnings of names that tell a model which ViT is not.
OTHERS = {
    "fc_norm.": "a norm behind the pooling (fc_norm)",
    "attn_pool.": "attention pooling (attn_pool)",
    "norm_pre.": "a norm before the blocks (norm_pre, CLIP's)",
    "dist_token": "a distillation token (DeiT's distilled kind)",
    "patch_embed.backbone.": "a convolutional network before the ViT",
}
# Widths whose heads do not have 64 channels: ViT-So400m, -H, -g and -G.
HEADS = {1152: 16, 1280: 16, 1408: 16, 1664: 16}
# Arguments of timm's model that change what it computes in no way, or in one that tensors show.
KNOWN_ARGUMENTS = {
    "act_layer",
    "class_token",
    "depth",
    "dynamic_img_pad",
    "dynamic_img_size",
    "embed_dim",
    "global_pool",
    "img_size",
    "in_chans",
    "init_values",
    "mlp_ratio",
    "no_embed_class",
    "num_classes",
    "num_heads",
    "patch_size",
    "qkv_bias",
    "reg_tokens",
    "weight_init",
}


def understand(tensors, config=None):
    """Makes a `Checkpoint` of a timm ViT.

    Tensors do not tell the heads: without `num_heads` in the config's `model_args`, heads of 64
    channels are taken, as timm's ViTs have them (16 heads for the widths 1152, 1280, 1408 and
    1664); for widths that are no multiple of 64 they have to be told. Nor do tensors tell the
    pixels' mean and deviation: without a config they are timm's default for ViT, 0.5 and 0.5.
    The grid is the config's `input_size`, or a square.

    Args:
        tensors: from `model.safetensors`.
        config: of `config.json`: `model_args`, `pretrained_cfg`, `global_pool`; or None.

    Raises:
        ValueError: for another architecture, or arguments that `ViT` has nothing for.
    """
    config = config or {}
    arguments, published = config.get("model_args") or {}, config.get("pretrained_cfg") or {}
    if not isinstance(arguments, dict) or not isinstance(published, dict):
        raise ValueError("config.json's model_args and pretrained_cfg must be objects.")
    for start, what in OTHERS.items():
        if any(name.startswith(start) for name in tensors):
            raise ValueError(f"The checkpoint holds {what}, which ViT has not.")
    unknown = sorted(set(arguments) - KNOWN_ARGUMENTS)
    if unknown:
        raise ValueError(f"config.json's model_args has {unknown}, which ViT has nothing for.")
    activation = arguments.get("act_layer", "gelu")
    if activation not in ("gelu", "gelu_tanh") or "quickgelu" in str(config.get("architecture")):
        raise ValueError(
            f"config.json says architecture {config.get('architecture')!r} with "
            f"act_layer={activation!r}: expected gelu or gelu_tanh."
        )

    dim, channels, ph, pw = shape_of(tensors, "patch_embed.proj.weight", 4)
    class_token, registers = "cls_token" in tensors, "reg_token" in tensors
    pool = arguments.get("global_pool") or config.get("global_pool")
    pool = {"None": "cls" if class_token else "mean", "token": "cls", "avg": "mean"}.get(str(pool))
    if pool is None or (pool == "cls" and not class_token):
        raise ValueError(
            f"config.json's global_pool must be token (then cls_token must be there) or avg, "
            f"got {config.get('global_pool')!r}."
        )
    rows = shape_of(tensors, "pos_embed", 3)[1]
    size = arguments.get("img_size", published.get("input_size"))
    grid, class_position = _grid(rows, size, (ph, pw), class_token)
    table, ours = TABLE, "encoder/position_table"
    if class_position:
        ours = "encoder/class_position encoder/position_table"
    elif class_token:
        table = {**table, "encoder/class_position": ("", "")}
    table = {**table, ours: ("pos_embed", "1 T dim")}
    if not any(name.endswith(".attn.qkv.bias") for name in tensors):
        table = {**table, "block{i}/attention/qkv/bias": ("", "")}
    # None has to be told: see `Checkpoint.sizes`.
    heads = HEADS.get(dim, None if dim % 64 else dim // 64)
    statistics = {f"image_{key}": published[key] for key in ("mean", "std") if key in published}
    mean, std = pixel_statistics(statistics, channels, 0.5, 0.5)
    vit = {
        "image_size": (grid[0] * ph, grid[1] * pw),
        "patch_size": (ph, pw),
        "channels": channels,
        "dim": dim,
        "depth": count_blocks(tensors, r"blocks\.(\d+)\."),
        "num_heads": arguments.get("num_heads", heads),
        "mlp_dim": shape_of(tensors, "blocks.0.mlp.fc1.weight", 2)[0],
        "pool": pool,
        "position": "learned",
        "class_token": class_token,
        "register_tokens": shape_of(tensors, "reg_token", 3)[1] if registers else 0,
        "layer_scale": 1.0 if "blocks.0.ls1.gamma" in tensors else None,
        "num_classes": (
            shape_of(tensors, "head.weight", 2)[0] if "head.weight" in tensors else None
        ),
        "activation": activation,
        "epsilon": 1e-6,
        "pixel_mean": mean,
        "pixel_std": std,
        "resize_rule": _resize_rule(published),
    }
    return Checkpoint(tensors, table, vit, rows, head=("head.",))


def _resize_rule(published):
    """Returns `ViT.resize_rule` of timm's `pretrained_cfg`; None where it does not say."""
    fit = {"center": "crop", "squash": "squash"}.get(str(published.get("crop_mode", "center")))
    share, name = published.get("crop_pct"), published.get("interpolation")
    known = fit and type(share) in (int, float) and 0 < share <= 1
    return (fit, share, name) if known and name in ("bilinear", "bicubic", "lanczos") else None


def _grid(rows, size, patch, class_token):
    """Returns the grid, and whether the class token has a row of its own."""
    H, W = size[-2:] if isinstance(size, list) and len(size) > 1 else (size, size)
    for places, with_class in ((rows, False), (rows - 1, True)):
        if type(H) is int and type(W) is int:
            grid = (H // patch[0], W // patch[1])
        else:
            grid = (square_grid(places),) * 2
        if grid[0] and grid[0] * grid[1] == places and class_token >= with_class:
            return grid, with_class
    raise ValueError(
        f"pos_embed has {rows} rows, which are no grid for patches of {patch} in images of "
        f"{size} pixels, with or without the row of a class token. Is cls_token missing?"
    )
