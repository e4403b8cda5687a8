"""What was heard, and what is owed for it."""

from contextlib import closing

from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO
from tandem.envs.records import Work
from tandem.training.purchases.heard import Heard
from tandem.training.purchases.till import Till


def skip(key: str, rater: str, coins: int) -> Work:
    return Work(key, rater, 30.0, coins * MICRO, "skipped")


def test_what_the_money_does_not_suffice_for_is_owed_by_name_and_told_where_it_changes(tmp_path):
    with closing(Ledger.create(tmp_path / "ledger.db", 10 * MICRO, {"transition": MICRO, "label": MICRO})) as ledger:
        till = Till(ledger)
        till.take(Heard(works=[skip("a", "ann", 8), skip("b", "ann", 3), skip("c", "bob", 4), skip("d", "bob", 5)]))
        assert till.news() == {}  # nothing was tried
        till.book()
        assert till.news() == {"ann": 3 * MICRO, "bob": 9 * MICRO} and till.news() is None
        assert till.lines()[0] == "warning: 3 coins owed to ann wait for budget.total: it has nothing free for them"
        ledger.raise_total(100 * MICRO)
        till.book()
        assert till.news() == {} and till.lines() == [] and ledger.spent == 20 * MICRO
