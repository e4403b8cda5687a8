"""From the name of a labeler to the one who answers."""

from functools import partial
from pathlib import Path

from ...outside import make_own
from ..vault import RewardVault
from .base import Labeler, LabelerConfig
from .env_reward import EnvReward
from .people.people import People
from .programs.account import Account
from .programs.address import shown
from .programs.command import Program, check_found
from .programs.journal import Log
from .programs.line import Line
from .programs.programs import Programs
from .programs.server import Server
from .question_keys import DEFAULT
from .rater import Rater, TierConfig
from .router import Router


def make_labeler(
    config: LabelerConfig, vault: RewardVault, seed: int, run: Path = Path(), label_micro: int = 0
) -> Labeler:
    """The configured labeler. `seed` fixes what is random in its answers; simulated ones know the true rewards in `vault`.

    People are asked through a file in the folder `run`; label_micro: price.label, which theirs are held against.

    A class of a person's own never gets the vault: it is made without arguments, or with `seed` where its constructor
    names it. Nor does a program or a server, which keeps what it said in the folder `run`. UserError "labeler.name: ..."
    for a class that cannot be made or does not submit and collect, "labeler.command: ..." for a program that is not there.
    """
    if config.is_program:
        return _programs(config, run)
    default = People(run, config, label_micro) if config.asks_people else _default_labeler(config, vault, seed)
    if not config.tiers:
        return default
    raters = {tier: Rater(EnvReward(vault, config.delay), one, seed) for tier, one in config.tiers.items()}
    return Router({DEFAULT: default, **raters})


def _default_labeler(config: LabelerConfig, vault: RewardVault, seed: int) -> Labeler:
    if config.name == "env_reward":
        return EnvReward(vault, config.delay)
    if config.name == "noisy":
        # What it is paid does not matter to its answers: price.label is in the ledger.
        return Rater(EnvReward(vault, config.delay), TierConfig(price=1.0, sigma=config.sigma), seed)
    return make_own(config.name, "labeler.name", offered={"seed": seed}, methods=("submit", "collect"))


def _programs(config: LabelerConfig, folder: Path) -> Programs:
    if config.command:
        check_found(config.command)
    name, line = shown(config.command, config.url), partial(_line, config)
    return Programs(name, line, folder, config.prompt_of, config.retries, config.parallel)


def _line(config: LabelerConfig, account: Account, log: Log, run: str) -> Line:
    if config.command:
        return Program(config.command, config.timeout, account, log)
    return Server(config.url, config.timeout, run)
