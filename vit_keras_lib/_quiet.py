"""Imports Keras without TensorFlow's start-up lines, so that a notebook's first cell stays clean.

TensorFlow's C++ side writes a few INFO lines to file descriptor 2 while it is imported, whatever
the log level. Set TF_CPP_MIN_LOG_LEVEL (to 0, say) before the import to see everything.
"""

import contextlib
import os
import sys


@contextlib.contextmanager
def silenced_stderr():
    """Sends file descriptor 2 to nowhere for the time of the block; exceptions still raise."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


if "TF_CPP_MIN_LOG_LEVEL" not in os.environ and "keras" not in sys.modules:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with silenced_stderr():
        import keras  # noqa: F401
