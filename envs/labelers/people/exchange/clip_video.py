"""A film as a video of its clip, for programs that know nothing of film strips."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ....sights.mp4 import write_mp4
from ..films import Film


def clip_video(film: Film) -> bytes:
    """mp4 of the clip alone, a frame for each of its rows; what led there is left out, so that frames count as rows do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, _pictures(film), film.facts["fps"])
        return path.read_bytes()


def _pictures(film: Film) -> Iterator[np.ndarray]:
    facts = film.facts
    width, height, columns = facts["width"], facts["height"], facts["columns"]
    grid = Image.open(io.BytesIO(film.webp)).convert("RGB")
    for place in range(facts["context"], facts["frames"]):
        left, top = place % columns * width, place // columns * height
        yield np.asarray(grid.crop((left, top, left + width, top + height)))
