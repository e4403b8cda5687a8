"""The films that a run keeps in its report folder: few of them, from all of its phases."""

from pathlib import Path

from ....durable import whole_file
from .gif import Film

MOST_KEPT = 16  # of a name, beside the newest


def keep(film: Film, folder: Path, name: str, phase: int) -> None:
    """Write <name>-<phase>.gif, whole. Where there are more than MOST_KEPT before it, only every second, fourth, ... phase of
    these stays, the first one with them, so that what is left shows the whole run."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{name}-{phase:03d}.gif") as file:
        file.write(film.data)
    named = {path.stem.removeprefix(f"{name}-"): path for path in folder.glob(f"{name}-*.gif")}
    found = {int(number): path for number, path in named.items() if number.isdecimal() and int(number) != phase}
    for number in found.keys() - kept(sorted(found)):
        found[number].unlink()


def kept(phases: list[int]) -> set[int]:
    """Those that stay of many: whose number is a multiple of the smallest power of two that leaves at most MOST_KEPT."""
    apart = 1
    while len([one for one in phases if one % apart == 0]) > MOST_KEPT:
        apart *= 2
    return {one for one in phases if one % apart == 0}
