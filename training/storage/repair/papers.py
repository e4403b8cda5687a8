"""What says which run this is: its card and its configuration."""

from collections.abc import Iterator

from ....errors import Damaged, UserError
from ...config import Config
from ...settings import read_config
from .. import checkpoint
from ..card import CARD, DamagedCard, RunCard, sha256
from .bench import Bench, text_into


def mend_papers(bench: Bench) -> tuple[Config, RunCard | None]:
    """The run's configuration and its card, each taken from a copy where it is damaged. UserError where there is none.

    Runs of versions 0.1 and 0.2 have no card.
    """
    card = _mend_card(bench)
    path = bench.folder.config
    try:
        return read_config(path), card
    except Damaged as error:
        why = str(error).removeprefix(f"{path}: ").partition("; tandem repair")[0]
    copies = list(_copies(bench))
    if not copies:
        raise UserError(f"{path}: {why}; there is no copy of it: write it again, and `tandem repair` goes on")
    text = next((one for one in copies if card and sha256(one) in card.configs), copies[0])
    bench.replace(path, why, lambda new: text_into(new, text))
    if card and sha256(text) not in card.configs:
        card = card.accepting_only(text.decode())
        card.write(bench.folder.path)
    bench.say("rescued: the configuration, from a copy")
    return read_config(path), card


def _mend_card(bench: Bench) -> RunCard | None:
    path, spare = bench.folder.path / CARD, _spare_card(bench)
    try:
        card, why = RunCard.find(bench.folder.path), "is missing"
    except DamagedCard as error:
        card, why = None, str(error).removeprefix(f"{path}: ").partition("; tandem repair")[0]
    if card or not (spare or path.exists()):
        return card
    if spare is None:
        bench.set_aside(path, why)
        bench.say("lost: who made the run; where it names code of yours, --trust says that you know it")
        return None
    # What is accepted is the configuration that is there, if anything else knows it, or else the newest copy.
    known = [*_copies(bench)]
    now = bench.folder.config.read_bytes() if bench.folder.config.exists() else b""
    is_known = now in known or sha256(now) in spare.configs
    text = now if is_known or not known else known[0]
    card = spare.accepting_only(text.decode(errors="replace"))
    bench.replace(path, why, lambda new: card.write(new.parent))
    bench.say("rescued: the run's card, from a copy")
    return card


def _spare_card(bench: Bench) -> RunCard | None:
    try:
        return RunCard.find(bench.folder.checkpoints)
    except UserError:
        return None


def _copies(bench: Bench) -> Iterator[bytes]:
    """The configuration in the whole checkpoints, the newest first, and as it was when the run began."""
    for path in reversed(checkpoint.list_checkpoints(bench.folder.checkpoints)):
        if (path / checkpoint.SETTINGS).exists():
            yield (path / checkpoint.SETTINGS).read_bytes()
    if bench.folder.spare_config.exists():
        yield bench.folder.spare_config.read_bytes()
