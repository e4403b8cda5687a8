"""Whose code a run's folder names: the person's own, which a signature shows, or a stranger's, which nobody imports unasked.

The key of the signature lies in the state folder of the user who starts runs, and nowhere else. What is signed is what makes
code run: the names of classes and the arguments that an environment is made with, programs and servers that answer, and the
folder they were found in.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...envs.labelers.programs.address import without_secrets
from ...errors import UserError
from ...outside import is_class, look_in
from ..config import Config
from .card import RunCard

KEY_BYTES = 32
KWARGS, COMMAND, URL, SINKS = "envs.kwargs", "labeler.command", "labeler.url", "log.sinks"


class TrustError(UserError):
    """A folder names code that this user has not said to run."""


def signed(card: RunCard, config: Config) -> RunCard:
    """The card, signed where the configuration names code and there is a key or one can be made."""
    code = code_settings(config)
    key = (_read_key() or _new_key()) if code else b""
    return replace(card, signature=_signature(key, code, card.folder)) if key else card


def signed_anew(card: RunCard, before: Config, after: Config) -> RunCard:
    """The card for settings that the run's owner has changed. What was not signed stays so: the change may be another's run's."""
    code = code_settings(before)
    return signed(card, after) if code and _is_signed(card, code) else card


def check_trust(
    config: Config,
    card: RunCard | None,
    is_trusted: bool,
    repeated: Collection[str] = (),
    saved: Config | None = None,
) -> None:
    """TrustError unless all code that a run's configuration names may be imported; then its folders are looked in.

    That is so where this user started the run here, says `--trust`, or has repeated the settings on the command line.
    saved: the configuration before the command line changed it, if it did; what it changes is the user's own.
    """
    code = code_settings(config)
    is_known = is_trusted or (card is not None and _is_signed(card, code_settings(saved or config)))
    for key, value in code.items():
        if not is_known and not _is_repeated(key, value, repeated):
            told = (
                without_secrets(value) if key == URL else f"[{','.join(value)}]" if isinstance(value, list) else value
            )
            what, does = ("a server", "asks") if key == URL else ("code", "runs")
            own = f", or {key}={told}" if key not in (KWARGS, URL) else ""
            raise TrustError(
                f"{key}: {told} is {what} that the run's folder names, and it was not started here by you: "
                f"--trust {does} it (in Python trust=True){own}"
            )
    if code:
        look_in(os.getcwd())
    if code and card is not None and is_known:
        look_in(card.folder)


def code_settings(config: Config) -> dict[str, Any]:
    """Full key -> value of the settings that decide which code of others is imported, and how it is called."""
    found: dict[str, Any] = {}
    if ":" in config.task.removeprefix("gym:"):  # module:Class, or gym:module:Id
        found["task"] = config.task
    named = {"labeler.name": config.labeler.name, "allocator.name": config.allocator.name}
    found |= {key: name for key, name in named.items() if is_class(name)}
    if config.labeler.command:
        found[COMMAND] = list(config.labeler.command)
    if config.log.sinks:
        found[SINKS] = list(config.log.sinks)
    if config.labeler.url:  # it is sent what the run observes
        found[URL] = config.labeler.url
    if config.envs.kwargs and ":" in config.task:  # there are Ids whose arguments name a module
        found[KWARGS] = config.envs.kwargs
    return found


def _is_repeated(key: str, value: Any, repeated: Collection[str]) -> bool:
    return all(f"{key}.{name}" in repeated for name in value) if key == KWARGS else key in repeated


def _is_signed(card: RunCard, code: dict[str, Any]) -> bool:
    key = _read_key()
    return bool(key) and hmac.compare_digest(_signature(key, code, card.folder).encode(), card.signature.encode())


def _signature(key: bytes, code: dict[str, Any], folder: str) -> str:
    content = json.dumps({"code": code, "folder": folder}, sort_keys=True)
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def _key_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "tandem" / "key"


def _read_key() -> bytes:
    """This user's key; nothing where there is none, or where others could have read or written it."""
    try:
        path = _key_path()
        status = path.stat()
        key = path.read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return b""
    is_private = status.st_uid == os.getuid() and not status.st_mode & 0o077
    return key if is_private and len(key) == KEY_BYTES else b""


def _new_key() -> bytes:
    """Made whole under another name and then linked, so that of two first starts one wins; nothing where it cannot be."""
    try:
        path = _key_path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = path.with_name(f".key.{os.getpid()}")
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(unfinished, path)
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()
    except (OSError, RuntimeError):
        return b""
    return _read_key()
