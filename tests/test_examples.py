"""The files of examples/ do what they say: each is copied into an empty folder and trained with, in a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.budget.ledger import Ledger
from tandem.worldmodel.replay.journal.labels import LabelJournal

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TINY = (
    *("threads=1", "envs.repeat=1", "train.updates=16", "train.batch=2", "train.length=6", "train.horizon=3"),
    *("evaluate.episodes=1", "evaluate.final_episodes=1", "log.figures=false"),
)


@pytest.fixture
def trained(tmp_path):
    """trained("my_env", "task=my_env:Reach") -> the run's folder."""

    def train(example: str, *settings: str) -> Path:
        shutil.copy(EXAMPLES / f"{example}.py", tmp_path)
        command = [sys.executable, "-m", "tandem", "train", "smoke", "run.dir=run", *TINY, *settings]
        done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / "run"

    return train


def decisions(folder: Path) -> list[dict]:
    ledger = Ledger.open(folder / "ledger.db")
    found = ledger.decisions()
    assert ledger.remaining == 0
    ledger.close()
    return found


def test_an_environment_of_ones_own_is_trained_on(trained):
    folder = trained("my_env", "task=my_env:Reach", "envs.time_limit=20", "budget.total=320")
    assert decisions(folder)[0]["inputs"]["episode_length"] == 20
    answers = [label.value for label in LabelJournal(folder / "labels").read_answers()]
    assert len(answers) > 20 and all(0 < value <= 1 for value in answers)  # exp(-position ** 2)


def test_a_labeler_of_ones_own_answers_late_and_alone(trained):
    folder = trained(
        "my_labeler", "labeler.name=my_labeler:Panel", "task=toy_lq", "envs.time_limit=20", "budget.total=320"
    )
    assert max(decision["inputs"]["pending"] for decision in decisions(folder)) > 0
    journal = LabelJournal(folder / "labels")
    answers = {label.key: label.value for label in journal.read_answers()}
    assert answers.keys() == {item.question.key for item in journal.read_asked()}
    assert len(set(answers.values())) > 20 and all(-1 <= value < 1 for value in answers.values())


def test_an_allocator_of_ones_own_plans_every_phase(trained):
    folder = trained(
        *("my_allocator", "allocator.name=my_allocator:LabelsFirst", "task=toy_lq", "envs.time_limit=20"),
        *("budget.total=1600", "allocator.pilot_share=0.2"),
    )
    spent = labels = 0
    for decision, share in zip(decisions(folder), (0.7, 0.6, 0.5), strict=True):  # of all spend, phase by phase
        spent += decision["outputs"]["money_micro"]
        labels += decision["outputs"]["money_micro"] * decision["outputs"]["label_spend_share"]
        assert labels / spent == pytest.approx(share, abs=0.02)


def test_a_slip_in_ones_own_file_is_told_with_its_place(tmp_path):
    (tmp_path / "slip.py").write_text("class Slip:\n    def __init__(self):\n        import nothing_like_it\n")
    command = [sys.executable, "-m", "tandem", "train", "smoke", "run.dir=run"]
    for name, told in (
        ("slip:Slip", f"({tmp_path / 'slip.py'}, line 3)"),
        ("slap:Slip", f"(looked for in {tmp_path} too)"),
    ):
        done = subprocess.run(
            [*command, f"labeler.name={name}"], check=False, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.rstrip().endswith(told), (
            done.stderr
        )
    assert not (tmp_path / "run").exists()
