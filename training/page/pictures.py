"""Films and pictures that a run drew, as they go into the page: checked, made small enough, and carried inside it."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageSequence

from .markup import Markup, tag

MOST_BYTES_READ = 50_000_000
MOST_PIXELS = 400_000_000  # of all frames: what is more is no film of ours
FILM_BYTES, PICTURE_BYTES = 600_000, 180_000  # in the page, a third more as text
PICTURE_WIDTH = 1400
EVERY, WIDTHS = (1, 2, 3, 4, 6, 8), (400, 320, 240)  # frames kept, pixels across: from the best film to the smallest


def films(folder: Path, name: str, words: str, is_first_shown: bool) -> list[tuple[int, Markup]]:
    """Phase and film: the newest of a name in a run's report/films, before it the first where that is wanted; nothing where
    there is none, or none that can be shown."""
    paths = {
        int(match[1]): path for path in folder.glob(f"{name}-*.gif") if (match := re.search(r"-(\d+)\.gif$", path.name))
    }
    newest = _first_shown(paths, sorted(paths, reverse=True), words)
    first = _first_shown(paths, sorted(paths), words) if is_first_shown else []
    return first + newest if first[:1] != newest else newest


def _first_shown(paths: dict[int, Path], phases: list[int], words: str) -> list[tuple[int, Markup]]:
    for phase in phases:
        if data := _film_bytes(paths[phase]):
            return [(phase, _carried(data, "gif", words))]
    return []


def picture(path: Path, words: str) -> Markup | None:
    """A PNG of a run's report; None where there is none, or none that can be shown."""
    data = _read(path)
    image = _opened(data, "PNG") if data else None
    if image is None or data is None:
        return None
    return _carried(data if len(data) <= PICTURE_BYTES else _small_picture(image), "png", words)


def _carried(data: bytes, kind: str, words: str) -> Markup:
    return tag("img", src=Markup(f"data:image/{kind};base64,{base64.b64encode(data).decode()}"), alt=words)


def _read(path: Path) -> bytes | None:
    is_fit = path.is_file() and path.stat().st_size <= MOST_BYTES_READ
    return path.read_bytes() if is_fit else None


def _opened(data: bytes, kind: str) -> Image.Image | None:
    """None for what is no such picture, or larger than any of ours."""
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
        pixels = image.width * image.height * getattr(image, "n_frames", 1)
        return image if pixels <= MOST_PIXELS else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # as PIL says what it cannot read
        return None


def _small_picture(image: Image.Image) -> bytes:
    drawn = image.convert("RGB")
    drawn.thumbnail((PICTURE_WIDTH, 4 * PICTURE_WIDTH))
    file = io.BytesIO()
    drawn.quantize(64).save(file, "PNG", optimize=True)
    return file.getvalue()


def _film_bytes(path: Path) -> bytes | None:
    """As it lies there, or with fewer and smaller frames where that is too much."""
    data = _read(path)
    image = _opened(data, "GIF") if data else None
    if data is None or image is None or len(data) <= FILM_BYTES:
        return data if image else None
    return next((made for made in _smaller(image) if len(made) <= FILM_BYTES), None)


def _smaller(image: Image.Image) -> Iterator[bytes]:
    frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
    shown = image.info.get("duration", 50) or 50  # milliseconds
    for width in WIDTHS:
        size = (width, round(image.height * width / image.width)) if image.width > width else image.size
        scaled = [frame.resize(size) for frame in frames]
        for every in EVERY:
            file = io.BytesIO()
            kept = [frame.quantize(64) for frame in scaled[::every]]
            kept[0].save(file, "GIF", save_all=True, append_images=kept[1:], duration=shown * every, loop=0)
            yield file.getvalue()
