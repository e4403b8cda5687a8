"""What to ask about: rows not asked yet, the clips that end at them, and pairs of those."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...budget.offers import LabelOffer
from ...envs.labelers.question_keys import DEFAULT, key_of
from ...envs.records import Clip, Question, QuestionKind
from ...worldmodel.replay.label_store import LabelStore
from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.replay.transitions import TransitionReplay
from .choice import Choice


@dataclass(frozen=True)
class Item:
    """What a question is about, and may be asked of several raters."""

    kind: QuestionKind
    clip: Clip
    right: Clip | None
    is_uniform: bool  # drawn uniformly, so that the first answer about it may serve as a measurement

    def question(self, tier: str, repeat: int) -> Question:
        key = key_of(self.kind, self.clip, self.right, tier, repeat)
        return Question(key, self.clip, tier, self.kind, self.right)


@dataclass(frozen=True)
class Drawer:
    """Draws what is asked about next. Rows that it draws count as asked, also those whose clip is too short to judge."""

    transitions: TransitionReplay
    kind: QuestionKind = "step"
    length: int = 1  # rows of a clip, at most
    anchors: int = 0  # of pairs: clips that are scored first
    choice: Choice | None = None  # of rows; uniform without one

    def draw(
        self, number: int, asked: int, asked_uniform: int, rng: np.random.Generator, scored: int = 0
    ) -> list[Item]:
        """At most `number` items: fewer where no row is left. asked: items so far, asked_uniform: those drawn uniformly,
        scored: of pairs, the anchors that are there (`num_scored`)."""
        if self.kind != "pair":
            return self._single(self.kind, number, asked, asked_uniform, rng)
        anchors = self._single("clip", min(number, max(0, self.anchors - scored)), asked, asked_uniform, rng)
        return anchors + self._pairs(number - len(anchors), asked + len(anchors), asked_uniform + len(anchors), rng)

    def _single(
        self, kind: QuestionKind, number: int, asked: int, asked_uniform: int, rng: np.random.Generator
    ) -> list[Item]:
        found: list[Item] = []
        while len(found) < number and len(self.transitions.open):
            done = asked_uniform + sum(item.is_uniform for item in found)
            rows = self._rows(number - len(found), asked + len(found), done, rng)
            clips = self.transitions.clips([row for row, _ in rows], self.length)
            found += [
                Item(kind, clip, None, is_uniform)
                for clip, (_, is_uniform) in zip(clips, rows, strict=True)
                if 2 * clip.length >= self.length
            ]
        return found

    def _pairs(self, number: int, asked: int, asked_uniform: int, rng: np.random.Generator) -> list[Item]:
        """Both clips of a pair are of training episodes, or both of held-out ones."""
        pairs: list[Item] = []
        while len(pairs) < number and len(self.transitions.open):
            singles = self._single("clip", 2 * (number - len(pairs)), asked, asked_uniform, rng)
            is_heldout = self.transitions.is_heldout([one.clip for one in singles])
            for wanted in (False, True):
                same = [one for one, held in zip(singles, is_heldout, strict=True) if held == wanted]
                pairs += [
                    Item("pair", left.clip, right.clip, left.is_uniform and right.is_uniform)
                    for left, right in zip(same[::2], same[1::2], strict=False)
                ]
        return pairs[:number]

    def _rows(self, number: int, asked: int, asked_uniform: int, rng: np.random.Generator) -> list[tuple[Clip, bool]]:
        if self.choice is None:
            return [(row, True) for row in self.transitions.open.draw(number, rng)]
        return self.choice.draw(self.transitions, number, asked, asked_uniform, rng)


def num_scored(labels: LabelStore) -> int:
    """Clips that somebody has scored, or is asked to: of pairs those that give the unit. What was declined, and what people
    said who were retracted, gives none."""
    assert isinstance(labels, LabelReplay), "coupled mode asks about rows alone"
    pending = [one.question for one in labels.pending.values() if one.question.kind == "clip"]
    clips = {(question.clip.env, question.clip.step) for question in pending}
    for is_heldout in (False, True):
        answers = labels.answers(is_heldout)
        clips |= set(zip(answers.env.tolist(), answers.step.tolist(), strict=True))
    return len(clips)


def requests(items: list[Item], rng: np.random.Generator, offer: LabelOffer | None) -> Iterator[tuple[Item, str, int]]:
    """(item, tier, which of the tier's answers about it): first answers before all others. Without an offer: one of the
    default tier each. With one also what it says of duplicates and checks, drawn by chance."""
    if offer is None:
        yield from ((item, DEFAULT, 0) for item in items)
        return
    for repeat in range(offer.replication):
        yield from ((item, offer.tier, repeat) for item in items)
    chances = rng.random((len(items), 2))
    for item, (duplicate, gold) in zip(items, chances, strict=True):
        if duplicate < offer.duplicate_share:
            yield item, offer.tier, offer.replication
        if gold < offer.gold_share:
            yield from ((item, tier, repeat) for tier in offer.checks for repeat in range(offer.check_answers))
