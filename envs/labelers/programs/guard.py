"""Runs a program and outlives nobody: a process between the trainer and the program, started as a file of its own.

guard.py PARENT COMMAND...: ends with the program and with its status, and ends its whole process group, itself included, as soon
as PARENT is its parent no more, however that one died.
"""

import os
import signal
import subprocess
import sys
import threading
import time

LOOK_SECONDS = 0.25


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    try:
        status = subprocess.Popen(command).wait()
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")
    sys.exit(status if status >= 0 else 128 - status)  # as a shell says it


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
