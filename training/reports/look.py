"""What a person sees of a phase's end: true returns, held-out losses, pictures. Nothing here is trained on or bought by.

Whatever fails in here is told as a warning: a run that has spent money does not end because a picture cannot be drawn.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ...agents.agent import Agent
from ...budget.money import coins_shown
from ...budget.plan import Evidence, Purse
from ...envs.records import Spaces
from ...seeds import Channel, derive_seed
from ...worldmodel.replay.label_store import LabelStore
from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.replay.transitions import TransitionReplay
from ..measurements.heldout_losses import heldout_dynamics, heldout_reward
from ..models import Models
from ..page.command import write_page
from ..phase_record import PhaseRecord
from . import figures
from .dreams import Along, along, imagined_gap, open_loop, window_of
from .evaluate import EvalResult, Evaluation, Evaluator
from .films.darkroom import Shot
from .films.mind import MindFilm, OpenLoop
from .films.stage import Retake
from .films.studio import Occasion, Studio
from .logger import Logger
from .pictures import Coins, allocation_pictures

Makers = dict[str, Callable[[], Figure]]  # name of a picture -> how to draw it
FILM, MIND = "eval/film", "dynamics/open_loop_film"
EPISODES = 3  # side by side in a film of the model's mind


@dataclass(frozen=True)
class _Played:
    """Evaluated episodes."""

    mode: EvalResult
    sampled: EvalResult
    scalars: dict[str, float]
    along: Callable[[], Along]  # of the first one with mode actions; worked out once it is needed


@dataclass(frozen=True)
class Onlooker:
    """Looks at a run, with noise of its own: how much is looked at must not change what training draws."""

    models: Models
    spaces: Spaces
    transitions: TransitionReplay
    labels: LabelStore
    evaluator: Evaluator
    logger: Logger
    coins: Coins
    horizon: int  # rows of a dream
    seed: int
    task: str
    studio: Studio | None  # None: no films

    def look(
        self,
        history: list[PhaseRecord],
        evaluations: list[Evaluation],
        scalars: dict[str, float],
        is_last: bool,
        evidence: Callable[[], Evidence],
        purse: Purse,
    ) -> list[Evaluation]:
        """Evaluate, write the phase's scalars (those measured too), pictures and films. -> the evaluations with the new one.

        history: of all finished phases, the newest last; evidence(), purse: what a plan would be made from now.
        """
        now, played = history[-1], None
        seed = derive_seed(self.seed, Channel.LOOKING, now.phase)
        row = scalars | {"budget/spent": now.spent}
        if episodes := self.evaluator.episodes(is_last):
            self.logger.line("evaluating: true returns, for your eyes alone")
            with self._shielded("the evaluation"):
                played = self._evaluated(episodes, seed)
                evaluation = Evaluation(now.phase, now.spent, played.mode.returns, played.sampled.returns)
                evaluations = [*(one for one in evaluations if one.phase != now.phase), evaluation]
                row |= played.scalars
        with self._shielded("the held-out losses"):
            row |= heldout_dynamics(self.models, self.transitions, seed)
            if isinstance(self.labels, LabelReplay):
                row |= heldout_reward(self.models, self.labels, seed)
        self.logger.scalars(now.step, row)
        if self.logger.has_figures:
            with self._shielded("a picture"):
                makers = allocation_pictures(history, self.coins, evidence(), purse)
                self._draw(makers | self._pictures(evaluations, played, seed), now.step)
        if self.studio is not None:
            with self._shielded("a film"):
                self._film(self.studio, now, played, seed, is_last)
        return evaluations

    def show_films(self) -> None:
        """Those that are ready by now."""
        if self.studio is not None and self.studio.is_ready:
            with self._shielded("a film"):
                self.studio.deliver()

    def write_page(self, folder: Path) -> None:
        """All of the run in `folder` on one page, in its report/."""
        if self.logger.has_figures:
            with self._shielded("the page of the run"):
                write_page(folder)

    def close(self) -> None:
        if self.studio is not None:
            self.studio.close()

    def _evaluated(self, episodes: int, seed: int) -> _Played:
        """True returns, one episode with mode actions, and what to log."""
        mode = self.evaluator.run(self._agent(), episodes, mode=True)
        sampled = self.evaluator.run(self._agent(), episodes, mode=False)
        scalars = {
            "eval/return": mode.mean_return,
            "eval/return_sampled": sampled.mean_return,
            "eval/length": mode.mean_length,
            **imagined_gap(self.models, sampled.traces, seed),
        }
        return _Played(mode, sampled, scalars, cache(lambda: along(self.models, mode.traces[0], self.horizon, seed)))

    def _agent(self) -> Agent:
        seed = derive_seed(self.seed, Channel.ONLOOKER)
        return Agent(self.models.dynamics, self.models.actor_critic, self.spaces, seed)

    def _pictures(self, evaluations: list[Evaluation], played: _Played | None, seed: int) -> Makers:
        makers = {}
        if evaluations:
            spent = np.array([one.spent for one in evaluations])
            returns = {
                "mode": [one.returns_mode for one in evaluations],
                "sampled": [one.returns_sampled for one in evaluations],
            }
            makers["eval/return_by_cost"] = partial(figures.return_against_money, spent, returns)
        if played:
            makers["reward/imagined_against_real"] = lambda: figures.imagined_vs_real_reward(*played.along().rewards)
        if (episodes := self.transitions.heldout_episodes(1)) and self.models.dynamics.decoder.flat:
            makers["dynamics/open_loop"] = lambda: figures.open_loop(
                *open_loop(self.models, episodes[0], seed).vectors()
            )
        return makers

    def _film(self, studio: Studio, now: PhaseRecord, played: _Played | None, seed: int, is_last: bool) -> None:
        """Begin to film the phase, and show what was filmed of an earlier one. Where that is not ready nobody waits, and this
        one has no film; the end of a run waits for its last."""
        if studio.is_ready or is_last:
            studio.deliver()
        if not studio.is_free:
            return
        title = f"{self.task}, phase {now.phase}, {coins_shown(now.spent)} coins"
        shots: dict[str, Shot] = {}
        stage = self.evaluator.stage
        if played:
            shots[FILM] = Retake(stage, played.mode.traces[0], played.along().track(), title)
        if any(spec.kind == "image" for spec in self.spaces.obs.values()):
            episodes = [one.without_vectors() for one in self._dreams(played, seed)]
            shots |= {MIND: MindFilm(episodes, title)} if episodes else {}
        studio.begin(shots, Occasion(now.phase, now.step))
        if is_last:
            studio.deliver()

    def _dreams(self, played: _Played | None, seed: int) -> list[OpenLoop]:
        """Of evaluated episodes with sampled actions, whose rewards may be known, or else of the newest held-out ones."""
        if played:
            traces = played.sampled.traces[:EPISODES]
            return [open_loop(self.models, window_of(self.models, one), seed, one.reward) for one in traces]
        return [open_loop(self.models, one, seed) for one in self.transitions.heldout_episodes(EPISODES)]

    def _draw(self, makers: Makers, step: int) -> None:
        for name, make in makers.items():
            with self._shielded(f"the picture {name}"):
                self.logger.figure(name, make(), step)

    @contextmanager
    def _shielded(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of any kind: nothing that a person only looks at may end a run
            self.logger.line(f"warning: {what} failed, the run goes on: {type(error).__name__}: {error}")
            self.logger.aside(traceback.format_exc())
