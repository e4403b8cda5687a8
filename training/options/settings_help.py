"""What `--help` of training prints: the presets, and every setting with its default and its meaning, a section at a time."""

import ast
import inspect
import io
import textwrap
import tokenize
from dataclasses import MISSING, fields, is_dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from .. import settings
from ..config import Config, ConfigError
from ..keys import closest, leaves, mappings

INDENT = 44  # column of the meaning
DEFAULTS = "settings and their defaults, before any preset (KEY=VALUE)"
FIRST_DEFAULTS = (
    "settings that are changed first, and their defaults (KEY=VALUE); --print-config shows what presets make of them"
)
MORE = "--help SECTION shows the other settings, --help all shows every one, --help PRESET what a preset sets"
GENERAL, ALL = "general", "all"  # the settings in no section, and all there are, in the words of `--help SECTION`
FIRST = (  # what most people set, in the order in which they ask
    "task",
    "seed",
    "device",
    "run.dir",
    "budget.total",
    "price.transition",
    "price.label",
    "allocator.name",
    "allocator.label_share",
    "envs.num",
    "envs.repeat",
    "envs.time_limit",
    "train.updates",
    "labels.choice",
    "labeler.tiers",
)


def help_text(section: str = "") -> str:
    """The page that `--help SECTION` shows; "" is the first page: presets, what is set first, and the names of the others.

    `section` may also be a part of one (dynamics.optimizer), a single key or a preset. Raises ConfigError for other words.
    """
    if section in settings.preset_files():
        return settings.preset_files()[section].rstrip()
    sections = _sections(Config())
    if section == ALL:
        return "\n".join([*_presets(), "", DEFAULTS, *_blocks(sections)])
    if not section:
        rows = {key: row for rows in sections.values() for key, row in rows.items()}
        first = [rows[key] for key in FIRST]
        return "\n".join([*_presets(), "", FIRST_DEFAULTS, *first, "", MORE, *_summaries()])
    wanted = "" if section == GENERAL else section
    found = {name: _inside(rows, name, wanted) for name, rows in sections.items()}
    if not any(found.values()):
        known = [GENERAL, ALL, *_section_comments(), *leaves(), *settings.preset_files()]
        meant = closest(section, known)
        hint = f"did you mean {meant}?" if meant else f"sections are {', '.join([GENERAL, ALL, *_section_comments()])}"
        raise ConfigError(f"{section}: no such section, {hint}")
    return "\n".join([DEFAULTS, *_blocks({name: rows for name, rows in found.items() if rows})])


def _presets() -> list[str]:
    """A line a preset: its name and the first comment of its file."""
    rows = [_row(name, _first_comment(text)) for name, text in settings.preset_files().items()]
    return [f"presets (files in configs/, applied in their order; without one: {settings.DEFAULT_PRESET})", *rows]


def _summaries() -> list[str]:
    """A line a section: its name and what is set there."""
    general = ", ".join(key for key in leaves() if "." not in key)
    return [_row(GENERAL, general), *(_row(name, meaning) for name, meaning in _section_comments().items())]


def _section_comments() -> dict[str, str]:
    comments = _comments(Config)
    hints = get_type_hints(Config)
    return {name: comments.get(name, "") for name, hint in hints.items() if is_dataclass(hint)}


def _inside(rows: dict[str, str], name: str, wanted: str) -> dict[str, str]:
    """The rows of the section `name` that are meant by a section, a part of one or a key; "" means those in no section."""
    if wanted == name:
        return rows
    return {key: row for key, row in rows.items() if wanted and f"{key}.".startswith(f"{wanted}.")}


def _blocks(sections: dict[str, dict[str, str]]) -> list[str]:
    """The rows of all sections, an empty line between two."""
    lines = [line for rows in sections.values() for line in ["", *rows.values()]]
    return lines[1:]


def _sections(section, prefix: str = "") -> dict[str, dict[str, str]]:
    """Name of each section ("" for what is in none) -> key -> its row, in the order of the source."""
    hints, comments = get_type_hints(type(section)), _comments(type(section))
    rows, below = {}, {}
    for field in fields(section):
        key, value = prefix + field.name, getattr(section, field.name)
        if is_dataclass(value):
            below |= _sections(value, f"{key}.")
        else:
            meaning = [_choices(hints[field.name]), comments.get(field.name, "")]
            rows[key] = _row(f"{key}={_as_written(value)}", ". ".join(part for part in meaning if part))
        if is_dataclass(mappings().get(key)):
            rows |= _entry_rows(mappings()[key], f"{key}.NAME.")
    return {prefix.removesuffix("."): rows} | below


def _entry_rows(section: type, prefix: str) -> dict[str, str]:
    """The rows of a section that stands under a name of the person's own choice."""
    comments = _comments(section)
    return {
        prefix + one.name: _row(
            f"{prefix}{one.name}={'' if one.default is MISSING else _as_written(one.default)}",
            comments.get(one.name, ""),
        )
        for one in fields(section)
    }


def _row(left: str, right: str) -> str:
    left = f"  {left}"
    if len(left) >= INDENT and right:
        left += "\n" + " " * INDENT
    return f"{left:<{INDENT}}{right}".rstrip()


def _choices(hint) -> str:
    return "|".join(get_args(hint)) if get_origin(hint) is Literal else ""


def _as_written(value) -> str:
    """A default in the words of the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, tuple):
        return "[" + ",".join(_as_written(part) for part in value) + "]"
    return f"{value:_}" if isinstance(value, int) and value >= 10_000 else str(value)


def _comments(section: type) -> dict[str, str]:
    """Field name -> the comment at the end of its definition."""
    source = textwrap.dedent(inspect.getsource(section))
    by_line = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef), section
    fields = [node for node in definition.body if isinstance(node, ast.AnnAssign)]
    ends = {node.target.id: node.end_lineno for node in fields if isinstance(node.target, ast.Name)}
    return {name: by_line[line] for name, line in ends.items() if line in by_line}


def _first_comment(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return first.lstrip("# ") if first.startswith("#") else ""
