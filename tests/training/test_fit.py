import dataclasses

import keras
import numpy as np
import pytest

from vit_keras_lib import Recipe, train

RECIPE = Recipe(epochs=8, batch_size=8, learning_rate=3e-3, warmup_epochs=1, augment="none")


def fresh(tiny_vit):
    keras.utils.set_random_seed(RECIPE.seed)
    return tiny_vit()


@pytest.fixture(scope="module")
def trained(flowers, tiny_vit):
    model = fresh(tiny_vit)
    return model, train(model, flowers, RECIPE, verbose=0)


def test_it_learns(trained, flowers):
    model, history = trained
    measured = model.evaluate(flowers.batches("test", 10), verbose=0, return_dict=True)
    assert measured["accuracy"] >= 0.8  # chance is 0.2
    assert history.epochs["loss"][-1] < history.epochs["loss"][0]


def test_history_says_what_was_done(trained):
    model, history = trained
    assert {len(values) for values in history.epochs.values()} == {8}
    assert {"loss", "val_accuracy", "learning_rate", "seconds"} <= set(history.epochs)
    assert history.recipe == dataclasses.asdict(RECIPE)
    assert history.data["source"] == "brightness"
    assert history.parameters == model.count_params()
    assert history.run["seed"] == RECIPE.seed
    assert history.seconds > 0


def test_the_learning_rate_read_back_from_the_optimizer_is_the_schedules(trained):
    model, history = trained
    schedule = RECIPE.schedule(steps_per_epoch=5)
    expected = [float(schedule(5 * (epoch + 1))) for epoch in range(8)]
    np.testing.assert_allclose(history.epochs["learning_rate"], expected, atol=1e-8)
    assert int(model.optimizer.iterations) == 40


def test_the_model_has_the_weights_of_the_best_validation_epoch(trained, flowers):
    model, history = trained
    scores = list(
        zip(history.epochs["val_accuracy"], -np.array(history.epochs["val_loss"]), strict=True)
    )
    assert history.best_epoch == max(range(8), key=scores.__getitem__)
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(history.best["val_loss"], rel=1e-4)
    assert measured["accuracy"] == pytest.approx(history.best["val_accuracy"])


def test_the_same_seed_gives_the_same_run(trained, flowers, tiny_vit):
    again = train(fresh(tiny_vit), flowers, dataclasses.replace(RECIPE, epochs=8), verbose=0)
    np.testing.assert_allclose(again.epochs["loss"], trained[1].epochs["loss"], rtol=1e-4)


class StopAfter(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_it_was(flowers, tiny_vit, tmp_path):
    run = tmp_path / "new" / "run"
    model = fresh(tiny_vit)
    with pytest.raises(KeyboardInterrupt):
        train(model, flowers, RECIPE, run, [StopAfter(3)], verbose=0)
    model = tiny_vit()
    history = train(model, flowers, RECIPE, run, verbose=0)
    assert {len(values) for values in history.epochs.values()} == {8}
    assert int(model.optimizer.iterations) == 40
    schedule = RECIPE.schedule(5)
    expected = [float(schedule(5 * (epoch + 1))) for epoch in range(8)]
    np.testing.assert_allclose(history.epochs["learning_rate"], expected, atol=1e-8)

    done = tiny_vit()
    stored = train(done, flowers, RECIPE, run, [StopAfter(0)], verbose=0)  # trains nothing
    assert stored.epochs == history.epochs
    for a, b in zip(done.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"another recipe, model or data"):
        train(done, flowers, dataclasses.replace(RECIPE, learning_rate=1.0), run, verbose=0)


def test_ctrl_c_leaves_the_best_weights_so_far(flowers, tiny_vit, trained):
    model = fresh(tiny_vit)
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        train(model, flowers, RECIPE, callbacks=[StopAfter(2)], verbose=0)
    measured = model.evaluate(flowers.batches("validation", 8), verbose=0, return_dict=True)
    first_two = trained[1].epochs["val_accuracy"][:2]
    assert measured["accuracy"] == pytest.approx(max(first_two))
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_loss_that_is_no_number_ends_in_a_clear_error(flowers, tiny_vit):
    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                bias = self.model.get_layer("head").bias
                bias.assign(np.full(bias.shape, np.nan))

    model = fresh(tiny_vit)
    with pytest.raises(FloatingPointError, match=r"epoch 3 of 8.*lower learning rate"):
        train(model, flowers, RECIPE, callbacks=[Poison()], verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("changes", [{"num_classes": 4}, {"image_size": (24, 24)}])
def test_a_model_for_other_photos_is_refused(flowers, tiny_vit, changes):
    with pytest.raises(ValueError, match=r"image_size=flowers.image_size"):
        train(tiny_vit(**changes), flowers, RECIPE)
