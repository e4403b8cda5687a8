"""The ledger: the money's identities, also under two processes, crashes and random bookings."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.books.log import Log
from tandem.budget.books.rows import Booking
from tandem.budget.ledger import BudgetExceeded, Ledger
from tandem.budget.ledger_file import LedgerError
from tandem.budget.money import MICRO, Balance, BudgetConfig, PriceConfig, Purchase, to_micro

PRICES = {"transition": MICRO, "label": 4 * MICRO}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.create(tmp_path / "ledger.db", 1000 * MICRO, PRICES)
    yield ledger
    ledger.close()


def transitions(key: str, units: int) -> Purchase:
    return Purchase(key, "transition", units, MICRO)


def labels(key: str, units: int = 1, price: int = 4 * MICRO, tier: str = "default") -> Purchase:
    return Purchase(key, "label", units, price, tier)


def test_money_moves_from_remaining_to_reserved_to_spent(ledger):
    ledger.reserve([transitions("chunk0", 100), labels("q0", 10)])
    # 100 * 1 + 10 * 4 = 140 coins
    assert (ledger.spent, ledger.reserved, ledger.remaining) == (0, 140 * MICRO, 860 * MICRO)
    ledger.settle({"chunk0": 98})  # two rows were reset rows: they cost nothing
    assert (ledger.spent, ledger.reserved, ledger.remaining) == (98 * MICRO, 40 * MICRO, 862 * MICRO)
    ledger.release(["q0"])
    assert (ledger.spent, ledger.reserved, ledger.remaining) == (98 * MICRO, 0, 902 * MICRO)
    assert (ledger.units("transition"), ledger.units("label")) == (98, 0)


def test_a_reservation_that_does_not_fit_writes_nothing(ledger):
    with pytest.raises(BudgetExceeded, match=r"^transitions and labels: asked 1,004 coins, left 1,000 of 1,000$"):
        ledger.reserve([transitions("chunk0", 1000), labels("q0")])
    assert ledger.reserved == 0 and ledger.outstanding() == []
    ledger.reserve([transitions("chunk0", 1000)])  # to the last coin
    assert ledger.remaining == 0


def test_an_open_key_is_not_reserved_twice(ledger):
    ledger.reserve([transitions("chunk0", 600)])
    ledger.reserve([transitions("chunk0", 600), labels("q0")])  # 1200 coins would not fit
    assert ledger.reserved == 604 * MICRO
    with pytest.raises(LedgerError, match="chunk0 is reserved as"):
        ledger.reserve([transitions("chunk0", 601)])


def test_a_settled_key_is_never_bought_again(ledger):
    ledger.reserve([labels("q0")])
    ledger.settle({"q0": 1})
    with pytest.raises(LedgerError, match="q0 is paid for already"):
        ledger.reserve([labels("q1"), labels("q0")])
    with pytest.raises(LedgerError, match="q0 is not reserved"):
        ledger.settle({"q0": 1})
    assert ledger.spent == 4 * MICRO and ledger.reserved == 0


def test_a_released_key_may_be_reserved_again(ledger):
    ledger.reserve([labels("q0")])
    ledger.release(["q0"])
    ledger.reserve([labels("q0", 2)])
    assert ledger.outstanding() == [labels("q0", 2)]
    assert ledger.reserved == 8 * MICRO


def test_one_bad_key_undoes_the_whole_call(ledger):
    ledger.reserve([labels("q0"), labels("q1", 3)])
    with pytest.raises(LedgerError, match="q2 is not reserved"):
        ledger.settle({"q0": 1, "q2": 1})
    with pytest.raises(LedgerError, match="q1 received 4 units, reserved were 3"):
        ledger.settle({"q0": 1, "q1": 4})
    with pytest.raises(LedgerError, match="q2 is not reserved"):
        ledger.release(["q0", "q2"])
    with pytest.raises(LedgerError, match="a key stands twice"):
        ledger.reserve([labels("q3"), labels("q3")])
    with pytest.raises(LedgerError, match="not a purchase"):
        ledger.reserve([labels("q4"), labels("q5", units=0)])
    assert ledger.spent == 0 and ledger.outstanding() == [labels("q0"), labels("q1", 3)]


def test_any_sequence_of_bookings_keeps_the_identity(ledger):
    rng, held, spent, units = random.Random(0), {}, 0, {"transition": 0, "label": 0}
    for number in range(400):
        action = rng.choice(["reserve", "reserve", "settle", "release", "raise"])
        if action == "reserve":
            make = rng.choice([transitions, labels])
            purchase = make(f"key{number}", rng.randint(1, 20))
            if purchase.cost <= ledger.remaining:
                held[purchase.key] = purchase
            else:
                with pytest.raises(BudgetExceeded):
                    ledger.reserve([purchase])
                continue
            ledger.reserve([purchase])
        elif action == "raise":
            ledger.raise_total(ledger.total + rng.randint(0, 5))
        elif held:
            purchase = held.pop(rng.choice(list(held)))
            received = rng.randint(0, purchase.units) if action == "settle" else 0
            ledger.settle({purchase.key: received}) if action == "settle" else ledger.release([purchase.key])
            spent += received * purchase.price_micro
            units[purchase.kind] += received
        assert ledger.total == ledger.spent + ledger.reserved + ledger.remaining
        assert ledger.remaining >= 0
    assert ledger.spent == spent
    assert ledger.reserved == sum(purchase.cost for purchase in held.values())
    assert {kind: ledger.units(kind) for kind in units} == units
    assert ledger.outstanding() == list(held.values())


def test_a_reopened_ledger_stands_where_it_stood(ledger):
    ledger.reserve([transitions("chunk0", 10), labels("q0", 2)])
    ledger.settle({"chunk0": 9})
    again = Ledger.open(ledger.path)
    assert again.balance() == ledger.balance() == Balance(1000 * MICRO, 9 * MICRO, 8 * MICRO, 9, 0)
    assert again.outstanding() == [labels("q0", 2)]
    assert again.prices == PRICES
    again.close()


def test_the_total_only_grows(ledger):
    ledger.reserve([transitions("chunk0", 1000)])
    ledger.raise_total(1500 * MICRO)
    assert ledger.remaining == 500 * MICRO
    ledger.raise_total(1500 * MICRO)
    with pytest.raises(LedgerError, match=r"^budget.total: may only grow, from 1,500 coins, got 1,200$"):
        ledger.raise_total(1200 * MICRO)
    assert ledger.total == 1500 * MICRO


def test_the_summary_is_in_coins_by_tier(ledger):
    ledger.reserve([transitions("chunk0", 7), labels("q0", 2), labels("q1", 3, price=100_000, tier="cheap")])
    ledger.settle({"chunk0": 7, "q0": 1, "q1": 3})
    summary = ledger.summary()
    # 7 * 1 + 1 * 4 + 3 * 0.1 = 11.3
    assert summary == {
        "total": 1000.0,
        "spent": 11.3,
        "reserved": 0.0,
        "remaining": 988.7,
        "transitions": 7,
        "labels": 4,
        "written_off": 0.0,
        "transitions_written_off": 0,
        "labels_written_off": 0,
        "by_source": {},
        "by_tier": {
            "cheap": {"labels": 3, "spent": 0.3, "written_off": 0, "written_off_spent": 0.0},
            "default": {"labels": 1, "spent": 4.0, "written_off": 0, "written_off_spent": 0.0},
        },
        "work_spent": 0.0,
        "raters": {},
    }
    assert json.loads(json.dumps(summary)) == summary


def test_numbers_from_arrays_are_booked_as_integers(ledger):
    ledger.reserve([transitions("chunk0", np.int64(5))])
    ledger.settle({"chunk0": np.int64(4)})
    assert ledger.units("transition") == 4 and ledger.spent == 4 * MICRO


@pytest.mark.parametrize("table", ["events", "prices", "decisions"])
def test_no_row_is_ever_changed_or_removed(ledger, table):
    ledger.record_decision(0, {}, {})
    outside = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        outside.execute(f"DELETE FROM {table}")
    column = {"events": "time", "prices": "kind", "decisions": "phase"}[table]
    with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        outside.execute(f"UPDATE {table} SET {column} = {column}")
    outside.close()


def test_decisions_come_back_in_order(ledger):
    ledger.record_decision(0, {"labels": 3}, {"transitions": 10, "note": "pilot"})
    ledger.record_decision(1, {"labels": 5}, {"transitions": 20})
    first, second = ledger.decisions()
    assert (first["phase"], first["inputs"], first["outputs"]) == (
        0,
        {"labels": 3},
        {"transitions": 10, "note": "pilot"},
    )
    assert second["outputs"] == {"transitions": 20} and second["time"] >= first["time"]
    with pytest.raises(ValueError):
        ledger.record_decision(2, {"error": float("nan")}, {})


def test_create_never_replaces_a_ledger(ledger):
    with pytest.raises(LedgerError, match="exists already"):
        Ledger.create(ledger.path, 5 * MICRO, PRICES)
    assert ledger.total == 1000 * MICRO


def test_create_goes_on_after_a_crash_inside_it(tmp_path):
    (tmp_path / "ledger.db.tmp").write_bytes(b"half a ledger")
    Ledger.create(tmp_path / "ledger.db", MICRO, PRICES).close()
    assert [path.name for path in tmp_path.glob("*") if path.suffix == ".tmp"] == []


def test_what_is_no_ledger_is_said_to_be_none(tmp_path):
    with pytest.raises(LedgerError, match="no ledger there"):
        Ledger.open(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()
    (tmp_path / "text.db").write_text("money\n" * 1000)
    (tmp_path / "empty.db").touch()
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE events (id)")
    other.close()
    for name, reason in (("text", "not a database"), ("empty", "not a ledger"), ("other", "not a ledger")):
        with pytest.raises(LedgerError, match=reason):
            Ledger.open(tmp_path / f"{name}.db")


def test_a_damaged_file_is_refused(ledger):
    ledger.reserve([transitions(f"chunk{i}", 1) for i in range(200)])
    ledger.close()
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(LedgerError):
        Ledger.open(ledger.path)


def test_a_balance_that_its_events_do_not_add_up_to_is_refused(ledger):
    log = Log()
    with sqlite3.connect(ledger.path) as outside:  # five coins spent, and nothing was bought
        log.new_entries(outside)
        log.append_entry(outside, Booking("raise_total", total=2000 * MICRO), Balance(2000 * MICRO, 5))
    outside.close()
    with pytest.raises(LedgerError, match="booking 2: the events add up to"):
        Ledger.open(ledger.path)


def run_python(script: str, *args: object) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


BUYER = """
    import sys
    from pathlib import Path
    from tandem.budget.ledger import Ledger
    from tandem.budget.money import Purchase

    path, folder, life = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    ledger = Ledger.open(path)
    for number in range(10_000):
        chunk, query = f"{life}-chunk{number}", f"{life}-query{number}"
        ledger.reserve([Purchase(chunk, "transition", 4, 1_000_000), Purchase(query, "label", 1, 4_000_000)])
        (folder / chunk).touch()  # the goods arrive, and with them the proof
        (folder / query).touch()
        ledger.settle({chunk: 4, query: 1})
        print(number, flush=True)
"""


def test_kill_9_at_any_moment_pays_once_for_what_arrived(tmp_path):
    goods = tmp_path / "goods"
    goods.mkdir()
    path, rng = tmp_path / "ledger.db", random.Random(1)
    Ledger.create(path, 10_000_000 * MICRO, PRICES).close()
    for life in range(8):
        buyer = run_python(BUYER, path, goods, life)
        assert buyer.stdout.readline() == "0\n"
        time.sleep(rng.uniform(0, 0.1))
        os.kill(buyer.pid, signal.SIGKILL)
        told = 1 + len(buyer.communicate()[0].split())
        assert buyer.returncode == -signal.SIGKILL

        ledger = Ledger.open(path)
        known = set(ledger.outstanding())
        assert len(known) in (0, 2)  # one commit reserves both, one settles both
        ledger.settle({purchase.key: purchase.units for purchase in known if (goods / purchase.key).exists()})
        ledger.release([purchase.key for purchase in known if not (goods / purchase.key).exists()])
        num_chunks, num_queries = (len(list(goods.glob(f"*-{kind}*"))) for kind in ("chunk", "query"))
        assert len(list(goods.glob(f"{life}-query*"))) >= told - 1  # what was said to be settled stayed settled
        assert (ledger.units("transition"), ledger.units("label")) == (4 * num_chunks, num_queries)
        assert ledger.spent == (4 * num_chunks + 4 * num_queries) * MICRO
        assert ledger.reserved == 0 and ledger.remaining == ledger.total - ledger.spent
        ledger.close()


RIVAL = """
    import sys
    from tandem.budget.ledger import BudgetExceeded, Ledger
    from tandem.budget.money import Purchase

    ledger, name, bought = Ledger.open(sys.argv[1]), sys.argv[2], 0
    try:
        while True:
            ledger.reserve([Purchase(f"{name}{bought}", "transition", 3, 1_000_000)])
            bought += 1
    except BudgetExceeded:
        print(bought)
"""


def test_two_processes_together_stay_within_the_budget(ledger):
    rivals = [run_python(RIVAL, ledger.path, name) for name in ("a", "b")]
    bought = sum(int(rival.communicate()[0]) for rival in rivals)
    assert bought == 333  # 1000 coins at 3 a purchase
    assert ledger.remaining == 1 * MICRO


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e-7, 1e13])
def test_amounts_that_are_no_money_name_their_field(value):
    with pytest.raises(ValueError, match=r"^total: must be positive"):
        BudgetConfig(total=value)
    with pytest.raises(ValueError, match=r"^transition: must be positive"):
        PriceConfig(transition=value)
    with pytest.raises(ValueError, match=r"^label: must be positive"):
        PriceConfig(label=value)


def test_coins_become_whole_micro_coins():
    assert [to_micro(coins) for coins in (0.1, 1e-6, 20_000, 0.3 - 0.1, 1e12)] == [
        100_000,
        1,
        20_000 * MICRO,
        200_000,
        10**18,
    ]
    assert PriceConfig(transition=0.5, label=30).in_micro() == {"transition": 500_000, "label": 30 * MICRO}
