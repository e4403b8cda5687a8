"""What a run has to spend and at which prices, and whether that pays for its beginning."""

from ...budget.books.rebuild import upgrade
from ...budget.ledger import Ledger
from ...budget.money import MICRO, price_in_micro, to_micro
from ...budget.phase import check_budget, money_for_labels
from ...envs.make import episode_length
from ...worldmodel.replay.stock import StockRows
from ..config import Config, ConfigError
from ..measurements.evidence import Stock, Terms, evidence
from ..progress import Progress
from ..purchases.terms import StockPrice
from ..storage.folder import RunFolder


def prices_of(config: Config) -> dict[str, int]:
    """Micro-coins of a transition, and the least of a label: about rows of the stock it may cost something else, and where
    nothing is collected all labels are about those."""
    prices, data = config.price.in_micro(), config.data
    if data.price_label is not None:
        of_stock = price_in_micro(data.price_label)
        prices["label"] = min(prices["label"], of_stock) if data.collect else of_stock
    return prices


def stock_price(config: Config, rows: StockRows) -> StockPrice | None:
    """What a label about a row of the stock costs, where others have another price."""
    data = config.data
    if data.price_label is None or not data.collect:
        return None
    return StockPrice(rows, price_in_micro(data.price_label), config.price.in_micro()["label"])


def check_pilot(config: Config, stock: int = 0) -> None:
    """UserError naming budget.total where it cannot pay for so many transitions of a stock and for the pilot."""
    first = evidence(terms_of(config), 0, config.allocator.phases, Stock(transitions=stock), None)
    total = to_micro(config.budget.total) - stock * price_in_micro(config.data.price_transition)
    if total < 0:
        cost = stock * config.data.price_transition
        raise ConfigError(f"budget.total: must be at least {cost:,.15g} coins for the {stock:,} of data.transitions")
    check_budget(config.allocator, first, total, prices_of(config))


def terms_of(config: Config) -> Terms:
    return Terms(
        transition_lot=config.envs.num,
        episode_length=episode_length(config.task, config.envs) if config.data.collect else 0,
        min_transitions=least_transitions(config),
        labeler=config.labeler,
        seed=config.seed,
        label_micro=prices_of(config)["label"],
        label_money=label_money(config),
        can_collect=config.data.collect,
    )


def least_transitions(config: Config) -> int:
    """With which training can start: a batch of windows that start at different rows, beside the second of all episodes,
    which is held out (`envs.vector.HeldoutShare`)."""
    train, num = config.train, config.envs.num
    starts, tail = train.batch * train.length, train.length + 1  # a stream's last rows start no window
    rows = starts + num * tail
    if not config.envs.heldout_share or not config.data.collect:
        return rows
    episode = episode_length(config.task, config.envs)
    if num == 1:
        return rows if rows <= episode else rows + episode
    others = -(-(starts + (num - 1) * tail) // (num - 1))  # rows in each stream while the second one trains nothing
    return others * num if not episode or others <= episode else rows + episode


def label_money(config: Config) -> int:
    """Micro-coins, about: all there are where nothing else is bought."""
    total = to_micro(config.budget.total)
    return money_for_labels(total) if config.data.collect else total


def open_ledger(config: Config, folder: RunFolder) -> Ledger:
    upgrade(folder.ledger)  # one that an older version wrote
    ledger = Ledger.open(folder.ledger, is_only_writer=True)  # the run's lock is held
    written = prices_of(config)
    # What the ledger says counts. Version 0.1 rounded a price to the nearest micro-coin, which may be one less.
    if any(not 0 <= written[kind] - price <= 1 for kind, price in ledger.prices.items()):
        raise ConfigError(f"price: {folder.config} says other prices than the ledger, which has {ledger.prices}")
    return ledger


def first_progress(config: Config, ledger: Ledger) -> Progress:
    rate = config.train.updates * MICRO / ledger.total if config.train.updates else 0.0
    first_phase = 1 if config.mode == "coupled" else 0  # as published: no pilot
    return Progress(config.allocator.phases, rate, config.budget.total, phase=first_phase)
