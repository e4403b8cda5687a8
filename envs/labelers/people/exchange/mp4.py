"""A film as a video file, for programs that know nothing of film strips."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..films import Film


def missing() -> str:
    """What is missing to make one; empty: nothing."""
    try:
        import imageio.v2  # noqa: F401
        import imageio_ffmpeg  # noqa: F401  mp4 needs it, and imageio says so only after the first picture
    except ImportError:
        return "mp4 needs imageio with ffmpeg: pip install 'tandem-worldmodel[video]'"
    return ""


def mp4(film: Film) -> bytes:
    """The clip alone, a frame for each of its rows; what led there is left out, so that frames count as rows do."""
    import imageio.v2 as imageio  # optional

    facts = film.facts
    width, height, columns = facts["width"], facts["height"], facts["columns"]
    grid = Image.open(io.BytesIO(film.webp)).convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        # Blocks of 2 pixels: the codec needs even sides; the default of 16 would resize most pictures.
        video: Any = imageio.get_writer(path, fps=facts["fps"], macro_block_size=2)
        with video as writer:
            for place in range(facts["context"], facts["frames"]):
                left, top = place % columns * width, place // columns * height
                writer.append_data(np.asarray(grid.crop((left, top, left + width, top + height))))
        return path.read_bytes()
