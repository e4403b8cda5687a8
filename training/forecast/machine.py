"""How much main memory this process may still take: of the machine, and of the group that a container puts it in."""

import os
from pathlib import Path

UNLIMITED = 2**60  # a group says such a number where it has no limit


def free_memory(root: Path = Path("/")) -> float:
    """Bytes; root: of the system's own files."""
    return min([_of_machine(root), *_of_groups(root)])


def _of_machine(root: Path) -> float:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: what is free is not told, so all of it
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _of_groups(root: Path) -> list[float]:
    """What each group with a limit has left; of both versions of control groups, from the process's own one up."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            base = root / "sys/fs/cgroup" / controllers
            names = (
                ("memory.max", "memory.current")
                if not controllers
                else ("memory.limit_in_bytes", "memory.usage_in_bytes")
            )
            place = Path(path.lstrip("/"))
            for folder in (base / place, *(base / above for above in place.parents)):
                found += _left(folder, *names)
    return found


def _left(folder: Path, limit: str, usage: str) -> list[float]:
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
    except (OSError, ValueError):
        return []
    if most == "max" or int(most) > UNLIMITED:
        return []
    return [max(0.0, float(int(most) - used + _reclaimable(folder)))]


def _reclaimable(folder: Path) -> int:
    """Pages of files that the system drops when memory is asked for; a group's usage counts them."""
    try:
        pairs = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        counts = {name: int(value) for name, value in pairs}
    except (OSError, ValueError):
        return 0
    return counts.get("inactive_file", 0) + counts.get("active_file", 0)
