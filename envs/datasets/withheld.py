"""Rewards of episodes that were not played here: from a data set or an earlier run into the vault, and nowhere else."""

from pathlib import Path

import numpy as np

from ..vault import RewardVault


class Withheld:
    """Puts rewards on disk where a run's vault takes them up at every start."""

    def __init__(self, folder: Path):
        self._vault = RewardVault(folder)

    def take(self, env: int, step: int, rewards: np.ndarray) -> None:
        """Of the rows (T,) that follow the row `step` of a stream; NaN where none is known: nobody can sell it."""
        for place, reward in enumerate(rewards.tolist(), step + 1):
            self._vault.put(env, place, reward)
        self._vault.write()

    def close(self) -> None:
        assert self._vault.log is not None, "it is kept"
        self._vault.log.sync()
        self._vault.log.close()


class Earlier:
    """The vault of an earlier run, whose rewards are withheld again."""

    def __init__(self, *folders: Path):
        """Those of its logs that there are; what a later one says of a row counts."""
        self._vaults = [RewardVault(folder) for folder in folders if folder.is_dir()]
        for vault in self._vaults:
            vault.load()

    def rewards(self, env: int, first: int, number: int) -> np.ndarray:
        """(number,) of the rows from `first` on, NaN where none is known."""
        found = np.full(number, np.nan)
        for vault in self._vaults:
            known = vault.rewards(env, first, number)
            found = np.where(np.isnan(known), found, known)
        return found
