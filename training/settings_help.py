"""What --help prints about the configuration: the presets, and every key with its default and its meaning."""

import ast
import inspect
import io
import textwrap
import tokenize
from dataclasses import MISSING, fields, is_dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from . import settings
from .config import Config

INDENT = 44  # column of the meaning


def help_text() -> str:
    """Presets with the first comment of their file; keys with the comment that ends their line in the source."""
    presets = [_row(name, _first_comment(text)) for name, text in settings.preset_files().items()]
    return "\n".join(
        [f"presets (files in configs/, applied in their order; without one: {settings.DEFAULT_PRESET})", *presets]
        + ["", "keys and their defaults, before any preset (key=value)", *_rows(Config(), "")]
    )


def _rows(section, prefix: str) -> list[str]:
    """A line a key, in the order of the source; a section's own keys follow its name."""
    hints, comments = get_type_hints(type(section)), _comments(type(section))
    rows = []
    for field in fields(section):
        key, value = prefix + field.name, getattr(section, field.name)
        if is_dataclass(value):
            rows += ["", *_rows(value, key + ".")]
        else:
            meaning = [_choices(hints[field.name]), comments.get(field.name, "")]
            rows.append(_row(f"{key}={_as_written(value)}", ". ".join(part for part in meaning if part)))
        if key in settings.mappings():
            rows += _entry_rows(settings.mappings()[key], f"{key}.NAME.")
    return rows


def _entry_rows(section: type, prefix: str) -> list[str]:
    """A line a key of a section that stands under a name of the person's own choice."""
    comments = _comments(section)
    return [
        _row(
            f"{prefix}{one.name}={'' if one.default is MISSING else _as_written(one.default)}",
            comments.get(one.name, ""),
        )
        for one in fields(section)
    ]


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
    body = ast.parse(source).body[0].body
    ends = {node.target.id: node.end_lineno for node in body if isinstance(node, ast.AnnAssign)}
    return {name: by_line[line] for name, line in ends.items() if line in by_line}


def _first_comment(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return first.lstrip("# ") if first.startswith("#") else ""
