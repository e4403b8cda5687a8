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
    """The stock of a run is not what was copied."""


def find_source(data: DataConfig, views: Views) -> Source | None:
    """Where the transitions of the stock are to come from, looked at; None where there are none. UserError in one line."""
    if not data.transitions:
        return None
    if is_run(Path(data.transitions)):
        return EarlierRun(KEY, data.transitions)
    return find_data(KEY, data.transitions, views.keys, views.size, gaps=_is_one(data))


def _is_one(data: DataConfig) -> bool:
    """Whether labels and transitions come from the same place: then labels lie on their rows, and a reward that is not known
    is no mistake."""
    return bool(data.labels) and Path(data.labels).absolute() == Path(data.transitions).absolute()


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
        labels = take_labels(new, data.labels, fit, views, places if _is_one(data) else None)
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


def check_whole(folder: RunFolder, transitions: int, labels: int) -> None:
    """DamagedStock unless so many transitions and labels were copied: a log that has lost its end is whole by itself."""
    card = read_card(folder)
    for name, found in (("transitions", transitions), ("labels", labels)):
        if found != getattr(card, name):
            raise DamagedStock(f"{folder.stock / name}: holds {found:,} {name}, {getattr(card, name):,} were copied")
