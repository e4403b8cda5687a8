"""What films are painted with: text, pictures made to fit, charts of a few lines. Pillow alone: no torch, no matplotlib."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT, GRID = "#FFFFFF", "#1A1A1A", "#7A7A7A", "#E2E2E2"
TEXT, SMALL = 13, 11  # sizes of letters
MARGIN = 6  # pixels
CHART = 44  # height of a chart
SMOOTH = 3  # charts are drawn that many times as large and then made smaller, for lines without steps


@dataclass(frozen=True)
class Line:
    """Numbers along a chart, (T,), NaN where there is none; `digits` behind the point where one of them is written."""

    name: str
    values: np.ndarray
    color: str
    digits: int = 2

    def said(self, row: int) -> str:
        value = self.values[min(row, len(self.values) - 1)]
        return f"{self.name} {value:.{self.digits}f}".strip() if np.isfinite(value) else f"{self.name} -".strip()


class Strip:
    """A chart of lines over the rows of a film: bright until now, faint from then on, and above it the numbers of now."""

    def __init__(
        self, lines: Sequence[Line], rows: int, width: int, left: int, unit: float = 1.0, mark: int | None = None
    ):
        """rows: of the whole film; left: room for the ends of the scale; unit: how large letters and charts are; mark: a row
        at which a line stands."""
        self._lines, self._rows, self._size, self._tall = lines, rows, round(SMALL * unit), round(CHART * unit)
        self.height = self._size + self._tall + 2 * MARGIN
        self._ends, self._left = ends(lines), left
        self._across = width - self._left - MARGIN
        self._bright = chart(lines, rows, (self._across, self._tall))
        if mark is not None:
            place = self._place(mark)
            ImageDraw.Draw(self._bright).line([(place, 0), (place, self._tall)], fill=FAINT, width=1)
        self._faint = Image.blend(self._bright, Image.new("RGB", self._bright.size, PAPER), 0.68)

    def paint(self, image: Image.Image, at: tuple[int, int], row: int) -> None:
        """Onto the image, its upper left corner at `at`."""
        (left, top), size = at, self._size
        spoken = left + self._left
        for line in self._lines:
            write(image, (spoken, top), line.said(row), size, line.color)
            spoken += width_of(line.said(row), size) + size
        top, left = top + size + MARGIN, left + self._left
        write(image, (left - 3, top - 2), self._ends[1], size, FAINT, "ra")
        write(image, (left - 3, top + self._tall + 2), self._ends[0], size, FAINT, "rd")
        now = self._place(min(row, self._rows - 1))
        image.paste(self._faint, (left, top))
        image.paste(self._bright.crop((0, 0, now + 1, self._tall)), (left, top))
        ImageDraw.Draw(image).line([(left + now, top), (left + now, top + self._tall - 1)], fill=INK)

    def _place(self, row: int) -> int:
        return round(row * (self._across - 1) / max(1, self._rows - 1))


def chart(lines: Sequence[Line], rows: int, size: tuple[int, int]) -> Image.Image:
    """Lines over a common scale, row 0 at the left edge and the last of `rows` at the right."""
    image = Image.new("RGB", (size[0] * SMOOTH, size[1] * SMOOTH), PAPER)
    draw, (low, high) = ImageDraw.Draw(image), limits(lines)
    edge = 2 * SMOOTH  # room for half of a line
    across, down = (image.width - 1) / max(1, rows - 1), (image.height - 2 * edge) / (high - low)
    for level in (low, high, *([0.0] if low < 0 < high else [])):
        height = edge + (high - level) * down
        draw.line([(0, height), (image.width, height)], fill=GRID, width=SMOOTH)
    for line in lines:
        for piece in _pieces(line.values):
            points = [(row * across, edge + (high - float(line.values[row])) * down) for row in piece.tolist()]
            draw.line(points, line.color, width=2 * SMOOTH - 1, joint="curve")
            if len(points) == 1:
                draw.circle(points[0], SMOOTH, line.color)
    return image.resize(size, Image.Resampling.BOX)


def limits(lines: Sequence[Line]) -> tuple[float, float]:
    """The smallest and the largest number of all lines, apart where they are one."""
    known = np.concatenate([line.values[np.isfinite(line.values)] for line in lines])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return (low, high) if high - low > 1e-6 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)


def ends(lines: Sequence[Line]) -> tuple[str, str]:
    """The limits in few signs."""
    low, high = limits(lines)
    said = [0.0 if abs(end) < 0.01 * (high - low) else end for end in (low, high)]
    low, high = (f"{end:.0f}" if abs(end) >= 100 else f"{end:.2g}" for end in said)
    return low, high


def room(charts: Sequence[Sequence[Line]], size: int) -> int:
    """How much the ends of these charts' scales take at the left."""
    return MARGIN + max(width_of(end, size) for lines in charts for end in ends(lines))


def _pieces(values: np.ndarray) -> list[np.ndarray]:
    """The rows of each stretch without NaN."""
    known = np.flatnonzero(np.isfinite(values))
    return [one for one in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(one)]


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, which is there wherever Pillow is."""
    return ImageFont.load_default(size)


def width_of(text: str, size: int) -> int:
    return int(np.ceil(font(size).getlength(text)))


def write(
    image: Image.Image, at: tuple[float, float], text: str, size: int, color: str = INK, anchor: str = "la"
) -> None:
    """anchor: as Pillow has it; "la" begins at `at`, "ma" has its middle there, "ra" ends there, each below it."""
    ImageDraw.Draw(image).text(at, text, fill=color, font=font(size), anchor=anchor)


def fitted(picture: np.ndarray, width: int, height: int) -> Image.Image:
    """A picture (H, W, 3) as large as the box allows; a small one grows by a whole factor, so that its pixels stay square."""
    image = Image.fromarray(picture)
    factor = min(width / image.width, height / image.height)
    if factor >= 1:
        return image.resize((image.width * int(factor), image.height * int(factor)), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BOX if factor < 0.5 else Image.Resampling.LANCZOS)


def rgb(image: np.ndarray) -> np.ndarray:
    """Bytes (..., C) -> (..., 3): three channels as they are, of any other number the first one as grey."""
    return image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, -1)
