"""The films that a run keeps in its report folder: few of them, from all of its phases."""

from pathlib import Path

from ....durable import whole_file
from .gif import Film

MOST_KEPT = 16  # of a name, beside the newest


def keep(film: Film, folder: Path, name: str, phase: int) -> None:
    """Write <name>-<phase>.gif, whole. Of earlier phases only every second, fourth, ... stays once there are many, the first
    one with them, so that what is left shows the whole run."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{name}-{phase:03d}.gif") as file:
        file.write(film.data)
    apart = distance(phase)
    for path in folder.glob(f"{name}-*.gif"):
        number = path.stem.removeprefix(f"{name}-")
        if number.isdecimal() and int(number) < phase and int(number) % apart:
            path.unlink()


def distance(phase: int) -> int:
    """Between two phases whose films stay: the smallest power of two at which there are at most MOST_KEPT before `phase`."""
    apart = 1
    while phase > MOST_KEPT * apart:
        apart *= 2
    return apart
