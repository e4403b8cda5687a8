"""The desk that a labeler's settings make."""

import math

from ...budget.ledger import Ledger
from ...budget.money import price_in_micro
from ...envs.labelers.base import Labeler, LabelerConfig
from ...envs.labelers.question_keys import DEFAULT
from ...worldmodel.replay.journal.labels import LabelJournal
from ...worldmodel.replay.label_store import LabelStore
from ...worldmodel.replay.transitions import TransitionReplay
from ..stop import Stop
from .choice import Choice
from .items import Drawer
from .labels import LabelDesk
from .looks import Looks, Reel
from .terms import StockPrice, Terms


def drawer_for(config: LabelerConfig, transitions: TransitionReplay, choice: Choice | None) -> Drawer:
    return Drawer(transitions, config.kind, config.rows, config.anchors, choice)


def open_desk(
    config: LabelerConfig,
    drawer: Drawer,
    labels: LabelStore,
    labeler: Labeler,
    ledger: Ledger,
    journal: LabelJournal,
    stop: Stop,
    reel: Reel | None,
    stock: StockPrice | None,
) -> LabelDesk:
    """Of people's answers a ceiling is reserved, since what they cost is known afterwards."""
    price = ledger.prices["label"]
    prices = {DEFAULT: math.ceil(config.ceiling * price) if config.asks_people else price}
    prices |= {name: price_in_micro(tier.price) for name, tier in config.tiers.items()}
    terms = Terms(prices, price_in_micro(config.item_price), config.refusals, stock)
    looks = Looks(reel) if config.is_looking else None
    return LabelDesk(drawer, labels, labeler, ledger, journal, stop, terms, looks)
