"""The costs of benchmarks/maps_cost.py: what is timed, and the ratios."""

import itertools

import numpy as np
import pytest


@pytest.fixture
def maps_cost(script):
    return script("maps_cost")


def test_costs_are_medians_in_forward_passes(maps_cost, monkeypatch):
    # Forward passes take 1 second, the other task 3; the rounds of warming up take far longer.
    clock, lengths = 0.0, []
    for n in range(maps_cost.WARM_UP + 4):
        slow = 100 if n < maps_cost.WARM_UP else 1
        lengths += [slow * 1.0, slow * (3.0 if n % 4 else 50.0)]
    ticks = []
    for length in lengths:
        ticks += [clock, clock + length]
        clock += length
    monkeypatch.setattr(maps_cost.time, "perf_counter", iter(ticks).__next__)
    calls = itertools.count()
    names = ("forward pass", "maps")
    monkeypatch.setattr(maps_cost, "tasks", lambda *_: dict.fromkeys(names, lambda: next(calls)))
    rows = maps_cost.measure(None, None, rounds=4)
    assert [(r["task"], r["seconds"], r["forward passes"]) for r in rows] == [
        ("forward pass", 1.0, 1.0),
        ("maps", 3.0, 3.0),
    ]
    assert next(calls) == len(lengths)


def test_all_tasks_look_at_every_image(maps_cost, tiny_vit):
    model = tiny_vit()
    images = np.zeros((2, *model.image_size, 3), "uint8")
    for name, compute in maps_cost.tasks(model, images).items():
        assert len(compute()) == 2, name
