"""What can be read of damaged logs and ledgers, without a run."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Purchase
from tandem.budget.reports.verify import read_all
from tandem.frames import Frame, FrameLog, Hole, scan
from tandem.training.settings import load_config
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.marks import Mark, read_mark, write_mark
from tandem.training.storage.repair.bench import Bench
from tandem.training.storage.repair.ledger_rows import mend_ledger, rescued
from tandem.training.storage.repair.logs import condition, whole_frames, write_new
from tandem.training.storage.repair.pages import rows_in
from tandem.training.storage.repair.rows import mend_transitions
from tandem.worldmodel.replay.journal.transitions import TransitionJournal
from tandem.worldmodel.replay.tick import Ticks

PRICES = {"transition": MICRO, "label": 4 * MICRO}


def log_of(folder: Path, frames: int, segment_bytes: int = 10**6) -> FrameLog:
    log = FrameLog(folder, segment_bytes)
    for number in range(frames):
        log.append("rows", {"x": np.arange(10) + number}, at=number)
    log.sync()
    log.close()
    return log


def changed(path: Path, place: int, by: int = 1) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes([content[place] ^ by]) + content[place + 1 :])


def test_frames_before_and_after_a_hole_are_found(tmp_path):
    log = log_of(tmp_path, 5)
    path, starts = log.segments[0].path, log.segments[0].starts
    changed(path, starts[2] + 50)
    found = list(scan(path))
    assert [one.number for one in found if isinstance(one, Frame)] == [0, 1, 3, 4]
    assert [one for one in found if isinstance(one, Hole)] == [Hole(starts[2], starts[3] - starts[2])]


@pytest.mark.parametrize("place", [0, 5, 15, 23, 30, 90])  # magic, number, length, both checksums, body
def test_a_bit_anywhere_in_a_frame_costs_that_frame_alone(tmp_path, place):
    log = log_of(tmp_path, 4)
    changed(log.segments[0].path, log.segments[0].starts[1] + place)
    now = condition(tmp_path, {})
    assert (now.frames, now.lost) == (3, 1) and "000000.log" in now.why
    assert [frame.values["at"] for frame in whole_frames(tmp_path)] == [0, 2, 3]


def test_a_torn_end_is_no_damage_unless_more_was_known(tmp_path):
    folder = tmp_path / "labels"
    size = log_of(folder, 3).segments[0].size
    path = folder / "000000.log"
    path.write_bytes(path.read_bytes()[:-5])
    assert condition(folder, {}).why == ""
    assert condition(folder, {"vault/000000.log": size}).why == ""
    assert condition(folder, {"labels/000000.log": size}).why == f"000000.log: {size - 5} bytes, {size} were written"


def test_a_missing_file_in_the_middle_is_named(tmp_path):
    log_of(tmp_path, 9, segment_bytes=300)
    (tmp_path / "000001.log").unlink()
    now = condition(tmp_path, {})
    assert now.why == "000001.log is missing" and now.frames + now.lost == 9
    new = write_new(tmp_path, ((frame.kind, frame.arrays, frame.values) for frame in whole_frames(tmp_path)))
    assert [frame.number for frame in FrameLog(new).read()] == list(range(now.frames))


def ticks_of(steps: list[int], first: list[int] = ()) -> Ticks:
    """One stream with a number to see; `first`: steps that follow a reset."""
    step = np.array(steps, np.int64)[:, None]
    no, is_first = np.zeros_like(step, bool), np.isin(step, first)
    rows = {name: step[:, :, None].astype(np.float32) for name in ("action", "deter")}
    obs = {"x": step[:, :, None].astype(np.float32)}
    return Ticks(obs, is_first, no, no, step, no, **rows, stoch=step[:, :, None].astype(np.uint8))


def bench_of(path: Path) -> Bench:
    (path / "run").mkdir(exist_ok=True)
    return Bench(RunFolder(path / "run"), "now")


def journal_of(bench: Bench, blocks: list[Ticks]) -> Path:
    journal = TransitionJournal(bench.folder.transitions)
    list(journal.read())
    for number, block in enumerate(blocks, 1):
        for tick in block:
            journal.append(tick)
        journal.write(f"{number:08d}")
    journal.log.sync()
    return bench.folder.transitions / "000000.log"


def test_the_row_after_a_gap_is_a_first_one_and_what_is_left_is_counted(tmp_path):
    bench = bench_of(tmp_path)
    path = journal_of(bench, [ticks_of([0, 1, 2], [0]), ticks_of([3, 4]), ticks_of([5, 6]), ticks_of([7, 8], [7])])
    content = path.read_bytes()
    changed(path, content.index(b"TNDM", content.index(b"TNDM", 1) + 1) - 3)  # the end of the second frame
    rows = mend_transitions(bench, {}, None)
    assert rows.units == {"00000001": 2, "00000003": 1, "00000004": 1}  # steps 1, 2 | 6 | 8
    journal = TransitionJournal(bench.folder.transitions)
    found = [(tick.transition.step[0], bool(tick.transition.is_first[0])) for block in journal.read() for tick in block]
    assert found == [(0, True), (1, False), (2, False), (5, True), (6, False), (7, True), (8, False)]
    assert journal.units == rows.units
    assert mend_transitions(bench, {}, None).why == ""


def test_steps_that_were_asked_about_are_passed_over(tmp_path):
    bench = bench_of(tmp_path)
    journal_of(bench, [ticks_of([0, 1, 2], [0])])
    assert mend_transitions(bench, {0: 3}, None).why == ""  # row 2 was asked about: 3 comes next
    rows = mend_transitions(bench, {0: 9}, None)
    assert rows.units == {"00000001": 2}
    last = list(TransitionJournal(bench.folder.transitions).read())[-1]
    assert (last.step.tolist(), last.is_first.tolist(), last.is_last.tolist()) == ([[9]], [[True]], [[True]])


@pytest.fixture
def ledger(tmp_path) -> Path:
    """A hundred labels and a chunk, some of them settled, and decisions that fill more than a page."""
    (tmp_path / "run").mkdir()
    with closing(Ledger.create(tmp_path / "run" / "ledger.db", 1000 * MICRO, PRICES)) as ledger:
        ledger.reserve([Purchase("transitions/00000001", "transition", 40, MICRO)])
        ledger.settle({"transitions/00000001": 38})
        for number in range(100):
            ledger.reserve([Purchase(f"label/0/{number}", "label", 1, 4 * MICRO)])
            ledger.settle({f"label/0/{number}": 1})
        ledger.record_decision(0, {"known": "x" * 9000}, {"labels": 100})
        ledger.record_decision(1, {}, {"labels": 3})
        ledger.write_off({"label/0/3": 1}, "a mouse")
    return tmp_path / "run" / "ledger.db"


def test_pages_read_by_hand_hold_what_sqlite_says(ledger):
    with closing(sqlite3.connect(ledger)) as db:
        events = db.execute("SELECT * FROM events").fetchall()
        decisions = db.execute("SELECT * FROM decisions").fetchall()
    found = list(rows_in(ledger))
    assert sorted((number, *row[1:]) for number, row in found if len(row) == 15) == sorted(events)
    assert sorted((number, *row[1:]) for number, row in found if len(row) == 6) == sorted(decisions)


def test_all_rows_of_a_whole_ledger_prove_themselves(ledger):
    rows, found = read_all(ledger), rescued(ledger)
    assert (found.entries, found.decisions, found.prices) == (rows.entries, rows.decisions, rows.prices)


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(one, marks=pytest.mark.slow) for one in range(4, 8))])
def test_a_damaged_ledger_keeps_what_is_whole_and_adds_up(ledger, seed):
    rng, content = np.random.default_rng(seed), ledger.read_bytes()
    damaged = bytearray(content)
    damaged[40:100] = bytes(60)  # the head, so that SQLite refuses it for certain
    start = int(rng.integers(4096, len(content)))
    damaged[start : start + 200] = rng.bytes(len(damaged[start : start + 200]))
    ledger.write_bytes(damaged[: len(content) - int(rng.integers(2)) * 5000])
    kept, bench = rescued(ledger), Bench(RunFolder(ledger.parent), "now")
    assert len(kept.entries) > 60
    assert mend_ledger(bench, load_config(["budget.total=1000"]), decisions=2) and bench.are_rows_changed
    with closing(Ledger.open(ledger)) as again:
        states = again.state_of_keys()
        assert again.spent == sum(state.settled * state.purchase.price_micro for state in states.values())
    for entry in kept.entries:
        bought = entry.booking.purchase
        if entry.booking.event == "settle":
            assert states[bought.key].settled == bought.units
    assert (bench.aside / "ledger.db").exists()
    assert not mend_ledger(Bench(RunFolder(ledger.parent), "later"), load_config([]), decisions=2)


def test_a_row_that_was_changed_proves_nothing(ledger):
    rows = read_all(ledger)
    content = ledger.read_bytes()
    ledger.write_bytes(content.replace(b"label/0/42", b"label/0/4Z"))
    kept = {entry.id for entry in rescued(ledger).entries}
    lost = {entry.id for entry in rows.entries if entry.booking.purchase and entry.booking.purchase.key == "label/0/42"}
    assert lost and kept == {entry.id for entry in rows.entries} - lost


def test_a_rebuilt_ledger_that_lost_a_reservation_has_it_again(ledger):
    content = bytearray(ledger.read_bytes())
    place = content.index(b"label/0/0")  # of the reservation
    content[place + 8 : place + 9] = b"Z"
    content[40:100] = bytes(60)
    ledger.write_bytes(content)
    mend_ledger(Bench(RunFolder(ledger.parent), "now"), load_config(["budget.total=1000"]), decisions=0)
    with closing(Ledger.open(ledger)) as again:
        assert again.state_of_keys()["label/0/0"].settled == 1
        assert again.summary()["written_off"] == 4


def test_a_mark_that_is_damaged_trusts_nothing(tmp_path):
    assert read_mark(tmp_path) is None
    write_mark(tmp_path, Mark(is_exact=True, metrics_bytes=5, lost=("snapshots/phase-0000.pt",)))
    assert read_mark(tmp_path) == Mark(True, 5, ("snapshots/phase-0000.pt",))
    (tmp_path / "repaired.json").write_text("{")
    assert read_mark(tmp_path) == Mark(is_exact=False)
