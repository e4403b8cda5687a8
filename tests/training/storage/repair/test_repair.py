"""`tandem repair RUN`: what can be read is kept, what is lost is said and written off, and the run goes on."""

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.ledger import Ledger
from tandem.envs.vault import RewardVault
from tandem.errors import Damaged, UserError
from tandem.frames import FrameLog
from tandem.training.storage import checkpoint
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.repair.repair import repair
from tandem.training.storage.verify import verify_files
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

COUPLED = ("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0")
TIERS = (
    "labeler.tiers={cheap:{price:1,sigma:1},dear:{price:4}}",
    "labeler.item_price=0.5",
    "allocator.pilot_labels=12",
)
pytestmark = pytest.mark.run


def frame_starts(path: Path) -> list[int]:
    log = FrameLog(path.parent)
    for _ in log.read():
        pass
    return log.segments[0].starts


def flip(path: Path, place: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])


def goes_on(run: Path, said) -> list[str]:
    lines = said("train", "--resume", run, "log.every_seconds=1000")
    assert said("repair", run) == ["nothing is damaged"]
    said("ledger", run, "--verify")
    with closing(Ledger.open(run / "ledger.db")) as ledger:
        assert ledger.remaining < 5_000_000 and ledger.reserved == 0
    return lines


def test_a_whole_run_is_left_as_it_is(stopped, said):
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    assert said("repair", stopped) == said("repair", stopped, "--dry-run") == ["nothing is damaged"]
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_a_frame_in_the_middle_is_lost_and_those_after_it_are_not(stopped, said):
    path = stopped / "transitions" / "000000.log"
    journal = TransitionJournal(path.parent)
    blocks = list(journal.read())
    starts = frame_starts(path)
    units = dict(journal.units)
    flip(path, starts[3] + 200)
    lines = said("train", "--resume", stopped, status=2)
    assert "damaged at frame 3" in lines[-1] and f"`tandem repair {stopped}`" in lines[-1]
    told = said("repair", stopped)
    kept = TransitionJournal(path.parent)
    ticks = list(kept.read())
    assert len(ticks) == len(blocks) - 1
    np.testing.assert_array_equal(ticks[3].step, blocks[4].step)
    assert ticks[3].is_first[0].all()  # the transitions into these rows are lost with the rows before
    lost = blocks[3].num_bought + int((~blocks[4].is_first[0]).sum())
    assert sum(units.values()) - kept.received == lost
    number = sum(int(line.split()[1]) for line in told if line.startswith("lost: "))
    with closing(Ledger.open(stopped / "ledger.db")) as ledger:
        summary = ledger.summary()
        open_units = sum(kept.units[one.key.removeprefix("transitions/")] for one in ledger.outstanding())
    assert summary["transitions_written_off"] == number and summary["transitions"] == kept.received - open_units
    assert said("repair", stopped) == ["nothing is damaged"]
    assert "going on with everything that was bought" in "".join(goes_on(stopped, said))
    aside = list((stopped / "damaged").glob("*/transitions/000000.log"))
    assert len(aside) == 1 and (aside[0].parents[1] / "report.txt").read_text().splitlines() == told[:-1]


def test_lost_answers_are_written_off_and_never_asked_again(stopped, said):
    path = stopped / "labels" / "000000.log"
    journal = LabelJournal(path.parent)
    entries = list(journal.read())
    number = next(i for i, entry in enumerate(entries) if entry.answers and i > 2)
    flip(path, frame_starts(path)[number] + 60)
    keys = [answer.key for answer in entries[number].answers]
    told = said("repair", stopped)
    line = f"lost: {len(keys)} labels of tier default of "
    assert any(one.startswith(line) and one.endswith(f"{4 * len(keys)} coins written off") for one in told), told
    goes_on(stopped, said)
    again = [item.question.key for item in journal.read_asked()]
    assert len(again) == len(set(again)) and set(keys) <= set(again)
    assert set(keys) <= {one.key for one in journal.read_declined()}


def test_an_answer_whose_question_is_lost_gets_its_row_again(stopped, said):
    path = stopped / "labels" / "000000.log"
    journal = LabelJournal(path.parent)
    entries = list(journal.read())
    number = next(i for i, entry in enumerate(entries) if entry.asked and i > 2)
    flip(path, frame_starts(path)[number] + 60)
    answers = sorted((answer.key, answer.value) for answer in journal_answers(entries))
    told = said("repair", stopped)
    assert f"rescued: {len(entries[number].asked)} questions about rows that are still there" in told
    assert not [line for line in told if line.startswith("lost: ")]
    assert sorted((answer.key, answer.value) for answer in journal.read_answers()) == answers
    copies = {item.question.key: item for item in journal.read_asked()}
    for item in entries[number].asked:  # as it was, but for latents, which are those the row was collected with
        copy = copies[item.question.key].copy
        assert copies[item.question.key].is_uniform == item.is_uniform
        np.testing.assert_array_equal(copy.obs["state"], item.copy.obs["state"])
        np.testing.assert_array_equal(copy.is_first, item.copy.is_first)
        assert (copy.episode, copy.is_heldout, copy.context_step) == (
            item.copy.episode,
            item.copy.is_heldout,
            item.copy.context_step,
        )
    goes_on(stopped, said)


def journal_answers(entries):
    return [answer for entry in entries for answer in entry.answers]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), id="decoupled"),
        pytest.param(COUPLED, id="coupled", marks=pytest.mark.slow),
        pytest.param(TIERS, id="tiers", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(("transitions",), marks=pytest.mark.slow),
        pytest.param(("labels",), marks=pytest.mark.slow),
        pytest.param(("vault",), marks=pytest.mark.slow),
        ("ledger.db",),
        pytest.param(("transitions", "labels"), marks=pytest.mark.slow),
    ],
)
def test_whatever_is_gone_as_a_whole_the_run_goes_on(stopped_in, tiny_arguments, tmp_path, said, settings, lost):
    run = stopped_in(tmp_path / "run", tiny_arguments(*settings), 45)
    with closing(Ledger.open(run / "ledger.db")) as ledger:
        before, open_keys = ledger.summary(), {one.key for one in ledger.outstanding()}
    journal = TransitionJournal(run / "transitions")
    open_units = sum(block.num_bought for block in journal.read()) - before["transitions"]
    assert len(open_keys) == 1
    for name in lost:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    assert "tandem repair" in said("train", "--resume", run, status=2)[-1]
    told = said("repair", run)
    with closing(Ledger.open(run / "ledger.db")) as ledger:
        after = ledger.summary()
    # Money that was spent stays spent; where the ledger is gone nobody knows that a chunk was not yet paid.
    assert after["spent"] == before["spent"] + (open_units if lost == ("ledger.db",) else 0)
    for name, kind in (("transitions", "transitions"), ("labels", "labels")):
        assert after[f"{kind}_written_off"] == (before[kind] if name in lost else 0), told
    assert said("repair", run) == ["nothing is damaged"]
    goes_on(run, said)


def test_rows_that_were_asked_about_are_never_named_again(stopped, said):
    """The tail of the transitions is gone: new rows take numbers after those that questions know."""
    (stopped / "transitions" / "000000.log").write_bytes(b"")
    asked = {item.question.clip for item in LabelJournal(stopped / "labels").read_asked()}
    said("repair", stopped)
    goes_on(stopped, said)
    journal = TransitionJournal(stopped / "transitions")
    bought = {
        (env, step)
        for block in journal.read()
        for tick, row in enumerate(block.step.tolist())
        for env, step in enumerate(row)
        if not block.is_first[tick, env]
    }
    assert not bought & {(clip.env, clip.step) for clip in asked}


def test_lost_rewards_are_declined_and_cost_nothing(stopped, said):
    path = stopped / "vault" / "000000.log"
    starts = frame_starts(path)
    flip(path, starts[1] + 40)
    told = said("repair", stopped)
    assert [line for line in told if "true rewards; questions about their rows will be declined" in line]
    vault = RewardVault(stopped / "vault")
    vault.load()
    assert vault.num_rows >= TransitionJournal(stopped / "transitions").received
    with closing(Ledger.open(stopped / "ledger.db")) as ledger:
        assert ledger.summary()["written_off"] == 0
    goes_on(stopped, said)


@pytest.mark.parametrize(
    "damage", [*(pytest.param(one, marks=pytest.mark.slow) for one in ("", "seed")), "budget", "half"]
)
def test_a_damaged_configuration_is_taken_from_a_checkpoint(stopped, said, damage):
    path = stopped / "config.yaml"
    text = path.read_text()
    changed = {
        "": "",
        "seed": text.replace("seed: 0", "seed: 1"),
        "budget": text.replace("total: 320", "total: 330"),
        "half": text[: len(text) // 2],
    }
    assert changed[damage] != text
    path.write_text(changed[damage])
    assert "tandem repair" in said("train", "--resume", stopped, status=2)[-1]
    assert "rescued: the configuration, from a copy" in said("repair", stopped)[1]
    assert path.read_text() == text
    lines = goes_on(stopped, said)
    assert not [line for line in lines if "going on with everything" in line]  # it is what it would have been


@pytest.mark.parametrize(
    "damage", [*(pytest.param(one, marks=pytest.mark.slow) for one in ("empty", "delete")), "half", "flip"]
)
def test_a_damaged_card_is_taken_from_its_copy(stopped, said, damage):
    path = stopped / "run.json"
    content = path.read_bytes()
    if damage == "delete":
        path.unlink()
    elif damage == "flip":
        flip(path, len(content) // 2)
    else:
        path.write_bytes(content[: len(content) // 2 if damage == "half" else 0])
    if damage != "delete":
        assert "tandem repair" in said("train", "--resume", stopped, status=2)[-1]
    assert "rescued: the run's card, from a copy" in said("repair", stopped)
    assert path.read_bytes() == content
    assert not [line for line in goes_on(stopped, said) if "going on with everything" in line]


def test_card_and_configuration_damaged_together_come_back_together(stopped, said):
    before = {name: (stopped / name).read_bytes() for name in ("run.json", "config.yaml")}
    for name, content in before.items():
        (stopped / name).write_bytes(content[:-40])
    said("repair", stopped)
    assert {name: (stopped / name).read_bytes() for name in before} == before
    goes_on(stopped, said)


def test_a_run_that_never_saved_has_a_spare_configuration(stopped, said):
    for path in checkpoint.list_checkpoints(stopped / "checkpoints"):
        shutil.rmtree(path)
    (stopped / "config.yaml").unlink()
    said("repair", stopped)
    goes_on(stopped, said)


def test_no_checkpoint_is_whole_and_the_run_is_done_again(stopped, said):
    for path in checkpoint.list_checkpoints(stopped / "checkpoints"):
        flip(path / "run.pt", 5000)
    assert "tandem repair" in said("train", "--resume", stopped, status=2)[-1]
    assert any("the run learns again from what was bought" in line for line in said("repair", stopped))
    assert said("repair", stopped) == ["nothing is damaged"]
    goes_on(stopped, said)


def test_a_run_repaired_without_a_checkpoint_takes_all_in(stopped, said):
    shutil.rmtree(stopped / "checkpoints")
    path = stopped / "transitions" / "000000.log"
    flip(path, frame_starts(path)[2] + 100)
    said("repair", stopped)
    assert "going on with everything that was bought" in "".join(goes_on(stopped, said))


def test_a_snapshot_with_a_flipped_bit_is_noticed_and_the_run_is_the_same(stopped, said):
    path = stopped / "snapshots" / "phase-0001.pt"
    flip(path, path.stat().st_size // 2)
    lines = said("repair", stopped)
    assert lines[0].startswith("set aside: snapshots/phase-0001.pt: the checksum of ")
    assert lines[1] == "lost: snapshots/phase-0001.pt: the curve of the dynamics error goes without that phase"
    assert not [line for line in goes_on(stopped, said) if "going on with everything" in line]


def test_bad_lines_are_cut_out_of_what_was_logged(stopped, said):
    metrics = stopped / "metrics.jsonl"
    rows = metrics.read_bytes().splitlines(keepends=True)
    hurt = [*rows[:2], rows[2][:40] + b"\x00" + rows[2][41:], *rows[3:5], rows[5][:-1] + b"x", *rows[6:]]
    metrics.write_bytes(b"".join(hurt))
    lines = said("repair", stopped)
    assert "lost: 2 rows of metrics.jsonl" in lines  # the second is two in one
    assert metrics.read_bytes() == b"".join(rows[:2] + rows[3:5] + rows[7:])
    (stopped / "phases.jsonl").write_text("not a phase\n")
    assert any("phases.jsonl" in line for line in said("repair", stopped))
    assert [json.loads(line)["phase"] for line in (stopped / "phases.jsonl").read_text().splitlines()] == [0, 1]
    goes_on(stopped, said)
    assert all(json.loads(line)["step"] >= 0 for line in metrics.read_text().splitlines())


def test_a_dry_run_says_the_same_and_does_nothing(stopped, said):
    for name in ("transitions", "labels", "vault"):
        path = stopped / name / "000000.log"
        flip(path, frame_starts(path)[2] + 60)
    content = (stopped / "ledger.db").read_bytes()
    (stopped / "ledger.db").write_bytes(content[: len(content) // 2])
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    dry = said("repair", stopped, "--dry-run")
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before
    assert said("repair", stopped)[:-1] == dry
    goes_on(stopped, said)


@pytest.mark.slow
def test_a_repair_that_is_cut_off_anywhere_can_be_begun_again(stopped, tmp_path, said, monkeypatch):
    for name in ("transitions", "labels", "vault"):
        path = stopped / name / "000000.log"
        flip(path, frame_starts(path)[2] + 60)
    content = (stopped / "ledger.db").read_bytes()
    (stopped / "ledger.db").write_bytes(content[: len(content) // 2])
    (stopped / "config.yaml").write_text("")
    original, whole = os.replace, Path(shutil.copytree(stopped, tmp_path / "whole"))
    repair(whole)
    with closing(Ledger.open(whole / "ledger.db")) as ledger:
        expected = ledger.summary()

    class Crash(BaseException):
        """A power cut."""

    for last in range(1, 40):
        run, calls = Path(shutil.copytree(stopped, tmp_path / f"{last}")), []

        def replace(old, new, last=last, calls=calls):
            calls.append(new)
            if len(calls) == last:
                raise Crash
            original(old, new)

        monkeypatch.setattr(os, "replace", replace)
        try:
            repair(run)
        except Crash:
            pass
        else:
            break
        finally:
            monkeypatch.undo()
        repair(run)
        with closing(Ledger.open(run / "ledger.db")) as ledger:
            assert ledger.summary() == expected, last
        assert repair(run) == []
        verify_files(RunFolder(run))
    assert last > 8
    goes_on(tmp_path / f"{last - 3}", said)


def test_a_run_under_way_is_not_repaired(stopped, said):
    with RunFolder(stopped).hold():
        assert "another process" in said("repair", stopped, status=2)[-1]
    assert "not a run" in said("repair", stopped.parent, status=2)[-1]


def test_every_error_of_a_damaged_file_is_of_one_kind():
    from tandem.budget.ledger_file import DamagedLedger
    from tandem.frames import DamagedLog
    from tandem.training.config import DamagedConfig
    from tandem.training.storage.checkpoint import DamagedCheckpoint
    from tandem.training.storage.restore import FilesMissing
    from tandem.worldmodel.replay.journal.npz import ChunkError

    for error in (DamagedLedger, DamagedLog, DamagedConfig, DamagedCheckpoint, FilesMissing, ChunkError):
        assert issubclass(error, Damaged) and issubclass(error, UserError)
