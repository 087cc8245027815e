"""The CNN: its budget beside the ViT's, what Keras users do with models, hand-made residuals."""

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib.models import CNN, ViT, multiply_adds

SMALL = {"image_size": (24, 16), "num_classes": 5, "widths": (4, 8), "blocks_per_stage": 2}


def photos(n=2, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (n, 24, 16, 3)).astype("float32")


def test_its_budget_is_the_vits_within_ten_percent():
    cnn = CNN(96, 5)
    for vit in (
        ViT.from_variant("flowers/16", 96, 5),
        ViT.from_variant("flowers/16", 96, 5, stem="conv", pool="mean", class_token=False),
    ):
        assert cnn.count_params() == pytest.approx(vit.count_params(), rel=0.1)
        assert multiply_adds(cnn) < multiply_adds(vit)


def test_shapes_shrink_stage_by_stage():
    cnn = CNN((96, 64), 5)
    sides = [cnn.get_layer(f"block{i}").output.shape[1:] for i in range(8)]
    assert cnn.get_layer("stem").output.shape == (None, 48, 32, 32)
    assert sides == [
        (24, 16, 32), (24, 16, 32), (12, 8, 64), (12, 8, 64),
        (6, 4, 128), (6, 4, 128), (3, 2, 256), (3, 2, 256),
    ]  # fmt: skip
    assert cnn(np.zeros((3, 96, 64, 3), "uint8")).shape == (3, 5)


def test_a_block_whose_convolutions_are_silent_passes_its_input_on():
    cnn = CNN(**SMALL)
    cnn.get_layer("block1_conv2_norm").gamma.assign(np.zeros(4))
    both = keras.Model(cnn.input, [cnn.get_layer("block0").output, cnn.get_layer("block1").output])
    before, after = both.predict(photos(), verbose=0)
    assert before.max() > 0
    np.testing.assert_array_equal(after, before)


def test_pixels_are_rescaled_inside():
    cnn = CNN(**SMALL)
    rescaled = keras.Model(cnn.input, cnn.get_layer("rescale").output)
    grey = np.stack([np.full((24, 16, 3), v, "float32") for v in (0, 127.5, 255)])
    for photo, value in zip(rescaled.predict(grey, verbose=0), (-1, 0, 1), strict=True):
        np.testing.assert_allclose(photo, value, atol=1e-6)


def test_a_saved_model_gives_the_same_outputs(tmp_path):
    cnn = CNN(**SMALL, drop_path=0.1, pixel_mean=[120, 110, 100])
    cnn.save(tmp_path / "cnn.keras")
    loaded = keras.models.load_model(tmp_path / "cnn.keras")
    assert type(loaded) is CNN
    assert loaded.get_config() == cnn.get_config()
    np.testing.assert_array_equal(
        loaded.predict(photos(), verbose=0), cnn.predict(photos(), verbose=0)
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_inside_single_precision_logits(policy):
    full, half = CNN(**SMALL), CNN(**SMALL, dtype=policy)
    half.set_weights(full.get_weights())
    assert all(v.dtype == "float32" for v in half.trainable_variables)
    logits = half(photos())
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits), ops.convert_to_numpy(full(photos())), atol=0.05
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns_a_handful_of_photos(jit_compile):
    labels = np.arange(8) % 5
    bright = photos(8) * (labels / 4)[:, None, None, None]  # the brighter, the later the class
    cnn = CNN(**SMALL)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    cnn.compile(keras.optimizers.AdamW(1e-2), loss, jit_compile=jit_compile)
    fitted = cnn.fit(bright.astype("float32"), labels, epochs=40, verbose=0)
    assert fitted.history["loss"][-1] < 0.3 * fitted.history["loss"][0]


def test_stochastic_depth_skips_whole_images():
    cnn = CNN(**SMALL, drop_path=0.9)
    branch = keras.Model(cnn.input, cnn.get_layer("block3_skip").output)
    silent = ops.convert_to_numpy(branch(photos(64), training=True)) == 0
    skipped = silent.all(axis=(1, 2, 3))
    assert 45 < skipped.sum() < 64  # 90 % of 64, give or take four deviations
    assert not (silent.mean(axis=(1, 2, 3))[~skipped] > 0.9).any()
    assert cnn.get_layer("block0_skip").rate == 0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"blocks_per_stage=0"):
        CNN(24, 5, blocks_per_stage=0)
    with pytest.raises(ValueError, match=r"widths=\(\)"):
        CNN(24, 5, widths=())
    with pytest.raises(ValueError, match=r"cnn expects images of shape .* \(B, 24, 16, 3\)"):
        CNN(**SMALL)(np.zeros((2, 16, 24, 3)))


def test_frozen_layers_and_arrays_of_pixel_statistics_survive_saving(tmp_path):
    model = CNN(**SMALL, pixel_mean=np.array([120.0, 110, 100]), pixel_std=np.full(3, 50.0))
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.save(tmp_path / "cnn.keras")
    again = keras.models.load_model(tmp_path / "cnn.keras")
    assert [w.path for w in again.trainable_weights] == ["head/kernel", "head/bias"]
    np.testing.assert_array_equal(again(photos()), model(photos()))
