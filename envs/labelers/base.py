"""What a labeler is, and what can be set about it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ...outside import check_name, is_class
from ..records import QUESTION_KINDS, Question, QuestionKind, Reply
from .programs.address import check_program
from .question_keys import DEFAULT
from .rater import TierConfig

KNOWING = ("env_reward", "noisy")
LABELERS = (*KNOWING, "people")  # those of ours


@dataclass(frozen=True)
class LabelerConfig:
    name: str = "env_reward"  # env_reward, noisy, people or module:Class. Answers the default tier, at price.label
    kind: QuestionKind = "step"  # of questions: a row, the sum over a clip, which of two clips, moments in a clip
    length: int = 16  # rows of a clip
    anchors: int = 30  # of pairs: clips that are scored before, which give the unit; 0: the unit is not known
    sigma: float = 1.0  # standard deviation of the noise, in reward units; noisy only
    delay: int = 0  # answers of ours arrive after this many further calls of collect: to try out late answers
    tiers: dict[str, TierConfig] = field(default_factory=dict)  # raters for sale instead of name at price.label
    gold: str = ""  # the tier that the others are held against; empty: the dearest
    refusals: int = 100  # questions declined in a row, without an answer between, after which the run stops; 0: never
    item_price: float = 0.0  # coins for showing a row to the first of its raters; with tiers only
    ahead: int = 0  # questions open at most: while there are as many, nothing is collected; 0: any number
    patience: float = 0.0  # seconds without an answer, after which open questions expire; 0: it waits for ever
    per_phase: tuple[int, ...] = ()  # least and most labels of a phase, such as [50,200]; empty: as the plan says
    wage: float = 12.0  # coins an hour, of people who were added without a wage of their own
    fee: float = 0.0  # coins an answer beside the wage
    ceiling: float = 3.0  # times price.label: reserved for an answer of people, and the most that it may cost
    low: float = 0.0  # reward of a row, raw reward units, that people's worst score stands for
    high: float = 1.0  # and their best
    huber: float = 0.1  # of high less low: a score of a clip that is further off pulls no harder; 0: squared errors
    prompt: str = ""  # the question that people read about `kind`; empty: ours
    anchor_prompt: str = ""  # and about the clips that are scored before pairs; empty: ours
    look: Literal["auto", "snapshots", "frames", "traces"] = "auto"  # how clips are drawn; auto: the first that works
    command: tuple[str, ...] = ()  # a program in place of name, such as [python,judge.py]: JSON lines
    url: str = ""  # a server in place of name, which JSON is POSTed to
    timeout: float = 60.0  # seconds that a program (its start included) or server has for an answer
    retries: int = 2  # of a question that it failed at, before it counts as declined
    parallel: int = 1  # questions at once: so many copies of the program run, or so many requests

    def __post_init__(self):
        check_name(self.name, LABELERS)
        if self.kind not in QUESTION_KINDS:
            raise ValueError(f"kind: must be one of {', '.join(QUESTION_KINDS)}, got {self.kind!r}")
        for name in ("sigma", "item_price", "patience", "wage", "fee", "huber"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: must be at least 0 and finite, got {getattr(self, name)}")
        for name, least in (
            ("delay", 0),
            ("refusals", 0),
            ("anchors", 0),
            ("ahead", 0),
            ("retries", 0),
            ("parallel", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")
        if self.anchor_prompt and self.kind != "pair":
            raise ValueError(f"anchor_prompt: is for labeler.kind=pair, got kind {self.kind}: set labeler.prompt")
        self._check_people()
        if self.length < 2:
            raise ValueError(f"length: must be at least 2, got {self.length}")
        if not (math.isfinite(self.ceiling) and self.ceiling >= 1):
            raise ValueError(f"ceiling: must be at least 1 and finite, got {self.ceiling}")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ValueError(f"timeout: must be above 0 and finite, got {self.timeout}")
        if self.per_phase and not (len(self.per_phase) == 2 and 0 < self.per_phase[0] <= self.per_phase[1]):
            raise ValueError(f"per_phase: must be least and most, such as [50,200], got {list(self.per_phase)}")
        check_program(self.command, self.url, self.name, self.delay, self.tiers)
        if self.delay and is_class(self.name) and not self.tiers:
            raise ValueError(f"delay: must be 0 for a labeler of your own, {self.name}, got {self.delay}")
        for tier in self.tiers:
            if tier == DEFAULT or not re.fullmatch(r"[A-Za-z0-9_-]+", tier):
                raise ValueError(f"tiers.{tier}: must be named with letters, digits, _ and -, and not {DEFAULT}")
        if self.gold and self.gold not in self.tiers:
            raise ValueError(f"gold: must be one of the tiers ({', '.join(self.tiers) or 'none'}), got {self.gold}")
        if self.item_price and not self.tiers:
            raise ValueError(f"item_price: must be 0 without tiers, got {self.item_price}")

    def _check_people(self) -> None:
        if self.name == "people" and self.tiers:
            raise ValueError("tiers: people are tiers of their own, by name, and none is set with labeler.name=people")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"high: must be above low and both finite, got low={self.low}, high={self.high}")
        if self.asks_people and self.kind == "moments" and self.high <= 0:
            worth = "a mark of success is worth high, one of failure less high"
            raise ValueError(f"high: must be above 0 with kind=moments, where {worth}, got {self.high}")

    @property
    def asks_people(self) -> bool:
        """Whose time it is that is paid, so that what an answer costs is known afterwards."""
        return self.name == "people" and not self.tiers and not self.is_program

    def most_micro(self, price_micro: int) -> int:
        """What is reserved for an answer of the default tier, and may be paid for it, at that price of a label."""
        return math.ceil(price_micro * self.ceiling) if self.asks_people else price_micro

    def prompt_of(self, kind: QuestionKind) -> str:
        """What is asked about a question of this kind; empty: the plain words for it. Anchors are no pairs: they are scored."""
        return self.prompt if kind == self.kind else self.anchor_prompt

    @property
    def is_program(self) -> bool:
        return bool(self.command or self.url)

    @property
    def is_looking(self) -> bool:
        """Whether whoever answers has to look: all but those that know the rewards."""
        return not self.tiers and (self.is_program or self.name not in KNOWING)

    @property
    def rows(self) -> int:
        """That an answer is about, at most."""
        return 1 if self.kind == "step" else self.length

    @property
    def reach(self) -> float:
        """Reward units that an answer about a clip moves a row by, at most: people press a wrong key at times."""
        return self.huber * (self.high - self.low) if self.asks_people and self.huber else math.inf

    @property
    def gold_tier(self) -> str:
        """The dearest of the named tiers unless another is configured; the default one without any."""
        return self.gold or max(self.tiers, key=lambda tier: self.tiers[tier].price, default=DEFAULT)


class Labeler(Protocol):
    """Ask now, hear later.

    A question names the rows that it is about (`clip`) and carries no observation of them yet. A key submitted again, as
    after a crash, is the same question: it has the same answer. One that also has `state_dict()` and
    `load_state_dict(state)`, of plain values, says that it repeats itself: a run that goes on after a crash lets it live
    through the calls since its checkpoint again, where any other one is only told what is still open.
    """

    def submit(self, questions: list[Question]) -> None: ...

    def collect(self) -> Sequence[Reply]:
        """Whatever has been answered or declined so far, once each."""
        ...
