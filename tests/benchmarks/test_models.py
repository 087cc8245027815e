import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vit_keras_lib.layers import SelfAttention
from vit_keras_lib.models import CNN, multiply_adds

import keras  # isort: skip  (after the library, which keeps TensorFlow's start-up lines out)

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "models.py"


def run(*arguments):
    """Returns what the benchmark of tiny models prints, or its error."""
    command = [sys.executable, SCRIPT, "--quick", "--rounds=2", "--seconds=0.01", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else done.stderr


def test_table_and_json_say_the_same(tmp_path):
    out = tmp_path / "speed.json"
    arguments = ["--sides", "64", "--batch", "2", "--models", "vit_keras_lib"]
    printed = run(*arguments, "--peak-tflops", "0.5", "--out", out)
    stored = json.loads(out.read_text())

    (row,), (size,) = stored["rows"], stored["sizes"]
    assert size["run"]["versions"]["keras"]
    assert (size["tokens"], size["batch"], size["dtype"]) == (64, 2, "float32")
    # By hand: patches 64 x 192 -> 24; q, k, v of all 65 tokens 24 -> 72. Of the class token alone,
    # because the only block is the last: its products with all tokens, the projection and the MLP
    # 24 -> 48 -> 24. The head. A product has two operations.
    flops = 2 * (64 * 192 * 24 + 65 * 24 * 72 + 2 * 65 * 24 + 24 * (24 + 2 * 48) + 24 * 5)
    *_, line = (x for x in printed.splitlines() if x.startswith("vit_keras_lib  "))
    for kind, key, factor in (("train", "train", 3), ("inference", "infer", 1)):
        speed = row[f"{kind}, img/s"]
        medians = [sum(rounds[key]) / 2 for rounds in row["rounds"].values()]  # of two rounds
        assert speed == pytest.approx(max(medians))
        of_peak = factor * flops * speed / (1e9 * size["matmul peak, GFLOP/s"])
        assert row[f"{kind}, of matmul peak"] == pytest.approx(of_peak)
        utilisation = factor * flops * speed / 0.5e12
        assert row[f"{kind}, model-FLOPs utilisation"] == pytest.approx(utilisation)
        assert f"{speed:.1f}" in line
    assert set(row["rounds"]) == {"jit", "no jit"}
    assert 0.1 < row["peak memory, GB"] < 20
    assert row["first step, s"] > 0


def test_each_of_several_sizes_is_measured_by_itself(monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--quick", "--sides", "32", "64"])
    runpy.run_path(str(SCRIPT))["main"]()
    assert [command[1:] for command in commands] == [
        [str(SCRIPT), "--quick", "--sides", "32", "64", "--sides", side] for side in ("32", "64")
    ]


def test_sizes_measured_alike_share_a_file(tmp_path):
    store = runpy.run_path(str(SCRIPT))["store"]
    common = ("patch", "dim", "depth", "heads", "mlp_dim", "classes", "dtype", "pool")
    path, size = tmp_path / "speed.json", dict.fromkeys(common, 8)

    def stored(tokens, speed, **settings):
        rows = [{"model": name, "tokens": tokens, "speed": speed} for name in ("b", "a")]
        store(path, {"rounds": 2, **settings}, {**size, "tokens": tokens}, rows)
        result = json.loads(path.read_text())
        assert [s["tokens"] for s in result["sizes"]] == sorted(
            {r["tokens"] for r in result["rows"]}
        )
        return [(r["tokens"], r["model"], r["speed"]) for r in result["rows"]]

    stored(144, 1)
    assert stored(64, 2) == [(64, "b", 2), (64, "a", 2), (144, "b", 1), (144, "a", 1)]
    assert stored(144, 3) == [(64, "b", 2), (64, "a", 2), (144, "b", 3), (144, "a", 3)]
    assert stored(64, 4, rounds=9) == [(64, "b", 4), (64, "a", 4)]  # not comparable: a new file


def test_ratios_are_to_our_own_row():
    benchmark = runpy.run_path(str(SCRIPT))
    s = benchmark["Sizes"](16, 8, 24, 2, 3, 48, 5, 1, "float32", "mean")
    speeds = {"KerasHub": (5.0, 30.0), "vit_keras_lib": (10.0, 20.0)}
    rows = [
        {"model": name, "train, img/s": train, "inference, img/s": inference}
        for name, (train, inference) in speeds.items()
    ]
    benchmark["add_ratios"](rows, s, 1e9)
    assert [row["train, ratio to ours"] for row in rows] == [0.5, 1]
    assert [row["inference, ratio to ours"] for row in rows] == [1.5, 1]
    assert [row["multiply-adds"] for row in rows] == [s.flops / 2] * 2


def test_operations_are_counted_alike():
    benchmark = runpy.run_path(str(SCRIPT))
    s = benchmark["Sizes"](32, 8, 24, 2, 3, 48, 5, 1, "float32", pool="mean")
    count = benchmark["model_flops"]
    assert count(s, "vit_keras_lib") == count(s, "KerasHub") == count(s, "timm")
    assert count(s, "CNN") == 2 * multiply_adds(CNN(32, 5))
    assert count(s, "convolutional stem") > count(s, "vit_keras_lib")
    # q, k, v and projection stay, what is between the 16 tokens goes: 16 x 16 x 24, twice a block.
    assert count(s, "vit_keras_lib") - count(s, "no attention") == 2 * 2 * 2 * 16 * 16 * 24
    dense = [x for x in benchmark["keras_io_model"](s).layers if isinstance(x, keras.layers.Dense)]
    head = sum(np.prod(layer.kernel.shape) for layer in dense[-3:]) - 24 * 5
    assert dense[-3].units == 2048
    assert count(s, "keras.io example") - count(s, "vit_keras_lib") == 2 * head


def test_operations_with_a_class_token():
    benchmark = runpy.run_path(str(SCRIPT))
    mean = benchmark["Sizes"](32, 8, 24, 2, 3, 48, 5, 1, "float32", pool="mean")
    s, count = dataclasses.replace(mean, pool="cls"), benchmark["model_flops"]
    # One token more than 16 in each of two blocks, and its products with the others.
    more = 2 * (24 * (96 + 2 * 48) + 2 * (17 * 17 - 16 * 16) * 24)
    assert count(s, "KerasHub") - count(mean, "KerasHub") == 2 * more
    # In the last block 16 patches have no projection, no MLP and do not look at 17 tokens.
    less = 16 * (24 * (24 + 2 * 48) + 2 * 17 * 24)
    assert count(s, "KerasHub") - count(s, "vit_keras_lib") == 2 * less
    between = 2 * 17 * 17 * 24 + 2 * 17 * 24
    assert count(s, "vit_keras_lib") - count(s, "no attention") == 2 * between
    assert count(s, "keras.io example") == count(mean, "keras.io example")


@pytest.mark.parametrize("pool", ["cls", "mean"])
@pytest.mark.parametrize("name", ["KerasHub", "PyTorch eager", "timm"])
def test_peers_have_as_many_weights(name, pool):
    benchmark = runpy.run_path(str(SCRIPT))
    if not benchmark["installed"](name):
        pytest.skip(f"{name} is not installed")
    s = benchmark["Sizes"](32, 8, 24, 2, 3, 48, 5, 2, "float32", pool)
    ours, theirs = benchmark["our_model"](s), benchmark["MAKERS"][name](s)
    if name == "KerasHub":
        answer, count = theirs(s.data()[0]), theirs.count_params()
    else:
        import torch

        answer = theirs(torch.as_tensor(s.data()[0]))
        count = sum(weight.numel() for weight in theirs.parameters())
    assert tuple(answer.shape) == (2, 5)
    assert count == ours.count_params()


def test_a_worker_that_fails_ends_the_run_and_says_why(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    error = run("--sides", "64", "--models", "vit_keras_lib")
    assert "matrix product broke off" in error
    assert "Unable to import backend : abacus" in error


def test_a_competitor_that_breaks_off_is_left_out_and_named(monkeypatch, capsys):
    benchmark = runpy.run_path(str(SCRIPT))
    measure = benchmark["measure"]

    class Stub:
        def __init__(self, s, name, mode, seconds):
            self.name, self.mode, self.label = name, mode, f"{name}, {mode}"
            self.first, self.rounds = 1.0, []

        def start(self):
            if self.name == "KerasHub":
                raise RuntimeError(f"{self.label} broke off")

        def run(self):
            if (self.name, self.mode) == (breaks, "jit") and self.rounds:
                raise RuntimeError(f"{self.label} broke off")
            speeds = {"jit": 3.0, "no jit": 2.0}
            self.rounds.append({"train": speeds.get(self.mode), "infer": 1.0, "memory": 0.1})
            if self.name is None:
                self.rounds[-1] = {"1024": 5.0}

        def median(self, key):
            return self.rounds[-1][key]

        def close(self):
            closed.append(self.label)

    monkeypatch.setitem(measure.__globals__, "Worker", Stub)
    s = benchmark["Sizes"](16, 8, 24, 2, 3, 48, 5, 1, "float32")
    closed, breaks, names = [], "CNN", ("vit_keras_lib", "CNN", "KerasHub")
    rows, peak, broken = measure(s, names, 2, 0.1)
    assert [(row["model"], row["train mode"]) for row in rows] == [
        ("vit_keras_lib", "jit"), ("CNN", "no jit")
    ]  # fmt: skip
    assert peak == 5.0
    assert broken == ["KerasHub, jit", "KerasHub, no jit", "CNN, jit"]
    assert closed[:3] == broken and len(closed) == 7  # each once, and none is left behind
    assert "left out: CNN, jit broke off" in capsys.readouterr().out
    breaks = "vit_keras_lib"
    with pytest.raises(RuntimeError, match="vit_keras_lib, jit"):
        measure(s, names, 2, 0.1)


def test_without_attention_tokens_keep_to_themselves(monkeypatch):
    monkeypatch.setattr(SelfAttention, "call", SelfAttention.call)  # put back afterwards
    benchmark = runpy.run_path(str(SCRIPT))
    s = benchmark["Sizes"](16, 8, 24, 2, 3, 48, 5, 1, "float32")
    ours, blind = benchmark["our_model"](s), benchmark["blind_model"](s)
    assert blind.count_params() == ours.count_params()
    images = s.data()[0].repeat(2, axis=0)  # (2, 16, 16, 3)
    images[1, 8:, 8:] = 0  # another last patch
    before_head = keras.Model(blind.input, blind.layers[-2].input)
    one, other = keras.ops.convert_to_numpy(before_head(images))
    np.testing.assert_allclose(one[:4], other[:4], atol=1e-6)  # class token and three patches
    assert np.abs(one[4] - other[4]).max() > 0.1
