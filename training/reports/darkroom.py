"""What the process that draws a run's clips is told: which environment to make, or why it may not."""

from pathlib import Path
from typing import Any

from ...envs.sights.darkroom import order, refusal
from ...errors import UserError
from ..settings import read_config, trusted_config
from ..storage.folder import SAVED_AS


def darkroom_order(run: Path, is_trusted: bool) -> dict[str, Any]:
    """An order for `darkroom.start`. Code of others that the run's folder names is made only where it is trusted.

    UserError for a run that asks no people: nobody has anything to look at.
    """
    try:
        labeler = read_config(run / SAVED_AS).labeler
    except UserError as error:
        return refusal(str(error))
    if not labeler.asks_people:
        asked = "a program or server answers" if labeler.is_program else f"labeler.name is {labeler.name}"
        raise UserError(f"{run}: asks no people, {asked}: train one that does with labeler.name=people")
    try:
        config = trusted_config(run, is_trusted)
    except UserError as error:
        return refusal(str(error))
    return order(config.task, config.envs, config.seed)
