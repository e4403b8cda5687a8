"""What a program or a server is called: checked as a setting, and shown without what is secret in it."""

import re
import shlex
from collections.abc import Collection, Sequence
from urllib.parse import SplitResult, urlsplit

HIDDEN = "***"


def check_program(command: Sequence[str], url: str, name: str, delay: int, tiers: Collection[str]) -> None:
    """ValueError unless at most one of a program and a server answers, in place of everybody else."""
    if not (command or url):
        return
    setting = "command" if command else "url"
    if command and url:
        raise ValueError("url: only one of command and url can answer")
    if name != "env_reward":
        raise ValueError(f"{setting}: cannot answer beside name={name}")
    if tiers:
        raise ValueError(f"{setting}: cannot answer beside tiers, got {', '.join(tiers)}")
    if delay:
        raise ValueError(f"delay: must be 0 where {setting} answers, got {delay}")
    if command and (not command[0] or any("\0" in word for word in command)):
        raise ValueError(f"command: must begin with a program, got {list(command)!r}")
    if url:
        parts_of(url)


def parts_of(url: str) -> SplitResult:
    """ValueError "url: ..." unless it is an http or https address with a host."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:  # a port that is no number, brackets that do not close
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"url: must be http://host/... or https://host/..., got {without_secrets(url)!r}")
    return parts


def without_secrets(url: str) -> str:
    """An address without name and password, and without what comes after a question mark; of any text."""
    hidden = re.sub(r"//[^/?#]*@", f"//{HIDDEN}@", url)
    return re.sub(r"([?#]).*", rf"\1{HIDDEN}", hidden, count=1, flags=re.DOTALL)


def shown(command: Sequence[str], url: str) -> str:
    """For messages."""
    return shlex.join(command) if command else without_secrets(url)
