"""The checks of notebook 05: right answers in other words, and what its planted bugs show."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vit_keras_lib import Recipe
from vit_keras_lib.datasets.augment import batcher
from vit_keras_lib.exercises import train_vit as page
from vit_keras_lib.training import calibration

# --- Right answers, written in other ways than the reference ----------------------------------


def rates_step_by_step(steps, warmup, peak):
    rates = []
    for step in range(steps + 1):
        if step < warmup:
            rates.append(peak * step / warmup)
        else:
            rates.append(peak * (1 + np.cos(np.pi * (step - warmup) / (steps - warmup))) / 2)
    return np.array(rates)


def rates_in_two_pieces(steps, warmup, peak):
    rise = np.linspace(0, peak, warmup, endpoint=False)
    fall = peak * np.cos(np.linspace(0, np.pi / 2, steps - warmup + 1)) ** 2
    return np.concatenate([rise, fall])


def label_by_counting(first, second, box, image_size):
    top, left, height, width = box
    pasted = sum(
        top <= row < top + height and left <= column < left + width
        for row, column in np.ndindex(*image_size)
    )
    return first + (second - first) * pasted / np.prod(image_size)


def label_by_painting(first, second, box, image_size):
    mask = np.zeros(image_size)
    top, left, height, width = box
    mask[max(top, 0) : top + height, max(left, 0) : left + width] = 1
    return (1 - mask.mean()) * first + mask.mean() * second


def loss_in_two_parts(logits, labels, smoothing):
    largest = logits.max(axis=1)
    total = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    right = logits[np.arange(len(labels)), labels]
    return total - (1 - smoothing) * right - smoothing * logits.mean(axis=1)


def loss_photo_by_photo(logits, labels, smoothing):
    losses = []
    for row, label in zip(logits, labels, strict=True):
        log_p = row - row.max() - np.log(np.exp(row - row.max()).sum())
        losses.append(-(1 - smoothing) * log_p[label] - smoothing * log_p.mean())
    return np.array(losses)


def error_bin_by_bin(confidence, right, bins):
    error = 0.0
    for b in range(bins):
        own = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if own.any():
            error += own.mean() * abs(right[own].mean() - confidence[own].mean())
    return error


def error_by_sums(confidence, right, bins):
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    return np.abs(np.bincount(place, right - confidence)).sum() / len(right)


# Judged in test_pages.py.
RIGHT = {
    page.check_learning_rates: [rates_step_by_step, rates_in_two_pieces],
    page.check_cutmix_label: [label_by_counting, label_by_painting],
    page.check_smoothed_loss: [loss_in_two_parts, loss_photo_by_photo],
    page.check_calibration_error: [error_bin_by_bin, error_by_sums],
}


def naive_loss(logits, labels, smoothing):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = np.log(p[np.arange(len(labels)), labels])
    return -(1 - smoothing) * right - smoothing * np.log(p).mean(axis=1)


def test_one_maximum_for_all_photos_is_named(capsys):
    def loss(logits, labels, smoothing):
        shifted = logits - logits.max()
        total = np.log(np.exp(shifted).sum(axis=1))
        right = shifted[np.arange(len(labels)), labels]
        return total - (1 - smoothing) * right - smoothing * shifted.mean(axis=1)

    page.check_smoothed_loss(loss)
    assert "Known mistake: One maximum for all rows. " in capsys.readouterr().out


def test_overflow_is_named(capsys):
    page.check_smoothed_loss(naive_loss)
    assert "Known mistake: exp of large logits. " in capsys.readouterr().out


# --- The references are what the library does -------------------------------------------------


def test_the_rates_are_those_of_the_recipe():
    recipe = Recipe(epochs=6, warmup_epochs=2, learning_rate=0.01)
    schedule = recipe.schedule(steps_per_epoch=5)
    rates = [float(schedule(step)) for step in range(31)]
    np.testing.assert_allclose(rates, page.learning_rates(30, 10, 0.01), atol=1e-8)


def test_the_label_is_that_of_the_library():
    # Black photos of class 0 and white ones of class 1: the white share is the label's.
    images = np.zeros((16, 12, 20, 3), "uint8")
    images[8:] = 255
    labels = np.eye(2, dtype="float32")[[0] * 8 + [1] * 8]
    photos = tf.data.Dataset.from_tensor_slices((images, labels))
    mixed, soft = next(iter(batcher(mix=True)(photos, 16)))
    np.testing.assert_allclose(np.mean(mixed, axis=(1, 2, 3)) / 255, soft[:, 1], atol=1e-3)
    assert ((soft[:, 1] > 0.01) & (soft[:, 1] < 0.99)).numpy().any()
    white = np.ones((12, 20), bool)
    for box in ((2, 3, 4, 5), (-3, 12, 8, 30)):
        top, left, height, width = box
        white[:] = False
        white[max(top, 0) : top + height, max(left, 0) : left + width] = True
        label = page.cutmix_label(np.array([1.0, 0]), np.array([0, 1.0]), box, (12, 20))
        assert label[1] == pytest.approx(white.mean())


def test_the_loss_is_that_of_keras():
    rng = np.random.default_rng(0)
    logits, labels = 4 * rng.normal(size=(7, 5)), rng.integers(0, 5, 7)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1, reduction="none"
    )
    theirs = loss(np.eye(5)[labels], logits)
    np.testing.assert_allclose(page.smoothed_loss(logits, labels, 0.1), theirs, atol=1e-5)


def test_the_floor_is_the_one_that_is_told():
    wanted = 0.9 * np.eye(5)[:1] + 0.02  # the answer that equals its label
    floor = page.smoothed_loss(np.log(wanted), np.array([0]), 0.1)[0]
    assert f"the floor is {floor:.2f} nats" in page.SMOOTHED_LOSS.insight


def test_the_error_is_that_of_the_library():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 200)
    truth = np.arange(200) % 5
    right = probabilities.argmax(axis=1) == truth
    error = page.calibration_error(probabilities.max(axis=1), right, 10)
    assert error == pytest.approx(calibration(probabilities, truth, bins=10).error)


# --- What went wrong --------------------------------------------------------------------------


def test_the_sound_run_learns(runs):
    sound = runs["sound"]
    assert sound["loss"][-1] < 0.8
    assert sound["val_accuracy"][-1] > 0.55
    assert (sound["val_loss"][5:] > sound["loss"][5:]).all()


def test_sorted_flowers_train_smoothly_and_validate_badly_and_late(runs):
    run = runs["sorted flowers"]
    assert run["val_accuracy"][0] < 0.25
    assert run["val_loss"][0] > page.GUESS[0]
    assert run["loss"][0] < runs["sound"]["loss"][0]
    assert run["loss"][-1] < 0.8
    assert (np.diff(run["loss"]) < 0.02).all()
    assert 0.4 < run["val_accuracy"][-1] < runs["sound"]["val_accuracy"][-1]


def test_leaked_validation_is_better_than_it_should_be(runs):
    run = runs["leaked validation"]
    np.testing.assert_array_equal(run["loss"], runs["sound"]["loss"])
    assert (run["val_loss"] < run["loss"] + 0.02).all()
    assert run["val_accuracy"][-1] > runs["sound"]["val_accuracy"][-1] + 0.1
    assert run["val_accuracy"][-1] == max(r["val_accuracy"][-1] for r in runs.values())


def test_a_high_learning_rate_is_ragged_and_far_above_guessing_in_loss_only(runs):
    run = runs["learning rate too high"]
    assert (run["loss"] > page.GUESS[0]).all()
    assert np.abs(np.diff(run["val_loss"])).mean() > 0.5
    assert (run["accuracy"][5:] > 0.5).all()
    assert (run["val_accuracy"][5:] > 2 * page.GUESS[1]).all()


def test_shuffled_labels_are_learned_by_heart_and_nothing_else_is(runs):
    run = runs["shuffled labels"]
    assert run["accuracy"][-1] > 0.35
    assert (run["val_accuracy"] < 0.25).all()
    assert run["val_loss"][-1] > run["val_loss"][0] > page.GUESS[0]
    assert (np.diff(run["loss"]) < 0.02).all()
