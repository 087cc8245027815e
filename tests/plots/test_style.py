import matplotlib
import matplotlib.pyplot as plt

from vit_keras_lib import plots


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


def test_no_text_is_smaller_than_nine_points():
    with plots.style():
        sizes = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize")
        assert min(matplotlib.rcParams[name] for name in sizes) >= 9
