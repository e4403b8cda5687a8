"""What the process that draws a run's clips is told: which environment to make, or why it may not."""

from pathlib import Path
from typing import Any

from ...envs.sights.darkroom import order, refusal
from ...errors import UserError
from ..settings import trusted_config


def darkroom_order(run: Path, is_trusted: bool) -> dict[str, Any]:
    """An order for `darkroom.start`. Code of others that the run's folder names is made only where it is trusted."""
    try:
        config = trusted_config(run, is_trusted)
    except UserError as error:
        return refusal(str(error))
    return order(config.task, config.envs, config.seed)
