"""Paying for transitions that were there before the run."""

from ...budget.ledger import Ledger
from ...budget.money import Purchase
from ...worldmodel.replay.journal.stock import KEY


def pay_for_stock(ledger: Ledger, source: str, transitions: int, price_micro: int) -> None:
    """Book them in the name of where they come from, once; at 0 coins too, so that the ledger knows what is held.

    BudgetExceeded where they cost more than there is.
    """
    if not transitions or KEY in ledger.state_of_keys():
        return
    with ledger.together():
        ledger.reserve([Purchase(KEY, "transition", transitions, price_micro, tier=source)])
        ledger.settle({KEY: transitions})
