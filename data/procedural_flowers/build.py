"""Draws the data set anew: `python data/procedural_flowers/build.py`.

The records are written to a temporary folder and take the place of the old ones at the very end, so
an interrupted run changes nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def build(folder: Path, spurious: bool = False) -> Path:
    """Draws all splits and puts them in place.

    Args:
        folder: Where the version's folder (1.0.0) goes.
        spurious: Tie every background to the species.

    Returns:
        The folder of the prepared records.
    """
    import tensorflow_datasets as tfds

    from procedural_flowers.procedural_flowers_dataset_builder import Builder

    tfds.disable_progress_bar()  # the builder shows its own, which knows the totals
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as work:
        builder = Builder(spurious=spurious, data_dir=work)
        # Four shards a split: no file in the repository over a few megabytes.
        config = tfds.download.DownloadConfig(num_shards=4)
        builder.download_and_prepare(download_config=config)
        target = folder / str(builder.version)
        if target.exists():
            os.replace(target, Path(work) / "old")
        os.replace(builder.data_dir, target)
    return target


def main() -> int:
    """Reads the command line and builds."""
    parser = argparse.ArgumentParser(description="Draw the procedural flowers anew.")
    parser.add_argument("--to", type=Path, default=HERE, help="folder that gets 1.0.0/")
    parser.add_argument(
        "--spurious", action="store_true", help="tie backgrounds to species; needs --to"
    )
    arguments = parser.parse_args()
    if arguments.spurious and arguments.to.resolve() == HERE:
        parser.error("--spurious would replace the plain set: name another folder with --to.")
    if importlib.util.find_spec("skia") is None:
        print(
            "Drawing needs skia, which is not installed: pip install -e '.[draw]'. "
            "Reading the prepared records does not need it.",
            file=sys.stderr,
        )
        return 1
    try:
        target = build(arguments.to, arguments.spurious)
    except KeyboardInterrupt:
        print("Interrupted; the records are as they were.", file=sys.stderr)
        return 130
    size = sum(f.stat().st_size for f in target.iterdir())
    print(f"{target.name}: {len(list(target.iterdir()))} files, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
