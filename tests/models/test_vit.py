import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import ViT
from vit_keras_lib.models.vit import TokenPooling, rescaling

COUNTS = {  # 224 px, 1000 classes; table of google-research/vision_transformer's own tests
    "Ti/16": 5_717_416,
    "S/16": 22_050_664,
    "B/16": 86_567_656,
    "B/32": 88_224_232,
    "L/16": 304_326_632,
}


def images(H=24, W=16, B=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (B, H, W, 3), dtype="uint8")


def logits(model, x, **kwargs):
    return ops.convert_to_numpy(model(x, **kwargs))


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_counts(variant):
    assert ViT.from_variant(variant).count_params() == COUNTS[variant]


def test_the_flowers_variant_is_the_default_model():
    model = ViT.from_variant("flowers/8", image_size=96, num_classes=5)
    config = model.get_config()
    assert config == ViT(96, 5, patch_size=8).get_config()
    assert (config["depth"], config["num_heads"], model.grid) == (6, 12, (12, 12))
    assert model.get_layer("head").count_params() < 0.05 * model.count_params()


@pytest.mark.parametrize("variant", ["X/16", "B-16", "B/", "b/16", "B/16.5", ""])
def test_unknown_variants_are_refused(variant):
    if variant == "B/":
        assert ViT.from_variant("B/", 32, 2).patch_size == (16, 16)
        return
    with pytest.raises(ValueError, match=r"Unknown variant.*Ti, S, B, L, H, flowers"):
        ViT.from_variant(variant)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
def test_takes_raw_pixels_of_any_real_dtype(tiny_vit, dtype):
    model = tiny_vit()
    np.testing.assert_allclose(
        logits(model, images().astype(dtype)), logits(model, images()), atol=1e-5
    )


def test_pixels_are_rescaled_inside(tiny_vit):
    model = tiny_vit()
    front = keras.Model(model.input, model.get_layer("rescale").output)
    x = np.zeros((1, 24, 16, 3), "uint8")
    x[0, 0, 0] = 255
    y = ops.convert_to_numpy(front(x))
    assert (y[0, 0, 0] == 1).all()
    assert (y[0, 1:] == -1).all()


def test_top_level_layers_are_the_joints(tiny_vit):
    names = [layer.name for layer in tiny_vit().layers]
    assert names == ["images", "rescale", "patches", "encoder", "block0", "block1", "norm", "pool",
                     "head"]  # fmt: skip


def test_cut_at_a_block_and_joined_again_gives_the_same_logits(tiny_vit):
    model, x = tiny_vit(), images()
    joint = model.get_layer("block0").output
    front, back = keras.Model(model.input, joint), keras.Model(joint, model.output)
    np.testing.assert_allclose(back(front(x)), logits(model, x), atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{}, {"register_tokens": 2}, {"pool": "mean"}, {"depth": 0},
     # What differs in training: statistics of batches, skipped branches, branches computed anew.
     {"stem": "conv"}, {"drop_path": 0.5}, {"drop_path": 0.5, "remat": True}],
)  # fmt: skip
def test_what_the_head_does_not_read_is_left_out_and_changes_nothing(tiny_vit, changes):
    """A `keras.Model` of the same ends computes all tokens of all blocks."""
    model, x, labels = tiny_vit(layer_scale=0.5, **changes), images(), np.array([0, 1, 2])
    in_full = keras.Model(model.input, model.output)
    np.testing.assert_allclose(logits(model, x), logits(in_full, x), atol=1e-5)
    start, steps = model.get_weights(), []
    for whole in (model, in_full):
        model.set_weights(start)
        for seeds in (
            layer for layer in model._flatten_layers() if hasattr(layer, "seed_generator")
        ):
            seeds.seed_generator.state.assign(np.array([0, 1], "uint32"))  # the same draws
        whole.compile(
            keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        whole.train_on_batch(x, labels)
        steps.append(model.get_weights())
    for ours, theirs in zip(*steps, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_training_reaches_the_layers_however_the_model_is_called(tiny_vit, pool):
    model, x = tiny_vit(dropout=0.5, pool=pool), images()

    def stateless(x, training):
        trainable, fixed = model.trainable_variables, model.non_trainable_variables
        values = ([ops.convert_to_tensor(v) for v in group] for group in (trainable, fixed))
        return model.stateless_call(*values, x, training=training)[0]

    def directly(x, training):
        return model.call(ops.convert_to_tensor(x), training=training)

    for call in (model, stateless, directly):
        at_rest = ops.convert_to_numpy(call(x, training=False))
        np.testing.assert_allclose(at_rest, logits(model, x), atol=1e-6)
        assert np.abs(ops.convert_to_numpy(call(x, training=True)) - at_rest).max() > 1e-2


def test_of_the_last_block_the_class_token_alone_is_computed(tiny_vit, monkeypatch):
    pool, shapes = TokenPooling.call, []
    monkeypatch.setattr(
        TokenPooling, "call", lambda self, x: shapes.append(tuple(x.shape)) or pool(self, x)
    )
    for how in ("cls", "mean"):
        model = tiny_vit(pool=how)
        for whole in (model, keras.Model(model.input, model.output)):
            shapes.clear()
            whole(images())
            T = 1 if how == "cls" and whole is model else 7
            assert shapes == [(3, T, 24)]


def test_different_images_and_permuted_patches_give_different_logits(tiny_vit):
    model, x = tiny_vit(), images()
    y = logits(model, x)
    assert np.abs(y[0] - y[1]).max() > 1e-3
    upside_down = x.reshape(3, 3, 8, 16, 3)[:, ::-1].reshape(x.shape)  # rows of patches swapped
    assert np.abs(logits(model, upside_down) - y).max() > 1e-3
    blind = tiny_vit(position="none")
    np.testing.assert_allclose(logits(blind, upside_down), logits(blind, x), atol=1e-5)


def test_mean_pool_leaves_the_prefix_tokens_out(tiny_vit):
    model, x = tiny_vit(pool="mean", register_tokens=2), images()
    tokens = keras.Model(model.input, model.get_layer("norm").output)(x)
    pooled = keras.Model(model.input, model.get_layer("pool").output)(x)
    assert tokens.shape == (3, 3 + 6, 24)
    np.testing.assert_allclose(pooled, ops.convert_to_numpy(tokens)[:, 3:].mean(1), atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_one_fit_step(tiny_vit, jit):
    model = tiny_vit(dropout=0.1, attention_dropout=0.1, drop_path=0.1, layer_scale=0.1)
    before = logits(model, images())
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  jit_compile=jit)  # fmt: skip
    loss = model.fit(images(), np.array([0, 1, 2]), verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    assert np.abs(logits(model, images()) - before).max() > 1e-4


def test_every_weight_gets_a_gradient(tiny_vit):
    model = tiny_vit(layer_scale=0.1, register_tokens=1)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.fit(images(), np.array([0, 1, 2]), verbose=0)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(ops.convert_to_numpy(variable) - old).max() > 0, variable.path


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_float32_logits_near_the_float32_models(tiny_vit, policy):
    full = tiny_vit()
    keras.config.set_dtype_policy(policy)
    half = tiny_vit()
    assert half.get_layer("block1").output.dtype == policy.removeprefix("mixed_")
    half.set_weights(full.get_weights())
    y = half(images())
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    np.testing.assert_allclose(ops.convert_to_numpy(y), logits(full, images()), atol=0.06)
    half.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(half.fit(images(), np.array([0, 1, 2]), verbose=0).history["loss"][0])


SAVED = {
    "plain": {},
    "all options": dict(
        pool="mean", position="sincos2d", register_tokens=2, patch_size=(8, 4), dropout=0.1,
        attention_dropout=0.1, drop_path=0.1, layer_scale=0.1, channels=1, name="everything",
    ),
    "no class token": dict(pool="mean", class_token=False, position="none"),
    "bfloat16": dict(dtype="mixed_bfloat16"),
}  # fmt: skip

FRESH = """
import sys, numpy as np, vit_keras_lib, keras
for path in sys.argv[1:]:
    model = keras.models.load_model(path)
    np.save(path + ".npy", model.predict(np.load(path + ".images.npy"), verbose=0))
"""


def test_saved_here_and_loaded_in_a_fresh_process_gives_the_same_outputs(tiny_vit, tmp_path):
    models = {name: tiny_vit(**config) for name, config in SAVED.items()}
    models["resized"] = models["plain"].with_image_size((32, 48))
    expected = {}
    for name, model in models.items():
        assert ViT.from_config(model.get_config()).get_config() == model.get_config()
        x = images(*model.image_size)[..., : model.channels]
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.keras.images.npy", x)
        expected[name] = model.predict(x, verbose=0)
    paths = [str(tmp_path / f"{name}.keras") for name in models]
    subprocess.run([sys.executable, "-c", FRESH, *paths], check=True, timeout=240)
    for name, outputs in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.keras.npy"), outputs)


def test_config_keys_are_the_init_arguments(tiny_vit):
    import inspect

    arguments = set(inspect.signature(ViT.__init__).parameters) - {"self", "kwargs"}
    assert set(tiny_vit().get_config()) == arguments | {"name", "trainable"}


def test_with_image_size_keeps_the_weights_and_resizes_positions_only(tiny_vit):
    model = tiny_vit(register_tokens=1)
    wide = model.with_image_size((16, 48))
    assert (wide.grid, wide.image_size) == ((2, 6), (16, 48))
    changed = [
        old.path
        for old, new in zip(model.weights, wide.weights, strict=True)
        if old.shape != new.shape or not np.array_equal(old, new)
    ]
    assert [path.split("/")[-1] for path in changed] == ["position_table"]
    assert logits(wide, images(16, 48)).shape == (3, 5)
    same = model.with_image_size((24, 16))
    np.testing.assert_array_equal(logits(same, images()), logits(model, images()))


def test_with_image_size_keeps_a_place_where_it_was(tiny_vit):
    """A model that sees the same picture at twice the size answers nearly the same."""
    model = tiny_vit(image_size=(48, 48), patch_size=8)
    table = model.get_layer("encoder").position_table
    y, x = np.mgrid[:6, :6] / 5
    table.assign(np.tile(np.stack([y, x], -1).reshape(36, 2), 12).astype("float32"))
    big = model.with_image_size((96, 48)).get_layer("encoder").position_table
    rows = ops.convert_to_numpy(big).reshape(12, 6, 24)[..., 0]
    np.testing.assert_allclose(rows[2:-2].mean(1), np.linspace(0, 1, 6).repeat(2)[2:-2], atol=0.11)


def test_unknown_batch_size_and_predict(tiny_vit):
    model = tiny_vit()
    assert model.output_shape == (None, 5)
    y = model.predict(images(B=5), batch_size=2, verbose=0)
    np.testing.assert_allclose(y, logits(model, images(B=5)), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": (24, 20)}, "H=24, W=20"),
        ({"num_heads": 5}, "num_heads=5 does not divide dim=24"),
        ({"pool": "max"}, "cls.*mean.*max"),
        ({"class_token": False}, "pool=.cls. reads the class token"),
        ({"position": "rotary"}, "rotary"),
        ({"position": "sincos2d", "dim": 18}, "dim=18"),
        ({"patch_size": 0}, "patch_size"),
        ({"image_size": 24.0}, "image_size"),
    ],
)
def test_bad_arguments(tiny_vit, config, message):
    with pytest.raises((ValueError), match=message):
        tiny_vit(**config)


@pytest.mark.parametrize("shape", [(2, 16, 24, 3), (2, 24, 16, 1), (24, 16, 3)])
def test_images_of_another_shape_are_refused_with_advice(tiny_vit, shape):
    message = r"\(B, H, W, C\) = \(B, 24, 16, 3\), got .*with_image_size.*images\[None\]"
    with pytest.raises(ValueError, match=message):
        tiny_vit()(np.zeros(shape))


@pytest.mark.parametrize(
    "changes",
    [{"stem": "conv"}, {"stem": "shifted", "locality": True}, {"representation_size": 10},
     {"activation": "gelu_tanh", "epsilon": 1e-3}, {"remat": True},
     {"pixel_mean": (100.0, 110.0, 120.0), "pixel_std": (50.0, 60.0, 70.0)}],
)  # fmt: skip
def test_every_kind_survives_saving_and_another_size(changes, tiny_vit, tmp_path):
    model = tiny_vit(**changes)
    x = np.random.default_rng(0).uniform(0, 255, (2, 24, 16, 3)).astype("float32")
    before = ops.convert_to_numpy(model(x))
    assert np.abs(before - ops.convert_to_numpy(tiny_vit()(x))).max() > 1e-4
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(before, ops.convert_to_numpy(again(x)))
    assert again.with_image_size((32, 24)).grid == (4, 3)


def test_pixels_are_normalised_by_channel(tiny_vit):
    mean, std = np.array([100.0, 110.0, 120.0]), np.array([50.0, 60.0, 70.0])
    model = tiny_vit(pixel_mean=mean.tolist(), pixel_std=std.tolist())
    x = np.random.default_rng(0).integers(0, 256, (2, 24, 16, 3))
    y = keras.Model(model.input, model.get_layer("rescale").output)(x.astype("float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(y), (x - mean) / std, atol=1e-5)
    # Images are (B, H, W, C) here, whatever Keras is set to for its own layers.
    keras.config.set_image_data_format("channels_first")
    try:
        again = rescaling(mean, std)(x.astype("float32"))
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(ops.convert_to_numpy(again), ops.convert_to_numpy(y))


def test_numpy_integers_and_shapes_are_sizes(tiny_vit, tmp_path):
    one = np.int64(1)
    model = tiny_vit(image_size=np.array([24, 16]), patch_size=8 * one, num_heads=3 * one)
    assert model.get_config() == tiny_vit().get_config()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(again, images()), logits(model, images()))
    assert model.with_image_size(ops.zeros((1, 32, 24, 3)).shape[1:3]).image_size == (32, 24)
    for wrong in ("96", None, 1.5, (8, 8, 8)):
        with pytest.raises(ValueError, match="`image_size` must be a positive integer or a pair"):
            tiny_vit(image_size=wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"stem": "deep"}, r"`stem` must be one of .*got 'deep'"),
     ({"activation": "relu"}, r"`activation` must be one of .*got 'relu'"),
     ({"stem": "conv", "patch_size": (8, 4)}, r"2, 4, 8, 16")],
)  # fmt: skip
def test_unknown_parts_are_refused(changes, message, tiny_vit):
    with pytest.raises(ValueError, match=message):
        tiny_vit(**changes)


def test_frozen_layers_stay_frozen_in_a_file_and_at_another_size(tiny_vit, tmp_path):
    model = tiny_vit()
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.save(tmp_path / "frozen.keras")
    for again in (keras.models.load_model(tmp_path / "frozen.keras"), model.with_image_size(32)):
        assert [w.path for w in again.trainable_weights] == ["head/kernel", "head/bias"]
    assert "frozen" not in tiny_vit().get_config()


def test_arrays_of_pixel_statistics_survive_saving(tiny_vit, tmp_path):
    mean, std = np.array([120.0, 110.0, 100.0]), np.array([60.0, 50.0, 40.0])
    model = tiny_vit(pixel_mean=mean, pixel_std=std)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(again, images()), logits(model, images()))


def test_takes_what_keras_takes_for_one_input(tiny_vit):
    model, x = tiny_vit(), images()
    expected = model.predict(x, verbose=0)
    for given in ([x], {"images": x}):
        np.testing.assert_array_equal(model.predict(given, verbose=0), expected)
    with pytest.raises(ValueError, match=r"one batch of images, got 3 things.*np.stack"):
        model(list(x))
    with pytest.raises(ValueError, match=r"one input, 'images', got \['photos'\]"):
        model({"photos": x})
