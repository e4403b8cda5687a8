"""Numbers as a person reads them; what is none is a dash."""

import math
from datetime import UTC, datetime
from typing import TypeGuard

from ...budget.money import coins_shown

NONE = "\N{EN DASH}"


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def count(value: object) -> str:
    """12,500"""
    return f"{value:,.0f}" if is_number(value) else NONE


def coins_told(value: object) -> str:
    """12,500 or 12.35"""
    return coins_shown(value) if is_number(value) else NONE


def digits(value: object) -> str:
    """Three digits that count: 0.0123, 12.3, 1,230."""
    if not is_number(value):
        return NONE
    size = abs(value)
    if size >= 100 or value == int(value):
        return _signed(f"{value:,.0f}")
    return _signed(f"{value:.3g}")


def returned(value: object) -> str:
    """A return, to a tenth."""
    return _signed(f"{value:,.1f}") if is_number(value) else NONE


def percent(value: object) -> str:
    return f"{round(value, 2) + 0.0:.0%}" if is_number(value) else NONE  # + 0: no -0%


def short(value: float) -> str:
    """For an axis: 500, 12k, 1.5M, 0.02."""
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return _signed(f"{value / unit:.3g}{letter}")
    return _signed(f"{value:.3g}")


def moment(seconds: object) -> str:
    """Seconds since the epoch as a time in UTC: 2026-11-27 04:06."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if is_number(seconds) else NONE
    except (ValueError, OSError, OverflowError):
        return NONE


def plural(number: object, thing: str) -> str:
    """1 label, 2 labels"""
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def lasted(hours: object) -> str:
    """3 h 05 min, 12 min, 40 s"""
    if not is_number(hours):
        return NONE
    seconds = round(hours * 3600)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _signed(number: str) -> str:
    """With a minus that is as wide as a plus, in front alone: an exponent keeps its own."""
    return f"\N{MINUS SIGN}{number[1:]}" if number.startswith("-") else number
