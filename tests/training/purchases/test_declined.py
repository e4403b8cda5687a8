"""A bad answer is declined and its money goes back; the run goes on, and comes back."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import tandem.training.build
from tandem.budget.money import BudgetConfig
from tandem.envs.records import Answer, Declined
from tandem.envs.vault import RewardVault
from tandem.errors import UserError
from tandem.training.phases import train
from tandem.training.purchases.heard import Heard
from tandem.training.purchases.labels import LabelDesk
from tandem.training.purchases.sellers import SellerFailed
from tandem.training.purchases.terms import Terms
from tandem.worldmodel.replay.journal.labels import LabelJournal


class Bad:
    """Answers with 1, but for every third question, to which `reply` says what it replies (a list)."""

    def __init__(self, reply):
        self._reply, self._ready, self._number = reply, [], 0

    def submit(self, questions):
        for question in questions:
            self._number += 1
            good = [Answer(question.key, 1.0)]
            self._ready += self._reply(question.key) if self._number % 3 == 0 else good

    def collect(self):
        ready, self._ready = self._ready, []
        return ready


@pytest.fixture
def answered_badly(tiny, monkeypatch, audit):
    """answered_badly(reply) -> the run's folder, after the whole run and after it went on with a larger budget."""

    def run(reply) -> Path:
        monkeypatch.setattr(tandem.training.build, "make_labeler", lambda *_: Bad(reply))
        config = tiny()
        train(config)
        folder = Path(config.run.dir)
        assert audit(folder)["remaining"] < 4
        train(replace(config, budget=BudgetConfig(400.0)), resume=folder)
        assert audit(folder)["remaining"] < 4
        return folder

    return run


@pytest.mark.parametrize(
    "value",
    [math.nan, *(pytest.param(one, marks=pytest.mark.slow) for one in ("seven", -math.inf, 1e300, None, (1.0, 2.0)))],
)
def test_an_answer_that_is_no_number_is_declined(answered_badly, capsys, value):
    folder = answered_badly(lambda key: [Answer(key, value)])
    journal = LabelJournal(folder / "labels")
    assert len(journal.read_declined()) > 10 and len(journal.read_answers()) > 20
    assert f"the answer is {value!r}" in capsys.readouterr().out


def test_a_labeler_may_decline(answered_badly, capsys):
    folder = answered_badly(lambda key: [Declined(key, "nothing to see")])
    assert {one.reason for one in LabelJournal(folder / "labels").read_declined()} == {"nothing to see"}
    assert "questions declined, their money is back" in capsys.readouterr().out


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda key: [Answer(key, 1.0)] * 2, marks=pytest.mark.slow),
        lambda key: [Answer("never", 1.0), Answer(key, 1.0), Answer(key, 1.0)],
    ],
)
def test_an_answer_given_twice_or_to_no_question_is_left_aside(answered_badly, capsys, reply):
    folder = answered_badly(reply)
    assert not LabelJournal(folder / "labels").read_declined()
    assert "answers to questions that nobody asked, or that were answered before" in capsys.readouterr().out


def test_a_reply_that_is_no_answer_at_all_is_told_in_one_line(tiny, monkeypatch):
    monkeypatch.setattr(tandem.training.build, "make_labeler", lambda *_: Bad(lambda key: [(key, 1.0)]))
    with pytest.raises(
        UserError, match=r"^labeler.name: collect\(\) must give Answer, Declined or Work, got \('label/"
    ):
        train(tiny())


@pytest.mark.parametrize("reward", [math.nan, pytest.param(math.inf, marks=pytest.mark.slow)])
def test_a_reward_that_is_no_number_is_not_sold(tiny, monkeypatch, audit, reward):
    """Some of the true rewards are spoilt, as in an environment that fails now and then; a resume after it goes on too."""
    true_reward = RewardVault.reward
    monkeypatch.setattr(
        RewardVault, "reward", lambda self, clip: reward if clip.step % 7 == 3 else true_reward(self, clip)
    )
    config = tiny()
    train(config)
    folder = Path(config.run.dir)
    declined = LabelJournal(folder / "labels").read_declined()
    assert declined and all(int(one.key.split("/")[2]) % 7 == 3 for one in declined)
    assert audit(folder)["remaining"] < 4
    train(replace(config, budget=BudgetConfig(400.0)), resume=folder)
    audit(folder)


def test_what_the_owner_gives_up_is_no_refusal():
    desk = SimpleNamespace(terms=Terms({}, refusals=3), declined_in_a_row=0)
    given_up = [Declined(f"key/{number}", "given up", is_given_up=True) for number in range(5)]
    LabelDesk._count(desk, Heard(declined=[*given_up, Declined("a", "dark"), Declined("b", "dark")]))
    assert desk.declined_in_a_row == 2
    with pytest.raises(SellerFailed, match="3 questions in a row were declined, the last: too dark"):
        LabelDesk._count(desk, Heard(declined=[Declined("c", "too dark"), *given_up]))
