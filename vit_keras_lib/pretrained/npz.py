"""The `.npz` checkpoints of google-research/vision_transformer and google-research/big_vision.

Names are those of their Flax modules. GELU is Flax's `nn.gelu`, the approximation with a tanh by
default, and the layer norms' epsilon is Flax's default, 1e-6 (vit_jax/models_vit.py and
big_vision/models/vit.py). Pixels come in [-1, 1], of photos that are squashed to the size
(vit_jax/input_pipeline.py).
"""

from vit_keras_lib.pretrained.checkpoint import (
    Checkpoint,
    count_blocks,
    shape_of,
    square_grid,
)

BLOCK = "Transformer/encoderblock_{i}"
ATTENTION = f"{BLOCK}/MultiHeadDotProductAttention_1"
POSITIONS = (
    "Transformer/posembed_input/pos_embedding",  # vision_transformer
    "Transformer/pos_embedding",  # big_vision until 2022
    "pos_embedding",  # big_vision since
)

TABLE = {
    "encoder/projection/kernel": ("embedding/kernel", "ph pw C dim -> (ph pw C) dim"),
    "encoder/projection/bias": ("embedding/bias", "dim"),
    "encoder/class_token": ("cls", "1 1 dim"),
    "block{i}/norm1/gamma": (f"{BLOCK}/LayerNorm_0/scale", "dim"),
    "block{i}/norm1/beta": (f"{BLOCK}/LayerNorm_0/bias", "dim"),
    "block{i}/attention/qkv/kernel": (
        f"{ATTENTION}/query/kernel {ATTENTION}/key/kernel {ATTENTION}/value/kernel",
        "dim k d -> dim (k d)",
    ),
    "block{i}/attention/qkv/bias": (
        f"{ATTENTION}/query/bias {ATTENTION}/key/bias {ATTENTION}/value/bias",
        "k d -> (k d)",
    ),
    "block{i}/attention/projection/kernel": (f"{ATTENTION}/out/kernel", "k d dim -> (k d) dim"),
    "block{i}/attention/projection/bias": (f"{ATTENTION}/out/bias", "dim"),
    "block{i}/norm2/gamma": (f"{BLOCK}/LayerNorm_2/scale", "dim"),
    "block{i}/norm2/beta": (f"{BLOCK}/LayerNorm_2/bias", "dim"),
    "block{i}/mlp_hidden/kernel": (f"{BLOCK}/MlpBlock_3/Dense_0/kernel", "dim mlp"),
    "block{i}/mlp_hidden/bias": (f"{BLOCK}/MlpBlock_3/Dense_0/bias", "mlp"),
    "block{i}/mlp_output/kernel": (f"{BLOCK}/MlpBlock_3/Dense_1/kernel", "mlp dim"),
    "block{i}/mlp_output/bias": (f"{BLOCK}/MlpBlock_3/Dense_1/bias", "dim"),
    "norm/gamma": ("Transformer/encoder_norm/scale", "dim"),
    "norm/beta": ("Transformer/encoder_norm/bias", "dim"),
    "pre_logits/kernel": ("pre_logits/kernel", "dim rep"),
    "pre_logits/bias": ("pre_logits/bias", "rep"),
    "head/kernel": ("head/kernel", "features classes"),
    "head/bias": ("head/bias", "classes"),
}
# The old Flax numbered a block's modules together, the new one (linen) each kind for itself.
LINEN = {
    "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0",
    "LayerNorm_2": "LayerNorm_1",
    "MlpBlock_3": "MlpBlock_0",
}
# Beginnings of names that tell a model which ViT is not.
OTHERS = {
    "conv_root/": "a ResNet before the ViT (R50+ViT-B_16 and its kind)",
    "MAPHead_0/": "attention pooling (MAPHead)",
    "probe": "attention pooling (MAPHead)",
    "Transformer/encoderblock/": "blocks stacked into one tensor (big_vision's scan)",
    "MixerBlock_0/": "an MLP-Mixer",
}


def understand(tensors):
    """Makes a `Checkpoint` of the tensors of an `.npz` file.

    Class token, patch, dim, depth, heads, MLP, pre-logits layer and classes are read off names
    and shapes. The grid must be square, as all published ones are. Without a position table a
    model of linen's names with no class token has the fixed sine-cosine one (arXiv 2205.01580),
    which knows no image size: it is made for 224 pixels.

    Raises:
        ValueError: for another architecture, or a grid that is not square.
    """
    for prefix in ("opt/target/", "params/"):
        if prefix + "embedding/kernel" in tensors:  # beside it lies the optimizer's state
            kept = (name for name in tensors if not name.startswith("opt/") or prefix in name)
            tensors = {name.removeprefix(prefix): tensors[name] for name in kept}
    for start, what in OTHERS.items():
        if any(name.startswith(start) for name in tensors):
            raise ValueError(f"The checkpoint holds {what}, which ViT has not.")

    table = TABLE
    first = BLOCK.format(i=0)
    linen = f"{first}/MultiHeadDotProductAttention_0/query/kernel" in tensors
    if linen:
        for old, new in LINEN.items():
            table = {
                ours: (theirs.replace(old, new), axes) for ours, (theirs, axes) in table.items()
            }
    ph, pw, channels, dim = shape_of(tensors, "embedding/kernel", 4)
    query = table["block{i}/attention/qkv/kernel"][0].format(i=0).split()[0]
    hidden = table["block{i}/mlp_hidden/kernel"][0].format(i=0)
    class_token = "cls" in tensors
    positions = next((name for name in POSITIONS if name in tensors), POSITIONS[0])
    if linen and not class_token and positions not in tensors:
        position, rows, side = "sincos2d", 0, None
        grid = (224 // ph, 224 // pw)
    else:
        position, rows = "learned", shape_of(tensors, positions, 3)[1]
        side = square_grid(rows)
        with_class = square_grid(rows - 1)
        # A row more than a square is the class token's, also when the token itself is missing.
        class_token = class_token or (side is None and with_class is not None)
        if side is None and with_class is None:
            raise ValueError(
                f"{positions} has {rows} rows: no square grid, with or without a class token."
            )
        grid = (side or with_class,) * 2
        ours = "encoder/class_position encoder/position_table"
        if side is not None:
            ours = "encoder/position_table"  # the class token has no place here
            table = {**table, "encoder/class_position": ("", "")}
        table = {**table, ours: (positions, "1 T dim")}
    config = {
        "image_size": (grid[0] * ph, grid[1] * pw),
        "patch_size": (ph, pw),
        "channels": channels,
        "dim": dim,
        "depth": count_blocks(tensors, r"Transformer/encoderblock_(\d+)/"),
        "num_heads": shape_of(tensors, query, 3)[1],
        "mlp_dim": shape_of(tensors, hidden, 2)[1],
        "pool": "cls" if class_token else "mean",
        "position": position,
        "class_token": class_token,
        "representation_size": (
            shape_of(tensors, "pre_logits/kernel", 2)[1] if "pre_logits/kernel" in tensors else None
        ),
        "num_classes": (
            shape_of(tensors, "head/kernel", 2)[1] if "head/kernel" in tensors else None
        ),
        "activation": "gelu_tanh",
        "epsilon": 1e-6,
        "pixel_mean": 127.5,
        "pixel_std": 127.5,
        "resize_rule": ("squash", 1.0, "bilinear"),
    }
    return Checkpoint(tensors, table, config, rows, head=("head/", "pre_logits/"))
