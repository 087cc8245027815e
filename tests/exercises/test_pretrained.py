"""Notebook 09: other right answers pass, the library does the same, the bugs show what is said."""

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import Recipe, resize_position_table
from vit_keras_lib.exercises import pretrained as page
from vit_keras_lib.training.fine_tuning import decay_factors, partly_trainable

# --- Right answers, written in other ways than the reference ----------------------------------


def folded_by_channels(kernel, bias, mean, std):
    pixels = kernel.reshape(-1, len(mean), kernel.shape[1])
    new = pixels / std[:, None]
    shift = np.einsum("pcd,c->d", new, mean)
    return np.concatenate([new.reshape(kernel.shape), (bias - shift)[None]])


def folded_by_loops(kernel, bias, mean, std):
    new, shift = np.zeros(kernel.shape), np.array(bias)
    for i in range(len(kernel)):
        c = i % len(mean)
        new[i] = kernel[i] / std[c]
        shift = shift - mean[c] * new[i]
    return np.vstack([new, shift])


def resized_by_interp(table, prefix, grid, new_grid):
    first, picture = table[:prefix], table[prefix:].reshape(*grid, -1)
    for axis, (old, new) in enumerate(zip(grid, new_grid, strict=True)):
        at = (np.arange(new) + 0.5) / new * old - 0.5
        picture = np.apply_along_axis(
            lambda v, at=at: np.interp(at, range(len(v)), v), axis, picture
        )
    return np.vstack([first, picture.reshape(-1, table.shape[1])])


def resized_by_neighbours(table, prefix, grid, new_grid):
    picture = table[prefix:].reshape(*grid, -1)
    for axis, (old, new) in enumerate(zip(grid, new_grid, strict=True)):
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, old - 1)
        picture = picture.take(low, axis) * (1 - share) + picture.take(high, axis) * share
    return np.concatenate([table[:prefix], picture.reshape(-1, table.shape[1])])


def rates_by_loop(depth, peak, decay):
    rates = [peak]
    for _ in range(depth + 1):
        rates.insert(0, rates[0] * decay)
    return np.array(rates)


def rates_by_product(depth, peak, decay):
    return np.cumprod([peak] + [decay] * (depth + 1))[::-1].astype("float32")


def merged_by_sums(kernel, down, up, alpha):
    merged = kernel.copy()
    for column, row in zip(down.T, up, strict=True):
        merged = merged + alpha / len(up) * np.outer(column, row)
    return merged


def merged_by_einsum(kernel, down, up, alpha):
    return np.einsum("ir,ro->io", down * (alpha / up.shape[0]), up) + kernel


# Judged in test_pages.py.
RIGHT = {
    page.check_fold_statistics: [folded_by_channels, folded_by_loops],
    page.check_resize_positions: [resized_by_interp, resized_by_neighbours],
    page.check_layer_rates: [rates_by_loop, rates_by_product],
    page.check_merge_lora: [merged_by_sums, merged_by_einsum],
}


@pytest.mark.parametrize(
    ("check", "answer"), [(c, a) for c, answers in RIGHT.items() for a in answers]
)
def test_right_answers_pass(check, answer, capsys):
    check(answer)
    assert "✓ all 6 rungs hold" in capsys.readouterr().out


# --- The library does the same ----------------------------------------------------------------


def test_a_folded_kernel_gives_the_models_tokens(tiny_vit):
    mean, std = [120.0, 110.0, 90.0], [60.0, 55.0, 50.0]
    model = tiny_vit(pixel_mean=mean, pixel_std=std)
    images = np.random.default_rng(0).uniform(0, 255, (2, 24, 16, 3)).astype("float32")
    encoder = model.get_layer("encoder")
    normalised = model.get_layer("patches")(model.get_layer("rescale")(images))
    folded = page.fold_statistics(
        *encoder.projection.get_weights(), np.array(mean), np.array(std)
    ).astype("float32")
    raw = ops.convert_to_numpy(model.get_layer("patches")(images))
    expected = ops.convert_to_numpy(encoder.projection(normalised))
    np.testing.assert_allclose(raw @ folded[:-1] + folded[-1], expected, atol=1e-4)


def test_growing_is_the_resizing_of_the_backend():
    table = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
    picture = ops.image.resize(
        table.reshape(1, 3, 4, 5), (6, 9), interpolation="bilinear", data_format="channels_last"
    )
    ours = page.resize_positions(table, 0, (3, 4), (6, 9))
    np.testing.assert_allclose(ours.reshape(6, 9, 5), ops.convert_to_numpy(picture)[0], atol=1e-5)
    cubic = ops.convert_to_numpy(resize_position_table(table, (3, 4), (6, 9)))
    assert 0.8 < np.corrcoef(ours.ravel(), cubic.ravel())[0, 1] < 1


def test_rates_are_those_of_the_recipe(tiny_vit):
    model = tiny_vit()
    rates = page.layer_rates(model.depth, 2.0, 0.5)
    factors = {
        v.path: f for v, f in zip(model.trainable_variables, decay_factors(model, 0.5), strict=True)
    }
    found = [
        factors[path]
        for path in ("encoder/projection/kernel", "block0/norm1/gamma", "block1/norm1/gamma")
    ]
    np.testing.assert_allclose([*found, factors["head/kernel"]], rates / 2.0)


def test_merging_is_that_of_the_recipe(tiny_vit):
    model = tiny_vit()
    dense = model.get_layer("block0").attention.qkv
    kernel, rng = ops.convert_to_numpy(dense.kernel), np.random.default_rng(0)
    with partly_trainable(model, Recipe(lora_rank=3)):
        adapters = dense.lora_kernel_a, dense.lora_kernel_b
        for adapter in adapters:
            adapter.assign(rng.normal(size=adapter.shape))
        down, up = map(ops.convert_to_numpy, adapters)
        alpha = dense.lora_alpha
    merged = page.merge_lora(kernel, down, up, alpha)
    np.testing.assert_allclose(ops.convert_to_numpy(dense.kernel), merged, atol=1e-5)


# --- What went wrong --------------------------------------------------------------------------


def test_the_sound_run_learns(runs):
    sound = runs["sound"]
    assert sound["loss"][0] < page.GUESS[0] and sound["loss"][-1] < 0.6
    assert sound["val_accuracy"][0] > 0.5 and sound["val_accuracy"][-1] > 0.75
    assert (np.diff(sound["val_loss"]) < 0.01).all()


def test_an_old_head_starts_far_above_guessing_and_learns_evenly(runs):
    run = runs["old head"]
    assert run["loss"][0] > 3 * page.GUESS[0] and run["accuracy"][0] <= page.GUESS[1]
    assert (np.diff(run["loss"]) < 0).all() and (np.diff(run["val_loss"]) < 0).all()
    assert 0.6 < run["val_accuracy"][-1] < runs["sound"]["val_accuracy"][-1]


def test_validation_from_0_to_1_spoils_validation_alone(runs):
    run = runs["validation from 0 to 1"]
    np.testing.assert_array_equal(run["loss"], runs["sound"]["loss"])
    np.testing.assert_array_equal(run["val_accuracy"], page.GUESS[1])
    assert (run["val_loss"] > page.GUESS[0]).all() and run["val_loss"][-1] > 4


def test_large_steps_start_far_above_guessing_and_break_the_body(runs):
    run = runs["large steps for all"]
    assert run["loss"][0] > 2 * page.GUESS[0]
    for accuracy in ("accuracy", "val_accuracy"):
        assert run[accuracy][1:].max() < 0.5 and run[accuracy][-5:].max() < 0.3
    assert run["val_loss"][-1] > page.GUESS[0]


def test_pixels_from_0_to_1_stay_beside_guessing(runs):
    run = runs["pixels from 0 to 1"]
    assert max(run["accuracy"].max(), run["val_accuracy"].max()) < 0.3
    for loss in ("loss", "val_loss"):
        assert np.abs(run[loss] - page.GUESS[0]).max() < 0.6


def test_the_shares_that_the_page_quotes(tiny_vit):
    """Rank 8 beside a kernel of 192 x 576."""
    dense = keras.layers.Dense(576)
    dense.build((None, 192))
    dense.enable_lora(8)
    adapters = sum(int(np.prod(v.shape)) for v in (dense.lora_kernel_a, dense.lora_kernel_b))
    assert round(100 * adapters / (192 * 576)) == 6
