"""The settings of a run as plain text, numbers, lists and dicts: as they were saved, by whichever version."""

import math
from pathlib import Path
from typing import Any

import yaml

from ...envs.labelers.programs.address import without_secrets
from ...errors import Damaged, UserError
from ...links import refuse_links

SAVED_AS = "config.yaml"  # as in storage.folder, which brings torch
MOST_BYTES = 1_000_000  # ours have some thousands
DEEPEST = 8  # mappings within mappings; ours go down to 4
COUNTS = {"seed": 0, "envs.repeat": 1, "allocator.phases": 1}  # whole numbers that readers count with -> the least
AMOUNTS = ("budget.total", "price.transition", "price.label")  # coins
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_configuration(folder: Path) -> dict[str, Any]:
    """Section -> key -> value, from the config.yaml of the run in `folder`. Keys of any version; nothing is imported.

    What is secret in a server's address is hidden: readers show what they read.

    Raises:
        UserError: the folder holds no run, or a link that leads out of it.
        Damaged: the file is no mapping with a task, or holds a number that can be none.
    """
    path = folder / SAVED_AS
    if not path.is_file():
        why = f"it has no {SAVED_AS}" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder}: not a run, {why}")
    refuse_links(folder)
    plain = _plain(path)
    if what := misfit(plain):
        raise Damaged(f"{path}: {what}")
    if url := setting(plain, "labeler.url"):
        plain["labeler"]["url"] = without_secrets(str(url))
    return plain


def misfit(plain: Any) -> str:
    """Why this is no configuration of a run that readers can use; empty where it is one."""
    if not isinstance(plain, dict) or not isinstance(plain.get("task"), str):
        return "must be a mapping of settings that names a task"
    if _is_deep(plain, DEEPEST):
        return f"holds mappings or lists more than {DEEPEST} deep"
    for key, least in COUNTS.items():
        value = setting(plain, key, least)
        if type(value) is not int or value < least:
            return f"{key} must be a whole number from {least}, got {str(value)[:40]!r}"
    for key in AMOUNTS:
        value = setting(plain, key, 0)
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            return f"{key} must be a number from 0, got {str(value)[:40]!r}"
    return ""


def _is_deep(plain: Any, levels: int) -> bool:
    inside = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
    return bool(inside) and (levels == 0 or any(_is_deep(one, levels - 1) for one in inside))


def _plain(path: Path) -> Any:
    if path.stat().st_size > MOST_BYTES:
        raise Damaged(f"{path}: too long for a configuration, {path.stat().st_size:,} bytes")
    content = path.read_bytes()
    try:
        # A few letters of aliases within aliases are a tree without an end for whoever walks it.
        if b"*" in content and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, Loader)):
            raise Damaged(f"{path}: refers to parts of itself, which no saved configuration does")
        return yaml.load(content, Loader)  # a safe one: text, numbers, lists and dicts alone
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: not readable as YAML: {' '.join(str(error).split())[:200]}") from error


def setting(configuration: dict[str, Any], key: str, default: Any = None) -> Any:
    """What stands under a full key such as envs.repeat; the default where the version that saved it had no such setting."""
    found: Any = configuration
    for name in key.split("."):
        if not isinstance(found, dict) or name not in found:
            return default
        found = found[name]
    return found
