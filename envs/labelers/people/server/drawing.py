"""The darkroom beside the server: begun, begun again where it dies, and ended."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIVES = 3  # of a process that dies by itself, before the next one is not to build the environment again
PAUSE_SECONDS, END_SECONDS = 2.0, 5.0
GIVEN_UP = "the process that draws has died {} times"


@contextmanager
def drawing(begin: Callable[[str], subprocess.Popen]) -> Iterator[None]:
    """Films are drawn meanwhile. begin(why) starts the process; a why says that pictures cannot be drawn, traces only."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(begin, over), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join(3 * END_SECONDS)


def _keep(begin: Callable[[str], subprocess.Popen], over: threading.Event) -> None:
    """The process lives until `over`; one that dies is begun again, LIVES + 1 times at most."""
    for deaths in range(LIVES + 1):
        process = begin(GIVEN_UP.format(deaths) if deaths == LIVES else "")
        while process.poll() is None and not over.wait(0.2):
            pass
        if over.is_set():
            return _end(process)
        print(f"warning: the process that draws clips has died ({process.returncode})", file=sys.stderr, flush=True)
        if over.wait(PAUSE_SECONDS):
            return
    print("warning: no clips are drawn any more: end the server and begin again", file=sys.stderr, flush=True)


def _end(process: subprocess.Popen) -> None:
    """It ends by itself once its stdin is closed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
