"""HTML that is safe by how it is made: whatever is not markup already is text, and is escaped.

All that a run's folder says is foreign: names, notes and warnings of a stranger's run are shown and never obeyed.
"""

import html
from collections.abc import Iterable, Sequence

from ..reading.signs import harmless

VOID = {"img", "meta", "link", "br", "wbr"}
LONGEST = 2000  # letters of one text: more is cut, and said


class Markup(str):
    """HTML already."""


def tag(name: str, /, *inside: object, **attributes: object) -> Markup:
    """An element. None inside is left out; an attribute of None too, `class_` is class and `aria_label` aria-label."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(inside)}</{name}>")


def joined(parts: Iterable[object]) -> Markup:
    return Markup("".join(text(part) for part in parts if part is not None))


def text(value: object, most: int = LONGEST) -> Markup:
    """Escaped, unless it is markup. Signs that steer a terminal or turn the direction of writing are shown as a box."""
    if isinstance(value, Markup):
        return value
    plain = str(value)
    plain = plain if len(plain) <= most else f"{plain[:most]} … ({len(plain):,} letters)"
    return Markup(html.escape(harmless(plain, "\n\t")))


def table(heads: Sequence[object], rows: Iterable[Sequence[object]], words: Sequence[int] = (0,)) -> Markup:
    """Numbers to the right but for the columns of `words`; wide ones can be pushed sideways on a small screen."""
    kinds = ["word" if place in words else None for place in range(len(heads))]
    head = tag("tr", *(tag("th", one, scope="col", class_=kind) for one, kind in zip(heads, kinds, strict=True)))
    body = (tag("tr", *(tag("td", one, class_=kind) for one, kind in zip(row, kinds, strict=True))) for row in rows)
    inside = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", inside, class_="wide", tabindex="0")


def folded(title: object, *inside: object) -> Markup:
    """What is looked up only: closed on a screen, open on paper."""
    return tag("details", tag("summary", title), *inside)
