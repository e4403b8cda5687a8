"""The actor-critic: what it samples, how its slow critic follows, and which gradients pass."""

import math

import pytest
import torch

from tandem.agents.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    Replayed,
    imagined_returns,
    value_losses,
    weighted_policy_loss,
)
from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel.distributions import twohot_bins
from tandem.worldmodel.imagine import Imagined

FEAT, ACTIONS = 5, 3


def make(factors=(), **settings) -> ActorCritic:
    torch.manual_seed(0)
    spaces = Spaces({"state": ObsSpec((2,))}, ACTIONS, factors)
    return ActorCritic(ActorCriticConfig(**{"units": 8, "bins": 41, **settings}), spaces, FEAT, 0.9)


def shaken(**settings) -> ActorCritic:
    model = make(**settings)
    for parameter in model.trained_parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def rollout(model: ActorCritic, batch=2, length=3, horizon=4) -> tuple[Imagined, Replayed]:
    random = torch.Generator().manual_seed(1)
    feat = torch.randn(batch, length, FEAT, generator=random)
    after = torch.randn(batch * length, horizon, FEAT, generator=random)
    imagined_feat = torch.cat([feat.flatten(0, 1).unsqueeze(1), after], 1)
    shape = (batch * length, horizon, model.spaces.noise_size)
    noise = torch.rand(shape, generator=random)
    with torch.no_grad():
        action = model.policy(imagined_feat[:, :-1], noise)
    reward = torch.randn(batch * length, horizon + 1, generator=random)
    cont = torch.rand(batch * length, horizon + 1, generator=random)
    flag = torch.zeros(batch, length, dtype=torch.bool)
    replayed = Replayed(feat, torch.randn(batch, length, generator=random), flag, flag)
    return Imagined(imagined_feat, action, reward, cont), replayed


def test_a_new_critic_values_everything_at_zero():
    model, feat = make(), torch.randn(4, FEAT)
    assert torch.equal(model.value(feat), torch.zeros(4))


def test_the_slow_critic_starts_equal_and_moves_by_its_rate():
    model = make(slow_rate=0.02)
    fast, slow = list(model.critic.parameters()), list(model.slow_critic.parameters())
    assert all(torch.equal(f, s) for f, s in zip(fast, slow, strict=True))
    before = [s.clone() for s in slow]
    with torch.no_grad():
        for f in fast:
            f.add_(1.0)
    model.update_slow_critic()
    for s, old in zip(slow, before, strict=True):
        torch.testing.assert_close(s, old + 0.02)
    model.update_slow_critic()
    for s, old in zip(slow, before, strict=True):
        torch.testing.assert_close(s, old + 1 - 0.98**2)


def test_the_slow_critic_is_not_trained():
    model = shaken()
    loss, _ = model(*rollout(model))
    loss.backward()
    assert all(p.grad is None for p in model.slow_critic.parameters())
    assert all(p.grad is not None for p in model.trained_parameters())
    slow = {id(p) for p in model.slow_critic.parameters()}
    assert not slow & {id(p) for p in model.trained_parameters()}


def test_the_actor_has_no_part_in_the_critics_loss_and_the_other_way_round():
    model = shaken(entropy=0.0)
    imagined, replayed = rollout(model)
    log_prob, _ = model.log_prob(imagined.feat[:, :-1], imagined.action)
    assert torch.autograd.grad(log_prob.sum(), list(model.critic.parameters()), allow_unused=True)[0] is None
    value = model.value(imagined.feat)
    assert torch.autograd.grad(value.sum(), list(model.actor.parameters()), allow_unused=True)[0] is None
    still = Imagined(imagined.feat, imagined.action, torch.zeros_like(imagined.reward), imagined.cont)
    for parameter in [*model.critic.parameters(), *model.slow_critic.parameters()]:
        torch.nn.init.zeros_(parameter)  # values and rewards 0: no advantage, so nothing for the actor to do
    loss, metrics = model(still, replayed)
    loss.backward()
    assert metrics["actor/advantage"] == 0
    assert all(not p.grad.any() for p in model.actor.parameters())


def test_discrete_actions_are_drawn_with_the_policys_frequencies():
    model, number = shaken(factors=(ACTIONS,)), 4000
    feat = torch.randn(1, FEAT)
    uniform = torch.rand(number, 1, generator=torch.Generator().manual_seed(2))
    action = model.policy(feat.expand(number, FEAT), uniform)
    expected = torch.softmax(model.actor(feat)[0], -1).detach()
    assert set(action.unique().tolist()) == {0.0, 1.0} and (action.sum(-1) == 1).all()
    assert expected.max() < 0.95
    # four standard deviations: 4 sqrt(.25 / 4000) = .032
    torch.testing.assert_close(action.mean(0), expected, atol=0.032, rtol=0)
    log_prob, entropy = model.log_prob(feat, torch.eye(3)[:1])
    assert log_prob.item() == pytest.approx(math.log(expected[0].item()), abs=1e-5)
    assert entropy.item() == pytest.approx(-(expected * expected.log()).sum().item(), abs=1e-5)
    assert model.mode(feat)[0].argmax() == expected.argmax()


def test_the_uniform_mix_gives_every_discrete_action_a_share():
    model = shaken(factors=(ACTIONS,), actor_unimix=0.3)
    model.actor.out.bias.data.copy_(torch.tensor([50.0, 0.0, 0.0]))
    log_prob, _ = model.log_prob(torch.zeros(1, FEAT), torch.eye(3)[1:2])
    assert log_prob.exp().item() == pytest.approx(0.1, abs=1e-4)  # .3 / 3


def test_continuous_actions_are_normal_with_the_policys_moments():
    model, number = shaken(), 20_000
    feat = torch.randn(1, FEAT)
    noise = torch.randn(number, ACTIONS, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        action, mean = model.policy(feat.expand(number, FEAT), noise), model.mode(feat)[0]
        raw_std = model.actor(feat)[0, ACTIONS:]
        std = 0.9 * torch.sigmoid(raw_std + 2) + 0.1
        log_prob, entropy = model.log_prob(feat, mean.unsqueeze(0))
    assert (mean.abs() < 1).all() and ((std > 0.1) & (std < 1)).all()
    torch.testing.assert_close(action.mean(0), mean, atol=0.03, rtol=0)  # 4 / sqrt(20000) = .028
    torch.testing.assert_close(action.std(0), std, atol=0.02, rtol=0)
    # density at the mean: -sum(log std) - 3/2 log 2 pi; entropy: sum(log std) + 3/2 log 2 pi e
    assert log_prob.item() == pytest.approx(-(std.log().sum() + 1.5 * math.log(2 * math.pi)).item(), abs=1e-4)
    assert entropy.item() == pytest.approx((std.log().sum() + 1.5 * math.log(2 * math.pi * math.e)).item(), abs=1e-4)


def test_a_better_action_becomes_likelier():
    for factors in ((), (ACTIONS,)):
        model = make(factors=factors, entropy=0.0)
        imagined, replayed = rollout(model)
        logits = model.log_prob(imagined.feat[:, 0], imagined.action[:, 0])[0]
        reward = torch.zeros_like(imagined.reward)
        reward[0, 1] = 10.0  # start 0 did well with its first action
        loss, _ = model(Imagined(imagined.feat, imagined.action, reward, imagined.cont), replayed)
        loss.backward()
        with torch.no_grad():
            for p in model.actor.parameters():
                p.sub_(p.grad)
            after = model.log_prob(imagined.feat[:, 0], imagined.action[:, 0])[0]
        assert after[0] > logits[0]


def test_imagined_returns_by_hand():
    # lambda .5; cont holds the discount. R_1 = 3 + .5 [.5 * 8 + .5 * 8] = 7; R_0 = 1 + .8 [.5 * 4 + .5 * 7] = 5.4
    reward, cont, value = (torch.tensor([row]) for row in ([99.0, 1, 3], [99.0, 0.8, 0.5], [99.0, 4, 8]))
    torch.testing.assert_close(imagined_returns(reward, cont, value, 0.5), torch.tensor([[5.4, 7.0]]))


def test_the_policy_loss_by_hand():
    # -.5 (-2 * 3 + .1 * 4) = 2.8
    one = [torch.tensor([[x]]) for x in (0.5, -2.0, 3.0, 4.0)]
    torch.testing.assert_close(weighted_policy_loss(*one, 0.1), torch.tensor([[2.8]]))


def test_the_value_loss_pulls_to_the_return_and_to_the_slow_value():
    bins = twohot_bins(41)
    logits = torch.zeros(1, 41, requires_grad=True)
    low, high = bins[10].reshape(1), bins[30].reshape(1)
    loss = value_losses(logits.log_softmax(-1), low, high, bins, slow_scale=0.5)
    assert loss.item() == pytest.approx(1.5 * math.log(41), rel=1e-5)
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    # 1.5 / 41 everywhere, less 1 at the return and 1/2 at the slow value
    expected = torch.full((1, 41), 1.5 / 41)
    expected[0, 10] -= 1.0
    expected[0, 30] -= 0.5
    torch.testing.assert_close(grad, expected)


def test_the_end_of_an_imagined_episode_silences_what_comes_after():
    model = shaken()
    imagined, replayed = rollout(model)
    cont = imagined.cont.clone()
    cont[:, 1] = 0.0  # every dream ends at its first step
    model.return_scale.update = lambda returns: torch.ones(())
    grads = []
    for change in (0.0, 50.0):
        reward = imagined.reward.clone()
        reward[:, 2:] += change
        model.zero_grad(set_to_none=True)
        loss, _ = model(Imagined(imagined.feat, imagined.action, reward, cont), replayed)
        loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.actor.parameters()]))
    # weights of the later steps are 0 and the first return does not look past the end
    torch.testing.assert_close(grads[0], grads[1])


def test_replayed_steps_across_a_last_row_do_not_count():
    model = shaken()
    imagined, replayed = rollout(model)
    is_last = torch.zeros(2, 3, dtype=torch.bool)
    is_last[:, 1] = True
    logits, slow = model.critic(imagined.feat[:, 0]), torch.zeros(6)
    boot = torch.randn(6, generator=torch.Generator().manual_seed(3))
    losses = []
    for first_reward in (0.0, 1e3):
        reward = replayed.reward.clone()
        reward[:, 2] = first_reward  # the row after a last row is a first row: nobody bought its reward
        replay = Replayed(replayed.feat, reward, is_last, replayed.is_terminal)
        losses.append(model.replay_value_loss(replay, boot, logits, slow))
    assert losses[0].shape == (2, 2) and not losses[0][:, 1].any() and losses[0][:, 0].all()
    assert torch.equal(losses[0], losses[1])


def test_a_terminal_row_has_no_value_beyond_it():
    model = shaken()
    imagined, replayed = rollout(model)
    is_end = torch.zeros(2, 3, dtype=torch.bool)
    is_end[:, 1] = True
    logits, slow = model.critic(imagined.feat[:, 0]), torch.zeros(6)
    replay = Replayed(replayed.feat, replayed.reward, is_end, is_end)
    losses = [model.replay_value_loss(replay, torch.full((6,), boot), logits, slow) for boot in (0.0, 500.0)]
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 0}, "units: must be at least 1"),
        ({"lam": 1.5}, "lam: must be in"),
        ({"slow_rate": -0.1}, "slow_rate: must be in"),
        ({"min_std": 0.0}, "min_std: must be above 0"),
        ({"min_std": 2.0}, "min_std: must be above 0 and at most max_std"),
        ({"bins": 40}, "bins: must be an odd number"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ActorCriticConfig(**settings)
