"""The command line: `tandem train | eval | ledger | report | compare | repair | plan | export | label`.

Parts are imported inside the commands: `tandem plan` answers without starting torch.
"""

import argparse
import errno
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from . import __version__
from .errors import Damaged, UserError
from .links import refuse_links
from .outside import look_in, place_outside
from .training.reading.signs import harmless
from .training.stop import at_once, listening
from .usage import TRUST, Parser, UsageError, count

USER_ERROR, SIGNALLED = 2, 128  # what a shell adds to the number of a signal that ended a command
LONGEST_NAME = 255  # of a file, in bytes
# What a person can set right about disk and folders; any other OSError is a bug and keeps its traceback.
DISK_ERRORS = {
    errno.ENOENT,
    errno.ENOSPC,
    errno.EFBIG,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit status: 0, 2 for what the user can set right, 130 after Ctrl-C, 143 after SIGTERM."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with listening(at_once):
            return _command(arguments)(arguments[1:]) or 0
    except KeyboardInterrupt as stop:
        print("interrupted", file=sys.stderr)
        return SIGNALLED + getattr(stop, "number", signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has gone: `tandem plan ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_users(error):
            raise
        place = "" if isinstance(error, UserError) else place_outside(error, os.path.dirname(__file__))
        told = f"{type(error).__name__}: {error} ({place})" if place else str(error)
        hint = f": {_rescue(arguments)}" if isinstance(error, Damaged) and "tandem repair" not in told else ""
        print(harmless(f"error: {' '.join(told.split())}{hint}"), file=sys.stderr)
        return USER_ERROR


def _command(arguments: list[str]) -> Callable[[list[str]], int | None]:
    """The sub-command that the first argument names; without one, help."""
    summaries = "\n".join(f"  {name:<8}{summary}" for name, (_, summary) in COMMANDS.items())
    parser = Parser(
        prog="tandem",
        usage="tandem COMMAND ...",
        description=f"Train agents in a learned world model on two budgets.\n\ncommands\n{summaries}",
        epilog="tandem COMMAND --help tells more",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"tandem {__version__}")
    return COMMANDS[parser.parse_args(arguments[:1] or ["--help"]).command][0]


def _is_users(error: Exception) -> bool:
    """Whether a person, and not a bug, caused the error: those are told in one line without a traceback."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in DISK_ERRORS)


def _rescue(arguments: list[str]) -> str:
    """What goes on from damage in the run that the command line names."""
    named = [word.rpartition("=")[2] for word in arguments[1:]]
    run = next((shlex.quote(word) for word in named if Path(word).is_dir()), "RUN")
    return f"`tandem repair {run}` sets aside what is damaged and says what is lost"


def _train(arguments: list[str]) -> int | None:
    from .training import settings
    from .training.options.options import is_asking, parse, train_parser
    from .training.parallel.place import Place

    place = Place.of(os.environ)
    if place.rank:
        if not is_asking(arguments):
            from .training.parallel.follower import follow

            follow(place)
        return
    parser = train_parser(_program())
    options = parse(parser, arguments)
    if options.help is not None:
        from .training.options.settings_help import help_text

        print(help_text(options.help) if options.help else f"{parser.format_help()}\n{help_text()}")
        return
    if options.sweep:
        return _sweep(options)
    if options.reproduce:
        from .training.reports.diagnosis import diagnose

        print("\n".join(diagnose(options.reproduce)))
        return
    if options.resume:
        config = settings.resume_config(options.resume, options.settings, options.trust)
    else:
        config = settings.load_config(options.settings)
    if options.print_config:
        print(settings.to_yaml(config), end="")
        return
    if options.resume:
        for note in settings.resume_notes(options.resume, config):
            print(note, flush=True)
    else:
        config = _in_new_folder(config)
    print(f"{config.task}: making the environments and the models", flush=True)
    if options.forecast:
        from .training.forecast.preview import preview

        return preview(config)
    try:
        from .training.phases import train  # takes seconds, in which Ctrl-C may come

        train(config, options.resume)
    except KeyboardInterrupt as stop:
        print(_ending(stop, Path(config.run.dir)), file=sys.stderr)
        return SIGNALLED + getattr(stop, "number", signal.SIGINT)


def _sweep(options: argparse.Namespace) -> int:
    from .training.sweeps.sweep import Order, sweep

    look_in(os.getcwd())  # task=module:Class is found in the person's folder
    return sweep(options.settings, Order(options.jobs, tuple(options.slurm or ()), _program(), options.print_config))


def _ending(stop: KeyboardInterrupt, folder: Path) -> str:
    """What to know of a run in `folder` that was ended: whether all of it was saved, and how to go on with it."""
    from .training.storage.folder import SAVED_AS

    go_on = f"{_program()} --resume {shlex.quote(str(folder))}"
    if getattr(stop, "folder", None):
        return f"interrupted: saved in {folder}; go on with: {go_on}"
    if any(not path.suffix for path in folder.glob("checkpoints/*")):
        return f"interrupted at once: nothing was saved after the last checkpoint; go on from there with: {go_on}"
    if (folder / SAVED_AS).is_file():
        return f"interrupted before the first checkpoint: what was bought is kept in {folder}; go on with: {go_on}"
    return "interrupted before the run began: nothing was bought"


def _program() -> str:
    """What was typed to train, for hints that can be typed again."""
    return "python train.py" if Path(sys.argv[0]).name == "train.py" else "tandem train"


def _in_new_folder(config):
    """The configuration with its run's folder named; refuses one that holds a run already. Makes nothing."""
    from .training.keys import shown
    from .training.storage.folder import SAVED_AS

    look_in(os.getcwd())  # task=module:Class is found in the person's folder
    run = config.run.named(config.task, config.seed, datetime.now(UTC))
    try:
        if any(len(os.fsencode(name)) > LONGEST_NAME for name in Path(run.dir).parts):
            raise UsageError(f"run.dir: names of folders have at most {LONGEST_NAME} bytes, got {shown(run.dir)}")
        if os.path.lexists(run.dir) and not os.path.isdir(run.dir):
            raise UsageError(f"run.dir: must be a folder, and {run.dir} is something else")
        if (Path(run.dir) / SAVED_AS).exists():
            raise UsageError(f"run.dir: {run.dir} is a run already, go on with it by --resume {run.dir}")
    except OSError as error:  # a path that is too long, say
        raise UsageError(f"run.dir: {shown(run.dir)} cannot be a folder ({error.strerror})") from error
    return replace(config, run=run)


def _ledger(arguments: list[str]) -> None:
    parser = Parser(prog="tandem ledger", description="What a run has bought and what is left, in coins.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--decisions", action="store_true", help="what each phase planned, and from which evidence")
    parser.add_argument("--raters", action="store_true", help="who answered, for how much, how fast and how well")
    parser.add_argument(
        "--verify", action="store_true", help="check every row, every sum and every file, also of a run that goes on"
    )
    options = parser.parse_args(arguments)
    from .budget.ledger import Ledger
    from .budget.reports.told import told
    from .budget.reports.verify import verify_ledger

    path = _run_folder(options.run) / "ledger.db"
    if options.verify:
        from .training.storage.folder import RunFolder
        from .training.storage.verify import verify_files

        folder = RunFolder(options.run)
        print("\n".join(verify_ledger(path) + (verify_files(folder) if folder.checkpoints.is_dir() else [])))
        return
    plain, lines = told(Ledger.open(path), options.run, options.decisions, options.raters)
    print(json.dumps(plain) if options.json else "\n".join(lines))


def _run_folder(folder: Path) -> Path:
    if not (folder / "ledger.db").is_file():
        raise UsageError(f"{folder}: not a run, it has no ledger.db")
    refuse_links(folder)
    return folder


def _repair(arguments: list[str]) -> None:
    parser = Parser(
        prog="tandem repair",
        description="Set aside what is damaged in a run, put what can still be read in its place, and say what is lost.",
        epilog="What is lost is written off in the ledger by name. Nothing is deleted: it lies in the run's damaged/.",
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    options = parser.parse_args(arguments)
    from .training.storage.repair.repair import repair

    lines = repair(options.run, options.dry_run)
    print("\n".join(lines or ["nothing is damaged"]))
    if lines and not options.dry_run:
        print(f"the run is whole: {_program()} --resume {shlex.quote(str(options.run))} goes on")


def _eval(arguments: list[str]) -> None:
    parser = Parser(
        prog="tandem eval", description="The true return of a run's newest agent, in episodes that training never saw."
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--episodes", type=count, metavar="N", help="of each kind; default: evaluate.final_episodes")
    parser.add_argument("--video", type=Path, metavar="FILE", help="film one episode: .mp4 or .gif")
    parser.add_argument("--trust", action="store_true", help=TRUST)
    options = parser.parse_args(arguments)
    from .training.build import load_trained
    from .training.reports.dreams import along
    from .training.reports.evaluate import Evaluator
    from .training.reports.films.video import record_video
    from .training.settings import trusted_config

    config = trusted_config(options.run, options.trust)
    models, agent = load_trained(options.run, options.trust)
    if options.video:
        told = lambda trace: along(models, trace, config.train.horizon, config.seed).track()  # noqa: E731
        filmed = record_video(agent, config.task, config.envs, config.seed, options.video, told=told)
        print(f"{options.video}: one episode, return {filmed:.1f}", flush=True)
    evaluator = Evaluator(config.task, config.envs, config.evaluate, config.seed)
    episodes = options.episodes or config.evaluate.final_episodes
    for actions, mode in (("mode", True), ("sampled", False)):
        result = evaluator.run(agent, episodes, mode)
        each = " ".join(f"{one:.1f}" for one in result.returns)
        print(
            f"{actions} actions, {episodes} episodes: mean return {result.mean_return:.1f} (each: {each})", flush=True
        )


def _plan(arguments: list[str]) -> None:
    from .budget.reports.commands import plan

    plan(
        arguments,
        Parser(prog="tandem plan", description="How many transitions and labels a budget should buy."),
        _run_folder,
    )


def _export(arguments: list[str]) -> None:
    from .training.export.export import export

    description = (
        "The newest policy and reward model of a run, as torch.export programs that need none of this package."
    )
    export(arguments, Parser(prog="tandem export", description=description), TRUST)


def _report(arguments: list[str]) -> None:
    from .training.page.command import report

    report(arguments, Parser(prog="tandem report", description="All of a run on one page, in a file by itself."))


def _compare(arguments: list[str]) -> None:
    from .training.comparison.commands import compare

    what = "Returns of runs by what they cost: groups of equal settings, with bands, a table and curves."
    compare(arguments, Parser(prog="tandem compare", description=what))


def _label(arguments: list[str]) -> None:
    from .envs.labelers.people.commands import label

    label(arguments, _look)


def _look(run: Path, is_trusted: bool) -> dict:
    """Found out by a process of its own: settings bring torch, and a server need not hold that for as long as it lives."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, get_context("fork")) as apart:
        return apart.submit(_darkroom_order, run, is_trusted).result()


def _darkroom_order(run: Path, is_trusted: bool) -> dict:
    from .training.reports.darkroom import darkroom_order

    return darkroom_order(run, is_trusted)


COMMANDS = {
    "train": (_train, "train an agent, or go on with a run"),
    "eval": (_eval, "the true return of a trained agent"),
    "ledger": (_ledger, "what a run has bought and what is left"),
    "report": (_report, "all of a run on one page"),
    "compare": (_compare, "what runs reached for what they cost"),
    "repair": (_repair, "set aside what is damaged in a run, and say what is lost"),
    "plan": (_plan, "how many transitions and labels a budget should buy"),
    "export": (_export, "the policy and the reward model, for use without this package"),
    "label": (_label, "people who answer: the page, raters, answers out and in"),
}
