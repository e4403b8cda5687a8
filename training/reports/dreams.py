"""Dreams beside the truth: what the models make of episodes that they did not train on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...envs.episodes import Trace
from ...worldmodel.records import Window
from ...worldmodel.rssm import Latent
from ..models import Models
from .films.mind import OpenLoop
from .films.slate import Track

CONTEXT = 8  # rows the model sees before it goes on blindly
ROWS = 64  # of an episode that are shown


@torch.no_grad()
def imagined_gap(models: Models, traces: list[Trace], seed: int) -> dict[str, float]:
    """How far the critic, which knows only dreams, is from the true discounted returns of evaluated episodes with sampled
    actions: the gap that the allocator's errors stand for. Rows of the first half of each episode, bootstrapped at a cut.
    """
    discount, gaps = models.dynamics.config.discount, []
    for trace in traces:
        value = models.value(filtered(models, trace, seed).feat)[0].double().cpu().numpy()  # (T,)
        following, found = value[-1] * (not trace.is_terminal[-1]), []
        for reward in trace.reward[:0:-1]:
            following = reward + discount * following
            found.append(following)
        half = max(1, len(found) // 2)
        gaps.append(float(np.mean(value[:half] - np.array(found[::-1])[:half])))
    return {"eval/imagined_gap": float(np.mean(np.abs(gaps))), "eval/imagined_gap_signed": float(np.mean(gaps))}


@dataclass(frozen=True)
class Along:
    """What the models say along an evaluated episode of T rows. A first row has no reward: the others are (T-1,) each."""

    imagined: np.ndarray  # the ensemble's mean reward in dreams
    real: np.ndarray  # the true one
    deviation: np.ndarray  # the ensemble's disagreement
    value: np.ndarray  # (T,) the critic's, of what was seen

    @property
    def rewards(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For a figure."""
        return self.imagined, self.real, self.deviation

    def track(self) -> Track:
        """For a film."""
        rewards = [np.concatenate([[first], one]) for first, one in ((0.0, self.real), (np.nan, self.imagined))]
        return Track(*rewards, value=self.value)


@torch.no_grad()
def along(models: Models, trace: Trace, horizon: int, seed: int) -> Along:
    """Every `horizon` rows a dream starts from what the model has seen so far and follows the recorded actions."""
    dynamics, device = models.dynamics, models.device
    seen = filtered(models, trace, seed)
    prev_action = torch.from_numpy(np.roll(trace.action, 1, 0)).float().to(device)  # (T, A), its first row unused
    noise = noise_of(models, seen.deter.shape[:2], seed)
    last = len(prev_action) - 1
    start = torch.arange(0, last, horizon, device=device)  # (K,) rows from which to dream
    latent, feats = Latent(seen.deter[0, start], seen.stoch[0, start]), []
    weights = dynamics.rssm.scan_weights()
    for step in range(1, horizon + 1):
        row = (start + step).clamp(max=last)
        latent = dynamics.rssm.imagine_step(latent, prev_action[row], noise[0, row], weights)
        feats.append(latent.feat)
    members = models.reward.members(torch.stack(feats, 1))
    members = members.flatten(1)[:, :last].cpu()  # (M, T-1)
    imagined, deviation = members.mean(0).numpy(), members.std(0, correction=0).numpy()
    return Along(imagined, trace.reward[1:], deviation, models.value(seen.feat)[0].float().cpu().numpy())


@torch.no_grad()
def open_loop(models: Models, episode: Window, seed: int, reward: np.ndarray | None = None) -> OpenLoop:
    """An episode that trained nothing, a window (1, T), and the model's idea of its first rows: reconstruction while it sees
    them, then imagination along their actions. reward (T,): the true one, where it may be known."""
    rows = min(ROWS, episode.is_first.shape[1])
    seen = min(CONTEXT, rows)
    dynamics, episode = models.dynamics, episode.to(models.device)
    noise = noise_of(models, (1, rows), seed)
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
    feat, codecs = torch.cat(feats, 1), dynamics.decoder.codecs
    predicted = {key: codecs[key].decode(said)[0].cpu().numpy() for key, said in dynamics.decoder(feat).items()}
    truth = {key: episode.obs[key][0, :rows].cpu().numpy() for key in predicted}
    imagined = models.reward.predict(feat)[0].float().cpu().numpy()
    return OpenLoop(truth, predicted, seen, imagined, None if reward is None else reward[:rows])


def filtered(models: Models, trace: Trace, seed: int) -> Latent:
    """The latents along an episode, (1, T, ...)."""
    window = window_of(models, trace)
    latent, _ = models.dynamics.observe(window, noise_of(models, window.is_first.shape, seed))
    return latent


def window_of(models: Models, trace: Trace) -> Window:
    """All rows of an episode as a window (1, T)."""
    dynamics, device = models.dynamics, models.device
    obs = {key: torch.from_numpy(value)[None].to(device) for key, value in trace.obs.items()}
    chosen = torch.from_numpy(trace.action)[None].float().to(device)
    prev_action = torch.cat([torch.zeros_like(chosen[:, :1]), chosen[:, :-1]], 1)
    is_first = torch.zeros(prev_action.shape[:2], dtype=torch.bool, device=device)
    is_first[:, 0] = True
    start = torch.zeros(1, dynamics.config.deter, device=device)
    classes = torch.zeros(1, dynamics.config.stoch, dtype=torch.int64, device=device)
    return Window(obs, prev_action, is_first, start, classes)


def noise_of(models: Models, shape: tuple[int, ...], seed: int) -> Tensor:
    """(*shape, S), from a generator of its own: looking changes nothing in training."""
    return models.noise(shape, torch.Generator(models.device).manual_seed(seed))
