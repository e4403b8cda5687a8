"""A world in which accidents happen as planned: it hangs, dies, or gives numbers that are none. Each accident comes once."""

import json
import math
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tandem.envs.records import Answer, Question
from tandem.envs.toy import ToyEnv

TASK, RATER = "accidents.worlds:World", "accidents.worlds:Rater"
PLAN = (
    "TANDEM_ACCIDENTS"  # variable of the process's environment, for worlds in processes of their own hear nothing else
)
HOURS = 3600.0

_steps = 0  # of all worlds in this process


@dataclass(frozen=True)
class Accident:
    kind: str  # hang, death, observation, reward or answer
    step: int  # at least 2, a trainer tries its world once; of all worlds in a process, or the answer's number, before which it does not happen
    note: str  # the file that is made when it happens: also over processes and lives it happens once
    value: float = math.nan  # in the place of an observation's number, of the reward or of the answer
    trainer: int = 0  # process that gets these signals while a world hangs
    signals: tuple[tuple[int, float], ...] = ()  # number, and seconds to wait before it is sent


def plan(*accidents: Accident) -> None:
    """What will happen in the worlds of this process, and of those that it starts."""
    os.environ[PLAN] = json.dumps([asdict(one) for one in accidents])


def planned() -> list[Accident]:
    return [Accident(**one) for one in json.loads(os.environ.get(PLAN, "[]"))]


class World(ToyEnv):
    """The linear-quadratic toy, with accidents."""

    def __init__(self):
        super().__init__()
        self.accidents = planned()

    def step(self, action):
        global _steps
        _steps += 1
        obs, reward, *ends = super().step(action)
        for one in self.accidents:
            if _steps >= one.step and _claimed(one.note):
                if one.kind == "hang":
                    hang(one)
                elif one.kind == "death":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif one.kind == "observation":
                    obs["state"][0] = one.value
                else:
                    reward = one.value
        return obs, reward, *ends


class Rater:
    """Scores every step by its number; an accident comes in the place of an answer."""

    def __init__(self):
        self.open: dict[str, Question] = {}
        self.accidents, self.answers = planned(), 0

    def submit(self, questions: list[Question]) -> None:
        self.open |= {question.key: question for question in questions}

    def collect(self) -> list[Answer]:
        ready, self.open = self.open, {}
        return [Answer(key, self._score(question)) for key, question in ready.items()]

    def _score(self, question: Question) -> float:
        self.answers += 1
        for one in self.accidents:
            if self.answers >= one.step and _claimed(one.note):
                return one.value
        return question.clip.step % 7 - 3.0


def hang(accident: Accident) -> None:
    for number, seconds in accident.signals:
        time.sleep(seconds)
        with open(accident.note, "a") as note:
            print(time.monotonic(), file=note)
        os.kill(accident.trainer, number)
    time.sleep(HOURS)


def _claimed(note: str) -> bool:
    """Whether the accident is this world's, and not somebody else's already."""
    if Path(note).exists():
        return False
    try:
        os.close(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True
