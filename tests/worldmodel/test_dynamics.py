"""The dynamics model: filtering, resets, imagination, the continue head, and which loss trains what."""

from dataclasses import replace

import pytest
import torch

from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel import dynamics
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel, loss_scales
from tandem.worldmodel.imagine import dream
from tandem.worldmodel.records import Address, Batch
from tandem.worldmodel.reward import RewardConfig, RewardModel
from tandem.worldmodel.rssm import Latent, kl_losses

SPACES = Spaces({"state": ObsSpec((3,)), "kind": ObsSpec((1,), classes=4)}, action_size=2)
CONFIG = DynamicsConfig(deter=16, hidden=8, stoch=3, classes=4, blocks=4, units=8, discount_horizon=50.0)


def make(**settings) -> DynamicsModel:
    torch.manual_seed(0)
    return DynamicsModel(replace(CONFIG, **settings), SPACES)


def random_batch(batch=2, length=6, first=(), terminal=()) -> tuple[Batch, torch.Tensor]:
    """Random windows with is_first at `first` [(b, t)] and is_terminal at `terminal`, and noise (B, T, S)."""
    random = torch.Generator().manual_seed(1)
    flags = [torch.zeros(batch, length, dtype=torch.bool) for _ in range(2)]
    for flag, places in zip(flags, (first, terminal), strict=True):
        for b, t in places:
            flag[b, t] = True
    is_first, is_terminal = flags
    made = Batch(
        obs={
            "state": torch.randn(batch, length, 3, generator=random),
            "kind": torch.randint(4, (batch, length, 1), generator=random, dtype=torch.int32),
        },
        prev_action=torch.randn(batch, length, 2, generator=random),
        is_first=is_first,
        is_last=is_terminal,
        is_terminal=is_terminal,
        start_deter=torch.randn(batch, 16, generator=random),
        start_stoch=torch.randint(4, (batch, 3), generator=random),
        address=Address(*(torch.zeros(size, dtype=torch.int64) for size in (batch, (batch, length), (batch, length)))),
    )
    return made, torch.rand(batch, length, 3, generator=random)


def window(batch: Batch, start: int, stop: int, latent: Latent | None = None) -> Batch:
    """Rows start .. stop - 1, from `latent` instead of the stored one."""
    rows = slice(start, stop)
    names = ("prev_action", "is_first", "is_last", "is_terminal")
    changed = {name: getattr(batch, name)[:, rows] for name in names}
    if latent is not None:
        changed |= {"start_deter": latent.deter[:, -1], "start_stoch": latent.stoch[:, -1].argmax(-1)}
    return replace(batch, obs={key: value[:, rows] for key, value in batch.obs.items()}, **changed)


@torch.no_grad()
def test_filtering_a_sequence_is_filtering_its_rows_one_by_one():
    model = make()
    batch, noise = random_batch(first=[(0, 3), (1, 0)])
    whole, whole_log_probs = model.observe(batch, noise)
    latent = None
    for t in range(6):
        latent, log_probs = model.observe(window(batch, t, t + 1, latent), noise[:, t : t + 1])
        torch.testing.assert_close(latent.deter[:, 0], whole.deter[:, t], atol=1e-5, rtol=1e-5)
        assert torch.equal(latent.stoch[:, 0].argmax(-1), whole.stoch[:, t].argmax(-1))
        torch.testing.assert_close(log_probs[:, 0], whole_log_probs[:, t], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_came_before_a_reset_is_forgotten():
    model = make()
    batch, noise = random_batch(first=[(0, 3)])
    other = replace(
        batch,
        obs={"state": batch.obs["state"].clone(), "kind": batch.obs["kind"]},
        prev_action=batch.prev_action.clone(),
        start_deter=-batch.start_deter,
    )
    other.obs["state"][:, :3] += 5
    other.prev_action[:, :4] -= 2  # the action into the first row belongs to the episode before
    ours, theirs = (model.observe(one, noise)[0].feat for one in (batch, other))
    assert torch.equal(ours[0, 3:], theirs[0, 3:])
    assert not torch.allclose(ours[0, 2], theirs[0, 2]) and not torch.allclose(ours[1, 3:], theirs[1, 3:])


@torch.no_grad()
def test_a_reset_row_is_the_first_row_of_a_zero_state():
    model = make()
    batch, noise = random_batch(first=[(0, 2), (1, 2)])
    zero = model.rssm.initial(2)
    fresh = replace(window(batch, 2, 3), start_deter=zero.deter, start_stoch=zero.stoch.argmax(-1))
    torch.testing.assert_close(
        model.observe(fresh, noise[:, 2:3])[0].feat[:, 0], model.observe(batch, noise)[0].feat[:, 2]
    )


@torch.no_grad()
def test_encode_gives_the_features_of_the_last_row_without_gradient():
    model = make()
    batch, noise = random_batch()
    assert torch.equal(model.encode(batch, noise), model.observe(batch, noise)[0].feat[:, -1])
    with torch.enable_grad():
        assert not model.encode(batch, noise).requires_grad


@torch.no_grad()
def test_stoch_is_one_hot_and_drawn_with_the_posteriors_frequencies():
    model = make(unimix=0.0)
    batch, _ = random_batch(batch=1, length=1)
    number = 4000
    batch = replace(
        batch,
        obs={key: value.expand(number, *value.shape[1:]) for key, value in batch.obs.items()},
        prev_action=batch.prev_action.expand(number, 1, 2),
        is_first=batch.is_first.expand(number, 1),
        start_deter=batch.start_deter.expand(number, 16),
        start_stoch=batch.start_stoch.expand(number, 3),
    )
    noise = torch.rand(number, 1, 3, generator=torch.Generator().manual_seed(5))
    latent, log_probs = model.observe(batch, noise)
    assert torch.equal(latent.stoch.sum(-1), torch.ones(number, 1, 3))
    # four standard deviations of a share of 4000 draws are at most 4 sqrt(.25 / 4000) = .032
    torch.testing.assert_close(latent.stoch.mean(0), log_probs[0].exp(), atol=0.032, rtol=0)


def test_the_continue_target_is_the_discount_and_zero_at_a_terminal():
    model = make()
    torch.nn.init.zeros_(model.cont_head.out.weight)
    feat = torch.randn(2, 1, CONFIG.feat_size)
    model.cont_head.out.bias.data.fill_(torch.logit(torch.tensor(0.98)).item())  # 1 - 1/50
    torch.testing.assert_close(model.cont(feat), torch.full((2, 1), 0.98))
    loss = model.cont_loss(feat, torch.tensor([[False], [True]]))
    # -.98 ln .98 - .02 ln .02 = .0980 and -ln .02 = 3.912
    torch.testing.assert_close(loss.flatten(), torch.tensor([0.0980, 3.9120]), atol=1e-3, rtol=0)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    model = make(dyn_scale=2.0, rep_scale=0.5, rec_scale=3.0, cont_scale=0.25)
    batch, noise = random_batch(terminal=[(0, 5)])
    loss, metrics, observed = model(batch, noise)
    part = {key.removeprefix("dynamics/loss/"): value for key, value in metrics.items() if "/loss/" in key}
    assert part.keys() == {"rec_state", "rec_kind", "cont", "dyn", "rep"}
    expected = 3 * (part["rec_state"] + part["rec_kind"]) + 0.25 * part["cont"] + 2 * part["dyn"] + 0.5 * part["rep"]
    torch.testing.assert_close(loss.detach(), expected)
    assert observed.feat.shape == (2, 6, CONFIG.feat_size) and observed.feat.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


class Riddled(DynamicsModel):
    """With a loss that nobody gave a scale."""

    def losses(self, *arguments, **named):
        return super().losses(*arguments, **named) | {"riddle": torch.ones(2, 6)}


def test_a_loss_without_a_scale_is_refused_when_the_model_is_made():
    names = "'cont', 'dyn', 'rec_kind', 'rec_state', 'rep'"
    with pytest.raises(ValueError) as caught:
        Riddled(CONFIG, SPACES)
    message = f"scales: must be those of the losses [{names}, 'riddle'], got [{names}]"
    assert str(caught.value) == message


def test_a_scale_without_a_loss_is_refused_when_the_model_is_made(monkeypatch):
    monkeypatch.setattr(dynamics, "loss_scales", lambda *_: loss_scales(CONFIG, SPACES) | {"riddle": 1.0})
    with pytest.raises(
        ValueError, match=r"^scales: must be those of the losses \['cont', .*'rep'\], got \[.*'riddle'\]$"
    ):
        make()


def test_names_are_checked_when_a_model_is_made_and_never_again(monkeypatch):
    model = make(straighten_scale=1.0)
    monkeypatch.setattr(DynamicsModel, "_check_scales", None)
    loss, metrics, _ = model(*random_batch())
    assert {key.removeprefix("dynamics/loss/") for key in metrics if "/loss/" in key} == model.scales.keys()
    assert torch.isfinite(loss)


def test_the_dynamics_loss_trains_the_prior_alone_and_the_representation_loss_the_posterior_alone():
    log_p, log_q = (torch.log_softmax(torch.randn(2, 3, 4), -1).requires_grad_() for _ in range(2))
    dyn, rep = kl_losses(log_p, log_q, free_nats=0.0)
    torch.testing.assert_close(dyn, rep)
    assert torch.autograd.grad(dyn.sum(), log_p, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(dyn.sum(), log_q)[0].any()
    assert torch.autograd.grad(rep.sum(), log_q, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(rep.sum(), log_p)[0].any()


def test_free_nats_floor_the_loss_of_a_whole_step():
    log_p = torch.log_softmax(torch.randn(5, 3, 4), -1).requires_grad_()
    dyn, rep = kl_losses(log_p, log_p.detach() + 0.0, free_nats=1.0)
    assert torch.equal(dyn, torch.ones(5)) and torch.equal(rep, torch.ones(5))
    rep.sum().backward()
    assert not log_p.grad.any()


@torch.no_grad()
def test_a_dream_steps_the_prior_with_the_policys_actions():
    model, horizon = make(), 4
    reward = RewardModel(RewardConfig(units=8, bins=15), CONFIG.feat_size)
    torch.nn.init.normal_(reward.out_weight)
    start, noise = model.latent(torch.randn(5, 16), torch.randint(4, (5, 3))), torch.rand(5, horizon, 3)
    seen = []

    def policy(feat, action_noise):
        seen.append(feat)
        return action_noise * 0.5, feat[:, :1]

    action_noise = torch.randn(5, horizon, 2)
    imagined = dream(model, reward, policy, start, noise, action_noise)
    assert imagined.feat.shape == (5, horizon + 1, CONFIG.feat_size)
    assert torch.equal(imagined.feat[:, 0], start.feat) and torch.equal(imagined.action, action_noise * 0.5)
    latent, weights = start, model.rssm.scan_weights()
    for t in range(horizon):
        assert torch.equal(seen[t], imagined.feat[:, t])
        latent = model.rssm.imagine_step(latent, imagined.action[:, t], noise[:, t], weights)
        torch.testing.assert_close(imagined.feat[:, t + 1], latent.feat)
    torch.testing.assert_close(imagined.reward, reward.predict(imagined.feat))
    assert not imagined.feat.requires_grad and ((imagined.cont > 0) & (imagined.cont < 1)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"deter": 0}, "deter: must be at least 1"),
        ({"deter": 20, "blocks": 8}, "deter: must be a multiple of blocks"),
        ({"classes": 1}, "classes: must be 2"),
        ({"classes": 257}, "classes: must be 2"),
        ({"unimix": 1.0}, "unimix: must be in"),
        ({"discount_horizon": 1.0}, "discount_horizon: must be above 1"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        DynamicsConfig(**settings)
