"""Execute the course: pages to read in build/tutorial/, or fresh outputs in place.

    python notebooks/build.py                  every notebook -> build/tutorial/
    python notebooks/build.py --in-place       every notebook, its stored outputs refreshed
    python notebooks/build.py 02_patches.ipynb --out some/folder

Notebooks see the environment of the caller: VIT_TIER, FLOWERS and KERAS_BACKEND reach them.
"""

import argparse
import asyncio
import html
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
COURSE = "The Vision Transformer, one flower photo at a time"

# nbconvert's own page, less the scripts it fetches from the network: what is left reads offline.
# MathJax is the one exception, and only on a page with formulas.
PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
{%- if resources.has_formulas -%}{{ super() }}{%- endif -%}
{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 64rem; margin: 0 auto; }
nav { display: flex; justify-content: space-between; padding: 1rem; font-family: sans-serif; }
</style>
{%- endblock -%}
{%- block body_header -%}{{ super() }}{{ resources.navigation }}{%- endblock -%}
{%- block body_footer -%}{{ resources.navigation }}{{ super() }}{%- endblock -%}
"""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{course}</title>
<style>
body {{ max-width: 44rem; margin: 3rem auto; padding: 0 1rem; font: 1.05rem/1.5 sans-serif; }}
h1 {{ line-height: 1.15; }}
li {{ list-style: none; margin: 1.2rem 0; }}
ul {{ padding: 0; }}
small {{ color: #666; }}
</style>
</head>
<body>
<h1>{course}</h1>
<ul>
{entries}
</ul>
<p><small>{footer}</small></p>
</body>
</html>
"""


class NotebookError(Exception):
    """A notebook stopped; the message names the notebook, the cell and the error."""


def heading_and_question(notebook):
    """Return the heading of the first cell, and the first question that follows it ("" if none)."""
    heading, _, rest = notebook.cells[0].source.strip().partition("\n")
    # The paragraph that asks, up to its last question mark; its lines are wrapped in the source.
    asking = [" ".join(part.split()) for part in rest.split("\n\n") if "?" in part]
    paragraph = asking[0].removeprefix("**The question.**") if asking else ""
    question = paragraph[: paragraph.rfind("?") + 1].strip(" *_>")
    return heading.lstrip("# "), question


def failure(path, cell, number, error):
    """Say where a notebook stopped, in a few lines."""
    lines = cell.source.strip().splitlines()
    shown = [*lines[:6], "..."] if len(lines) > 6 else lines
    tail = re.sub(r"\x1b\[[0-9;]*m", "", error).strip().splitlines()[-15:]
    return "\n".join(
        [f"{path.name} stopped at code cell {number}:", ""]
        + [f"    {line}" for line in shown]
        + ["", *tail]
    )


def execute(path, on_cell):
    """Run one notebook in a kernel of its own.

    Args:
        path: the notebook; its cells run with its folder as the working directory.
        on_cell: called without arguments after each code cell.

    Returns:
        The executed notebook.

    Raises:
        NotebookError: a cell raised, or the kernel died.
    """
    notebook = nbformat.read(path, as_version=4)
    reached = {"cell": None, "number": 0}

    def before_cell(cell, cell_index):
        reached.update(cell=cell, number=reached["number"] + 1)

    def leave_ctrl_c_alone(notebook):
        # nbclient would answer Ctrl-C by ending the kernel, which then looks like a crash.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        # C++ libraries log to the file descriptor: that goes to `log`, Python's stderr to the cell.
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
        on_notebook_start=leave_ctrl_c_alone,
        on_cell_execute=before_cell,
        on_cell_executed=lambda **_: on_cell(),
    )
    with tempfile.TemporaryFile(mode="w+", errors="replace") as log:
        try:
            client.execute(stderr=log)
        except CellExecutionError:
            trace = next(o.traceback for o in reached["cell"].outputs if o.output_type == "error")
            raise NotebookError(failure(path, **reached, error="\n".join(trace))) from None
        except DeadKernelError:
            log.seek(0)
            message = log.read() + "\nThe kernel died: out of memory, or a crash in native code."
            raise NotebookError(failure(path, **reached, error=message)) from None
    return notebook


def code_cells(notebook):
    """Return the cells that execution numbers 1, 2, ...: code that is not blank."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def refuse_stderr(path, notebook):
    """Raise NotebookError where a cell wrote to stderr: committed notebooks show no warnings."""
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                raise NotebookError(
                    failure(path, cell, number, f"It wrote to stderr:\n{output.text}")
                )


def clean_metadata(notebook):
    """Keep nothing that tells one machine or one run from another."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})


def write_whole(path, text):
    """Write `text` to `path` so that no reader, and no interruption, sees half of it."""
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


def render(notebook, title, navigation):
    """Return the notebook as one HTML page that needs no other file."""
    exporter = HTMLExporter(raw_template=PAGE)
    has_formulas = any("$" in c.source for c in notebook.cells if c.cell_type == "markdown")
    page, _ = exporter.from_notebook_node(
        notebook,
        {
            "metadata": {"name": title},
            "navigation": navigation,
            "has_formulas": has_formulas,
        },
    )
    return re.sub(r'href="(\w+)\.ipynb', r'href="\1.html', page)


def navigation(paths, i):
    """Return links to the previous page, the index and the next page."""
    links = [
        f'<a href="{paths[i - 1].stem}.html">← {paths[i - 1].stem}</a>' if i else "<span></span>"
    ]
    links.append('<a href="index.html">all pages</a>')
    if i + 1 < len(paths):
        links.append(f'<a href="{paths[i + 1].stem}.html">{paths[i + 1].stem} →</a>')
    else:
        links.append("<span></span>")
    return f"<nav>{''.join(links)}</nav>"


def build_pages(paths, out, run):
    """Execute notebooks in order and leave them, their pages and an index in `out`.

    The pages grow in a folder beside `out` which takes its name at the end: `out` is always one
    complete run, and an interrupted run leaves nothing in the way of the next.

    Returns:
        The minutes it took.
    """
    scratch = out.with_name(f"{out.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    entries, start = [], time.monotonic()
    for i, path in enumerate(paths):
        notebook, seconds = run(path)
        heading, question = heading_and_question(notebook)
        nbformat.write(notebook, scratch / path.name)
        page = render(notebook, heading, navigation(paths, i))
        (scratch / f"{path.stem}.html").write_text(page, encoding="utf-8")
        entries.append(
            f'<li><a href="{path.stem}.html">{html.escape(heading)}</a>'
            f" <small>{seconds:.0f} s</small><br>{html.escape(question)}</li>"
        )
    minutes = (time.monotonic() - start) / 60
    tier = html.escape(os.environ["VIT_TIER"])
    footer = f"{len(paths)} notebooks, executed in {minutes:.1f} minutes, tier {tier}."
    index = INDEX.format(course=COURSE, entries="\n".join(entries), footer=footer)
    (scratch / "index.html").write_text(index, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    scratch.rename(out)
    return minutes


def refresh(path, run):
    """Execute one notebook and store its outputs in it."""
    notebook, _ = run(path)
    refuse_stderr(path, notebook)
    clean_metadata(notebook)
    write_whole(path, nbformat.writes(notebook) + "\n")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every NN_*.ipynb here")
    parser.add_argument(
        "--in-place", action="store_true", help="store the outputs in the notebooks"
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "tutorial")
    options = parser.parse_args()
    paths = [p.resolve() for p in options.notebooks] or sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        sys.exit(f"There is no notebook in {os.path.relpath(HERE)}.")

    os.environ.setdefault("VIT_TIER", "quick")
    # Notebooks run in their own folder, where the caller's relative path means something else.
    flowers = os.environ.get("FLOWERS")
    if flowers and Path(flowers).expanduser().exists():
        os.environ["FLOWERS"] = str(Path(flowers).expanduser().resolve())
    # It would remind of missing alternative text once a figure.
    logging.getLogger("traitlets").setLevel(logging.ERROR)

    cells = sum(len(code_cells(nbformat.read(path, as_version=4))) for path in paths)
    # No time to go: cells take from a moment to minutes.
    layout = "{desc}{percentage:3.0f}%|{bar}| cell {n_fmt} of {total_fmt}, {elapsed}"
    with tqdm(total=cells, bar_format=layout, disable=None, leave=False) as bar:

        def run(path):
            bar.set_description(path.stem)
            start = time.monotonic()
            notebook = execute(path, bar.update)
            seconds = time.monotonic() - start
            bar.write(f"{path.stem:<24} {seconds:5.0f} s")
            return notebook, seconds

        if options.in_place:
            for path in paths:
                refresh(path, run)
        else:
            minutes = build_pages(paths, options.out.resolve(), run)
            bar.write(f"{len(paths)} notebooks in {minutes:.1f} minutes.")
            bar.write(f"Open {os.path.relpath(options.out / 'index.html')} in a browser.")


if __name__ == "__main__":
    try:
        main()
    except NotebookError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. The next run starts afresh.\n")
        sys.exit(130)
