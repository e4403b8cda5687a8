"""What somebody who looks is shown with a question: the rows of its clips and those before, and the environment there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ...envs.records import Clip, Question, Sight
from ...worldmodel.replay.copies import Copy
from ...worldmodel.replay.label_store import LabelStore


class Reel(Protocol):
    """Where the environments' snapshots lie."""

    def of(self, clip: Clip, context: int) -> tuple[bytes, ...]:
        """Of the clip's rows and of `context` rows before it; b"" for one that it has not."""
        ...


@dataclass(frozen=True)
class Looks:
    """reel: the environments' snapshots; None: there are none."""

    reel: Reel | None = None

    def shown(self, questions: Sequence[Question], labels: LabelStore) -> list[Question]:
        """The questions, all of them pending in the store, with their sights."""
        return [replace(one, sights=self._sights(one, labels.whole(one.key).copies)) for one in questions]

    def _sights(self, question: Question, copies: Sequence[Copy]) -> tuple[Sight, ...]:
        return tuple(self._sight(clip, copy) for clip, copy in zip(question.clips, copies, strict=False))

    def _sight(self, clip: Clip, copy: Copy) -> Sight:
        context = len(copy.is_first) - clip.length
        snapshots = self.reel.of(clip, context)[copy.num_padding :] if self.reel else ()
        padding = (b"",) * copy.num_padding if snapshots else ()
        return Sight(copy.obs, copy.prev_action, copy.num_padding, padding + snapshots)
