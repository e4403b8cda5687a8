"""Collection: the policy acts in the environments, the ledger pays, the replay and the disk receive."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ...agents.agent import Agent, AgentState
from ...budget.ledger import Ledger
from ...budget.money import Purchase
from ...envs.datasets.closed import Closed
from ...envs.episodes import Episode, EpisodeReturns
from ...envs.records import Transition
from ...envs.standing import OpenEpisode, Standing
from ...envs.vault import RewardVault
from ...envs.vector import VectorEnv
from ...errors import UserError
from ...watch import Watch
from ...worldmodel.replay.journal.transitions import PREFIX, TransitionJournal
from ...worldmodel.replay.stock import StockRows
from ...worldmodel.replay.tick import Tick, Ticks
from ...worldmodel.replay.transitions import TransitionReplay
from ...worldmodel.rssm import Latent
from ..stop import Stop
from .sellers import calling

CHUNK = 128  # transitions between two commits, about
STATE = {"chunks", "left", "received", "action", "agent", "starts"}


@dataclass
class Chunk:
    """The purchase under way: nothing of it is paid before all of it is on disk."""

    left: int = 0  # ticks it may still take
    received: int = 0  # transitions so far
    is_open: bool = False


class Collector:
    """Buys transitions by the chunk: reserve, act, write to disk, settle. A crash loses at most what is not paid.

    A run that goes on does again what came after its checkpoint. The ticks that are on disk already (`ahead`) are taken
    from there; the environments are asked again once these are used up.
    """

    def __init__(
        self,
        env: VectorEnv | Closed,
        vault: RewardVault,
        replay: TransitionReplay,
        ledger: Ledger,
        journal: TransitionJournal,
        stop: Stop,
        device: torch.device,
        has_returns: bool,
        watch: Watch,
        stock: StockRows,
    ):
        """device: of the agent. has_returns: whether tick() reads the true returns of training episodes; only reference
        mode logs them. stock: rows that were there before."""
        self.env, self.vault, self.replay, self.ledger = env, vault, replay, ledger
        self.journal, self.stop, self.device, self.watch, self.stock = journal, stop, device, watch, stock
        ledger.before_commit.insert(0, journal.log.sync)  # before questions about them
        self.episodes = EpisodeReturns(vault, env.num) if has_returns else None
        self.action = np.zeros((env.num, env.spaces.action_size), np.float32)
        self.state: AgentState | None = None
        self.chunk, self.num_chunks = Chunk(), 0
        self.ahead: deque[Tick] = deque()
        self.is_live = False  # the environments stand where the journal ends

    @property
    def received(self) -> int:
        """Transitions in the open chunk."""
        return self.chunk.received

    @property
    def key(self) -> str:
        """Of the chunk under way, or of the last one."""
        return f"{self.num_chunks:08d}"

    def do_again(self, later: Iterable[Ticks]) -> None:
        """These ticks are on disk and come again before any new one."""
        self.ahead.extend(tick for block in later for tick in block)

    def begin_anew(self) -> None:
        """Close the open episodes as truncated: where they stand is not known."""
        self.is_live = True
        if isinstance(self.env, VectorEnv):
            self.env.go_on(self._standing(opened=False))
        sold = (key.removeprefix(PREFIX) for key in self.ledger.state_of_keys() if key.startswith(PREFIX))
        self.num_chunks = max(map(int, (*self.journal.units, *sold)), default=0)  # what was lost is not sold again

    def open(self, wanted: int) -> int:
        """Reserve the next chunk, for at most `wanted` transitions. -> ticks that it may take."""
        price = self.ledger.prices["transition"]
        wanted = min(wanted, self.ledger.remaining // price)
        ticks = min(max(1, CHUNK // self.env.num), wanted // self.env.num)
        assert ticks > 0 and not self.chunk.is_open, (wanted, self.chunk)
        self.num_chunks += 1
        self.ledger.reserve([Purchase(PREFIX + self.key, "transition", ticks * self.env.num, price)])
        self.chunk = Chunk(left=ticks, is_open=True)
        return ticks

    def tick(self, agent: Agent) -> list[Episode]:
        """One lockstep step of all environments. -> training episodes that ended, for the log alone (see has_returns).

        SellerFailed where an environment cannot go on, or the agent's action is no number: nothing has changed then.
        """
        before = self.ahead[0] if self.ahead else None
        transition = before.transition if before else self._arrive()
        with self.watch("policy"):
            action, state = agent.act(transition.obs, self.state, transition.is_first, mode=False)
            tick = Tick.of(transition, action, state.latent.deter, state.latent.stoch.argmax(-1))
        if before:
            tick = self.ahead.popleft()  # what was done counts, also where rounding would have done a little else
        else:
            with calling(self.stop, "the agent"):
                self._played.check(action)
                _check_memory(tick)
            self.journal.append(tick)
        self.action, self.state = tick.action, state
        self.replay.add(tick)
        self.chunk.left -= 1
        self.chunk.received += transition.num_bought
        if self.is_live and self.chunk.left:  # never beyond what is reserved
            with self.watch("environment"), calling(self.stop, "environment"):
                self._played.begin(self.action)  # in processes of their own they play while the learner learns
        return self.episodes.add(transition) if self.episodes else []

    def _arrive(self) -> Transition:
        with self.watch("environment"), calling(self.stop, "environment"):
            env = self._played
            if not self.is_live or env.was_lent:  # an evaluation may have played in them
                env.go_on(self._standing(opened=True))
                self.is_live = True
            return env.step(self.action)

    @property
    def _played(self) -> VectorEnv:
        assert isinstance(self.env, VectorEnv), "nothing is collected"
        return self.env

    def _standing(self, opened: bool) -> Standing:
        """Where the streams stand at the journal's end; without `opened`, as if every episode had ended there."""
        counts, last = self.replay.counts, self.journal.last
        episodes = self.journal.open_episodes(counts.next_episode) if opened else []
        return Standing(
            next_step=counts.next_step,
            next_episode=counts.next_episode,
            was_last=last.is_last if last and opened else np.ones(self.env.num, bool),
            is_heldout=last.is_heldout if last else np.zeros(self.env.num, bool),
            rows=self.journal.bought + self.stock.bought,
            open=tuple(OpenEpisode(one.env, one.episode, one.obs, one.action[:-1]) for one in episodes),
        )

    def write(self) -> None:
        """Put everything that was received into the journals; safe after their `sync`."""
        assert self.vault.log is not None, "a run's vault is kept"
        self.vault.write()
        self.vault.log.sync()  # before any of the ticks: a label may be asked about each of them
        self.env.keep_sights()
        self.journal.write(self.key)

    def close(self) -> int:
        """Write the open chunk and settle it. -> transitions received."""
        assert self.chunk.is_open, "no chunk is open"
        with self.ledger.together():
            self.write()
            units, self.chunk = self.chunk.received, Chunk()
            self.ledger.settle({PREFIX + self.key: units})
        return units

    def state_dict(self) -> dict:
        """The open chunk, what the agent remembers, and the action to take next."""
        agent = None
        if self.state is not None:
            latent = self.state.latent
            agent = {"deter": latent.deter, "stoch": latent.stoch, "action": self.state.action}
        return {
            "chunks": self.num_chunks,
            "left": self.chunk.left if self.chunk.is_open else None,
            "received": self.chunk.received,
            "action": torch.from_numpy(self.action.copy()),
            "agent": agent,
            "starts": self.episodes.starts if self.episodes else None,
        }

    def load_state_dict(self, state: dict) -> None:
        """ValueError where the checkpoint knows other things."""
        if state.keys() != STATE:
            raise ValueError(f"collector: the checkpoint holds {sorted(state)}, expected {sorted(STATE)}")
        self.num_chunks = state["chunks"]
        is_open = state["left"] is not None
        self.chunk = Chunk(state["left"] if is_open else 0, state["received"], is_open)
        self.action = state["action"].numpy().copy()
        if state["agent"] is not None:
            deter, stoch, action = (state["agent"][name].to(self.device) for name in ("deter", "stoch", "action"))
            self.state = AgentState(Latent(deter, stoch), action)
        if self.episodes:
            self.episodes.starts = list(state["starts"])


def _check_memory(tick: Tick) -> None:
    """UserError for a latent that is no number: once in the journal, it would come again at every resume."""
    is_bad = ~np.isfinite(tick.deter).all(1)
    if is_bad.any():
        env = int(np.flatnonzero(is_bad)[0])
        raise UserError(f"agent: its memory of environment {env}, row {tick.transition.step[env]}, is not finite")
