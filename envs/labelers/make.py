"""From the name of a labeler to the one who answers."""

from pathlib import Path

from ...outside import make_own
from ..vault import RewardVault
from .base import DEFAULT, Labeler, LabelerConfig
from .env_reward import EnvReward
from .people.people import People
from .rater import Rater, TierConfig
from .router import Router


def make_labeler(
    config: LabelerConfig, vault: RewardVault, seed: int, run: Path = Path(), label_micro: int = 0
) -> Labeler:
    """The configured labeler. `seed` fixes what is random in its answers; simulated ones know the true rewards in `vault`.

    People are asked through a file in the folder `run`; label_micro: price.label, which theirs are held against.

    A class of a person's own never gets the vault: it is made without arguments, or with `seed` where its constructor
    names it. UserError "labeler.name: ..." for one that cannot be made or does not submit and collect.
    """
    people = config.name == "people"
    default = People(run, config, label_micro) if people else _default_labeler(config, vault, seed)
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
