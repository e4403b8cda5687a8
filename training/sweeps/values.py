"""The values of a setting that is swept: `0..9` and `a,b,c`; what stands in brackets or quotes is one value."""

import re

from ...usage import UsageError

RANGE = re.compile(r"(-?\d[\d_]*)\.\.(-?\d[\d_]*)(?:\.\.(\d[\d_]*))?")  # first..last, first..last..step
PAIRS = {"(": ")", "[": "]", "{": "}"}
MOST_VALUES = 10_000  # of a setting


def values_of(key: str, text: str) -> list[str]:
    """What `key=text` means in a sweep, as it would be written one by one; one value where nothing is swept.

    `0..9` is ten whole numbers, `0..100..20` every twentieth. UsageError for brackets or quotes that do not close, for
    values that are empty, and for a value that comes twice.
    """
    parts = split(key, text)
    if len(parts) > 1 and not all(parts):
        raise UsageError(f"{key}: an empty value between commas, got {text}")
    values = [value for part in parts for value in _counted(key, part)]
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise UsageError(f"{key}: {twice} is given twice")
    return values


def split(key: str, text: str) -> list[str]:
    """At the commas that stand in no brackets and no quotes."""
    parts, open_brackets, quote = [""], [], ""
    for letter in text:
        if letter == "," and not open_brackets and not quote:
            parts.append("")
            continue
        parts[-1] += letter
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (open_brackets or len(parts[-1]) == 1):  # inside a word it is an apostrophe
            quote = letter
        elif letter in PAIRS:
            open_brackets.append(PAIRS[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
    if open_brackets or quote:
        raise UsageError(f"{key}: {quote or open_brackets[-1]} is missing in {text}")
    return parts


def unquoted(text: str) -> str:
    """Text without the quotes that kept its commas together."""
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def _counted(key: str, part: str) -> list[str]:
    """The whole numbers of a range, or the part itself."""
    found = RANGE.fullmatch(part)
    if not found:
        return [part]
    first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
    if last < first or step < 1:
        raise UsageError(f"{key}: a range goes up, as 0..9 or 0..100..20 do, got {part}")
    if (last - first) // step >= MOST_VALUES:
        raise UsageError(f"{key}: has at most {MOST_VALUES:,} values, got {part}")
    return [str(number) for number in range(first, last + 1, step)]
