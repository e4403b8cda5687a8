"""The replays, with the stock in them."""

from dataclasses import dataclass
from pathlib import Path

from ...envs.labelers.question_keys import DEFAULT
from ...envs.records import Spaces
from ...worldmodel.replay.journal.stock import StockJournal
from ...worldmodel.replay.label_column import LabelColumn
from ...worldmodel.replay.label_form import LabelForm
from ...worldmodel.replay.label_store import LabelStore
from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.replay.stock import StockRows, restock
from ...worldmodel.replay.transitions import TransitionReplay
from ..config import Config
from ..storage.folder import RunFolder
from ..storage.stock.labels import load_labels
from ..storage.stock.stock import check_whole
from ..storage.stock.transitions import TRANSITIONS


@dataclass(frozen=True)
class Stores:
    transitions: TransitionReplay
    labels: LabelStore
    stock: StockRows


def make_stores(config: Config, folder: RunFolder, spaces: Spaces) -> Stores:
    """As they are before anything is bought. DamagedStock where a part of the stock is missing."""
    transitions, labels = make_transitions(config, spaces), make_labels(config, spaces)
    journal = StockJournal(folder.stock / TRANSITIONS)
    rows = restock(transitions, journal.read())
    load_labels(folder.stock, labels, transitions)
    check_whole(folder, rows.num_transitions, labels.num_stock)
    return Stores(transitions, labels, rows)


def make_transitions(config: Config, spaces: Spaces) -> TransitionReplay:
    latent = (config.dynamics.deter, config.dynamics.stoch)
    return TransitionReplay(config.replay, spaces, config.envs.num, config.train.length, *latent, scratch_of(config))


def scratch_of(config: Config) -> Path | None:
    """The folder of rows that are mapped; None: they lie in memory."""
    return Path(config.replay.folder or config.run.dir) if config.replay.storage == "mmap" else None


def make_labels(config: Config, spaces: Spaces) -> LabelStore:
    """Still empty: stock comes first, and then the desk fills it from its journal."""
    if config.mode == "coupled":
        return LabelColumn(config.envs.num)
    latent = (config.dynamics.deter, config.dynamics.stoch)
    tiers, members = (DEFAULT, *config.labeler.tiers), config.reward.members
    kept = {
        "folds": members,
        "latents": config.replay.latents,
        "scratch": scratch_of(config),
        "form": label_form(config),
    }
    return LabelReplay(config.labels, spaces, *latent, tiers, **kept)


def label_form(config: Config) -> LabelForm:
    return LabelForm(config.labeler.kind, config.labeler.rows, config.labeler.reach)
