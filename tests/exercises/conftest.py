"""What tests of several pages ask for."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def runs(request):
    """The runs of a page's break-it set by their causes, each measure as an array."""
    page = request.module.page
    runs = {name: {k: np.array(v) for k, v in r.items()} for name, r in page.broken_runs().items()}
    assert list(runs) == ["sound", *page.DIAGNOSIS.truth]
    return {page.DIAGNOSIS.truth.get(name, name): run for name, run in runs.items()}
