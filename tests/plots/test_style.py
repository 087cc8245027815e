import matplotlib
import matplotlib.pyplot as plt

from vit_keras_lib import plots
from vit_keras_lib.plots.style import colour_bar


def test_figures_are_closed_so_that_a_notebook_shows_them_once():
    before = plt.get_fignums()
    plots.charts(2, (4, 2))
    plots.panels(2, 3)
    assert plt.get_fignums() == before


def test_the_style_ends_with_its_block():
    before = matplotlib.rcParams["axes.titlesize"]
    with plots.style():
        assert matplotlib.rcParams["figure.constrained_layout.use"]
    assert matplotlib.rcParams["axes.titlesize"] == before


def test_the_colour_bar_is_that_of_the_maps():
    figure, axes = plots.panels(1, 2)
    colour_bar(figure, axes, 3.0)
    bar = figure.axes[-1]
    assert bar.get_ylim() == (0.0, 3.0)
    assert "1 = spread evenly" in bar.get_ylabel()


def test_no_text_is_smaller_than_nine_points():
    with plots.style():
        sizes = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize")
        assert min(matplotlib.rcParams[name] for name in sizes) >= 9
