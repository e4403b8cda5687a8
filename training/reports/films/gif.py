"""Frames to an animated GIF of few bytes, which TensorBoard, browsers and every viewer of pictures play."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor

from ..colors import PREDICTED, TRANSITIONS, TRUTH
from .paint import FAINT, INK, PAPER

MOST_BYTES = 2_000_000
LEAST_FRAMES = 8
# Colours, and how far a pixel may be from the one before it and still stay as it is: from fine to coarse.
QUALITIES = ((255, 6), (128, 10), (64, 16))
OWN = tuple(ImageColor.getrgb(one) for one in (PAPER, INK, FAINT, TRUTH, PREDICTED, TRANSITIONS))  # in every palette
UNCHANGED = 255  # the index of a pixel that stays
SAMPLES = 8  # frames that the colours are taken from
LAST_SECONDS = 1.0  # that the last frame stays


@dataclass(frozen=True)
class Film:
    """An animated GIF, and its size in pixels."""

    data: bytes
    width: int
    height: int


def gif(frames: Sequence[Image.Image], frames_per_second: float, most: int = MOST_BYTES) -> Film:
    """RGB frames of one size as a film that begins again at its end.

    Where it would be larger than `most` bytes it gets fewer colours, then half of the frames, and so on; a few of them stay
    whatever their size.
    """
    shown, seconds = list(frames), 1 / frames_per_second
    while True:
        for colors, tolerance in QUALITIES:
            data = _encoded(shown, colors, tolerance, seconds)
            if len(data) <= most:
                break
        if len(data) <= most or len(shown) < 2 * LEAST_FRAMES:
            return Film(data, *shown[0].size)
        shown, seconds = _halved(shown), 2 * seconds


def _halved(frames: list[Image.Image]) -> list[Image.Image]:
    """Every second one, and the last."""
    return frames[::2] if len(frames) % 2 else [*frames[::2], frames[-1]]


def _encoded(frames: list[Image.Image], colors: int, tolerance: int, seconds: float) -> bytes:
    palette = _palette(frames, colors)
    indexed, shown = [], None
    for frame in frames:
        pixels = np.asarray(frame)
        index = np.asarray(frame.quantize(palette=palette, dither=Image.Dither.NONE)).copy()
        for place, color in enumerate(OWN):  # Pillow takes a colour that is near, and paper would not be white
            index[(pixels == color).all(-1)] = place
        if shown is None:
            shown = pixels.astype(np.int16)
        else:
            is_same = np.abs(pixels - shown).max(-1) <= tolerance
            shown[~is_same] = pixels[~is_same]
            index[is_same] = UNCHANGED
        picture = Image.fromarray(index)
        picture.putpalette(palette.getpalette() or [])
        indexed.append(picture)
    durations = [max(20, 10 * round(100 * seconds))] * len(frames)  # ms; a GIF counts in hundredths of a second
    durations[-1] = round(1000 * LAST_SECONDS)
    file = io.BytesIO()
    indexed[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=durations,
        loop=0,
        transparency=UNCHANGED,
        disposal=1,  # what was shown stays, and the next frame is laid over it
        optimize=False,
    )
    return file.getvalue()


def _palette(frames: list[Image.Image], colors: int) -> Image.Image:
    """Our own colours, and those of frames from all of the film; the last index is nobody's."""
    places = np.unique(np.linspace(0, len(frames) - 1, SAMPLES).round().astype(int))
    pixels = Image.fromarray(np.concatenate([np.asarray(frames[place]) for place in places]))
    found = pixels.quantize(colors - len(OWN), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(part for one in OWN for part in one), *(found.getpalette() or [])])
    return palette
