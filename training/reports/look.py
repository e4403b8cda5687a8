"""What a person sees of a phase's end: true returns, held-out losses, pictures. Nothing here is trained on or bought by."""

from dataclasses import asdict

import numpy as np
import torch

from ...agents.agent import Agent
from ...budget.money import MICRO
from ...seeds import Channel, derive_seed
from ...worldmodel.distributions import symexp
from ...worldmodel.records import Batch
from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.rssm import Latent
from ..measurements.findings import Findings
from ..run import Run
from . import figures
from .evaluate import Trace
from .pictures import allocation_pictures

HELDOUT_LABELS = 2048  # the newest, for the reward model's held-out error
HELDOUT_PIECE = 256  # rows filtered at a time
HELDOUT_WINDOWS = 32  # of the training length, for the dynamics model's held-out losses
GAPS = {  # kept in the history, for the picture of bounds
    "dynamics": "gap/dynamics",
    "reward": "gap/reward",
    "lemma": "bound/lemma",
    "horizon": "bound/horizon",
}
OPEN_LOOP_CONTEXT = 8  # rows the model sees before it goes on blindly
OPEN_LOOP_ROWS = 64


def look(run: Run, findings: Findings) -> None:
    """Evaluate, write the phase's scalars (those measured too) and figures, and add a row to the run's history."""
    is_last = run.progress.phase >= run.progress.phases
    episodes = run.config.evaluate.final_episodes if is_last else run.config.evaluate.episodes
    mode = run.evaluator.run(onlooker(run), episodes, mode=True)
    sampled = run.evaluator.run(onlooker(run), episodes, mode=False)
    balance = run.ledger.balance()
    run.progress.history.append(
        {
            "phase": run.progress.phase,
            "step": run.env_steps,
            "spent": balance.spent / MICRO,
            "transitions": balance.transitions,
            "labels": balance.labels,
            "return_mode": mode.mean_return,
            "return_sampled": sampled.mean_return,
            "returns_mode": mode.returns,
            "returns_sampled": sampled.returns,
            "plan": dict(run.progress.plan),
            "measured": asdict(findings.measured) if findings.measured else None,
            "residual": findings.residual,
            "clean_labels": findings.clean_labels,
            "gaps": {name: findings.scalars[key] for name, key in GAPS.items() if key in findings.scalars},
            "spent_on_tiers": {name: tier["spent"] / MICRO for name, tier in run.ledger.by_tier().items()},
        }
    )
    scalars = findings.scalars | {
        "eval/return": mode.mean_return,
        "eval/return_sampled": sampled.mean_return,
        "eval/length": mode.mean_length,
        "budget/spent": balance.spent / MICRO,
    }
    scalars |= imagined_gap(run, sampled.traces)
    run.logger.scalars(run.env_steps, scalars | heldout_dynamics(run) | heldout_reward(run))
    if run.config.log.figures:
        draw(run, mode.traces[0])


@torch.no_grad()
def refresh_latents(run: Run) -> None:
    """Filter the held-out rows anew, and give the labels' copies what the rows now hold.

    Training refreshes the rows that it samples; held-out rows are never sampled, and a latent of an old model would
    count as an error of today's.
    """
    dynamics, latent = run.learner.dynamics, None
    for piece in run.transitions.heldout_pieces(HELDOUT_PIECE):
        batch = piece.to(run.device)
        start = dynamics.rssm.initial(len(batch.is_first)) if latent is None else latent
        noise, embed = uniform(run, batch.is_first.shape), dynamics.encoder(batch.obs)
        posterior, _ = dynamics.rssm.observe(start, batch.prev_action, embed, batch.is_first, noise)
        run.transitions.write_back(piece.address, posterior.deter, posterior.stoch.argmax(-1))
        latent = Latent(posterior.deter[:, -1], posterior.stoch[:, -1])
    if isinstance(run.labels, LabelReplay):
        run.labels.refresh(run.transitions)


def onlooker(run: Run) -> Agent:
    """The agent with noise of its own: how much is looked at must not change what training draws."""
    return Agent(
        run.learner.dynamics, run.learner.actor_critic, run.spaces, derive_seed(run.config.seed, Channel.ONLOOKER)
    )


@torch.no_grad()
def imagined_gap(run: Run, traces: list[Trace]) -> dict[str, float]:
    """How far the critic, which knows only dreams, is from the true discounted returns of evaluated episodes with sampled
    actions: the gap that the allocator's errors stand for. Rows of the first half of each episode, bootstrapped at a cut.
    """
    dynamics, gaps = run.learner.dynamics, []
    for trace in traces:
        batch = {key: torch.from_numpy(value)[None].to(run.device) for key, value in trace.obs.items()}
        latent = _filtered(run, batch, trace.action)
        value = run.learner.actor_critic.value(latent.feat)[0].double().cpu().numpy()  # (T,)
        following, found = value[-1] * (not trace.is_terminal[-1]), []
        for reward in trace.reward[:0:-1]:
            following = reward + dynamics.config.discount * following
            found.append(following)
        half = max(1, len(found) // 2)
        gaps.append(float(np.mean(value[:half] - np.array(found[::-1])[:half])))
    return {"eval/imagined_gap": float(np.mean(np.abs(gaps))), "eval/imagined_gap_signed": float(np.mean(gaps))}


def _filtered(run: Run, obs: dict[str, torch.Tensor], action: np.ndarray) -> Latent:
    """The latents along an episode: obs key -> (1, T, *shape), action (T, A) chosen at each row -> (1, T, ...)."""
    chosen = torch.from_numpy(action)[None].float().to(run.device)
    prev_action = torch.cat([torch.zeros_like(chosen[:, :1]), chosen[:, :-1]], 1)
    is_first = torch.zeros(prev_action.shape[:2], dtype=torch.bool, device=run.device)
    is_first[:, 0] = True
    dynamics = run.learner.dynamics
    noise = uniform(run, is_first.shape)
    seen, _ = dynamics.rssm.observe(dynamics.rssm.initial(1), prev_action, dynamics.encoder(obs), is_first, noise)
    return seen


@torch.no_grad()
def heldout_dynamics(run: Run) -> dict[str, torch.Tensor]:
    """The dynamics losses on windows of held-out episodes."""
    rng = np.random.default_rng(run.progress.phase)  # its own: looking must not change what training draws
    batch = run.transitions.heldout_windows(run.config.train.length, HELDOUT_WINDOWS, rng)
    if batch is None:
        return {}
    dynamics = run.learner.dynamics
    _, metrics, _ = dynamics(batch.to(run.device), uniform(run, batch.is_first.shape))
    return {key.replace("dynamics/", "dynamics/heldout_", 1): value for key, value in metrics.items() if "loss" in key}


@torch.no_grad()
def heldout_reward(run: Run) -> dict[str, torch.Tensor]:
    """Mean absolute error of the ensemble, and its disagreement, on labels bought inside held-out episodes."""
    if not isinstance(run.labels, LabelReplay) or not run.labels.num_heldout:
        return {}
    labels = run.labels.heldout(HELDOUT_LABELS).to(run.device)
    feat = run.learner.dynamics.encode(labels, uniform(run, labels.is_first.shape))
    error = (run.learner.reward.predict(feat) - labels.value).abs()
    return {
        "reward/heldout_error": error.mean(),
        "reward/heldout_deviation": labels.value.std(correction=0),
        "reward/heldout_disagreement": run.learner.reward.disagreement(feat).mean(),
    }


def draw(run: Run, trace: Trace) -> None:
    history, step = run.progress.history, run.env_steps
    pictures = allocation_pictures(run) | {
        "eval/return_by_cost": figures.return_against_money(
            np.array([row["spent"] for row in history]),
            {"mode": [row["returns_mode"] for row in history], "sampled": [row["returns_sampled"] for row in history]},
        ),
        "reward/imagined_against_real": figures.imagined_vs_real_reward(*reward_along(run, trace)),
    }
    if episodes := run.transitions.heldout_episodes(1):
        pictures["dynamics/open_loop"] = figures.open_loop(*open_loop(run, episodes[0]))
    for name, figure in pictures.items():
        run.logger.figure(name, figure, step)


@torch.no_grad()
def reward_along(run: Run, trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Imagined reward, true reward and the ensemble's disagreement along an evaluated episode, (T-1,) each.

    Every train.horizon rows a dream starts from what the model has seen so far and follows the recorded actions.
    """
    obs = {key: torch.from_numpy(value)[None].to(run.device) for key, value in trace.obs.items()}
    seen = _filtered(run, obs, trace.action)
    dynamics, reward, horizon = run.learner.dynamics, run.learner.reward, run.config.train.horizon
    prev_action = torch.from_numpy(np.roll(trace.action, 1, 0)).float().to(run.device)  # (T, A), its first row unused
    noise = uniform(run, seen.deter.shape[:2])
    last = len(prev_action) - 1
    start = torch.arange(0, last, horizon, device=run.device)  # (K,) rows from which to dream
    latent, feats = Latent(seen.deter[0, start], seen.stoch[0, start]), []
    weights = dynamics.rssm.scan_weights()
    for step in range(1, horizon + 1):
        row = (start + step).clamp(max=last)
        latent = dynamics.rssm.imagine_step(latent, prev_action[row], noise[0, row], weights)
        feats.append(latent.feat)
    members = reward.members(torch.stack(feats, 1)).flatten(1)[:, :last].cpu()  # (M, T-1): a first row has no reward
    return members.mean(0).numpy(), trace.reward[1:], members.std(0, correction=0).numpy()


@torch.no_grad()
def open_loop(run: Run, episode: Batch) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """A held-out episode and the model's idea of it: reconstruction at first, then, from the row
    given last, imagination along its actions."""
    rows = min(OPEN_LOOP_ROWS, episode.is_first.shape[1])
    seen = min(OPEN_LOOP_CONTEXT, rows)
    dynamics, episode = run.learner.dynamics, episode.to(run.device)
    noise = uniform(run, (1, rows))
    latent, _ = dynamics.rssm.observe(
        dynamics.latent(episode.start_deter, episode.start_stoch),
        episode.prev_action[:, :seen],
        dynamics.encoder({key: value[:, :seen] for key, value in episode.obs.items()}),
        episode.is_first[:, :seen],
        noise[:, :seen],
    )
    feats = [latent.feat]
    latent = Latent(latent.deter[:, -1], latent.stoch[:, -1])
    weights = dynamics.rssm.scan_weights()
    for t in range(seen, rows):
        latent = dynamics.rssm.imagine_step(latent, episode.prev_action[:, t], noise[:, t], weights)
        feats.append(latent.feat.unsqueeze(1))
    decoded = dynamics.decoder(torch.cat(feats, 1))
    predicted = {key: symexp(value)[0].flatten(1).cpu().numpy() for key, value in decoded.items()}
    truth = {key: value[0, :rows].flatten(1).cpu().numpy() for key, value in episode.obs.items()}
    return truth, predicted, seen


def uniform(run: Run, shape: tuple[int, ...]) -> torch.Tensor:
    """Noise for looking, (*shape, S): from a generator of its own, so that looking changes nothing in training."""
    generator = torch.Generator(run.device).manual_seed(run.progress.phase)
    return torch.rand((*shape, run.config.dynamics.stoch), generator=generator, device=run.device)
