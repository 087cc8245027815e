"""The house around the code: notebooks as committed, who imports whom, the commands."""

import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("vit_keras_lib/*/__init__.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users)/|\b[A-Z]:\\")


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


def code(source, count=None, outputs=()):
    return nbformat.v4.new_code_cell(source, execution_count=count, outputs=list(outputs))


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def write(path, *cells):
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return path


# --- Notebooks as committed -------------------------------------------------------------------


def texts(output):
    """Return what an output shows as text: a stream, or the text forms of a result."""
    data = output.get("data", {})
    return [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]


def notebook_faults(notebook, following=None):
    """Return what is wrong with a notebook; `following` is the stem of the one it leads to."""
    faults = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        faults.append("kernel name")
    if len(json.dumps(notebook)) >= 1.5e6:
        faults.append("size")

    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        faults.append("heading")
    elif "?" not in first.source:
        faults.append("question")
    last_words = [c.source for c in notebook.cells if c.cell_type == "markdown"][-1:]
    if following and following not in "".join(last_words):
        faults.append("hand-over")

    for cell in notebook.cells:
        paragraphs = [p for p in cell.source.split("\n\n") if len(p) > 80]
        if cell.cell_type == "markdown" and len(paragraphs) > len(set(paragraphs)):
            faults.append("a paragraph twice")

    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    if [c.execution_count for c in cells] != list(range(1, len(cells) + 1)):
        faults.append("execution counts")
    for cell in cells:
        if len(cell.source.strip().splitlines()) > 25:
            faults.append("long cell")
        for output in cell.outputs:
            if output.output_type == "error":
                faults.append("error output")
            if output.get("name") == "stderr":
                faults.append("stderr output")
            if any(MACHINE_PATH.search(text) for text in texts(output)):
                faults.append("machine path")
    return faults


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_fit_to_be_committed(path):
    following = [p.stem for p in NOTEBOOKS if p > path][:1]
    assert notebook_faults(nbformat.read(path, as_version=4), *following) == []
    assert path.stat().st_size < 1.5e6  # the file too, with its indentation


def sound_notebook():
    return nbformat.v4.new_notebook(
        cells=[
            markdown("# 01 · Flowers\n\nWhat is a photo?"),
            code("1 + 1", 1, [stream("2, ./home/x, https://example.org/tmp/x")]),
            code(""),
            code("2 + 2", 2),
            markdown("Next: 02_patches"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


def spoil_kernel(nb):
    nb.metadata.kernelspec.name = "my-env"


def spoil_size(nb):
    nb.cells[1].outputs = [stream("x" * 1_500_000)]


def spoil_heading(nb):
    nb.cells[0].source = "What is a photo?"


def spoil_question(nb):
    nb.cells[0].source = "# 01 · Flowers"


def spoil_hand_over(nb):
    nb.cells[-1].source = "Goodbye."


def spoil_paragraph(nb):
    nb.cells[0].source += 2 * ("\n\n" + "Every word of it stands there twice. " * 3)


def spoil_count(nb):
    nb.cells[3].execution_count = None


def spoil_order(nb):
    nb.cells[1].execution_count, nb.cells[3].execution_count = 2, 1


def spoil_length(nb):
    nb.cells[1].source = "\n".join(["x = 1"] * 26)


def spoil_error(nb):
    nb.cells[1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[])]


def spoil_stderr(nb):
    nb.cells[1].outputs = [stream("careful", name="stderr")]


def spoil_stream_path(nb):
    nb.cells[1].outputs = [stream("saved to " + "/".join(["", "home", "ann", "x"]))]


def spoil_result_path(nb):
    text = "'C:\\" + "flowers'"
    nb.cells[1].outputs = [nbformat.v4.new_output("execute_result", {"text/plain": text})]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (spoil_kernel, "kernel name"),
        (spoil_size, "size"),
        (spoil_heading, "heading"),
        (spoil_question, "question"),
        (spoil_hand_over, "hand-over"),
        (spoil_paragraph, "a paragraph twice"),
        (spoil_count, "execution counts"),
        (spoil_order, "execution counts"),
        (spoil_length, "long cell"),
        (spoil_error, "error output"),
        (spoil_stderr, "stderr output"),
        (spoil_stream_path, "machine path"),
        (spoil_result_path, "machine path"),
    ],
)
def test_each_notebook_fault_is_seen(spoil, fault):
    notebook = sound_notebook()
    assert notebook_faults(notebook, "02_patches") == []
    spoil(notebook)
    assert notebook_faults(notebook, "02_patches") == [fault]


# --- Who imports whom -------------------------------------------------------------------------

# Package of the library -> the other packages of the library it may know.
MAY_KNOW = {
    "layers": set(),
    "models": {"layers"},
    "interpret": {"layers", "models"},
    "pretrained": {"layers", "models"},
    "datasets": set(),
    "training": {"models", "datasets"},
    "plots": set(),
    "exercises": set(),
}
ANY_BACKEND = {"layers", "models", "interpret", "pretrained"}
ONE_BACKEND = {"tensorflow", "tensorflow_datasets", "jax", "torch"}
PLOTS_MAY_USE = {"numpy", "matplotlib", "mpl_toolkits", "vit_keras_lib"} | sys.stdlib_module_names


def imports(tree, package, inside_functions=True):
    """Return the dotted names a module imports; relative ones resolved against `package`."""
    found, nodes = set(), [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            found.update(f"{module}.{alias.name}" for alias in node.names)
        if inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes.extend(ast.iter_child_nodes(node))
    return found


def layering_faults(source, package):
    """Return the imports in `source`, a module of that package, which break the layering."""
    tree = ast.parse(source)
    inside = f"vit_keras_lib.{package}"
    faults = []
    for name in imports(tree, inside):
        parts = [*name.split("."), ""]
        if parts[0] == "notebooks":
            faults.append(name)
        if parts[0] == "vit_keras_lib" and parts[1] in MAY_KNOW.keys() - {package}:
            faults += [] if parts[1] in MAY_KNOW[package] else [name]
        if package == "plots" and parts[0] not in PLOTS_MAY_USE:
            faults.append(name)
    if package in ANY_BACKEND:
        at_import = imports(tree, inside, inside_functions=False)
        faults += [name for name in at_import if name.split(".")[0] in ONE_BACKEND]
    return sorted(faults)


@pytest.mark.parametrize("package", PACKAGES)
def test_layering(package):
    assert package in MAY_KNOW, "say in MAY_KNOW, and in docs/architecture.md, whom it may know"
    modules = (ROOT / "vit_keras_lib" / package).rglob("*.py")
    faults = {p.name: layering_faults(p.read_text(encoding="utf-8"), package) for p in modules}
    assert not any(faults.values()), faults


@pytest.mark.parametrize(
    ("package", "source", "fault"),
    [
        ("layers", "import tensorflow as tf", "tensorflow"),
        (
            "models",
            "try:\n    from tensorflow.data import Dataset\nexcept E:\n    pass",
            "tensorflow",
        ),
        ("interpret", "class A:\n    import torch", "torch"),
        ("layers", "from ..models import ViT", "vit_keras_lib.models"),
        ("models", "def f():\n    from vit_keras_lib.interpret.attention import g", "interpret"),
        ("plots", "import keras", "keras"),
        ("plots", "from vit_keras_lib import models", "vit_keras_lib.models"),
        ("training", "from notebooks import build", "notebooks"),
    ],
)
def test_each_layering_fault_is_seen(package, source, fault):
    (found,) = layering_faults(source, package)
    assert fault in found


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("layers", "def f():\n    import tensorflow"),
        ("interpret", "from ..models.vit import ViT\nfrom .attention import maps\nimport keras"),
        ("plots", "import math\nimport matplotlib.pyplot as plt\nfrom . import style"),
    ],
)
def test_sound_imports_pass(package, source):
    assert layering_faults(source, package) == []


def test_on_jax_the_library_does_not_import_tensorflow():
    pytest.importorskip("jax")
    show = "import vit_keras_lib, sys, json; print(json.dumps([*sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", show],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(result.stdout)
    assert "vit_keras_lib.layers" in loaded
    assert "tensorflow" not in loaded


def has_docstring(thing):
    """Tell whether a class or function has a docstring of its own, not a dataclass' signature."""
    text = thing.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{thing.__name__}(")


def test_public_names_have_docstrings():
    import vit_keras_lib

    public = {name: getattr(vit_keras_lib, name) for name in vit_keras_lib.__all__}
    documented = {k: v for k, v in public.items() if inspect.isclass(v) or inspect.isroutine(v)}
    assert "ViT" in documented
    assert [name for name, thing in documented.items() if not has_docstring(thing)] == []


def test_a_missing_docstring_is_seen():
    class Bare(nbformat.NotebookNode):
        pass

    assert not has_docstring(Bare)
    assert has_docstring(nbformat.NotebookNode)


# --- Commands ---------------------------------------------------------------------------------


def test_make_help_lists_every_target():
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z][\w-]*):", rules, flags=re.MULTILINE)
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.findall(r"^ +make (\S+)  +\S", shown.stdout, flags=re.MULTILINE) == targets
    assert {"tutorial", "lab", "test", "test-all", "notebooks", "data", "bench"} < set(targets)


def build(*arguments, **environment):
    """Start notebooks/build.py with the environment of this process and `environment`."""
    return subprocess.Popen(
        [sys.executable, ROOT / "notebooks" / "build.py", *arguments],
        env={**os.environ, **environment},
        cwd=environment.get("PWD", ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def two_notebooks(tmp_path):
    return [
        write(
            tmp_path / "01_one.ipynb",
            markdown("# 01 · One & only\n\n**What is here?** More."),
            code("import os\nprint(os.path.isdir(os.environ['FLOWERS']), os.environ['VIT_TIER'])"),
            markdown("On to [two](02_two.ipynb)."),
        ),
        write(tmp_path / "02_two.ipynb", markdown("# 02 · Two\n\nWhy?"), code("1 + 1")),
    ]


def test_tutorial_pages(tmp_path, two_notebooks):
    (tmp_path / "my photos").mkdir()
    out = tmp_path / "pages" / "tutorial"
    process = build(*two_notebooks, "--out", out, FLOWERS="my photos", PWD=str(tmp_path))
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert "01_one" in stdout
    assert os.path.join("pages", "tutorial", "index.html") in stdout
    assert [p.name for p in out.parent.iterdir()] == ["tutorial"]

    index = (out / "index.html").read_text(encoding="utf-8")
    assert '<a href="01_one.html">01 · One &amp; only</a>' in index
    assert "What is here?" in index
    assert "More" not in index
    page = (out / "01_one.html").read_text(encoding="utf-8")
    assert page.count('href="02_two.html"') == 3  # twice in the navigation, once in the text
    # Nothing is fetched: pages read offline.
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "cdnjs" not in page

    executed = nbformat.read(out / "01_one.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].text == "True quick\n"
    assert nbformat.read(two_notebooks[0], as_version=4).cells[1].outputs == []


def test_a_failing_notebook_stops_the_tutorial(tmp_path, two_notebooks):
    bad = write(
        tmp_path / "00_bad.ipynb",
        markdown("# 00\n\nWhy?"),
        code("x = 1"),
        code("print('before')\nraise KeyError('no such flower')"),
    )
    process = build(bad, *two_notebooks, "--out", tmp_path / "tutorial", FLOWERS="x")
    stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert "00_bad.ipynb stopped at code cell 2" in stderr
    assert "    print('before')" in stderr
    assert "KeyError: 'no such flower'" in stderr
    assert len(stderr.splitlines()) < 30
    assert "01_one" not in stdout
    assert not (tmp_path / "tutorial").exists()


def test_an_interrupted_tutorial_can_be_run_again(tmp_path):
    mark, out = tmp_path / "started", tmp_path / "tutorial"
    slow = write(
        tmp_path / "01_slow.ipynb",
        markdown("# 01\n\nWhen?"),
        code(
            "import pathlib, time\nfirst = not pathlib.Path('started').exists()\n"
            "pathlib.Path('started').touch()\ntime.sleep(120 if first else 0)"
        ),
    )
    process = build(slow, "--out", out)
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    assert not out.exists()

    process = build(slow, "--out", out)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert (out / "index.html").exists()


def test_in_place_stores_clean_outputs(tmp_path):
    path = write(
        tmp_path / "01_one.ipynb",
        markdown("# 01\n\nWhat?"),
        code("import os\nos.write(2, b'native log')\nprint('seen')"),
        code(""),
        code("1 + 1"),
    )
    process = build("--in-place", path)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    notebook = nbformat.read(path, as_version=4)
    assert notebook_faults(notebook) == []
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.cells[1].outputs[0].text == "seen\n"
    assert [dict(cell.metadata) for cell in notebook.cells] == [{}] * 4
    assert [p.name for p in tmp_path.iterdir()] == ["01_one.ipynb"]


def test_in_place_refuses_a_warning(tmp_path):
    path = write(
        tmp_path / "01_one.ipynb",
        markdown("# 01\n\nWhat?"),
        code("import warnings\nwarnings.warn('this flower wilts')"),
    )
    before = path.read_bytes()
    process = build("--in-place", path)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert "01_one.ipynb stopped at code cell 1" in stderr
    assert "this flower wilts" in stderr
    assert path.read_bytes() == before
