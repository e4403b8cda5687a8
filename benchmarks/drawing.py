"""Details of the figures: files small enough to be committed, plain numbers along logarithmic axes."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullLocator
from PIL import Image


def save(picture: Figure, file: Path) -> None:
    """As a PNG of few colours: small enough to be committed."""
    buffer = io.BytesIO()
    picture.savefig(buffer, dpi=85)
    Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        file, optimize=True
    )


def decade_log(axis) -> None:
    """Numbers of any size along a logarithmic axis: 1, 2 and 5 of each decade, with k for thousands."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(EngFormatter(sep=""))


def plain_log(axis, ticks: tuple[float, ...]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
