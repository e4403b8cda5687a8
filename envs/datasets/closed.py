"""The environments of a run in which nothing is played."""

from dataclasses import dataclass

from ..records import Spaces


@dataclass(frozen=True)
class Closed:
    """What a run asks of its environments outside of playing."""

    num: int  # streams
    spaces: Spaces

    def keep_sights(self) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing is open."""
