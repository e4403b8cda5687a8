"""What submitit runs for a cell: `train.py` in a process of its own, begun anew or gone on with.

It imports the standard library alone and travels by value: where it runs, `tandem` need not be installed.
"""

import fcntl
import os
import signal
import subprocess

LOOK_SECONDS = 1.0  # between two looks at whether the sweep is still there


class Job:
    """A cell that can be run anywhere, and again after whatever ended it."""

    def __init__(
        self,
        start: list[str],
        go_on: list[str],
        config: str,
        log: str,
        environment: dict[str, str | None],
        watched: str | None,
    ):
        """start, go_on: the commands; the second one once `config`, the run's config.yaml, is there. log: what they say goes there.

        environment: changes, None for what is not set. watched: the lock of a sweep on this machine, whose end is the
        cell's; None on a cluster, which sends its signals to every process of a job by itself.
        """
        self.start, self.go_on, self.config, self.log = start, go_on, config, log
        self.environment, self.watched = environment, watched

    def __call__(self) -> int:
        """Train to the end. -> the exit status. A cluster's warning (SIGUSR2) saves the run and hands it back to the queue."""
        again, asked = signal.getsignal(signal.SIGUSR2), Asked()
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # the run inherits that: it hears SIGTERM instead
        if self.watched:
            _leave_the_terminal()
            signal.signal(signal.SIGTERM, asked.end)
        command = self.go_on if os.path.exists(self.config) else self.start
        with open(self.log, "a") as log:
            print("$", *command, file=log, flush=True)
            asked.child = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())
            signal.signal(signal.SIGUSR2, asked.end_and_come_back)
            status = self._waited(asked)
            if status < 0:
                print(f"killed by {signal.Signals(-status).name}", file=log, flush=True)
        if asked.comes_back and status and callable(again):
            again(signal.SIGUSR2, None)  # submitit's own: it queues what checkpoint() gives, and ends this process
        return status

    def checkpoint(self):
        """What is to be run next time: the same, which then goes on from what was saved."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _environment(self) -> dict[str, str]:
        merged = {**os.environ, **self.environment}
        return {name: value for name, value in merged.items() if value is not None}

    def _waited(self, asked: "Asked") -> int:
        assert asked.child is not None
        while True:
            asked.pass_on()
            try:
                return asked.child.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if self.watched and not asked.count and _is_deserted(self.watched):
                    asked.end()


class Asked:
    """How often a cell was asked to end, and how often its process was told so."""

    def __init__(self) -> None:
        self.child: subprocess.Popen | None = None
        self.count = self.told = 0
        self.comes_back = False

    def end(self, number: int = signal.SIGTERM, frame: object = None) -> None:
        self.count += 1
        self.pass_on()

    def end_and_come_back(self, number: int, frame: object) -> None:
        self.comes_back = True
        self.end()

    def pass_on(self) -> None:
        """The signal, once for each time; those that came before there was a process are passed on later."""
        while self.child is not None and self.told < self.count:
            self.told += 1
            self.child.send_signal(signal.SIGTERM)


def _leave_the_terminal() -> None:
    """Its Ctrl-C goes to the sweep alone, which asks its cells. Until here the signal was held back (engine.py)."""
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets one that is held back
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_deserted(lock: str) -> bool:
    """Whether no sweep holds the lock any more."""
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # its folder is gone
        return True
    return True
