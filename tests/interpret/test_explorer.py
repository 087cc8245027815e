"""The page itself runs in headless Chromium, driven by a script appended to a copy of it."""

import base64
import html
import io
import json
import re
import shutil
import subprocess

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image

from vit_keras_lib import (
    attention_explorer,
    attention_maps,
    attention_rollout,
    class_relevance,
    mean_attention_distance,
)
from vit_keras_lib.interpret import logit_lens
from vit_keras_lib.interpret.explorer import _packed, _png

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")


def pictures(B=2, H=24, W=16):
    return np.random.default_rng(0).integers(0, 256, (B, H, W, 3), dtype="uint8")


def masks():
    parts = np.zeros((2, 24, 16), "uint8")
    parts[:, 4:12, 8:] = 1
    parts[0, 20:, :4] = 2
    return parts


@pytest.fixture
def uneven_vit(tiny_vit):
    """Returns a maker of small ViTs whose attention is far from uniform."""

    def make(**changes):
        keras.utils.set_random_seed(3)
        model = tiny_vit(**changes)
        for i in range(model.depth):
            qkv = model.get_layer(f"block{i}").attention.qkv
            qkv.kernel.assign(qkv.kernel * 1.7)
        return model

    return make


def page_data(page):
    """Returns the data that stands in a page."""
    return json.loads(re.search(r"previousElementSibling, (.*)\);\n</script>", page)[1])


# --- Without a browser ------------------------------------------------------------------------


def test_same_bytes_twice_and_on_disk(uneven_vit, tmp_path):
    model = uneven_vit()
    first, second = (attention_explorer(model, pictures(), masks()) for _ in range(2))
    assert first.html == second.html
    assert first._repr_html_() == second._repr_html_()
    path = first.save(tmp_path / "page.html")
    assert path.read_bytes() == first.html.encode()
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(uneven_vit, tmp_path, monkeypatch):
    explorer = attention_explorer(uneven_vit(), pictures(1))
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        explorer.save(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("page.html", "old")]


def test_the_frame_holds_the_page_and_a_picture_stands_behind_it(uneven_vit):
    explorer = attention_explorer(uneven_vit(), pictures())
    shown = explorer._repr_html_()
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1]) == explorer.html
    still = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]*)"', shown)[1])
    pixels = np.asarray(Image.open(io.BytesIO(still)))  # photo and map, ten times enlarged
    assert pixels.shape == (240, 320, 3)
    np.testing.assert_array_equal(pixels[::10, :160:10], pictures()[0])
    seen = attention_maps(uneven_vit(), pictures())[0, -1, :, 0, 1:].mean(axis=0)
    row, column = divmod(int(seen.argmax()), 2)
    brightness = pixels[:, 160:].astype(int).sum(axis=2)[40::80, 40::80]  # one pixel a patch
    assert brightness.shape == (3, 2)
    assert brightness[row, column] == brightness.max()


def test_nothing_to_fetch_and_nothing_evaluated(uneven_vit):
    page = attention_explorer(uneven_vit(), pictures()).html
    assert not re.findall(r"https?:|src=|href=|@import|url\(", page)
    assert not re.findall(r"\beval|new Function|Worker|fetch\(|XMLHttp|import\(|Date|random", page)
    assert page.count("<script>") == 1


def test_names_cannot_break_out_of_the_script(uneven_vit):
    names = ["</script><script>x", '"<b>', "<!--", "\u2028", "tulip"]
    page = attention_explorer(uneven_vit(), pictures(), class_names=names).html
    assert page.count("</script>") == 1
    assert "<!--" not in page
    assert page_data(page)["classes"] == names


def test_packed_maps_keep_their_error_bound():
    maps = np.random.default_rng(0).dirichlet(np.full(7, 0.3), (2, 3, 7)).astype("float32")
    packed = {name: base64.b64decode(text) for name, text in _packed(maps).items()}
    levels = np.frombuffer(packed["levels"], "uint8").reshape(maps.shape)
    tops = np.frombuffer(packed["tops"], "<f4").reshape(2, 3, 7, 1)
    np.testing.assert_array_equal(tops, maps.max(-1, keepdims=True))
    assert (np.abs(levels * tops / 255 - maps) <= tops / 510 + 1e-7).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_lossless(channels):
    image = pictures(1, 7, 5)[0, ..., :channels]
    read = np.asarray(Image.open(io.BytesIO(_png(image))))
    np.testing.assert_array_equal(read, np.broadcast_to(image, (7, 5, 3)))


def test_answers_parts_and_scene_are_those_given(uneven_vit):
    model, changed = uneven_vit(), 255 - pictures()
    page = attention_explorer(model, pictures(), masks(), changed, labels=[1, 4]).html
    for b, photo in enumerate(page_data(page)["photos"]):
        for logits, answers in [
            (logit_lens(model, pictures())[b], photo["lens"]),
            (logit_lens(model, changed)[b, -1:], [photo["changed"]["answer"]]),
        ]:
            odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            np.testing.assert_array_equal([k for k, _ in answers], odds.argmax(-1))
            np.testing.assert_allclose([p for _, p in answers], odds.max(-1), atol=1e-5)
        assert photo["label"] == [1, 4][b]
        # Part 1 is rows 4 to 11 of the right column; part 2, of the first photo, a corner.
        corner = 0.25 if b == 0 else 0
        assert photo["coverage"] == [[0, 0.5, 0, 0.5, 0, 0], [0, 0, 0, 0, corner, 0]]
        edges = 8 + 8 + 8 + (4 + 4 if b == 0 else 0)  # the picture's own border is not drawn
        assert photo["outlines"].count("M") == edges
        assert "M8 4v1" in photo["outlines"]


def test_bad_input(uneven_vit):
    model, x = uneven_vit(), pictures()
    with pytest.raises(ValueError, match=r"\(B, 24, 16, 3\), got \(2, 16, 24, 3\)"):
        attention_explorer(model, pictures(2, 16, 24))
    with pytest.raises(ValueError, match="at least one image"):
        attention_explorer(model, x[:0])
    with pytest.raises(ValueError, match=r"`parts`.*\(2, 24, 16\), got uint8 \(2, 24, 16, 1\)"):
        attention_explorer(model, x, masks()[..., None])
    with pytest.raises(ValueError, match=r"`parts` must be integers.*float64"):
        attention_explorer(model, x, masks() / 2)
    with pytest.raises(ValueError, match=r"`counterfactuals`.*got \(1, 24, 16, 3\)"):
        attention_explorer(model, x, counterfactuals=x[:1])
    with pytest.raises(ValueError, match="5 classes, got 2 class_names"):
        attention_explorer(model, x, class_names=["a", "b"])
    for labels in ([0], [0, 5]):
        with pytest.raises(ValueError, match="2 class numbers from 0 to 4"):
            attention_explorer(model, x, labels=labels)
    for parts in (masks(), None):
        with pytest.raises(ValueError, match="1 names for"):
            attention_explorer(model, x, parts, part_names=["petal"])
    with pytest.raises(ValueError, match="no TransformerBlock"):
        attention_explorer(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), x)


# --- In the browser ---------------------------------------------------------------------------

# What must not happen is noted from the first line on; the policy forbids requests and eval.
WATCH = """
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
  frame-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<script>
  window.faults = [];
  window.onerror = (message) => { faults.push(message); };
  console.error = console.warn = (...words) => { faults.push(words.join(" ")); };
  addEventListener("securitypolicyviolation", (e) => faults.push(e.blockedURI));
</script>
"""
DRIVE = """
<script>
addEventListener("load", () => {
  const roots = [...document.querySelectorAll(".attention-explorer")];
  const role = (name, root = roots[0]) => root.querySelector(`[data-role="${name}"]`);
  const numbers = (root = roots[0]) => Object.fromEntries(
    [...root.querySelectorAll("data")].map((e) => [e.dataset.name, Number(e.value)]));
  const text = (name, root) => role(name, root).textContent;
  const pointer = (type, name, row, column, pointerType = "mouse", root = roots[0]) => {
    const box = role(name, root).getBoundingClientRect();
    role(name, root).dispatchEvent(new PointerEvent(type, {bubbles: true, pointerType,
      clientX: box.left + (column + 0.5) / COLUMNS * box.width,
      clientY: box.top + (row + 0.5) / ROWS * box.height}));
  };
  const key = (element, key) =>
    element.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  const press = (name, label, root) =>
    [...role(name, root).children].find((b) => b.textContent === label).click();
  const map = (label) => document.querySelector(`[aria-label="${label}"]`);
  const act = () => { ACT };
  const report = {said: act(), faults, width: innerWidth,
    needs: document.scrollingElement.scrollWidth,
    requests: performance.getEntriesByType("resource").map((e) => e.name)
      .filter((name) => !name.startsWith("data:"))};
  parent.document.body.dataset.report = JSON.stringify(report);
});
</script>
"""


@pytest.fixture
def drive(tmp_path):
    """Returns a function that acts on a page in Chromium and returns what the act returned."""

    def run(page, act, grid=(3, 2), width=1280):
        script = DRIVE.replace("ACT", act)
        script = script.replace("ROWS", str(grid[0])).replace("COLUMNS", str(grid[1]))
        file = tmp_path / "page.html"
        page = page.replace("<head>", "<head>" + WATCH, 1)
        page = page.replace("</body>", script + "</body>")
        if width < 500:  # no window of Chromium is narrower, but a frame is
            style = f"width: {width}px; height: 600px; border: 0"
            frame = f'<iframe style="{style}" srcdoc="{html.escape(page)}"></iframe>'
            page = f"<!doctype html><html><body>{frame}</body></html>"
        file.write_text(page, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update"]
        flags += ["--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars"]
        flags += [f"--window-size={max(width, 500)},800", f"--user-data-dir={tmp_path / 'profile'}"]
        flags += ["--virtual-time-budget=5000"]
        result = subprocess.run(
            [CHROMIUM, *flags, "--dump-dom", file.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        found = re.search(r'data-report="([^"]*)"', result.stdout)
        assert found, result.stderr[-2000:]
        report = json.loads(html.unescape(found[1]))
        assert report["faults"] == []
        assert report["requests"] == []
        assert report["width"] == width
        assert report["needs"] <= width
        return report["said"]

    return run


def assert_numbers(shown, row, patch, model, distance):
    """Compares the readout with NumPy's numbers of one row of weights (T,) and one patch."""
    prefix, positive = model.num_prefix_tokens, row[row > 0]
    weight, on_patches = row[prefix + patch], row[prefix:]
    bound = shown["error"] + 1e-7
    assert 0 < bound < 1 / 500
    assert abs(shown["weight"] - weight) <= bound
    for t in range(prefix):
        assert abs(shown[f"prefix{t}"] - row[t]) <= bound
    # Patches whose weights differ by less than rounding may change places.
    ahead = [1 + int((on_patches > weight + slack).sum()) for slack in (2 * bound, -2 * bound)]
    assert ahead[0] <= shown["rank"] <= ahead[1]
    assert shown["entropy"] == pytest.approx(-(positive * np.log2(positive)).sum(), abs=0.05)
    assert shown["distance"] == pytest.approx(distance, abs=0.1)


@needs_chromium
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"patch_size": (8, 4)},
        {"register_tokens": 2},
        {"pool": "mean", "class_token": False},
        {"pool": "mean", "class_token": False, "register_tokens": 1},
    ],
)
def test_numbers_are_those_of_numpy(uneven_vit, drive, changes):
    model = uneven_vit(**changes)
    maps = attention_maps(model, pictures())
    rollouts = attention_rollout(maps, steps=True)
    prefix, cols = model.num_prefix_tokens, model.grid[1]
    act = """
      const said = [numbers()];
      pointer("pointermove", "photo", 2, 1);
      said.push(numbers());
      pointer("click", "photo", 2, 1);
      pointer("pointerleave", "photo", 2, 1);
      map("block 0, head 1").click();
      pointer("pointermove", "map", 1, 0);
      said.push(numbers());
      press("methods", "Rollout");
      said.push(numbers());
      role("photos").children[1].click();
      said.push(numbers());
      return said;
    """
    opening, hovered, chosen, rollout, other = drive(
        attention_explorer(model, pictures()).html, act, model.grid
    )

    def distance(maps, query=None):
        """Of one query patch, or the mean over all of them."""
        if query is None:
            return mean_attention_distance(maps, model.grid, model.patch_size, prefix)
        at = np.stack(np.divmod(np.arange(maps.shape[-1] - prefix), cols), -1) * model.patch_size
        weights = maps[prefix + query, prefix:]
        return weights @ np.linalg.norm(at - at[query], axis=1) / weights.sum()

    mean = maps[0, -1].mean(axis=0)
    row = mean[0] if model.pool == "cls" else mean[prefix:].mean(axis=0)
    assert_numbers(opening, row, row[prefix:].argmax(), model, distance(mean))
    query = 2 * cols + 1
    row = mean[prefix + query]
    assert_numbers(hovered, row, row[prefix:].argmax(), model, distance(mean, query))
    for shown, chosen_map in [
        (chosen, maps[0, 0, 1]),
        (rollout, rollouts[0, 0]),
        (other, rollouts[1, 0]),
    ]:
        expected = distance(chosen_map, query)
        assert_numbers(shown, chosen_map[prefix + query], 1 * cols, model, expected)


@needs_chromium
def test_class_relevance_is_one_map_a_class(uneven_vit, drive):
    model = uneven_vit(register_tokens=1)
    rivals = np.argsort(-logit_lens(model, pictures())[0, -1], kind="stable")[:3]
    names = ["aster", "borage", "cosmos", "daisy", "erica"]
    act = """
      press("methods", "Class relevance");
      const said = [];
      for (const button of role("navigator").querySelectorAll("button")) {
        button.click();
        pointer("pointermove", "map", 2, 1);
        said.push([button.getAttribute("aria-label"), numbers().weight, text("answered")]);
      }
      return said;
    """
    page = attention_explorer(model, pictures(), class_names=names).html
    for (label, weight, answered), k in zip(drive(page, act), rivals, strict=True):
        expected = class_relevance(model, pictures()[:1], int(k))[0]
        assert label == names[k]
        assert answered == f"Speaks for {names[k]}"
        assert weight == pytest.approx(expected[2, 1] / expected.sum(), abs=0.002)


@needs_chromium
def test_keys_and_touch(uneven_vit, drive):
    act = """
      const said = {opening: text("pair")};
      const photo = role("photo"), where = role("map");
      key(where, "ArrowUp"); key(where, "ArrowUp"); key(where, "ArrowLeft");
      key(where, "ArrowDown");
      said.pointed = text("pair");
      pointer("pointermove", "photo", 2, 0, "touch");
      said.touched = text("pair");
      pointer("click", "photo", 2, 0, "touch");
      said.tapped = text("pair");
      key(photo, "ArrowRight"); key(photo, "ArrowRight"); key(photo, "ArrowUp");
      said.walked = text("pair");
      key(photo, "Escape");
      said.freed = text("pair");
      const focused = () => document.activeElement.getAttribute("aria-label");
      map("block 1, mean over heads").focus();
      for (const name of ["ArrowUp", "ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowRight"]) {
        key(document.activeElement, name);
      }
      said.focused = focused();
      said.chosen = text("chosen");
      said.reached = [photo, where].map((e) => e.tabIndex);
      said.named = [...document.querySelectorAll("button, [tabindex]")].every(
        (e) => e.getAttribute("aria-label") || e.textContent || e.querySelector("img[alt]"));
      said.stops = role("navigator").querySelectorAll("[tabindex='0']").length;
      return said;
    """
    said = drive(attention_explorer(uneven_vit(), pictures()).html, act)
    assert said["opening"].startswith("From the class token to row ")
    assert said["pointed"] == "From the class token to row 1, column 0"
    assert said["touched"] == said["pointed"]
    assert said["tapped"] == "From the patch at row 2, column 0 to row 1, column 0"
    assert said["walked"] == "From the patch at row 1, column 1 to row 1, column 0"
    assert said["freed"] == "From the class token to row 1, column 0"
    assert said["focused"] == "block 0, head 2"
    assert said["chosen"] == "Chosen: block 0, head 2"
    assert said["reached"] == [0, 0]
    assert said["named"]
    assert said["stops"] == 1


@needs_chromium
def test_parts_scene_and_names(uneven_vit, drive):
    model, names = uneven_vit(), ["</script>", '"<b>', "c", "d", "e"]
    predicted = logit_lens(model, pictures())[0, -1].argmax()
    wrong = (predicted + 1) % 5
    page = attention_explorer(
        model,
        pictures(),
        masks(),
        255 - pictures(),
        names,
        [wrong, 0],
        np.array(["petal", "centre"]),
    ).html
    act = """
      const said = [numbers(), text("verdict"), !role("counterfactual").hidden, text("finding")];
      role("photos").children[1].click();
      return [...said, numbers()];
    """
    first, verdict, has_scene, finding, second = drive(page, act)
    seen = attention_maps(model, pictures())[:, -1].mean(1)[:, 0, 1:]  # (B, N)
    covered = np.array([0, 0.5, 0, 0.5, 0, 0])
    for shown, row in zip((first, second), seen, strict=True):
        expected = (row * covered).sum() / row.sum()
        assert shown["part petal"] == pytest.approx(expected, abs=0.002)
    assert first["part centre"] == pytest.approx(seen[0, 4] / 4 / seen[0].sum(), abs=0.002)
    assert "part centre" not in second  # it is not in the second photo
    assert verdict.startswith(f"The model says {names[predicted]}, ")
    assert verdict.endswith(f"✗; it is {names[wrong]}.")
    assert has_scene
    assert "Attention, block 1, mean over heads: the class token gives" in finding


@needs_chromium
def test_the_map_is_painted_on_the_scale_that_stands_below_it(uneven_vit, drive):
    """From a quarter of the uniform share to 16 times as much, in the colours of viridis."""
    act = """
      const canvas = role("map").querySelector("canvas");
      return [canvas.width, canvas.height, text("ticks"),
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
    """
    model = uneven_vit()
    width, height, ticks, *pixels = drive(attention_explorer(model, pictures()).html, act)
    assert (height, width) == model.grid
    assert ticks == "≤¼½1248≥16"
    seen = attention_maps(model, pictures())[0, -1].mean(0)[0, 1:] * 7
    assert seen.min() < 1 < seen.max()
    colours = matplotlib.colormaps["viridis"]((np.log2(np.maximum(seen, 1 / 4)) + 2) / 6)
    np.testing.assert_allclose(np.reshape(pixels, (6, 4)), colours * 255, atol=10)


@needs_chromium
def test_two_explorers_in_one_document_stay_apart(uneven_vit, drive):
    first = attention_explorer(uneven_vit(), pictures()).html
    second = attention_explorer(uneven_vit(num_heads=2), pictures()).html
    body = re.search(r"<body>(.*)</body>", second, flags=re.DOTALL)[1]
    act = """
      const before = roots.map((root) => root.innerHTML);
      pointer("click", "photo", 2, 1);
      map("block 0, head 1").click();
      return [roots.length, ...roots.map((root, i) => root.innerHTML === before[i])];
    """
    assert drive(first.replace("</body>", body + "</body>"), act) == [2, False, True]


@needs_chromium
def test_two_frames_in_a_notebook_stay_apart(uneven_vit, drive):
    shown = attention_explorer(uneven_vit(), pictures())._repr_html_()
    act = """
      const frames = [...document.querySelectorAll("iframe")];
      const inside = frames.map((f) => f.contentDocument.querySelector(".attention-explorer"));
      const before = inside.map((root) => root.innerHTML);
      inside[0].querySelector("[data-role=methods]").children[1].click();
      return inside.map((root, i) => root.innerHTML === before[i]);
    """
    page = f"<!doctype html><html><head></head><body>{shown}{shown}</body></html>"
    assert drive(page, act) == [False, True]


@needs_chromium
@pytest.mark.parametrize("num_heads", [3, 24])
def test_usable_at_320_pixels(uneven_vit, drive, num_heads):
    """Nothing sticks out (see `drive`); what is to be tapped is large enough to be."""
    page = attention_explorer(
        uneven_vit(num_heads=num_heads), pictures(), masks(), pictures(), labels=[0, 1]
    ).html
    act = """
      const patch = role("map").getBoundingClientRect().width / COLUMNS;
      const cells = [...role("navigator").querySelectorAll("button")];
      return [patch, Math.min(...cells.map((e) => e.getBoundingClientRect().width))];
    """
    patch, cell = drive(page, act, width=320)
    assert patch >= 100
    assert cell >= 19
