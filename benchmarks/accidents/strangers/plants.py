"""What a stranger can plant in a run's folder. Every hash is made right again: who made the folder can do that too."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tandem.training.storage import checkpoint
from tandem.training.storage.card import CARD, RunCard
from tandem.training.storage.folder import SAVED_AS

from . import payloads

MODULE = "planted_by_a_stranger"
NAMES = (  # (pattern in config.yaml, what takes its place)
    (r"(?m)^task: .*$", "task: os:abort"),
    (r"(?m)^task: .*$", f"task: {MODULE}:Env"),
    (r"(?m)^task: .*$", f"task: gym:{MODULE}:Env-v0"),
    (r"(?m)^task: .*$", f"task: dmc_{MODULE}:Env"),
    (r"(?m)(^allocator:\n(?:  .*\n)*?  name: ).*$", rf"\g<1>{MODULE}:Allocator"),
    (r"(?m)(^labeler:\n(?:  .*\n)*?  name: ).*$", rf"\g<1>{MODULE}:Labeler"),
    (r"(?m)(^envs:\n(?:  .*\n)*?  kwargs: ).*$", rf"\g<1>{{env_id: {MODULE}:Env}}"),
)
TAGS = (
    "!!python/object/apply:os.system ['touch {mark}']",
    "!!python/object/apply:subprocess.Popen [[touch, {mark}]]",
    "!!python/object/apply:builtins.eval [\"open('{mark}', 'w')\"]",
    "!!python/object/new:os.system ['touch {mark}']",
    "!!python/object/new:tuple [!!python/object/apply:os.system ['touch {mark}']]",
    "!!python/object:posix.system {{command: 'touch {mark}'}}",
    "!!python/name:os.system",
    f"!!python/module:{MODULE}",
    f"!!python/object/apply:{MODULE}.run []",
    "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
)
REFERENCES = (
    "${{oc.env:HOME}}",
    "${{oc.env:XDG_STATE_HOME,none}}",
    "${{oc.decode:'1'}}",
    "${{oc.create:'a: 1'}}",
    "${{task}}",
)
LINKED = (  # files and folders of a run that a link may stand for
    "config.yaml", "run.json", "ledger.db", "phases.jsonl", "metrics.jsonl", "console.log", "lock", "checkpoints", "snapshots",
    "transitions", "labels", "vault", "transitions/000000.log", "labels/000000.log", "vault/000000.log",
    "snapshots/phase-0000.pt", "{newest}", "{newest}/learner.pt", "{newest}/run.pt", "{newest}/manifest.json",
)  # fmt: skip
UNFINISHED = (
    ".config.yaml.tmp",
    ".run.json.tmp",
    ".phases.jsonl.tmp",
    "snapshots/.phase-0001.pt.tmp",
)  # names that are written to
PIPED = (
    "config.yaml",
    "run.json",
    "ledger.db",
    "lock",
    "{newest}/learner.pt",
    "transitions/000000.log",
    "metrics.jsonl",
)


@dataclass(frozen=True)
class Plant:
    """One malicious thing, and how it is put into a folder."""

    kind: str
    name: str
    put: Callable[[Path], None]


def everything(folder: Path, mark: Path, outside: Path) -> Iterator[Plant]:
    """All plants for copies of the run in `folder`. mark: what is made where one is executed; outside: a folder beside."""
    newest = checkpoint.list_checkpoints(folder / "checkpoints")[-1].relative_to(folder)
    for name, content in payloads.files(mark).items():
        yield Plant("pickles", f"{name} in learner.pt", partial(_in_checkpoint, "learner.pt", content))
        yield Plant("pickles", f"{name} in run.pt and all others", partial(_in_all, content))
    for name, content in payloads.arrays(mark).items():
        for room in ("transitions", "labels", "vault"):
            yield Plant("arrays", f"{name} in {room}", partial(_in_journal, room, content))
    for what, texts in (("tags", TAGS), ("references", REFERENCES)):
        for text in (one.format(mark=mark) for one in texts):
            yield Plant(what, text, partial(_in_settings, mark, r"(?m)^seed: .*$", f"seed: {text}"))
            yield Plant(what, f"{text} as an argument", partial(_in_settings, mark, *_argument(text)))
    for pattern, text in NAMES:
        yield Plant("names", text, partial(_in_settings, mark, pattern, text))
        yield Plant("names", f"{text}, as of version 0.2", partial(_in_settings, mark, pattern, text, has_card=False))
    yield from _paths(outside)
    places = [name.format(newest=newest) for name in LINKED]
    yield from (Plant("links", name, partial(_linked, name, outside)) for name in places)
    yield from (Plant("links", name, partial(_written, name, outside)) for name in UNFINISHED)
    yield from (Plant("pipes", name, partial(_piped, name.format(newest=newest))) for name in PIPED)


def _argument(text: str) -> tuple[str, str]:
    return NAMES[-1][0], rf"\g<1>{{size: {text} }}"


def _paths(outside: Path) -> Iterator[Plant]:
    for name in (f"{outside}/secret.pt", "../../../outside/secret.pt", "learner.pt/../../../../outside/secret.pt"):
        for field in ("files", "covers"):
            yield Plant("paths", f"{name} in {field}", partial(_in_manifest, field, name, outside))
    yield Plant(
        "paths",
        "in the covers of a log",
        partial(_in_manifest, "covers", "transitions/../../outside/secret.pt", outside),
    )


def _newest(run: Path) -> Path:
    return checkpoint.list_checkpoints(run / "checkpoints")[-1]


def _in_checkpoint(name: str, content: bytes, run: Path) -> None:
    path = _newest(run)
    (path / name).write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][name] = _print(content)
    (path / "manifest.json").write_text(json.dumps(manifest))


def _in_all(content: bytes, run: Path) -> None:
    """Into the rest of a checkpoint, the snapshots and a dump."""
    _in_checkpoint("run.pt", content, run)
    (run / "dumps").mkdir(exist_ok=True)
    (run / "dumps" / "update-1.pt").write_bytes(content)
    for path in (run / "snapshots").glob("*.pt"):
        path.write_bytes(content)


def _in_journal(room: str, content: bytes, run: Path) -> None:
    """As versions 0.1 and 0.2 kept their journals; a folder that has such a file is brought over."""
    names = {"transitions": ("00000001",), "labels": ("asked-00000001", "answers-00000001"), "vault": ("00000001",)}
    for name in names[room]:
        (run / room / f"{name}.npz").write_bytes(content)


def _in_settings(mark: Path, pattern: str, text: str, run: Path, has_card: bool = True) -> None:
    """Into config.yaml, of which the card and a checkpoint's copy know, and the module that it names beside it."""
    path = run / SAVED_AS
    settings, number = re.subn(pattern, text if "\\g<1>" in text else lambda _: text, path.read_text(), count=1)
    assert number == 1, pattern
    path.write_text(settings)
    (run / f"{MODULE}.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef run():\n    pass\n")
    _in_checkpoint(SAVED_AS, settings.encode(), run)
    if has_card:
        RunCard.read(run).accepting_only(settings).write(run)
    else:
        for card in run.rglob(CARD):
            card.unlink()


def _in_manifest(field: str, name: str, outside: Path, run: Path) -> None:
    path = _newest(run)
    shutil.copy(path / "learner.pt", outside / "secret.pt")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest[field][name] = _print((outside / "secret.pt").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest))


def _print(content: bytes) -> dict:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _linked(name: str, outside: Path, run: Path) -> None:
    """The file lies outside, whole and with the right hash; a link leads there."""
    target = outside / Path(name).name
    if (run / name).exists():
        shutil.move(run / name, target)
    else:
        target.write_text("a line of somebody's own\n")
    os.symlink(target, run / name)


def _written(name: str, outside: Path, run: Path) -> None:
    """A name that a command writes to before it renames it."""
    (run / name).parent.mkdir(exist_ok=True)
    _linked(name, outside, run)


def _piped(name: str, run: Path) -> None:
    """Whoever opens it waits for ever."""
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
