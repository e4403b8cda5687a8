"""Which runs are alike: groups whose settings are the same but for seed and place, named by what they differ in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..reading.signs import harmless
from .courses import Course

# What changes neither what is bought nor what is learned; a section ends in a dot.
IGNORED = (
    "seed",
    "device",
    "threads",
    "run.",
    "log.",
    "checkpoint.",
    "runtime.",
    "evaluate.",
    "replay.storage",
    "replay.folder",
    "envs.processes",
    "envs.timeout",
    "envs.patience",
)
LONGEST_NAME = 100  # letters
WHOLE = ("labeler.tiers", "envs.kwargs")  # mappings of names that a person chooses: told as one value


@dataclass(frozen=True)
class Group:
    """Runs of one task that differ in their seeds alone. Settings as text, as JSON writes them."""

    name: str
    courses: tuple[Course, ...]
    settings: dict[str, str]  # of all keys in which groups of the task differ

    @property
    def short(self) -> str:
        """The name as far as it can be read at a glance."""
        return self.name if len(self.name) <= LONGEST_NAME else f"{self.name[: LONGEST_NAME - 3]}..."


def group(courses: Sequence[Course]) -> list[Group]:
    """In the order in which they came. courses: of one task.

    A setting that a later version added is missing in older runs: they count as having the value of the others, where
    those all agree.
    """
    settings = [_flat(course.configuration) for course in courses]
    keys = _differing(settings)
    members: dict[tuple[str, ...], list[Course]] = {}
    for course, one in zip(courses, settings, strict=True):
        members.setdefault(tuple(one.get(key, "not known") for key in keys), []).append(course)
    names = _names(keys, list(members))
    return [
        Group(name, tuple(inside), dict(zip(keys, values, strict=True)))
        for name, (values, inside) in zip(names, members.items(), strict=True)
    ]


def also_differing(groups: Sequence[Group]) -> list[str]:
    """Keys in which groups differ and which no name tells, since what it tells says which group it is."""
    return [key for key in groups[0].settings if not any(f"{key}=" in one.name for one in groups)]


def _flat(plain: Any, key: str = "") -> dict[str, str]:
    """Full key -> value as text, without those that are ignored."""
    if isinstance(plain, dict) and key not in WHOLE:
        inner = (_flat(value, harmless(f"{key}.{name}" if key else str(name))) for name, value in plain.items())
        return {name: value for one in inner for name, value in one.items()}
    if any(key == one or (one.endswith(".") and key.startswith(one)) for one in IGNORED):
        return {}
    return {key: _text(plain)}


def _text(value: Any) -> str:
    if type(value) in (int, float):
        return f"{value:.12g}"  # 4 and 4.0 are one price
    is_plain = isinstance(value, str) and value.isprintable()
    return value if is_plain else json.dumps(value, default=str, sort_keys=True)


def _differing(settings: list[dict[str, str]]) -> list[str]:
    """Keys with more than one value: those that name a part first, then as the file has them."""
    known = dict.fromkeys(key for one in settings for key in one)
    found = [key for key in known if len({one[key] for one in settings if key in one}) > 1]
    return sorted(found, key=lambda key: not key.endswith(".name"))


def _names(keys: list[str], rows: list[tuple[str, ...]]) -> list[str]:
    """key=value of what tells each row from the others that agree with it so far, key by key."""
    if len(rows) == 1:
        return ["all runs"]
    words: list[list[str]] = [[] for _ in rows]
    parts = [list(range(len(rows)))]  # rows that the keys so far do not tell apart
    for place, key in enumerate(keys):
        finer = []
        for part in parts:
            by_value: dict[str, list[int]] = {}
            for row in part:
                by_value.setdefault(rows[row][place], []).append(row)
            for value, inside in by_value.items():
                finer.append(inside)
                for row in inside if len(by_value) > 1 else ():
                    words[row].append(f"{key}={value}")
        parts = finer
    return [" ".join(one) for one in words]
