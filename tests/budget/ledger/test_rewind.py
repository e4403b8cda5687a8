"""A rewound ledger: what was booked is booked again in the same order, and is not paid again."""

import random
from dataclasses import asdict

import pytest

from tandem.budget.ledger import BudgetExceeded, Diverged, Ledger, Position
from tandem.budget.ledger_file import LedgerError
from tandem.budget.money import MICRO, Balance


def test_everything_is_told_as_of_the_position(ledger, chunk, label, all_of):
    ledger.reserve([chunk("chunk0", 10)])
    ledger.record_decision(0, {"labels": 1}, {})
    position, before = ledger.position, all_of(ledger)
    assert position == Position(2, 1) == Position(**asdict(position))
    ledger.settle({"chunk0": 9})
    ledger.reserve([label("q0", "cheap")])
    ledger.settle({"q0": 1})
    ledger.record_decision(1, {}, {})
    ledger.raise_total(1001 * MICRO)
    after = all_of(ledger)
    assert not ledger.is_ahead
    ledger.rewind(position)
    assert ledger.is_ahead and all_of(ledger) == before
    ledger.catch_up()
    assert not ledger.is_ahead and all_of(ledger) == after


def bookings(ledger: Ledger, chunk, label, seed: int, number: int, at: dict[int, tuple]) -> None:
    """A deterministic buyer, as a run is one; `at`: fills in its state before each round."""
    rng, held = random.Random(seed), []
    for round_number in range(number):
        at[round_number] = ledger.position, ledger.balance()
        action = rng.choice(["reserve", "settle", "release", "decide", "together", "raise"])
        if action == "reserve":
            held += [f"{round_number}.{one}" for one in range(rng.randint(1, 5))]
            ledger.reserve([label(key) for key in held if key.startswith(f"{round_number}.")])
        elif action in ("settle", "release") and held:
            keys = [held.pop() for _ in range(rng.randint(1, len(held)))]
            ledger.settle(dict.fromkeys(keys, 1)) if action == "settle" else ledger.release(keys)
        elif action == "decide":
            ledger.record_decision(round_number, {"left": ledger.remaining}, {})
        elif action == "together":
            with ledger.together():
                ledger.reserve([chunk(f"c{round_number}", 3)])
                ledger.settle({f"c{round_number}": rng.randint(0, 3)})
        elif action == "raise":
            ledger.raise_total(ledger.total + MICRO)


def test_a_run_that_repeats_itself_writes_nothing_until_it_is_past_the_end(ledger, chunk, label, tmp_path, all_of):
    once = Ledger.create(tmp_path / "once.db", ledger.total, ledger.prices)
    bookings(once, chunk, label, 3, 60, {})
    bookings(ledger, chunk, label, 3, 40, seen := {})  # killed after 40 rounds
    size, rows = ledger.path.stat().st_size, ledger.position
    again = Ledger.open(ledger.path)
    again.rewind(seen[0][0])
    bookings(again, chunk, label, 3, 40, repeated := {})
    assert repeated == seen and again.position == rows and ledger.path.stat().st_size == size
    again.rewind(seen[0][0])
    bookings(again, chunk, label, 3, 60, {})
    # times alone differ
    assert again.position == once.position and again.state_of_keys() == once.state_of_keys()
    assert again.balance() == once.balance() and again.summary() == once.summary()
    again.close()
    once.close()


def test_another_booking_than_the_next_one_is_not_made(ledger, chunk, label):
    start = ledger.position
    ledger.reserve([chunk("chunk0", 10), label("q0")])
    end = ledger.position
    ledger.rewind(start)
    with pytest.raises(Diverged) as error:
        ledger.reserve([chunk("chunk0", 10), label("q1")])
    assert str(error.value) == (
        f"{ledger.path}: booking 3 is: reserve q0 (1 label at 4 coins each, tier default); "
        "the resumed run makes: reserve q1 (1 label at 4 coins each, tier default)"
    )
    assert ledger.position == start and ledger.reserved == 0 and ledger.is_ahead  # also chunk0 is to come again
    ledger.reserve([chunk("chunk0", 10), label("q0")])
    assert ledger.position == end and not ledger.is_ahead


@pytest.mark.parametrize("units", [9, 11])
def test_other_units_are_another_booking(ledger, chunk, units):
    ledger.reserve([chunk("chunk0", 20)])
    start = ledger.position
    ledger.settle({"chunk0": 10})
    ledger.rewind(start)
    with pytest.raises(Diverged, match=f"10 transitions.*{units} transitions"):
        ledger.settle({"chunk0": units})


def test_a_row_of_the_other_kind_is_another_booking(ledger, chunk):
    start = ledger.position
    ledger.record_decision(0, {}, {})
    ledger.rewind(start)
    with pytest.raises(Diverged, match="next is: the decision of phase 0; the resumed run makes: reserve"):
        ledger.reserve([chunk("chunk0", 1)])
    ledger.catch_up()
    start = ledger.position
    ledger.reserve([chunk("chunk0", 1)])
    ledger.rewind(start)
    with pytest.raises(Diverged, match=r"next is: reserve chunk0 .*the resumed run makes: the decision of phase 1"):
        ledger.record_decision(1, {}, {})


def test_another_decision_names_what_differs(ledger):
    start = ledger.position
    ledger.record_decision(0, {"labels": 3, "weights": [1.0, 2.0]}, {"note": "pilot"})
    for again, difference in (
        ((1, {}, {}), "is of phase 0, the resumed run makes one of phase 1"),
        ((0, {"labels": 4, "weights": [1.0, 2.0]}, {"note": "pilot"}), "inputs.labels is 3, the resumed run has 4"),
        ((0, {"labels": 3, "weights": [1.0, 2.0]}, {}), "outputs.note is pilot, the resumed run has nothing"),
    ):
        ledger.rewind(start)
        with pytest.raises(Diverged) as error:
            ledger.record_decision(*again)
        assert str(error.value) == f"{ledger.path}: decision 1: {difference}"
    ledger.record_decision(0, {"labels": 3, "weights": [1.0, 2.0]}, {"note": "pilot"})
    assert len(ledger.decisions()) == 1 and not ledger.is_ahead


def test_a_commit_that_the_file_ends_in_is_another_one(ledger, chunk):
    start = ledger.position
    ledger.reserve([chunk("chunk0", 1)])
    ledger.rewind(start)
    with pytest.raises(Diverged, match="ends after 1 of 2 rows that the resumed run makes as one"):
        ledger.reserve([chunk("chunk0", 1), chunk("chunk1", 1)])
    assert ledger.reserved == 0
    ledger.catch_up()
    assert ledger.reserved == MICRO and ledger.state_of_keys().keys() == {"chunk0"}


def test_what_did_not_fit_does_not_fit_again(ledger, chunk):
    start = ledger.position
    with pytest.raises(BudgetExceeded):
        ledger.reserve([chunk("chunk0", 1001)])
    ledger.reserve([chunk("chunk0", 1000)])
    ledger.rewind(start)
    with pytest.raises(BudgetExceeded, match="left 1,000 of 1,000"):
        ledger.reserve([chunk("chunk0", 1001)])
    ledger.reserve([chunk("chunk0", 1000)])
    assert not ledger.is_ahead and ledger.remaining == 0


@pytest.mark.parametrize("position", [Position(3, 0), Position(0, 0), Position(2, 1), Position(1, -1)])
def test_a_position_that_the_file_does_not_have_is_refused(ledger, chunk, position):
    ledger.reserve([chunk("chunk0", 1)])
    with pytest.raises(LedgerError, match="2 bookings and 0 decisions"):
        ledger.rewind(position)
    assert not ledger.is_ahead and ledger.balance() == Balance(1000 * MICRO, 0, MICRO)


def test_a_rewound_ledger_keeps_its_place_while_another_writes(ledger, chunk):
    start = ledger.position
    ledger.reserve([chunk("chunk0", 1)])
    ledger.rewind(start)
    other = Ledger.open(ledger.path)
    other.reserve([chunk("chunk1", 2)])
    assert ledger.reserved == 0
    ledger.reserve([chunk("chunk0", 1)])
    assert ledger.is_ahead and ledger.reserved == MICRO
    ledger.catch_up()
    assert ledger.reserved == 3 * MICRO == other.reserved
    other.close()
