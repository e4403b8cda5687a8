"""The options of `train`, beside settings: what may be written, and what goes with what."""

import argparse
from itertools import pairwise
from pathlib import Path

from ...usage import TRUST, Parser, UsageError, count
from ..keys import closest, leaves

ASKING = {"-h", "--help", "--print-config", "--reproduce", "--forecast"}  # rank 0 alone answers
OPTIONS = ("resume", "trust", "sweep", "jobs", "slurm", "reproduce", "print-config", "forecast", "help")


def parse(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    """UsageError where they cannot be what was meant."""
    _refuse_dashes(arguments)
    options = parser.parse_intermixed_args(arguments)
    if options.help is None:
        _refuse_together(options)
    return options


def is_asking(arguments: list[str]) -> bool:
    """Whether something is to be told, and nothing trained."""
    return bool(ASKING & {word.partition("=")[0] for word in arguments})


def train_parser(program: str) -> Parser:
    """program: as it was typed."""
    parser = Parser(
        prog=program,
        usage=f"{program} [PRESET ...] [KEY=VALUE ...] [--print-config] [--forecast]\n       {program} --resume RUN [--trust] [budget.total=...]\n       {program} --sweep [PRESET ...] KEY=A,B KEY=0..9 [--jobs N] [--slurm partition=NAME]\n       {program} --reproduce FILE",
        description="Train an agent on two budgets, one for transitions and one for labels.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("settings", nargs="*", metavar="PRESET|KEY=VALUE", help=argparse.SUPPRESS)
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with the run in this folder")
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument(
        "--sweep", action="store_true", help="a run for every combination of values: seed=0..9 or KEY=A,B"
    )
    parser.add_argument("--jobs", type=count, metavar="N", help="runs of a sweep at once; default: one")
    parser.add_argument("--slurm", action="append", metavar="KEY=VALUE,...", help="run a sweep on a Slurm cluster")
    parser.add_argument(
        "--reproduce", metavar="FILE", type=Path, help="do an update of a run's dumps/ again, say what failed"
    )
    parser.add_argument("--print-config", action="store_true", help="print the resolved configuration and stop")
    parser.add_argument(
        "--forecast", action="store_true", help="say what the run would take of memory and disk, and stop"
    )
    parser.add_argument("-h", "--help", nargs="?", const="", metavar="SECTION", help="this page, or all of a section")
    return parser


def _refuse_dashes(arguments: list[str]) -> None:
    """UsageError where a setting is written as an option, which says how it is written: seed=1 for --seed 1."""
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name in OPTIONS:
            continue
        meant = closest(name.replace("-", "_"), [*leaves(), *OPTIONS])
        if meant in OPTIONS:
            raise UsageError(f"{argument}: no such option, did you mean --{meant}?")
        if meant:
            is_value = following and not following.startswith("--") and "=" not in following
            value = value if equals else following if is_value else "VALUE"
            raise UsageError(f"{argument}: a setting has no dashes, write {meant}={value}")


def _refuse_together(options: argparse.Namespace) -> None:
    """UsageError where one option does not go with another, or not without it."""
    if options.trust and not options.resume:
        raise UsageError("--trust: goes with --resume, what you name yourself needs none")
    if options.forecast and (options.resume or options.sweep or options.reproduce or options.print_config):
        raise UsageError("--forecast: tells of a new run, leave --resume, --sweep, --reproduce and --print-config out")
    if (options.jobs or options.slurm) and not options.sweep:
        raise UsageError("--jobs and --slurm: go with --sweep")
    if options.sweep and (options.resume or options.reproduce):
        raise UsageError("--sweep: goes on by itself, leave --resume and --reproduce out")
