"""Pictures as an mp4 file, which needs the extra `video`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


def missing() -> str:
    """What is missing to write one; empty: nothing."""
    try:
        import imageio.v2  # noqa: F401
        import imageio_ffmpeg  # noqa: F401  mp4 needs it, and imageio says so only after the first picture
    except ImportError:
        return "mp4 videos need imageio with ffmpeg: pip install 'tandem-worldmodel[video]', or -e '.[video]' in a checkout"
    return ""


def write_mp4(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """pictures: (H, W, 3) uint8 each. What fails, of imageio, ffmpeg or the disk, is raised; half a file may be left."""
    import imageio.v2 as imageio  # optional

    # Blocks of 2 pixels: the codec needs even sides; the default of 16 would resize most pictures.
    writer: Any = imageio.get_writer(path, fps=fps, macro_block_size=2)
    with writer as video:
        for picture in pictures:
            video.append_data(picture)
