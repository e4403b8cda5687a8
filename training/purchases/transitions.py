"""Collection: the policy acts in the environments, the ledger pays, the replay and the disk receive."""

from pathlib import Path

import numpy as np

from ...agents.agent import Agent, AgentState
from ...budget.ledger import Ledger
from ...budget.money import Purchase
from ...envs.episodes import Episode, EpisodeReturns
from ...envs.vault import RewardVault
from ...envs.vector import VectorEnv
from ...worldmodel.replay.journal.transitions import ChunkWriter
from ...worldmodel.replay.tick import Tick
from ...worldmodel.replay.transitions import TransitionReplay

CHUNK = 128  # transitions between two commits, about


class Collector:
    """Buys transitions by the chunk: reserve, act, seal on disk, settle. A crash loses at most an unpaid chunk."""

    def __init__(
        self,
        env: VectorEnv,
        vault: RewardVault,
        replay: TransitionReplay,
        ledger: Ledger,
        folder: Path,
        has_returns: bool,
    ):
        """has_returns: whether tick() reads the true returns of training episodes; only reference mode logs them."""
        self.env, self.vault, self.replay, self.ledger = env, vault, replay, ledger
        self.vault_folder = folder / "vault"
        self.writer = ChunkWriter(folder / "transitions")
        self.episodes = EpisodeReturns(vault, env.num) if has_returns else None
        self.action = np.zeros((env.num, env.spaces.action_size), np.float32)
        self.state: AgentState | None = None
        self.key = ""
        self.received = 0  # transitions in the open chunk

    def open(self, wanted: int) -> int:
        """Reserve the next chunk, for at most `wanted` transitions. -> ticks that it may take."""
        price = self.ledger.prices["transition"]
        wanted = min(wanted, self.ledger.remaining // price)
        ticks = min(max(1, CHUNK // self.env.num), wanted // self.env.num)
        assert ticks > 0 and not self.key, (wanted, self.key)
        self.key = f"{int(self.writer.last_key or 0) + 1:08d}"
        self.ledger.reserve([Purchase(_ledger_key(self.key), "transition", ticks * self.env.num, price)])
        self.received = 0
        return ticks

    def tick(self, agent: Agent) -> list[Episode]:
        """One lockstep step of all environments. -> training episodes that ended, for the log alone (see has_returns)."""
        transition = self.env.step(self.action)
        action, self.state = agent.act(transition.obs, self.state, transition.is_first, mode=False)
        self.action = np.where(transition.is_last[:, None], np.float32(0), action)
        tick = Tick.of(transition, self.action, self.state.latent.deter, self.state.latent.stoch.argmax(-1))
        self.replay.add(tick)
        self.writer.append(tick)
        self.received += transition.num_bought
        return self.episodes.add(transition) if self.episodes else []

    def close(self) -> int:
        """Seal the open chunk and settle it. -> transitions received."""
        key, self.key = self.key, ""
        self.vault.seal(self.vault_folder / f"{key}.npz")  # before the chunk: a label may be asked about any row of it
        units = self.writer.seal(key)
        assert units == self.received, (units, self.received)
        self.ledger.settle({_ledger_key(key): units})
        self.received = 0
        return units


def _ledger_key(key: str) -> str:
    return f"transitions/{key}"
