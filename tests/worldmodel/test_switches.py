"""Smoothness switches: what a cap holds and what it leaves alone, and how far a latent path bends."""

from dataclasses import replace

import pytest
import torch

from tandem.agents.actor_critic import ActorCritic, ActorCriticConfig
from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel.caps import SpectralCap
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel, curvature
from tandem.worldmodel.optimizer import LaProp, OptimizerConfig
from tandem.worldmodel.records import Address, Batch
from tandem.worldmodel.reward import RewardConfig, RewardModel

SPACES = Spaces({"state": ObsSpec((3,))}, action_size=2)
CONFIG = DynamicsConfig(deter=16, hidden=8, stoch=3, classes=4, blocks=4, units=8)
CAPPED = replace(CONFIG, spectral_gates=0.5, spectral_prior=0.7)
FAST = OptimizerConfig(lr=0.05, warmup=0)
SEEDED_LOSSES = ["3.25811", "2.47341", "2.22282"]  # of the source before it had any switch


def seeded(make, *arguments):
    torch.manual_seed(0)
    return make(*arguments)


def random_batch(batch=4, length=6) -> tuple[Batch, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    no = torch.zeros(batch, length, dtype=torch.bool)
    made = Batch(
        obs={"state": torch.randn(batch, length, 3, generator=random)},
        prev_action=torch.randn(batch, length, 2, generator=random),
        is_first=no,
        is_last=no,
        is_terminal=no,
        start_deter=torch.randn(batch, 16, generator=random),
        start_stoch=torch.randint(4, (batch, 3), generator=random),
        address=Address(*(torch.zeros(size, dtype=torch.int64) for size in (batch, (batch, length), (batch, length)))),
    )
    return made, torch.rand(batch, length, 3, generator=random)


def train(model: DynamicsModel, updates: int) -> list[float]:
    optimizer, losses = LaProp(model.parameters(), FAST), []
    batch, noise = random_batch()
    for _ in range(updates):
        loss, _, _ = model(batch, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.cap_slopes()
        losses.append(loss.item())
    return losses


def sizes(model: DynamicsModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest singular values of the gates' blocks (4,) and of the prior's last map, each with the gain before it."""
    rssm = model.rssm
    gates = rssm.gates.weight * rssm.core_norm.scale.view(4, -1, 1)
    prior = rssm.prior_logit.weight * rssm.prior_mlp.norms[-1].scale
    return torch.linalg.matrix_norm(gates, 2), torch.linalg.matrix_norm(prior, 2)


def test_a_large_singular_value_is_brought_to_the_limit_and_the_map_keeps_its_direction():
    cap = SpectralCap((), 2, limit=2.0)
    weight = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    for _ in range(30):
        cap(weight, torch.tensor([2.0, 1.0]))
    # with the gain diag(2, 1) the singular values are 6 and 1: the whole map is scaled by 2 / 6
    torch.testing.assert_close(weight, torch.tensor([[1.0, 0.0], [0.0, 1 / 3]]))


def test_a_map_under_the_limit_is_left_alone():
    cap = SpectralCap((), 2, limit=2.0)
    weight = torch.tensor([[1.9, 0.0], [0.0, 1.0]])
    for _ in range(30):
        cap(weight, torch.ones(2))
    assert weight.tolist() == torch.tensor([[1.9, 0.0], [0.0, 1.0]]).tolist()


def test_each_block_has_a_limit_of_its_own():
    cap = SpectralCap((2,), 1, limit=1.0)
    weight = torch.tensor([[[4.0]], [[0.5]]])
    cap(weight, torch.ones(2, 1, 1))
    assert weight.flatten().tolist() == [1.0, 0.5]


def test_a_map_that_starts_at_zero_is_capped_once_it_has_grown():
    cap = SpectralCap((), 3, limit=1.0)
    weight = torch.zeros(2, 3)
    cap(weight, torch.ones(3))
    assert not weight.any() and torch.isfinite(cap.direction).all()
    weight += torch.ones(2, 3)  # singular value sqrt(6)
    for _ in range(20):
        cap(weight, torch.ones(3))
    torch.testing.assert_close(torch.linalg.matrix_norm(weight, 2), torch.tensor(1.0))


def test_training_grows_the_slopes_and_the_caps_hold_them():
    free, capped = seeded(DynamicsModel, CONFIG, SPACES), seeded(DynamicsModel, CAPPED, SPACES)
    train(free, 30)
    train(capped, 30)
    gates, prior = sizes(free)
    assert gates.min() > 0.6 and prior > 0.8
    gates, prior = sizes(capped)
    assert gates.max() < 0.5 * 1.05 and prior < 0.7 * 1.05  # one power step an update, and large updates


def test_the_heads_of_reward_and_actor_are_held_too():
    reward = seeded(RewardModel, RewardConfig(members=2, units=8, bins=15, spectral=0.5), CONFIG.feat_size)
    actor_critic = ActorCritic(ActorCriticConfig(units=8, bins=15, spectral_actor=0.5), SPACES, CONFIG.feat_size, 0.9)
    torch.nn.init.normal_(reward.out_weight)
    torch.nn.init.normal_(actor_critic.actor.out.weight)
    critic = [one.clone() for one in actor_critic.critic.parameters()]
    for model in (reward, actor_critic):
        for _ in range(40):
            model.cap_slopes()
    torch.testing.assert_close(torch.linalg.matrix_norm(reward.out_weight.detach(), 2), torch.full((2,), 0.5))
    actor = torch.linalg.matrix_norm(actor_critic.actor.out.weight.detach(), 2)
    torch.testing.assert_close(actor, torch.tensor(0.5))
    assert all(torch.equal(*pair) for pair in zip(critic, actor_critic.critic.parameters(), strict=True))


def test_without_switches_the_losses_are_what_they_were_and_nothing_more_is_kept():
    free, capped = seeded(DynamicsModel, CONFIG, SPACES), seeded(DynamicsModel, CAPPED, SPACES)
    assert all(torch.equal(free.state_dict()[key], capped.state_dict()[key]) for key in free.state_dict())
    extra = capped.state_dict().keys() - free.state_dict().keys()
    assert extra == {"caps.gates.direction", "caps.prior.direction"}
    assert [f"{loss:.5f}" for loss in train(free, 3)] == SEEDED_LOSSES
    loose = seeded(DynamicsModel, replace(CONFIG, spectral_gates=1e3, spectral_prior=1e3), SPACES)
    again = seeded(DynamicsModel, CONFIG, SPACES)
    assert train(loose, 3) == train(again, 3), "a limit that is never reached changes nothing"
    for one in (RewardModel(RewardConfig(), 8), ActorCritic(ActorCriticConfig(), SPACES, 8, 0.9)):
        assert not any("cap" in key for key in one.state_dict())


def test_a_capped_model_goes_on_from_its_state_bit_for_bit():
    whole, half = seeded(DynamicsModel, CAPPED, SPACES), seeded(DynamicsModel, CAPPED, SPACES)
    for model in (whole, half):
        train(model, 5)
    resumed = DynamicsModel(CAPPED, SPACES)
    resumed.load_state_dict(half.state_dict())  # strict
    train(whole, 5)
    train(resumed, 5)
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize(
    "make",
    [
        lambda limit: replace(CONFIG, spectral_gates=limit),
        lambda limit: replace(CONFIG, spectral_prior=limit),
        lambda limit: RewardConfig(spectral=limit),
        lambda limit: ActorCriticConfig(spectral_actor=limit),
    ],
)
def test_a_limit_of_zero_is_refused_by_name(make):
    with pytest.raises(ValueError, match=r"^spectral.*: must be above 0 or null, got 0.0"):
        make(0.0)


def path(*points, first=()) -> tuple[torch.Tensor, torch.Tensor]:
    """One path (1, T, 2) through these points, and is_first (1, T) at the rows `first`."""
    is_first = torch.zeros(1, len(points), dtype=torch.bool)
    is_first[0, list(first)] = True
    return torch.tensor([points], dtype=torch.float32), is_first


def test_a_straight_line_bends_by_0_a_right_angle_by_1_and_a_turn_back_by_2():
    # steps (30, 0), (60, 0): straight though of another length; then (0, 10): right angle; then (0, -40): back
    points = ((0, 0), (30, 0), (90, 0), (90, 10), (90, -30))
    turn = curvature(*path(*points))
    torch.testing.assert_close(turn, torch.tensor([[0.0, 0.0, 0.0, 1.0, 2.0]]), atol=1e-5, rtol=0)


def test_a_path_that_stands_still_does_not_bend_and_has_a_finite_gradient():
    points, is_first = path((1, 1), (1, 1), (1, 1), (2, 1))
    points.requires_grad_()
    turn = curvature(points, is_first)
    turn.sum().backward()
    assert turn.tolist() == [[0.0] * 4] and torch.isfinite(points.grad).all()


def test_no_turn_is_counted_across_the_start_of_an_episode():
    zigzag = ((0, 0), (50, 0), (0, 0), (50, 0), (0, 0), (50, 0))
    # rows 2 .. 5 turn back; with is_first at row 3, rows 3 and 4 have a row of the episode before among their three
    torch.testing.assert_close(curvature(*path(*zigzag))[0], torch.tensor([0.0, 0, 2, 2, 2, 2]), atol=1e-5, rtol=0)
    cut = curvature(*path(*zigzag, first=[3]))[0]
    torch.testing.assert_close(cut, torch.tensor([0.0, 0, 2, 0, 0, 2]), atol=1e-5, rtol=0)
    assert curvature(*path((0, 0), (50, 0))).tolist() == [[0.0, 0.0]]  # two rows have no turn


def test_straightening_is_weighed_into_the_loss_and_straightens():
    batch, noise = random_batch()
    plain, straight = (seeded(DynamicsModel, replace(CONFIG, straighten_scale=scale), SPACES) for scale in (0.0, 3.0))
    loss, metrics, _ = straight(batch, noise)
    assert "dynamics/loss/straighten" not in plain(batch, noise)[1]
    torch.testing.assert_close(loss, plain(batch, noise)[0] + 3.0 * metrics["dynamics/loss/straighten"])
    for model in (plain, straight):
        train(model, 30)
    bends = [curvature(m.observe(batch, noise)[0].deter, batch.is_first).mean() for m in (plain, straight)]
    assert bends[1] < 0.8 * bends[0]
