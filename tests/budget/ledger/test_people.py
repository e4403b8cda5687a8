"""Labels that cost what they took, and people's paid time that brought none."""

from contextlib import closing

import pytest

from tandem.budget.books.rebuild import rebuild
from tandem.budget.books.rows import Booking, Entry, Refused
from tandem.budget.books.state import KeyState
from tandem.budget.ledger import Diverged, Ledger
from tandem.budget.ledger_file import LedgerError
from tandem.budget.money import MICRO, Balance, Paid, Purchase
from tandem.budget.reports.accounts import account_lines
from tandem.budget.reports.verify import read_all, verify_ledger
from tandem.envs.records import Work


@pytest.fixture
def ceiling():
    """A label that may cost twelve coins, three times its price."""
    return lambda key, tier="default": Purchase(key, "label", 1, 12 * MICRO, tier)


def by_ann(coins: float, seconds: float = 4.5) -> Paid:
    return Paid(round(coins * MICRO), "ann", seconds)


def practice(key: str, coins: float = 2, rater: str = "ann") -> Work:
    return Work(key, rater, 30.0, round(coins * MICRO), "practice")


def test_what_a_label_did_not_cost_is_free_again(ledger, ceiling):
    ledger.reserve([ceiling("q0"), ceiling("q1")])
    ledger.settle({"q0": 1}, {"q0": by_ann(2.5)})
    # 2 * 12 are reserved, of which 12 are left; 1000 - 2.5 - 12
    assert ledger.balance() == Balance(1000 * MICRO, 2_500_000, 12 * MICRO, 0, 1)
    assert ledger.remaining == 985_500_000
    row = read_all(ledger.path).entries[-1].booking
    assert row.purchase and row.purchase.price_micro == 2_500_000 and row.note == '{"rater":"ann","seconds":4.5}'
    assert verify_ledger(ledger.path)[-1].endswith(
        "but for 1 that were measured, or about a data set, within what was reserved for them"
    )


@pytest.mark.parametrize(
    ("paid", "complaint"),
    [
        (by_ann(12.000001), "q0 costs 12.000001 coins each, reserved were 12"),
        (by_ann(-1), "q0 costs -1 coins each"),
        (by_ann(1, float("nan")), "seconds must be finite and from 0 on, got nan"),
        (by_ann(1, -1.0), "seconds must be finite and from 0 on, got -1.0"),
    ],
)
def test_more_than_was_reserved_is_never_paid(ledger, ceiling, all_of, paid, complaint):
    ledger.reserve([ceiling("q0"), ceiling("q1")])
    before = all_of(ledger)
    with pytest.raises(LedgerError, match=complaint):
        ledger.settle({"q1": 1, "q0": 1}, {"q0": paid})
    assert all_of(ledger) == before


def test_only_labels_that_arrived_have_terms(ledger, chunk, ceiling):
    ledger.reserve([chunk("chunk0", 5), ceiling("q0")])
    with pytest.raises(LedgerError, match="chunk0 is reserved as"):
        ledger.settle({"chunk0": 5}, {"chunk0": Paid(MICRO // 2)})
    with pytest.raises(LedgerError, match="terms of q0, which did not arrive"):
        ledger.settle({"chunk0": 5}, {"q0": by_ann(1)})
    ledger.settle({"chunk0": 5, "q0": 1}, {"q0": Paid(rater="bo")})
    assert ledger.spent == 17 * MICRO and ledger.by_rater()["bo"]["spent"] == 12 * MICRO


def test_what_is_lost_is_written_off_at_the_price_that_was_paid(ledger, ceiling):
    ledger.reserve([ceiling("q0", "people")])
    ledger.settle({"q0": 1}, {"q0": by_ann(2.5)})
    bought = Purchase("q0", "label", 1, 2_500_000, "people")
    assert ledger.state_of_keys() == {"q0": KeyState("settle", bought, settled=1)}
    ledger.write_off({"q0": 1}, "mouse")
    assert ledger.by_tier()["people"] == {
        "labels": 0,
        "spent": 2_500_000,
        "written_off": 1,
        "written_off_spent": 2_500_000,
    }
    assert ledger.by_rater()["ann"]["labels"] == 1  # it was given all the same
    assert verify_ledger(ledger.path)


def test_time_without_a_label_is_paid_once_and_counts_as_nothing_bought(ledger):
    works = [practice("w0"), practice("w1", 3, "bo"), practice("w0")]
    assert ledger.pay(works) == [] == ledger.pay(works)
    assert ledger.balance() == Balance(1000 * MICRO, 5 * MICRO, 0, 0, 0) and ledger.outstanding() == []
    assert ledger.position.events == 5 and ledger.by_tier() == {}
    assert ledger.by_rater() == {
        "ann": {"labels": 0, "spent": 0, "seconds": 0.0, "work_spent": 2 * MICRO, "work_seconds": 30.0},
        "bo": {"labels": 0, "spent": 0, "seconds": 0.0, "work_spent": 3 * MICRO, "work_seconds": 30.0},
    }
    with pytest.raises(LedgerError, match="a person's time, which nobody holds"):
        ledger.write_off({"work/w0": 1}, "gone")


def test_what_the_money_does_not_suffice_for_is_said_and_paid_later(ledger):
    works = [practice("w0", 999), practice("w1", 2), practice("w2", 1), practice("w3", 1)]
    assert ledger.pay(works) == ["w1", "w3"]
    assert ledger.remaining == 0
    ledger.raise_total(1010 * MICRO)
    assert ledger.pay(works) == [] and ledger.spent == 1003 * MICRO


def test_a_resumed_run_must_name_the_same_rater_seconds_and_price(ledger, ceiling):
    ledger.reserve([ceiling("q0")])
    start = ledger.position
    ledger.settle({"q0": 1}, {"q0": by_ann(2.5)})
    ledger.pay([practice("w0")])
    end = ledger.position
    for other in (Paid(2_500_000, "bo", 4.5), by_ann(2.5, 4.6), by_ann(2.4), None):
        ledger.rewind(start)
        with pytest.raises(Diverged, match="the resumed run makes: settle q0"):
            ledger.settle({"q0": 1}, {"q0": other} if other else {})
    ledger.rewind(start)
    assert ledger.by_rater() == {} and ledger.mean_price("label") is None
    ledger.settle({"q0": 1}, {"q0": by_ann(2.5)})
    with pytest.raises(Diverged, match="work/w0"):
        ledger.pay([practice("w0", 1)])
    assert ledger.pay([practice("w0")]) == []
    assert ledger.position == end and not ledger.is_ahead and ledger.by_rater()["ann"]["work_spent"] == 2 * MICRO


def test_the_mean_price_is_of_the_last_labels_of_a_tier(ledger, label):
    keys = [f"q{number}" for number in range(210)]
    ledger.reserve([label(key, "people") for key in keys])
    ledger.settle(dict.fromkeys(keys[:9], 1), dict.fromkeys(keys[:9], by_ann(1)))
    assert ledger.mean_price("label", "people") is None  # of fewer than ten
    ledger.settle({keys[9]: 1}, {keys[9]: by_ann(2)})
    assert ledger.mean_price("label", "people") == 1_100_000  # (9 * 1 + 2) / 10
    ledger.settle(dict.fromkeys(keys[10:], 1), dict.fromkeys(keys[10:], Paid(1, "bo")))
    assert ledger.mean_price("label", "people") == 1  # the last 200 at a micro-coin each
    assert ledger.mean_price("label") is None


def test_raters_survive_a_rebuild_and_strangers_see_the_same(ledger, ceiling, tmp_path, all_of):
    other = Ledger.open(ledger.path)
    ledger.reserve([ceiling("q0"), ceiling("q1")])
    ledger.settle({"q0": 1, "q1": 1}, {"q0": by_ann(2.5), "q1": Paid(MICRO, "\udcffé", 1.0)})
    ledger.pay([practice("w0")])
    rows = read_all(ledger.path)
    rebuild(tmp_path / "again.db", 1000 * MICRO, rows.prices, [entry.booking for entry in rows.entries[1:]])
    with closing(other), closing(Ledger.open(tmp_path / "again.db")) as again:
        assert all_of(again) == all_of(other) == all_of(ledger)
        assert again.by_rater() == other.by_rater() == ledger.by_rater() and len(again.by_rater()) == 2


@pytest.mark.parametrize("note", ["", "4.1", '{"rater":"ann"}', '{"rater":1,"seconds":1.0}', '{"seconds":NaN}'])
def test_a_note_that_names_nobody_is_refused(tmp_path, note):
    bought = Purchase("q0", "label", 1, MICRO)
    bookings = [Booking("reserve", bought), Booking("settle", bought, note=note)]
    with pytest.raises(LedgerError, match=r"booking 3: (a note that names no|seconds must be finite)"):
        rebuild(tmp_path / "ledger.db", 10 * MICRO, {"transition": MICRO, "label": MICRO}, bookings)


def test_work_has_no_price_in_a_ledger():
    with pytest.raises(Refused, match="of no known kind: 'play'"):
        Entry.from_values((2, 1.0, "settle", "k", "play", 1, 1, "default", None, 1, 0, 0, 0, 0))
    assert Entry.from_values((2, 1.0, "settle", "k", "work", 1, 1, "default", None, 1, 0, 0, 0, 0))


def test_a_person_reads_who_was_paid(ledger, ceiling):
    assert not any("rater" in line for line in account_lines(ledger.summary()))
    ledger.reserve([ceiling("q0"), ceiling("q1")])
    ledger.settle({"q0": 1, "q1": 1}, {"q0": by_ann(2.5), "q1": Paid(MICRO, seconds=1.0)})
    ledger.pay([practice("w0")])
    assert account_lines(ledger.summary())[6:] == [
        "work                       2 coins of what was spent, for people's time that brought no label",
        "  from tier default: 2 labels for 3.5 coins",
        "  rater (no name): 1 labels for 1 coins in 1 s",
        "  rater ann: 1 labels for 2.5 coins in 4.5 s, 2 coins more for 30 s of other work",
    ]
