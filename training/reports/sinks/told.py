"""A run's settings as others are told them: as text, as plain data, and the few that tell runs apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import yaml

ALWAYS = ("task", "seed", "mode", "allocator.name", "budget.total", "price.transition", "price.label")
Scalar = bool | int | float | str


@dataclass(frozen=True)
class ToldSettings:
    text: str  # YAML
    plain: dict[str, Any]
    chosen: dict[str, Scalar]  # full key -> value: those that differ from the defaults, and ALWAYS

    @classmethod
    def of(cls, text: str, defaults: str) -> Self:
        """From the YAML of a run's settings and that of the defaults."""
        plain = yaml.safe_load(text)
        flat, usual = dict(_leaves(plain)), dict(_leaves(yaml.safe_load(defaults)))
        differing = {key for key, value in flat.items() if key not in usual or usual[key] != value}
        chosen = {key: _scalar(value) for key, value in flat.items() if key in differing or key in ALWAYS}
        return cls(text, plain, {key: value for key, value in chosen.items() if not key.startswith("run.")})


def _leaves(nested: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in nested.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _scalar(value: Any) -> Scalar:
    return value if isinstance(value, Scalar) else "null" if value is None else str(value)
