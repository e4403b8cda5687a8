"""What a person is shown of a clip: a film strip, or traces of its numbers where there are no pictures."""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from ..labelers.people.films import Film
from ..records import Clip, Sight
from .eye import FRAME, SNAPSHOT

FPS = 12  # of the playback
HEIGHT = 240  # pixels, of a frame
QUALITY = 50  # of a strip, 100 at most
MOST_TRACES = 12
Draw = Callable[[bytes], np.ndarray]  # a snapshot -> (H, W, 3) uint8


def film(clip: Clip, sight: Sight, draw: Draw, why_not: str = "") -> Film:
    """The clip and the rows before it, `context` of them. Pictures are drawn of snapshots, were kept, or were observed.

    why_not: why snapshots cannot be drawn; then, and where nothing else is left, it is traces, which say so.
    """
    context = len(sight.prev_action) - sight.num_padding - clip.length
    pictures = _pictures(sight, draw, why_not)
    if not any(picture is not None for picture in pictures[-clip.length :]):
        return traces(sight, context, why_not or "there are no pictures of it")
    begin = next(place for place, picture in enumerate(pictures) if picture is not None)
    shown = pictures[min(begin, context) :]
    for place, picture in enumerate(shown):
        if picture is None:  # the last one before it stands still
            shown[place] = shown[place - 1] if place else pictures[begin]
    return strip([picture for picture in shown if picture is not None], len(shown) - clip.length)


def strip(pictures: list[np.ndarray], context: int) -> Film:
    """All pictures (H, W, 3) uint8 in a grid, row by row, in one webp. context: how many of them stand before the clip."""
    height, width = pictures[0].shape[:2]
    columns = math.ceil(math.sqrt(len(pictures) * height / width))
    grid = np.zeros((-(-len(pictures) // columns) * height, columns * width, 3), np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        grid[top : top + height, left : left + width] = picture
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, "webp", quality=QUALITY, method=4)
    facts = {
        "frames": len(pictures),
        "width": width,
        "height": height,
        "columns": columns,
        "fps": FPS,
        "context": context,
    }
    return Film(buffer.getvalue(), facts)


def traces(sight: Sight, context: int, why: str) -> Film:
    """The numbers that move most, each from its least to its greatest; `why` there are no pictures."""
    rows = slice(sight.num_padding, None)
    found = [(f"action {place}", values) for place, values in enumerate(sight.prev_action[rows].T)]
    for key, values in sight.obs.items():
        if values.dtype != np.uint8:
            columns = np.asarray(values[rows], np.float64).reshape(len(values) - sight.num_padding, -1).T
            found += [(f"{key} {place}" if len(columns) > 1 else key, column) for place, column in enumerate(columns)]
    moving = sorted(found, key=lambda one: -_movement(one[1]))[:MOST_TRACES]
    kept = [one for one in found if any(one is other for other in moving)]
    named = [{"name": name, "values": [_plain(value) for value in values]} for name, values in kept]
    facts = {"frames": len(sight.prev_action) - sight.num_padding, "fps": FPS, "context": context}
    return Film(b"", facts | {"traces": named, "why": why})


def _pictures(sight: Sight, draw: Draw, why_not: str) -> list[np.ndarray | None]:
    """Of each row that is one, the first that there is."""
    images = next((values for values in sight.obs.values() if values.dtype == np.uint8 and values.ndim == 4), None)
    found: list[np.ndarray | None] = []
    for row in range(sight.num_padding, len(sight.prev_action)):
        kept = sight.snapshots[row] if sight.snapshots else b""
        if kept[:1] == SNAPSHOT and not why_not:
            found.append(draw(kept[1:]))
        elif kept[:1] == FRAME:
            found.append(np.asarray(Image.open(io.BytesIO(kept[1:])).convert("RGB")))
        else:
            found.append(None if images is None else _enlarged(images[row]))
    return found


def _enlarged(image: np.ndarray) -> np.ndarray:
    """(h, w, C) uint8 -> (H, W, 3), pixels kept as they are; of one channel a grey picture, of others the first three."""
    colours = np.repeat(image, 3, axis=-1) if image.shape[-1] < 3 else image
    times = max(1, HEIGHT // image.shape[0])
    return colours[..., :3].repeat(times, axis=0).repeat(times, axis=1)


def _movement(values: np.ndarray) -> float:
    """How often a number turns over its range, so that units do not matter; one that stands still moves not."""
    finite = np.nan_to_num(np.asarray(values, np.float64))
    spread = np.ptp(finite) if len(finite) else 0.0
    return float(np.abs(np.diff(finite)).sum() / spread + spread / (1 + np.abs(finite).max())) if spread > 1e-9 else 0.0


def _plain(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None
