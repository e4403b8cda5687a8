"""A run with people waits: no more questions open than may be, nothing bought meanwhile, and patience has an end."""

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import tandem.training.build
from tandem.budget.ledger import Ledger
from tandem.envs.records import Answer, Declined, Work
from tandem.errors import UserError
from tandem.training import phases
from tandem.training.phases import train
from tandem.training.purchases.labels import LabelDesk
from tandem.training.purchases.transitions import Collector
from tandem.training.purchases.waiting import Waiting
from tandem.worldmodel.replay.journal.labels import LabelJournal


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def waiting(**settings):
    clock = Clock()
    return Waiting(clock=clock, sleep=clock.sleep, **settings), clock


def test_room_is_what_may_still_be_asked():
    one, _ = waiting(ahead=3)
    assert [one.room(pending) for pending in (0, 2, 3, 5)] == [3, 1, 0, 0]
    assert waiting()[0].room(10**6) == float("inf")


def test_patience_counts_from_the_last_answer():
    one, clock = waiting(patience=10)
    assert not one.is_out_of_patience(0)
    clock.now = 9
    assert not one.is_out_of_patience(1)  # an answer
    clock.now = 18.9
    assert not one.is_out_of_patience(0)
    clock.now = 19
    assert one.is_out_of_patience(0)
    forever, clock = waiting()
    forever.is_out_of_patience(0)
    clock.now = 10**9
    assert not forever.is_out_of_patience(0)


def test_it_is_told_at_once_and_then_once_a_minute():
    one, clock = waiting()
    told = []
    for clock.now in (0, 59, 60, 100, 120):
        told.append(one.is_to_tell())
    assert told == [True, False, True, False, True]


class People:
    """Answers one of the open questions at every third look, at a price of its own."""

    def __init__(self, silent_from=10**9, gives_up=False):
        """gives_up: once, all that is open, where nothing was asked for six looks, which happens at the end of a run."""
        self.open, self.looks, self.most_open, self.given, self.silent_from = {}, 0, 0, 0, silent_from
        self.expired, self.gives_up, self.asked_at, self.given_up = [], gives_up, 0, []
        self.works = []

    def submit(self, questions):
        self.open |= {question.key: question for question in questions}
        self.most_open, self.asked_at = max(self.most_open, len(self.open)), self.looks

    def collect(self):
        self.looks += 1
        if self.gives_up and not self.given_up and self.looks > self.asked_at + 6:
            self.given_up = list(self.open)
            self.open.clear()
            return [Declined(key, "given up") for key in self.given_up]
        if self.works:
            return [self.works.pop()]
        if self.looks % 2 or not self.open or self.given >= self.silent_from:
            return []
        key, question = next(iter(self.open.items()))
        del self.open[key]
        self.given += 1
        assert len(question.sights[0].prev_action) >= question.clip.length  # what it can look at
        name = "ann" if self.given % 2 else "bob"
        return [
            Answer(key, 0.1 * self.given, name, 2.0, 1_500_000),
            Work(f"work-{self.given}", name, 1.0, 10_000, "practice"),
        ]

    def expire(self, keys):
        self.expired += keys
        self.open.clear()

    def status(self):
        return f"{len(self.open)} open"


@pytest.fixture
def with_people(tiny, monkeypatch):
    def make(people, *settings):
        monkeypatch.setattr(tandem.training.build, "make_labeler", lambda *_: people)
        monkeypatch.setattr(tandem.training.purchases.waiting.time, "sleep", lambda _: None)
        clips = ("labeler.name=people", "labeler.kind=clip", "labeler.length=4", "checkpoint.every_minutes=10")
        make.config = tiny(*clips, *settings)
        train(make.config)
        return make.config

    return make


def test_a_run_waits_for_people_pays_what_they_took_also_late_and_buys_again_what_they_gave_up(with_people, capsys):
    people = People(gives_up=True)
    config = with_people(people, "labeler.ahead=5", "labeler.ceiling=2")
    with closing(Ledger.open(f"{config.run.dir}/ledger.db")) as ledger:
        raters, balance, last = ledger.by_rater(), ledger.balance(), ledger.decisions()[-1]
    assert people.most_open <= 5 and not people.open and balance.reserved == 0
    assert people.given_up and balance.labels == last["inputs"]["labels"] + last["outputs"]["labels"]
    assert set(raters) == {"ann", "bob"}
    labels = sum(one["labels"] for one in raters.values())
    assert (
        labels == people.given == balance.labels and sum(one["spent"] for one in raters.values()) == 1_500_000 * labels
    )
    assert sum(one["work_spent"] for one in raters.values()) <= 10_000 * labels
    assert re.search(r"waiting for answers: \d open", capsys.readouterr().out)
    read = list(
        LabelJournal(tandem.training.build.RunFolder(tandem.training.build.Path(config.run.dir)).labels).read_answers()
    )
    assert {answer.rater for answer in read} == {"ann", "bob"} and read[0] == replace(
        read[0], seconds=2.0, price_micro=1_500_000
    )
    people.works = [Work("late", "cat", 9.0, 20_000, "practice")]  # while no trainer was there
    train(config, resume=Path(config.run.dir))
    with closing(Ledger.open(f"{config.run.dir}/ledger.db")) as ledger:
        assert ledger.by_rater()["cat"]["work_spent"] == 20_000
    people.works = [Work("later", "cat", 9.0, 99_000_000, "practice")]  # more than is left
    with pytest.raises(UserError, match="is finished; give it a larger one"):
        train(config, resume=Path(config.run.dir))
    assert "99 coins owed to cat wait for budget.total" in capsys.readouterr().out


@pytest.mark.slow
def test_where_nobody_answers_any_more_the_run_ends_with_all_its_money_and_goes_on(with_people):
    people = People(silent_from=12)
    with pytest.raises(UserError, match=r"^labeler.refusals: .* the last: nobody answered within 0.01 seconds"):
        with_people(people, "labeler.ahead=5", "labeler.patience=0.01", "labeler.refusals=30")
    config = with_people.config
    with closing(Ledger.open(f"{config.run.dir}/ledger.db")) as ledger:
        balance = ledger.balance()
    assert balance.labels == 12 and balance.reserved == 0 and people.expired
    people.silent_from = 10**9
    train(config, resume=Path(config.run.dir))
    with closing(Ledger.open(f"{config.run.dir}/ledger.db")) as ledger:
        balance = ledger.balance()
    assert balance.labels == people.given > 12 and balance.reserved == 0


@pytest.mark.slow
def test_labels_that_nobody_answers_for_in_the_last_phase_are_told_of(with_people, monkeypatch, capsys):
    """No plan comes after it that could buy something else with their money."""
    people, decide = People(), phases.decide

    def deciding(run):
        if run.progress.phase == run.progress.phases:
            people.silent_from = people.given + 6
        return decide(run)

    monkeypatch.setattr(phases, "decide", deciding)
    config = with_people(people, "labeler.ahead=2", "labeler.patience=0.01", "labeler.refusals=0")
    with closing(Ledger.open(f"{config.run.dir}/ledger.db")) as ledger:
        balance, last = ledger.balance(), ledger.decisions()[-1]
    left = last["inputs"]["labels"] + last["outputs"]["labels"] - balance.labels
    assert left > 0 and f"nobody answered in time: {left} labels stay unbought" in capsys.readouterr().out


class Crash(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


class Sleepy(People):
    """Of these nobody answers after the 6th, until somebody was given up."""

    def expire(self, keys):
        super().expire(keys)
        self.silent_from = 10**9


@pytest.mark.parametrize("ticks", [pytest.param(0, marks=pytest.mark.slow), 7])
def test_a_kill_after_an_expiry_is_gone_on_from_as_if_nothing_had_happened(with_people, monkeypatch, capsys, ticks):
    """What was given up is given up again at the same call, though nobody is waited for this time; nothing is asked anew."""
    expire, tick, after = LabelDesk.expire, Collector.tick, []

    def expiring(desk, reason):
        heard = expire(desk, reason)
        after.append((desk.calls, len(heard.declined), desk.num_bought, desk.ledger.balance().spent))
        if len(after) == 1 and not ticks:
            raise Crash
        return heard

    def ticking(self, agent):
        ticking.count += bool(after)
        if len(after) == 1 and ticking.count == ticks:
            raise Crash
        return tick(self, agent)

    ticking.count = 0
    monkeypatch.setattr(LabelDesk, "expire", expiring)
    monkeypatch.setattr(Collector, "tick", ticking)
    with pytest.raises(Crash):
        with_people(Sleepy(silent_from=6), "labeler.ahead=2", "labeler.patience=0.01", "labeler.refusals=0")
    config = with_people.config
    monkeypatch.setattr(tandem.training.build, "make_labeler", lambda *_: People())
    train(config, resume=Path(config.run.dir))
    assert after[0] == after[1] and after[0][1] == 2
    assert "goes on with" not in (told := capsys.readouterr().out) and "were asked here before" not in told
