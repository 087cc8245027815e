"""What nbval compares in the notebooks of this folder."""


def pytest_collectstart(collector):
    """Leave stderr out: IPython captures less of it under pytest, and committed cells have none."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
