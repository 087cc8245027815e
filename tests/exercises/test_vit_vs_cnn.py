"""The checks of notebook 08: right answers in other words, planted flaws, and the library's own."""

import keras
import numpy as np
import pytest
from scipy import stats

from vit_keras_lib import plots
from vit_keras_lib.exercises import vit_vs_cnn as page
from vit_keras_lib.interpret import effective_receptive_field
from vit_keras_lib.models import CNN, multiply_adds

# --- Right answers, written in other ways than the reference ----------------------------------


def field_from_the_top(kernels, strides):
    """One unit needs so many units of the layer below, and so on down to the pixels."""
    side = 1
    for kernel, stride in list(zip(kernels, strides, strict=True))[::-1]:
        side = (side - 1) * stride + kernel
    return side


def field_by_cumulative_product(kernels, strides):
    steps = np.cumprod([1, *strides[:-1]])
    return int(1 + np.dot(np.array(kernels) - 1, steps))


def accuracy_by_index(validation, test):
    validation = list(validation)
    return float(test[validation.index(max(validation))])


def accuracy_by_sorting(validation, test):
    return float(test[np.argsort(-validation, kind="stable")[0]])


def advantage_seed_by_seed(vit, cnn):
    leads = np.array([a - b for a, b in zip(vit, cnn, strict=True)])
    mean = leads.sum(axis=0) / len(leads)
    variance = ((leads - mean) ** 2).sum(axis=0) / (len(leads) - 1)
    return np.array([mean, (variance / len(leads)) ** 0.5])


def advantage_by_scipy(vit, cnn):
    return np.stack([vit.mean(0) - cnn.mean(0), stats.sem(vit - cnn, axis=0)])


def cost_by_looping(height, width, kernel, channels, filters, stride):
    rows, columns = (len(range(0, side, stride)) for side in (height, width))
    return rows * columns * (kernel * kernel * channels) * filters


def cost_by_ceiling(height, width, kernel, channels, filters, stride):
    places = np.ceil(height / stride) * np.ceil(width / stride)
    return int(places) * filters * channels * kernel**2


# Judged in test_pages.py.
RIGHT = {
    page.check_receptive_field: [field_from_the_top, field_by_cumulative_product],
    page.check_reported_accuracy: [accuracy_by_index, accuracy_by_sorting],
    page.check_advantage: [advantage_seed_by_seed, advantage_by_scipy],
    page.check_convolution_cost: [cost_by_looping, cost_by_ceiling],
}

# --- The references are what the library does -------------------------------------------------


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 2)])
def test_a_receptive_field_is_where_pixels_move_a_unit(strides):
    kernels = (3, 5)
    layers = [
        keras.layers.Conv2D(
            2, kernel, stride, padding="same", kernel_initializer="ones", name=f"conv{i}"
        )
        for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True))
    ]
    model = keras.Sequential([keras.Input((48, 48, 3)), *layers])
    field, _ = effective_receptive_field(model, np.ones((1, 48, 48, 3)), "conv1")
    rows, columns = np.nonzero(field)
    side = page.receptive_field(kernels, strides)
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == side


def test_the_layers_of_our_cnn_are_those_of_the_exercise():
    model = CNN(32, 5, widths=(2, 2, 2, 2))
    found = [
        (layer.kernel_size[0], layer.strides[0])
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and "shortcut" not in layer.name
    ]
    assert found == list(zip(*page._OUR_CNN, strict=True))
    assert f"can see {page.receptive_field(*page._OUR_CNN)} pixels" in page.RECEPTIVE_FIELD.insight


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_cost_is_that_of_the_library(stride):
    layer = keras.layers.Conv2D(5, 3, stride, padding="same")
    model = keras.Sequential([keras.Input((7, 8, 2)), layer])
    assert page.convolution_cost(7, 8, 3, 2, 5, stride) == multiply_adds(model)


def test_half_the_side_and_twice_the_channels_cost_the_same():
    assert page.convolution_cost(24, 24, 3, 32, 32, 1) == page.convolution_cost(
        12, 12, 3, 64, 64, 1
    )


def test_the_best_of_equal_epochs_flatters_as_much_as_is_said():
    epochs = np.random.default_rng(0).binomial(200, 0.7, (2000, 30)) / 200
    assert np.std(epochs) == pytest.approx(0.03, abs=0.005)
    assert 0.06 < np.mean(epochs.max(axis=1)) - 0.7 < 0.07


def test_students_t_of_three_seeds_is_as_said():
    assert stats.t.ppf(0.975, 3 - 1) == pytest.approx(4.3, abs=0.05)


# --- What went wrong --------------------------------------------------------------------------


@pytest.fixture
def charts():
    found = page.broken_comparisons()
    assert list(found) == ["sound", *page.DIAGNOSIS.truth]
    return {"sound": found["sound"]} | {
        cause: found[name] for name, cause in page.DIAGNOSIS.truth.items()
    }


def lead(chart):
    return chart["new"]["test"].mean() - chart["old"]["test"].mean()


def test_the_planted_flaws_show_what_the_messages_say(charts):
    sound = charts["sound"]
    assert abs(lead(sound)) < 0.02
    for cause in page.CAUSES:
        assert lead(charts[cause]) > 0.02, cause
    for cause, chart in charts.items():
        runs = {len(run["test"]) for run in chart.values()}
        assert runs == ({1} if cause == "one seed" else {page._RUNS})
        for model, run in chart.items():
            ends = np.isfinite(run["validation"][0]).sum()
            early = cause == "unequal budget" and model == "old"
            assert ends == (page._EPOCHS // 3 if early else page._EPOCHS)
            known = np.nanmax(run["training"]) > 0.95
            assert known == (cause == "unequal augmentation" and model == "old")
            best = np.nanargmax(run["validation"], axis=1)
            fair = np.array_equal(run["kept"], best)
            assert fair != (cause == "epoch chosen on the test photos" and model == "new")


def test_the_flaw_is_all_that_differs(charts):
    for cause in ("one seed", "epoch chosen on the test photos"):
        for model in ("new", "old"):
            np.testing.assert_array_equal(
                charts[cause][model]["validation"], charts["sound"][model]["validation"][
                    : len(charts[cause][model]["test"])
                ],
            )  # fmt: skip


def test_the_figure_takes_them(charts):
    figure = plots.show_broken_comparisons(page.broken_comparisons(), page.CHANCE, "title")
    assert [axis.get_title("left") for axis in figure.axes[:5]] == ["sound", "A", "B", "C", "D"]
