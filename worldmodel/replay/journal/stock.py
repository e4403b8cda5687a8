"""The log of the stock: an episode a frame, written once before the run begins, and only read from then on."""

from collections.abc import Iterator
from pathlib import Path

from ....frames import Frame, FrameLog
from ..stock import StockEpisode

KIND = "episode"
KEY = "stock/transitions"  # of all of them in the ledger; no chunk has it
NUMBERS = ("env", "step", "episode", "is_heldout", "is_terminal", "origin")
PREFIX = "obs/"


class StockJournal:
    def __init__(self, folder: Path):
        self.log = FrameLog(folder)

    def write(self, episode: StockEpisode) -> None:
        arrays = {f"{PREFIX}{name}": values for name, values in episode.obs.items()} | {"action": episode.action}
        self.log.append(KIND, arrays, **{name: getattr(episode, name) for name in NUMBERS})

    def read(self) -> Iterator[StockEpisode]:
        """All of them in their order. DamagedLog names a damaged file."""
        for frame in self.log.read():
            yield episode_of(frame)

    def close(self) -> None:
        self.log.sync()
        self.log.close()


def episode_of(frame: Frame) -> StockEpisode:
    """What a frame holds."""
    obs = {name.removeprefix(PREFIX): value for name, value in frame.arrays.items() if name.startswith(PREFIX)}
    return StockEpisode(**frame.values, obs=obs, action=frame.arrays["action"])
