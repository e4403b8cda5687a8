"""`tandem repair RUN`: whatever is damaged in a run's folder goes aside, a whole replacement takes its place, and what is
lost is said and written off by name. Cut off at any moment it can be begun again; a run that is whole is left as it is."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ....budget.ledger import Ledger
from ....envs.labelers.question_keys import question_of
from ....errors import UserError
from ....links import FOREIGN, refuse_links
from ...config import Config
from ..card import RunCard
from ..folder import RunFolder
from ..stock.mend import Stocked, mend_stock
from .accounts import settle_accounts
from .bench import DAMAGED, Bench
from .checkpoints import mark_checkpoints, newest_parts, set_archives_aside, set_checkpoints_aside
from .ledger_rows import mend_ledger
from .logs import mend_older, mend_sights
from .papers import mend_papers
from .questions import mend_questions, read_questions
from .rewards import mend_rewards
from .rows import mend_transitions
from .samples import blank_tick, copier
from .texts import mend_metrics, mend_phases

TRIAL = "trial"  # folder of a twin of the run, on which a dry run works


def repair(run: Path, is_dry: bool = False) -> list[str]:
    """What was done, in lines; none where nothing was damaged. UserError where the run is under way, or is beyond help."""
    folder = RunFolder(run)
    if not (folder.config.exists() or folder.ledger.exists() or folder.checkpoints.is_dir()):
        raise UserError(f"{run}: not a run, it has neither a configuration nor a ledger nor checkpoints")
    refuse_links(run)
    with closing(folder.hold()):
        shutil.rmtree(run / DAMAGED / TRIAL, ignore_errors=True)
        now = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        if not is_dry:
            return _repaired(Bench(folder, now))
        with _twin(run) as twin:
            return _repaired(Bench(RunFolder(twin), now))


def _repaired(bench: Bench) -> list[str]:
    """In this order: what a part needs has been mended before it."""
    bench.finish_folders()
    set_checkpoints_aside(bench)
    config, card = mend_papers(bench)
    set_archives_aside(bench)
    mend_older(bench)
    parts = newest_parts(bench)
    decisions = parts.get("positions", {}).get("ledger", {}).get("decisions", 0)
    _mend_journals(bench, config, card, is_rebuilt=mend_ledger(bench, config, decisions))
    mark_checkpoints(bench, config.measure.snapshots, parts)
    mend_sights(bench)
    mend_phases(bench, parts)
    mend_metrics(bench, parts)
    bench.write_report()
    return bench.lines


def _mend_journals(bench: Bench, config: Config, card: RunCard | None, is_rebuilt: bool) -> None:
    if any(bench.folder.transitions.glob("*.npz")):
        return  # an older version's, and whole
    with closing(Ledger.open(bench.folder.ledger)) as ledger:
        known = ledger.state_of_keys()
    stock = mend_stock(bench)
    _, questions = read_questions(bench)
    floor = _floor([*questions.asked, *questions.replied, *known], stock)
    rows = mend_transitions(bench, floor, blank_tick(config, card, questions.asked, stock.next_step))
    rows.stock = stock
    is_uniform = config.labels.choice == "uniform"
    questions = mend_questions(bench, known, copier(bench, config), is_uniform)
    mend_rewards(bench)
    settle_accounts(bench, config, rows, questions, is_rebuilt)


def _floor(keys: list[str], stock: Stocked) -> dict[int, int]:
    """Stream -> the step after the last that was asked about, of rows that were collected."""
    floor: dict[int, int] = {}
    for clip in (clip for question in filter(None, map(question_of, keys)) for clip in question.clips):
        if clip.step >= stock.next_step[clip.env]:
            floor[clip.env] = max(floor.get(clip.env, 0), clip.step + 1)
    return floor


@contextmanager
def _twin(run: Path) -> Iterator[Path]:
    """A copy of the run made of links, for a repair replaces files and changes none; but the ledger, which it books in."""
    twin = run / DAMAGED / TRIAL
    had_damaged = (run / DAMAGED).exists()
    try:
        for path in sorted(run.rglob("*")):
            inside = path.relative_to(run)
            if inside.parts[0] in (DAMAGED, FOREIGN):
                continue
            if path.is_dir():
                (twin / inside).mkdir(parents=True, exist_ok=True)
            else:
                (twin / inside).parent.mkdir(parents=True, exist_ok=True)
                _copy(path, twin / inside)
        yield twin
    finally:
        shutil.rmtree(twin, ignore_errors=True)
        if not had_damaged:
            (run / DAMAGED).rmdir()


def _copy(path: Path, copy: Path) -> None:
    if path.name.startswith("ledger.db"):
        shutil.copyfile(path, copy)
        return
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)
