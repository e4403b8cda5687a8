"""Classes of a person's own: a setting names one as module:Class, which is looked for in the current folder too."""

import difflib
import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from .errors import UserError

PYTHON = sysconfig.get_path("stdlib")
INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))  # often below Python's own

_elsewhere: list[str] = []  # folders beside the current one in which a person's modules are looked for


def is_class(name: str) -> bool:
    """Whether a name has the form module:Class."""
    module, colon, class_name = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), class_name))


def check_name(name: str, known: Sequence[str]) -> None:
    """Raise ValueError "name: ..." unless it is one of the known names or has the form module:Class."""
    if name in known or is_class(name):
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f", did you mean {nearest[0]}?" if nearest else ""
    raise ValueError(f"name: must be one of {', '.join(known)} or module:Class of your own, got {name!r}{hint}")


def make_own(
    name: str,
    setting: str,
    *arguments: Any,
    offered: Mapping[str, Any] | None = None,
    methods: Sequence[str] = (),
    keywords: Mapping[str, Any] | None = None,
) -> Any:
    """An object of a person's own class.

    Args:
        name: module:Class.
        setting: where the name stands, for messages.
        arguments: what every such class is made with.
        offered: keyword arguments, given only where the constructor names them.
        methods: what the object must have.
        keywords: keyword arguments that are given whether or not it names them.

    Raises:
        UserError: "<setting>: ...", for a module or class that is not there, a constructor that raises or a method that
            is missing.
    """
    try:
        own_class = find_class(name)
        named = inspect.signature(own_class).parameters if offered else ()
        fitting = {key: value for key, value in (offered or {}).items() if key in named}
        own = own_class(*arguments, **fitting | dict(keywords or {}))
    except (Exception, SystemExit) as error:  # whatever a person's own code raises; the cause is chained and named
        raise UserError(f"{setting}: {name} cannot be made: {told(error)}") from error
    missing = [method for method in methods if not callable(getattr(own, method, None))]
    if missing:
        needed, absent = (" and ".join(f"{method}()" for method in some) for some in (methods, missing))
        raise UserError(f"{setting}: {name} must have {needed}, got no {absent}")
    return own


def look_in(folder: str) -> None:
    """Find modules of a person's own in this folder too, after everything that is installed."""
    if folder not in sys.path:
        sys.path.append(folder)
    if folder not in (os.getcwd(), *_elsewhere):
        _elsewhere.append(folder)


def told(error: BaseException) -> str:
    """What a person's own code raised, in one line with its file and line."""
    return f"{type(error).__name__}: {error}{_place(error)}"


def place_outside(error: BaseException, inside: str) -> str:
    """Where code raised that lies neither in the folder `inside` nor in Python's own, as "file, line n"; empty: nowhere.

    A person's own code comes before an installed package that it calls.
    """
    outside = ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(("<", os.path.join(inside, ""))):
            continue
        place = f"{frame.filename}, line {frame.lineno}"
        if frame.filename.startswith(INSTALLED):
            outside = outside or place
        elif not frame.filename.startswith(PYTHON):
            return place
    return outside


def _place(error: BaseException) -> str:
    """Where a person's own code raised, or where it was looked for."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_theirs = last.filename not in (__file__, importlib.__file__) and not last.filename.startswith("<")
    if is_theirs:
        return f" ({last.filename}, line {last.lineno})"
    if not isinstance(error, ModuleNotFoundError):
        return ""
    looked = " and ".join([os.getcwd(), *_elsewhere])
    return f"; PYTHONPATH adds the folder that it lies in (looked for in {looked} too)"


def own_module(name: str) -> ModuleType:
    """A module of a person's own, looked for in the current folder too."""
    look_in(os.getcwd())  # the console script does not look there by itself
    return importlib.import_module(name)


def find_class(name: str) -> Any:
    """What module:Class names, looked for in the current folder too. Raises whatever the module raises."""
    module, class_name = name.split(":", 1)
    return getattr(own_module(module), class_name)
