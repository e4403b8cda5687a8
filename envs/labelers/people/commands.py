"""`tandem label ...`: raters, what they do, and answers out and in."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ....durable import whole_file
from ....errors import UserError
from ....links import refuse_links
from ....usage import Parser, file_to_write
from .exchange.forms import FORMS, read_strangers
from .exchange.imports import import_answers
from .exchange.label_studio import open_tasks
from .exchange.records import records
from .films import Films
from .overview import Overview, Shift
from .pay import shortfall
from .queue import Queue
from .raters import Raters, login_address
from .schema import QueueRefused
from .serving import base, served_at, where

COLUMNS = (
    *("rater", "today", "answers", "s each", "per hour", "wage", "earned", "owed"),
    *("skips", "agreement", "gold", ""),
)
TASKS = "label_studio_tasks"
EXPORTED = {
    "jsonl": "a line of JSON for each answer, and for each question without any",
    "csv": "the same as a table",
    "label_studio": "the same as tasks with annotations, in the form of Label Studio; without pictures",
    TASKS: "what can be labelled in Label Studio: open questions that are drawn, with what is to be seen of them",
}

Look = Callable[[Path, bool], dict[str, Any]]  # (the run, whether its code is trusted) -> what the darkroom is told


def label(arguments: list[str], look: Look) -> None:
    """Run `tandem label ARGUMENTS`. UserError for what a person can set right."""
    options = _understood(arguments)
    refuse_links(options.run)
    if options.verb == "serve":
        _serve(options, look)
        return
    with Queue.open(options.run) as queue:
        for line in VERBS[options.verb](queue, options):
            print(line, flush=True)


def _understood(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="tandem label", description="The people who answer in a run with labeler.name=people.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, told: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=told, description=told)
        one.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
        return one

    serve = verb("serve", "the page for raters and owner; needs the extra [people]")
    serve.add_argument("--port", type=int, metavar="N", help="default: the first free one from 8600 on")
    told = "to other machines too, unencrypted: behind a proxy alone; NAME: what browsers call it (default: this machine's)"
    serve.add_argument(
        "--trust", action="store_true", help="draw clips by the code of others that the run's folder names"
    )
    serve.add_argument("--expose", nargs="?", const="", metavar="NAME", help=told)
    adding = verb("add", "add a rater; prints an address to begin at, once")
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("--wage", type=float, metavar="COINS", help="an hour (default: labeler.wage)")
    adding.add_argument(
        "--renew", action="store_true", help="another address for a rater that there is, and another --wage"
    )
    verb("status", "what is open, who answers, and what it costs")
    pauses = (("pause", "give a rater, or without NAME anybody, no more questions"), ("resume", "end such a pause"))
    for name, told in pauses:
        verb(name, told).add_argument("name", nargs="?", metavar="NAME")
    verb("retract", "let the rater's labels weigh nothing; the pay stays").add_argument("name", metavar="NAME")
    verb("expire", "give up all open questions; their money goes back, and others are asked")
    exporting = verb("export", "write questions and answers").add_mutually_exclusive_group(required=True)
    for form, told in EXPORTED.items():
        exporting.add_argument(f"--{form.replace('_', '-')}", type=Path, metavar="FILE", help=told)
    verb("import", "take in answers: an export of ours or of Label Studio").add_argument(
        "file", type=Path, metavar="FILE"
    )
    return parser.parse_args(arguments)


def _serve(options: argparse.Namespace, look: Look) -> None:
    try:
        from .server.serve import serve
    except ModuleNotFoundError as error:
        raise UserError(
            f"label serve: needs the extra [people]: pip install 'tandem[people]' ({error.name})"
        ) from error
    serve(options.run, options.port, options.expose, lambda: look(options.run, options.trust))


def _add(queue: Queue, options: argparse.Namespace) -> list[str]:
    raters = Raters(queue)
    give = raters.renew if options.renew else raters.add
    token = give(options.name, options.wage)
    lines = [
        f"{options.name}: {login_address(base(queue), token)}",
        "told this once: whoever has the address answers in this name",
    ]
    if not served_at(queue.path.parent):
        lines.append(f"it leads nowhere for now, {where(queue)}; where that names another place, /?token= and on stays")
    warning = shortfall(queue, raters.find(options.name).wage_micro)
    return [*lines, *([warning] if warning else [])]


def _status(queue: Queue, options: argparse.Namespace) -> list[str]:
    overview = Overview(queue)
    counts = overview.counts()
    states = ("queued", "leased", "answered", "handed", "collected", "declined", "expired")
    numbers = ", ".join(f"{counts[state]} {state}" for state in states if counts.get(state))
    shifts = overview.shifts()
    table = [COLUMNS, *(_row(shift) for shift in shifts)] if shifts else []
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))] if table else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    trainer = "the trainer is there" if queue.has_trainer() else "no trainer asks for answers now"
    return [overview.line(), f"{numbers or 'no questions yet'}; {trainer}", *lines]


def _row(shift: Shift) -> tuple[str, ...]:
    gold = "-" if shift.gold is None else f"{shift.gold:.2f} of {shift.golds}"
    flags = {"paused": shift.rater.is_paused, "retracted": shift.rater.is_retracted, "off gold": shift.is_off_gold}
    flags["there"] = shift.is_active
    agreement = "-" if shift.agreement is None else f"{shift.agreement:.2f}"
    numbers = (str(shift.today), str(shift.answers), f"{shift.median_seconds:.1f}", f"{shift.hourly:.0f}")
    money = (f"{shift.wage:g}", f"{shift.coins:.2f}", f"{shift.owed:.2f}", str(shift.skips), agreement, gold)
    return (shift.rater.name, *numbers, *money, ", ".join(name for name, holds in flags.items() if holds))


def _pause(queue: Queue, options: argparse.Namespace) -> list[str]:
    is_paused = options.verb == "pause"
    Raters(queue).pause(options.name, is_paused)
    return [f"{options.name or 'everybody'}: {'pauses' if is_paused else 'goes on'}"]


def _retract(queue: Queue, options: argparse.Namespace) -> list[str]:
    Raters(queue).retract(options.name)
    return [f"{options.name}: labels weigh nothing once the trainer asks for answers; the pay stays"]


def _expire(queue: Queue, options: argparse.Namespace) -> list[str]:
    return [f"{Overview(queue).expire()} open questions are given up"]


def _export(queue: Queue, options: argparse.Namespace) -> list[str]:
    form, path = next((form, getattr(options, form)) for form in EXPORTED if getattr(options, form))
    place = file_to_write(f"--{form.replace('_', '-')}", path)
    found = records(queue)
    if form == TASKS:
        tasks, why = open_tasks(found, Films(queue))
        text, waiting = json.dumps(tasks, indent=1), Overview(queue).counts().get("queued", 0)
        told = [f"{path}: {len(tasks)} of {waiting} open questions; `tandem label serve RUN` draws the next ones"]
        told += [f"warning: pictures in strips alone, no films: {why}"] if why else []
    else:
        text, answers = FORMS[form](found), sum(record["verdict"] is not None for record in found)
        told = [f"{path}: {answers} answers to {len({record['key'] for record in found})} questions"]
    try:
        with whole_file(place, "w") as file:
            file.write(text)
    except OSError as error:  # which names the unfinished file
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    return told


def _import(queue: Queue, options: argparse.Namespace) -> list[str]:
    try:
        strangers = read_strangers(options.file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{options.file}: is no UTF-8 text") from error
    except OSError as error:
        raise UserError(f"{options.file}: cannot be read ({error.strerror})") from error
    except QueueRefused as error:
        raise UserError(f"{options.file}: {error}") from error
    done = import_answers(queue, strangers)
    return [f"{options.file}: {done.counted} labels, {done.others} kept beside them, {done.known} were there before"]


VERBS = {
    "add": _add,
    "status": _status,
    "pause": _pause,
    "resume": _pause,
    "retract": _retract,
    "expire": _expire,
    "export": _export,
    "import": _import,
}
