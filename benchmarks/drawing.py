"""Details of the figures: files small enough to be committed, plain numbers along logarithmic axes."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from PIL import Image


def save(picture: Figure, file: Path) -> None:
    """As a PNG of few colours: small enough to be committed."""
    buffer = io.BytesIO()
    picture.savefig(buffer, dpi=85)
    Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        file, optimize=True
    )


def plain_log(axis, ticks: tuple[float, ...]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
