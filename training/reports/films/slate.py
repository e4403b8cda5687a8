"""A frame of an episode's film: its numbers above, the picture, and below it how reward and value have gone until now."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..colors import PREDICTED, TRANSITIONS, TRUTH
from .paint import FAINT, MARGIN, PAPER, SMALL, TEXT, Line, Strip, fitted, room, write

WIDTH, HEIGHT = 320, 240  # of the picture's place


@dataclass(frozen=True)
class Track:
    """What is told of an episode beside its pictures: T rows, the first one that of the reset."""

    reward: np.ndarray  # (T,) true reward, 0 on the first row
    imagined: np.ndarray | None = None  # (T,) the reward model's, in dreams; NaN on the first row
    value: np.ndarray | None = None  # (T,) the critic's: what is still to come, discounted

    def lines(self) -> list[list[Line]]:
        """Of each chart."""
        true = np.concatenate([[np.nan], self.reward[1:]])
        charts = [[Line("true reward", true, TRUTH)]]
        if self.imagined is not None:
            charts[0].append(Line("imagined reward", self.imagined, PREDICTED))
        if self.value is not None:
            charts.append([Line("value", self.value, TRANSITIONS, digits=1)])
        return charts


class Slate:
    """Frames of one size. What does not change from one to the next is painted once."""

    def __init__(self, track: Track, title: str, width: int = WIDTH, height: int = HEIGHT):
        """width, height: of the picture's place; letters and charts grow with the width."""
        self._track, self._place, unit = track, (width, height), width / WIDTH
        self._size, small = round(TEXT * unit), round(SMALL * unit)
        self._top = self._size + 2 * MARGIN
        left = room(track.lines(), small)
        self._strips = [Strip(lines, len(track.reward), width, left, unit) for lines in track.lines()]
        tall = self._top + height + MARGIN + sum(strip.height for strip in self._strips) + small + MARGIN
        self._paper = Image.new("RGB", (width + width % 2, tall + tall % 2), PAPER)  # films want even sides
        write(self._paper, (width - MARGIN, self._paper.height - MARGIN // 2), title, small, FAINT, "rd")

    def frame(self, row: int, picture: np.ndarray) -> Image.Image:
        """What is to be seen at a row, with its picture (H, W, 3)."""
        image, (width, height) = self._paper.copy(), self._place
        self._write_head(image, row)
        shown = fitted(picture, width, height)
        image.paste(shown, ((width - shown.width) // 2, self._top + (height - shown.height) // 2))
        top = self._top + height + MARGIN
        for strip in self._strips:
            strip.paint(image, (0, top), row)
            top += strip.height
        return image

    def _write_head(self, image: Image.Image, row: int) -> None:
        reward = self._track.reward
        write(image, (MARGIN, MARGIN), f"return {reward[: row + 1].sum():.1f}", self._size)
        write(image, (image.width // 2, MARGIN), f"reward {reward[row]:.2f}", self._size, anchor="ma")
        write(image, (image.width - MARGIN, MARGIN), f"step {row} of {len(reward) - 1}", self._size, anchor="ra")
