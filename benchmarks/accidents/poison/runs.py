"""Runs that are told numbers which are none, by the world, by who rates it or by themselves: what they keep, say and do next."""

import contextlib
import io
import math
import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tandem import cli
from tandem.agents.agent import Agent
from tandem.training.learner import Learner
from tandem.training.purchases.transitions import Collector
from tandem.training.storage import checkpoint
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

from ..lives import REFUSED, End, changed, live
from ..worlds import RATER, TASK, Accident, plan

NUMBERS = (math.nan, math.inf, -math.inf)
TOO_LARGE = (1e300, -1e300)  # for float32, in which rewards are kept
SOLD = ("observation", "reward", "answer")  # what comes from outside
EVERY_ROW = ("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0")  # is asked about
STOP_AT = 70  # tick of a run's 80 at which it is stopped, after its accident
LATEST = 100  # step of the worlds, and so of a run's ticks half as many
SKIPS = 120  # updates, of which each is skipped


@dataclass
class Count:
    """What came of poisoned runs."""

    cases: int = 0
    told: int = 0  # in a line
    kept_finite: int = 0  # journals and checkpoints hold finite numbers only
    resumed: int = 0  # to the end, with books that add up
    dumps_explained: int = 0  # of runs whose updates were all skipped, by --reproduce
    faults: list[str] = field(default_factory=list)

    def add(self, name: str, told: bool, finite: bool, resumed: bool, end: End) -> None:
        self.cases += 1
        self.told, self.kept_finite, self.resumed = self.told + told, self.kept_finite + finite, self.resumed + resumed
        wrong = [what for what, is_right in (("not told", told), ("kept", finite), ("stuck", resumed)) if not is_right]
        self.faults += [f"{name}: {what}: {end.status}: {end.said[-600:]}" for what in wrong]


@dataclass(frozen=True)
class Case:
    name: str
    prepare: Callable[[], None]  # of the life with the accident
    told: str  # what it says of it, a part of a line
    settings: tuple[str, ...] = ()


def poisoned_runs(folder: Path, rng: random.Random, say: Callable[[str], None] = print) -> Count:
    count = Count()
    for case in (*_from_outside(folder, rng), *_from_inside(rng)):
        path = folder / "poisoned"
        shutil.rmtree(path, ignore_errors=True)
        (folder / "note").unlink(missing_ok=True)
        end = live(path, changed(*case.settings), prepare=case.prepare)
        is_told = any(case.told in line and line.startswith(("warning: ", "error: ")) for line in end.said.splitlines())
        is_finite = keeps_finite_numbers(path)
        last = live(path, changed(*case.settings)) if end.status else end
        is_whole = last.status == 0 and _verified(path)
        count.add(case.name, is_told, is_finite, is_whole, end if last.status == 0 else last)
    _skipped(count, folder / "skipped")
    say(f"poisoned runs: {count}")
    return count


def _from_outside(folder: Path, rng: random.Random) -> list[Case]:
    cases = []
    told = {"observation": "observation", "reward": "declined", "answer": "declined"}
    for kind in SOLD:
        for value in (*NUMBERS, *(TOO_LARGE if kind != "observation" else ())):
            step = rng.randint(5, 20 if kind == "answer" else LATEST)
            settings = {"answer": (f"labeler.name={RATER}",), "reward": (f"task={TASK}", *EVERY_ROW)}.get(
                kind, (f"task={TASK}",)
            )
            accident = Accident(kind, step, str(folder / "note"), value=value)
            cases.append(
                Case(f"{kind} of {value}", lambda one=accident: (_stop_later(), plan(one)), told[kind], settings)
            )
    return cases


def _from_inside(rng: random.Random) -> list[Case]:
    cases = []
    for value in NUMBERS:
        at = rng.randint(2, 10)
        cases.append(
            Case(f"loss of {value}", lambda at=at, value=value: (_stop_later(), _spoil_loss(at, value)), "skipped")
        )
        cases.append(
            Case(
                f"gradient of {value}",
                lambda at=at, value=value: (_stop_later(), _spoil_gradient(at, value)),
                "skipped",
            )
        )
        cases.append(Case(f"parameter of {value}", lambda at=at, value=value: _spoil_parameter(at, value), "finite"))
        cases.append(Case(f"action of {value}", lambda at=at, value=value: _spoil_action(at, value), "finite"))
    return cases


def _stop_later() -> None:
    """SIGTERM at a tick near the run's end, so that another life has to go on with what this one kept."""
    _at(Collector, "tick", STOP_AT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def _at(owner: type, name: str, number: int, act: Callable, is_after: bool = False) -> None:
    """`act` on the arguments of the call of this number, before it or on its answer too after it."""
    call, count = getattr(owner, name), 0

    def acting(*arguments, **keywords):
        nonlocal count
        count += 1
        if count == number and not is_after:
            act(*arguments)
        answer = call(*arguments, **keywords)
        return act(answer, *arguments) if count == number and is_after else answer

    setattr(owner, name, acting)


def _spoil_loss(at: int, value: float) -> None:
    _at(Learner, "_losses", at, lambda answer, *_: (answer[0] * value, *answer[1:]), is_after=True)


def _spoil_gradient(at: int, value: float) -> None:
    def spoil(answer, learner: Learner, *_):
        next(iter(learner.reward.parameters())).grad.view(-1)[0] = value
        return answer

    _at(Learner, "backward", at, spoil, is_after=True)


def _spoil_parameter(at: int, value: float) -> None:
    """As broken memory would: no guard has seen it come."""

    def spoil(learner: Learner, *_) -> None:
        next(iter(learner.dynamics.parameters())).detach().view(-1)[0] = value

    _at(Learner, "update", at, spoil)


def _spoil_action(at: int, value: float) -> None:
    def spoil(answer, *_):
        action, state = answer
        action = action.copy()
        action[0, 0] = value
        return action, state

    _at(Agent, "act", at, spoil, is_after=True)


def keeps_finite_numbers(run: Path) -> bool:
    """Whether the journals and every learner that was saved do."""
    for path in checkpoint.list_checkpoints(run / "checkpoints"):
        if not all(_finite(torch.load(path / "learner.pt", weights_only=True))):
            return False
    answers = [answer.value for answer in LabelJournal(run / "labels").read_answers()]
    rows = [
        array
        for block in TransitionJournal(run / "transitions").read()
        for array in (block.action, block.deter, *block.obs.values())
    ]
    return bool(np.isfinite(np.float32(answers)).all()) and all(np.isfinite(array).all() for array in rows)


def _finite(state):
    if isinstance(state, dict):
        for value in state.values():
            yield from _finite(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _finite(value)
    elif hasattr(state, "isfinite"):
        yield bool(state.isfinite().all())


def _verified(run: Path) -> bool:
    return _command("ledger", str(run), "--verify")[0] == 0


def _command(*words: str) -> tuple[int, str]:
    """Exit status and output of a command that only reads."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        return cli.main(list(words)), said.getvalue()


def _skipped(count: Count, path: Path) -> None:
    """A run of which every update is skipped stops, and leaves a dump that a command explains; mended, it goes on."""
    settings = changed(f"train.updates={SKIPS}")
    end = live(path, settings, prepare=_spoil_all)
    is_told = end.status == REFUSED and "--reproduce" in end.said.splitlines()[-1]
    dumps = sorted((path / "dumps").glob("*.pt"))
    explained = [_command("train", "--reproduce", str(dump)) for dump in dumps]
    count.dumps_explained += sum(status == 0 and "input action" in said for status, said in explained)
    last = live(path, settings)
    count.add("every update", is_told, keeps_finite_numbers(path), last.status == 0 and _verified(path), end)


def _spoil_all() -> None:
    update = Learner.update

    def spoilt(self, batch, labels, noise):
        batch.prev_action[:] = math.nan
        return update(self, batch, labels, noise)

    Learner.update = spoilt
