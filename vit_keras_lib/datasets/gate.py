"""Python functions for tf.data's threads, with a gate that closes before Python ends."""

import atexit
import threading
import time
from collections.abc import Callable

_lock = threading.Lock()
_inside = 0
_entered = 0
_closed = False


def gated(function: Callable) -> Callable:
    """Makes a function safe to be called by tf.data through `tf.numpy_function`.

    tf.data decodes ahead in threads of its own. If Python ends while one of them is inside, or
    waits to enter, that thread never returns, TensorFlow waits for it, and the process hangs. So
    the gate closes first, and Python ends when all threads have left.

    Args:
        function: Any function.

    Returns:
        The same function, which raises RuntimeError once Python is about to end.
    """

    def call(*arguments):
        global _inside, _entered
        with _lock:
            _inside += 1
            _entered += 1
        try:
            if _closed:
                raise RuntimeError("Python is about to end; nothing more is decoded.")
            return function(*arguments)
        finally:
            with _lock:
                _inside -= 1

    return call


@atexit.register
def _close():
    global _closed
    _closed = True
    before = -1
    # Refused calls come in until tf.data's buffers are full of refusals.
    while _inside or before != _entered:
        before = _entered
        time.sleep(0.1 if _entered else 0)
