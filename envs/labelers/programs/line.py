"""What the ways to ask somebody have in common: an answer, or one of three kinds of failure."""

from typing import Protocol

from ...records import Answer, Declined, Question


class Failed(Exception):
    """No answer came of it this time; another time one may."""


class Refused(Exception):
    """The question itself is refused: asking again would not help."""


class Unreachable(Exception):
    """Nobody is there, so it is no failure at this question."""


class Line(Protocol):
    """To one who answers a question at a time. Used by one thread, but for `cut`."""

    def ask(self, question: Question, request: bytes) -> Answer | Declined:
        """Wait for the answer, as long as it may take. Failed, Refused or Unreachable where none comes."""
        ...

    def cut(self) -> None:
        """End at once what is asked now, from any thread; nothing more can be asked."""
        ...

    def close(self) -> None:
        """Let go of whoever answers, who has nothing more to do."""
        ...
