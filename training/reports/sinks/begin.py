"""How a run's logger is begun: with the settings that it tells others, without secrets."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from ....envs.labelers.programs.address import without_secrets
from ....errors import UserError
from ....outside import find_class, told
from ...config import Config
from ...settings import to_yaml
from ...storage.folder import RunFolder
from ..logger import Logger
from .own import FAILURES
from .told import ToldSettings


def begin_logging(config: Config, folder: RunFolder, purge_step: int | None) -> Logger:
    url = without_secrets(config.labeler.url) if config.labeler.url else ""
    open_config = replace(config, labeler=replace(config.labeler, url=url))
    settings = ToldSettings.of(to_yaml(open_config), _defaults())
    return Logger(folder.path, config.log, purge_step=purge_step, settings=settings)


@cache
def _defaults() -> str:
    return to_yaml(Config())


def check_sinks(names: Sequence[str]) -> None:
    """UserError for a class that cannot be imported, before a run is made."""
    for name in names:
        try:
            find_class(name)
        except FAILURES as error:
            raise UserError(f"log.sinks: {name} cannot be imported: {told(error)}") from error
