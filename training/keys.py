"""The keys that can be set: their types, in words too, and the known one that somebody meant."""

import difflib
from dataclasses import is_dataclass
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .config import Config


@cache
def leaves(section: type = Config, prefix: str = "") -> dict[str, Any]:
    """Full key -> type of everything that can be set in a section; a mapping is one key."""
    found = {}
    for name, hint in get_type_hints(section).items():
        found |= leaves(hint, f"{prefix}{name}.") if is_dataclass(hint) else {prefix + name: hint}
    return found


@cache
def mappings() -> dict[str, Any]:
    """Full key -> what its entries are, for every mapping: a section, or Any for plain values."""
    return {key: get_args(hint)[1] for key, hint in leaves().items() if get_origin(hint) is dict}


def mapping_of(key: str) -> str:
    """The mapping that a full key lies in; empty for others."""
    return next((mapping for mapping in mappings() if key.startswith(mapping + ".")), "")


def keys_at(key: str) -> dict[str, Any]:
    """All leaves, and those of the mapping's entry that `key` lies in."""
    mapping = mapping_of(key)
    if not mapping:
        return leaves()
    entry, inside = key.removeprefix(mapping + "."), mappings()[mapping]
    if inside is not Any:
        return leaves() | leaves(inside, f"{mapping}.{entry.split('.')[0]}.")
    return leaves() | ({key: Any} if entry.isidentifier() else {})


def nearest(word: str, known) -> str:
    """What to say of a word that nobody knows: the known one that is most like it."""
    return f"did you mean {closest(word, known) or difflib.get_close_matches(word, known, 1, 0.0)[0]}?"


def closest(word: str, known) -> str | None:
    """The known word that is meant; the last part alone counts too, so that label_share finds allocator.label_share."""
    short = {name.rsplit(".", 1)[-1]: name for name in known}
    if word in short:
        return short[word]
    close = difflib.get_close_matches(word, known, 1, 0.7) or difflib.get_close_matches(word, short, 1, 0.7)
    return (close[0] if close[0] in known else short[close[0]]) if close else None


def meaning(hint) -> str:
    """A type in the words of somebody who has to write a value of it."""
    plain = {
        int: "a whole number below 2**32 (1_000_000, not 1e6)",
        float: "a finite number",
        bool: "true or false",
        str: "text",
    }
    plain |= {
        dict[str, Any]: "values by name such as {size:3}",
        Any: "text, a finite number, true, false, null or a list",
    }
    if hint in plain:
        return plain[hint]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) is dict:
        return "sections by name such as {cheap:{price:1}}"
    if get_origin(hint) is tuple:
        return "a list of names such as [arm,-goal]" if str in get_args(hint) else "a list of numbers such as [1.0,0.5]"
    return " or ".join("null" if part is NoneType else meaning(part) for part in get_args(hint))


def shown(written: Any) -> str:
    """What somebody wrote, short and in one line; text as it stands where that is readable."""
    if isinstance(written, str) and written and written.isprintable() and len(written) <= 200:
        return written
    text = repr(written) if not isinstance(written, int) or abs(written) < 10**60 else "a number of more than 60 digits"
    return text if len(text) <= 200 else f"{text[:200]}..."
