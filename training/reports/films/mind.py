"""What the model sees in its mind, as a film: truth, model and their difference for every image, imagined reward below."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ..colors import PREDICTED, TRANSITIONS, TRUTH
from .gif import Film, gif
from .paint import FAINT, MARGIN, PAPER, SMALL, TEXT, Line, Strip, fitted, rgb, room, width_of, write

MOST_COLUMNS = 6  # of episodes and cameras; the rest is left out
CELL = 128  # pixels, of the longer side of an image
BORDER = 3
ROWS = ("truth", "model", "difference")
FRAMES_PER_SECOND = 8.0
SEEN, IMAGINED = TRANSITIONS, PREDICTED  # as in the traces of vectors


@dataclass(frozen=True)
class OpenLoop:
    """An episode's first T rows, and the model's idea of them: reconstruction at first, from row `start` on imagination."""

    truth: dict[str, np.ndarray]  # key -> (T, *shape), as observed
    predicted: dict[str, np.ndarray]  # the same, as decoded
    start: int
    imagined: np.ndarray  # (T,) the reward model's
    reward: np.ndarray | None = None  # (T,) true reward, where it may be known

    @property
    def images(self) -> list[str]:
        return [key for key, values in self.truth.items() if values.dtype == np.uint8 and values.ndim == 4]

    def vectors(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
        """What traces show of it: truth and prediction, key -> (T, numbers), and the row where imagination begins."""
        flat = [
            {key: values.reshape(len(values), -1) for key, values in one.items() if key not in self.images}
            for one in (self.truth, self.predicted)
        ]
        return flat[0], flat[1], self.start

    def without_vectors(self) -> "OpenLoop":
        """What a film shows of it."""
        truth, predicted = ({key: values[key] for key in self.images} for values in (self.truth, self.predicted))
        return OpenLoop(truth, predicted, self.start, self.imagined, self.reward)


@dataclass(frozen=True)
class MindFilm:
    """Episodes side by side; to be called in a process of its own."""

    episodes: Sequence[OpenLoop]
    title: str

    def __call__(self) -> Film:
        sheet = _Sheet(self.episodes, self.title)
        return gif([sheet.frame(row) for row in range(sheet.rows)], FRAMES_PER_SECOND)


class _Sheet:
    """Columns for the images of each episode, three pictures in each, and a strip of rewards for each episode."""

    def __init__(self, episodes: Sequence[OpenLoop], title: str):
        each = max(1, MOST_COLUMNS // max(1, len(episodes[0].images)))
        self._episodes = episodes[:each]
        self._keys = [one.images[:MOST_COLUMNS] for one in self._episodes]
        self.rows = max(len(one.imagined) for one in self._episodes)
        self._gutter = max(width_of(name, SMALL) for name in (*ROWS, "true reward")) + 2 * MARGIN
        self._cells = {key: _cell(self._episodes[0].truth[key]) for key in self._keys[0]}
        self._tall = max(height for _, height in self._cells.values()) + MARGIN
        self._wide = sum(width + MARGIN for width, _ in self._cells.values())  # an episode's columns
        lines = [_rewards(one) for one in self._episodes]
        left = room(lines, SMALL)
        self._strips = [
            Strip(one, self.rows, self._wide, left, mark=episode.start)
            for one, episode in zip(lines, self._episodes, strict=True)
        ]
        self._top = TEXT + SMALL + 3 * MARGIN
        self._paper = self._blank(title)

    def frame(self, row: int) -> Image.Image:
        image = self._paper.copy()
        left = self._gutter
        for episode, keys, strip in zip(self._episodes, self._keys, self._strips, strict=True):
            now = min(row, len(episode.imagined) - 1)
            said = f"imagined, step {now - episode.start + 1}" if now >= episode.start else "seen"
            write(image, (left, MARGIN), said, TEXT, IMAGINED if now >= episode.start else SEEN)
            across = left
            for key in keys:
                self._paint_column(image, across, episode, key, now)
                across += self._cells[key][0] + MARGIN
            strip.paint(image, (left, self._top + len(ROWS) * self._tall), now)
            left += self._wide + MARGIN
        return image

    def _paint_column(self, image: Image.Image, left: int, episode: OpenLoop, key: str, row: int) -> None:
        truth, model = rgb(episode.truth[key][row]), rgb(episode.predicted[key][row])
        for place, picture in enumerate((truth, model, difference(model, truth))):
            shown = fitted(picture, *self._cells[key])
            top = self._top + place * self._tall
            image.paste(shown, (left, top))
            if ROWS[place] == "model":
                edge = (left, top, left + shown.width - 1, top + shown.height - 1)
                color = IMAGINED if row >= episode.start else SEEN
                ImageDraw.Draw(image).rectangle(edge, outline=color, width=BORDER)

    def _blank(self, title: str) -> Image.Image:
        """What stays: names of rows and columns, and the title."""
        width = self._gutter + len(self._episodes) * (self._wide + MARGIN)
        width = max(width, width_of(title, SMALL) + 2 * MARGIN)
        height = self._top + len(ROWS) * self._tall + self._strips[0].height + SMALL + MARGIN
        paper = Image.new("RGB", (width + width % 2, height + height % 2), PAPER)
        for place, name in enumerate(ROWS):
            middle = self._top + place * self._tall + (self._tall - MARGIN) // 2
            write(paper, (self._gutter - MARGIN, middle), name, SMALL, FAINT, "rm")
        middle, is_known = self._top + len(ROWS) * self._tall + SMALL + MARGIN, self._episodes[0].reward is not None
        for name, color in (("true reward", TRUTH), ("imagined", PREDICTED))[not is_known :]:
            write(paper, (self._gutter - MARGIN, middle), name, SMALL, color, "ra")
            middle += SMALL + MARGIN
        left = self._gutter
        for keys in self._keys:
            across = left
            for key in keys:
                write(paper, (across, MARGIN + TEXT + MARGIN // 2), key, SMALL, FAINT)
                across += self._cells[key][0] + MARGIN
            left += self._wide + MARGIN
        write(paper, (paper.width - MARGIN, paper.height - MARGIN // 2), title, SMALL, FAINT, "rd")
        return paper


def difference(model: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Bytes and bytes -> bytes: 0.5 + (model - truth) / 2, on [0, 1]; grey where they agree."""
    return np.floor(128 + (model.astype(np.float32) - truth) / 2).astype(np.uint8)


def _cell(images: np.ndarray) -> tuple[int, int]:
    """(width, height) at which images (T, H, W, C) are shown."""
    shown = fitted(rgb(images[0]), CELL, CELL)
    return shown.width, shown.height


def _rewards(episode: OpenLoop) -> list[Line]:
    """Without names: those stand at the left, once for all."""
    lines = [Line("", np.concatenate([[np.nan], episode.imagined[1:]]), PREDICTED)]
    if episode.reward is not None:
        lines.insert(0, Line("", np.concatenate([[np.nan], episode.reward[1:]]), TRUTH))
    return lines
