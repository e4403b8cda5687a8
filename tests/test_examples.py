"""The files of examples/ do what they say: each is copied into an empty folder and trained with, in a process of its own."""

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.ledger import Ledger
from tandem.envs.records import Answer, Clip, Question, Sight
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


@pytest.mark.slow
def test_a_labeler_of_ones_own_answers_late_and_alone(trained):
    folder = trained(
        "my_labeler", "labeler.name=my_labeler:Panel", "task=toy_lq", "envs.time_limit=20", "budget.total=320"
    )
    assert max(decision["inputs"]["pending"] for decision in decisions(folder)) > 0
    journal = LabelJournal(folder / "labels")
    answers = {label.key: label.value for label in journal.read_answers()}
    assert answers.keys() == {item.question.key for item in journal.read_asked()}
    assert len(set(answers.values())) > 20 and all(-1 <= value < 1 for value in answers.values())


@pytest.mark.slow
def test_a_program_is_asked_by_a_run_and_a_word_of_its_stands_in_the_log(trained):
    """This one judges a row by its number: it needs no eyes."""
    source = "import json, sys\nprint('here I am', file=sys.stderr)\nfor line in sys.stdin:\n    q = json.loads(line)\n"
    source += "    print(json.dumps({'key': q['key'], 'value': q['clips'][0]['step'] % 7}), flush=True)\n"
    folder = trained(
        *("my_env", "task=toy_lq", f"labeler.command=[{sys.executable},-c,{source!r}]", "labeler.parallel=2"),
        *("envs.time_limit=20", "budget.total=320"),
    )
    journal = LabelJournal(folder / "labels")
    clips = {item.question.key: item.question.clip for item in journal.read_asked()}
    answers = {label.key: label.value for label in journal.read_answers()}
    assert answers == {key: clip.step % 7 for key, clip in clips.items()} and len(answers) > 20
    assert (folder / "labeler.log").read_text().count("here I am") == 2


# The pole hangs, lies and stands: cosines -1, 0, 1; the clip is the last two rows, worth 0.5 + 1.
POLE = Sight(
    {"position": np.array([[0, -1, 0], [0, 0, 1], [0, 1, 0]], np.float32), "velocity": np.zeros((3, 2), np.float32)},
    np.zeros((3, 1), np.float32),
)
DOWN = Sight({"position": np.tile(np.float32([0, -1, 0]), (3, 1))}, np.zeros((3, 1), np.float32))
QUESTIONS = [
    Question("clip", Clip(0, 9, 2), kind="clip", sights=(POLE,)),
    Question("step", Clip(0, 9), sights=(POLE,)),
    Question("left", Clip(0, 9, 2), kind="pair", right=Clip(1, 5, 2), sights=(POLE, DOWN)),
    Question("same", Clip(0, 9, 2), kind="pair", right=Clip(1, 5, 2), sights=(DOWN, DOWN)),
    Question("blind", Clip(0, 9)),
]


def check_judge(labeler) -> None:
    labeler.submit(QUESTIONS)
    replies, until = [], time.monotonic() + 30
    while len(replies) < len(QUESTIONS) and time.monotonic() < until:
        replies += labeler.collect()
        time.sleep(0.01)
    said = {reply.key: reply.value if isinstance(reply, Answer) else None for reply in replies}
    assert said == {"clip": 1.5, "step": 1.0, "left": 1.0, "same": 0.5, "blind": None}


def test_a_rater_of_ones_own_looks():
    spec = importlib.util.spec_from_file_location("my_rater", EXAMPLES / "my_rater.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_judge(module.Upright())


@pytest.mark.run
def test_a_program_judges_what_it_is_shown(make, monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    check_judge(make(command=(sys.executable, "judge.py"), parallel=2))


@pytest.mark.run
def test_a_server_judges_what_it_is_shown(make):
    server = subprocess.Popen([sys.executable, "judge_server.py", "0"], cwd=EXAMPLES, stdout=subprocess.PIPE, text=True)
    try:
        check_judge(make(url=server.stdout.readline().strip(), parallel=2))
    finally:
        server.kill()
        server.wait()


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


@pytest.mark.slow
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
