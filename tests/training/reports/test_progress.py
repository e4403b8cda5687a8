"""What a run tells its terminal."""

from tandem.budget.money import to_micro
from tandem.training.phases import train
from tandem.training.reports.logger import Logger
from tandem.training.run import Progress


def test_a_run_says_how_many_updates_it_will_do(tiny, monkeypatch):
    lines, tell = [], Logger.progress
    monkeypatch.setattr(Logger, "progress", lambda logger, line: (lines.append(line), tell(logger, line)))
    train(tiny())
    assert len(lines) >= 3 and {line.updates_in_all for line in lines} == {16}
    assert lines[-1].updates == 16


def test_updates_in_all_grow_with_the_budget_and_are_not_known_under_a_ratio():
    # 16 updates for 320 coins are one for 20
    assert Progress(phases=2, updates_per_coin=0.05, total=320.0).updates_in_all(to_micro(400)) == 20
    assert Progress(phases=2, updates_per_coin=0.0, total=320.0).updates_in_all(to_micro(400)) == 0
