"""The stock of a run: copied into its folder once, before the folder is a run, so that nothing outside is needed again.

stock/stock.json                what it is: the name of where the transitions come from, and how many there are
stock/transitions, rewards      episodes, and the rewards that are withheld of them
stock/labels                    labels that are there
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ....durable import sync_folder, whole_file
from ....envs.datasets.find import find_data
from ....envs.datasets.given import Source
from ....errors import Damaged
from ..folder import RunFolder
from .earlier import EarlierRun, is_run
from .fit import Fit
from .labels import Views, take_labels
from .settings import DataConfig
from .transitions import KEY, Places, take_transitions

NEW, CARD = ".new", "stock.json"


@dataclass(frozen=True)
class StockCard:
    """source: of the transitions, as it was named."""

    source: str = ""
    transitions: int = 0
    labels: int = 0


class DamagedStock(Damaged):
    """The card of a run's stock cannot be read."""


def find_source(data: DataConfig, views: Views) -> Source | None:
    """Where the transitions of the stock are to come from, looked at; None where there are none. UserError in one line."""
    if not data.transitions:
        return None
    if is_run(Path(data.transitions)):
        return EarlierRun(KEY, data.transitions)
    return find_data(KEY, data.transitions, views.keys, views.size)


def take_stock(folder: RunFolder, data: DataConfig, source: Source | None, fit: Fit, views: Views) -> None:
    """Copy what `data` names. An error leaves nothing of it behind."""
    if not (data.labels or source):
        return
    new = folder.path / (folder.stock.name + NEW)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        card = _taken(new, data, source, fit, views)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(folder.stock, ignore_errors=True)  # of a start that was cut off before the folder was a run
    os.replace(new, folder.stock)
    sync_folder(folder.path)
    if card.transitions:
        print(f"{KEY}: {card.transitions:,} transitions of {card.source} are there, rewards withheld", flush=True)
    if card.labels:
        print(f"data.labels: {card.labels:,} labels of {data.labels} are there, paid for elsewhere", flush=True)


def _taken(new: Path, data: DataConfig, source: Source | None, fit: Fit, views: Views) -> StockCard:
    places = take_transitions(new, source, fit) if source else Places()
    labels = 0
    if data.labels:
        is_same = bool(source) and Path(data.labels).absolute() == Path(data.transitions).absolute()
        labels = take_labels(new, data.labels, fit, views, places if is_same else None)
    number = sum(place.length for place in places.by_name.values())
    card = StockCard(source.name if source else "", number, labels)
    with whole_file(new / CARD, "w") as file:
        json.dump(asdict(card), file)
    return card


def read_card(folder: RunFolder) -> StockCard:
    """What the stock of a run is; an empty one where there is none. DamagedStock."""
    path = folder.stock / CARD
    if not folder.stock.is_dir():
        return StockCard()
    try:
        return StockCard(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise DamagedStock(f"{path}: not readable ({type(error).__name__})") from error
