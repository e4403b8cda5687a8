"""A film as one moving picture, for programs that know nothing of film strips."""

import io

from PIL import Image, ImageEnhance

from ..films import Film

DIMMED = 0.45  # brightness of the frames before the clip
LAST_MS = 700  # that the last frame stands
QUALITY = 50


def moving(film: Film) -> bytes:
    """An animated WebP: the clip at its pace over and over, and before it, dimmed, what led there."""
    facts = film.facts
    width, height, columns = facts["width"], facts["height"], facts["columns"]
    grid = Image.open(io.BytesIO(film.webp)).convert("RGB")
    frames = []
    for place in range(facts["frames"]):
        left, top = place % columns * width, place // columns * height
        frame = grid.crop((left, top, left + width, top + height))
        frames.append(ImageEnhance.Brightness(frame).enhance(DIMMED) if place < facts["context"] else frame)
    durations = [round(1000 / facts["fps"])] * (len(frames) - 1) + [LAST_MS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "webp", save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=QUALITY, method=2
    )
    return buffer.getvalue()
