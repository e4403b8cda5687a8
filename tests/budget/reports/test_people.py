"""`tandem ledger RUN --raters`: who answered, for how much, how fast and how well."""

import json

import pytest

import tandem.cli
from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Paid, Purchase
from tandem.budget.reports.people import rater_lines, rater_rows
from tandem.envs.records import Work


@pytest.fixture
def run(tmp_path):
    """Ann gave 4 labels in 20 s for 8 coins and practised for 10 s and 2 coins; Bo gave one for nothing in no time."""
    ledger = Ledger.create(tmp_path / "ledger.db", 1000 * MICRO, {"transition": MICRO, "label": 4 * MICRO})
    keys = [f"q{number}" for number in range(5)]
    ledger.reserve([Purchase(key, "label", 1, 12 * MICRO) for key in keys])
    terms = {key: Paid(2 * MICRO, "ann", 5.0) for key in keys[:4]} | {"q4": Paid(0, "bo")}
    ledger.settle(dict.fromkeys(keys, 1), terms)
    ledger.pay([Work("w0", "ann", 10.0, 2 * MICRO, "practice")])
    ledger.close()
    return tmp_path


def say(run, capsys, *more: str) -> str:
    assert tandem.cli.main(["ledger", str(run), "--raters", *more]) == 0
    return capsys.readouterr().out


def test_speed_and_wage_are_of_what_was_paid(run, capsys):
    ann, bo = json.loads(say(run, capsys, "--json")).values()
    # 20 s / 4 labels; (8 + 2) coins in 30 s are 1200 an hour
    assert (ann["labels"], ann["seconds_a_label"], ann["coins_an_hour"]) == (4, 5.0, 1200.0)
    assert (ann["spent"], ann["work_spent"], ann["work_seconds"], ann["sigma"]) == (8.0, 2.0, 10.0, None)
    assert (bo["labels"], bo["spent"], bo["coins_an_hour"], bo["clean_per_coin"]) == (1, 0.0, None, None)


def test_noise_and_bias_come_from_the_newest_phase_that_knows_them(run, capsys):
    phases = [{"raters": {"ann": {"sigma": 9.0, "bias": 9.0, "clean": 0.1}}}]
    phases += [{"raters": {"ann": {"sigma": 0.3, "bias": 0.1, "clean": 0.5}}}, {"raters": {}}, {"phase": 3}]
    (run / "phases.jsonl").write_text("".join(json.dumps(one) + "\n" for one in phases))
    ann = json.loads(say(run, capsys, "--json"))["ann"]
    # 4 labels worth half a clean one each for 8 coins
    assert (ann["sigma"], ann["bias"], ann["clean_per_coin"]) == (0.3, 0.1, 0.25)
    assert say(run, capsys).splitlines() == [
        "rater   labels   coins   seconds   s a label   coins an hour   other work   seconds of it   sigma   bias   clean a coin",
        "ann          4       8        20           5            1200            2              10     0.3    0.1           0.25",
        "bo           1       0         0           0               -            0               0       -      -              -",
    ]


def test_damage_is_said_in_one_line(run, capsys):
    (run / "phases.jsonl").write_text("{}\n[3")
    assert tandem.cli.main(["ledger", str(run), "--raters"]) == 2
    said = capsys.readouterr().err
    assert "phases.jsonl: line 2 is damaged" in said and "tandem repair" in said and said.count("\n") == 1


def test_columns_in_which_nobody_has_anything_are_left_out():
    rows = rater_rows({"": {"labels": 2, "spent": MICRO, "seconds": 8.0, "work_spent": 0, "work_seconds": 0.0}}, {})
    assert rater_lines(rows) == [
        "rater       labels   coins   seconds   s a label   coins an hour",
        "(no name)        2       1         8           4             450",
    ]
    assert rater_lines({}) == ["nobody is named in this ledger: its labels came from programs or simulated raters"]
