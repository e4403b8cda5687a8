"""The reward model: where its ensemble starts, what each member sees, and what it answers."""

import copy
import math

import pytest
import torch

from tandem.worldmodel.distributions import twohot_mean
from tandem.worldmodel.optimizer import LaProp, OptimizerConfig
from tandem.worldmodel.reward import RewardConfig, RewardModel, fold_weights

FEAT = 6


def make(seed=0, **settings) -> RewardModel:
    torch.manual_seed(seed)
    return RewardModel(RewardConfig(**{"members": 3, "units": 8, "bins": 41, **settings}), FEAT)


def shaken(**settings) -> RewardModel:
    """With weights that are not the starting ones."""
    model = make(**settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("layers", [1, 2])
def test_a_new_model_predicts_exactly_zero_everywhere(layers):
    model, feat = make(layers=layers), torch.randn(5, 7, FEAT)
    assert torch.equal(model.predict(feat), torch.zeros(5, 7))
    assert torch.equal(model.disagreement(feat), torch.zeros(5, 7))
    loss, _ = model(feat, torch.randn(5, 7), torch.ones(5, 7))
    # uniform over 41 bins, three members
    assert loss.item() == pytest.approx(3 * math.log(41), rel=1e-5)


def test_the_prediction_is_the_mean_of_the_members_and_the_disagreement_their_deviation():
    model, feat = shaken(), torch.randn(4, FEAT)
    members = model.members(feat)
    assert members.shape == (3, 4) and not torch.allclose(members[0], members[1])
    torch.testing.assert_close(model.predict(feat), (members[0] + members[1] + members[2]) / 3)
    torch.testing.assert_close(model.disagreement(feat), ((members - members.mean(0)) ** 2).mean(0).sqrt())


def plainly(model: RewardModel, feat: torch.Tensor) -> torch.Tensor:
    """What each member says, in one product of all members and all bins, in the model's type."""
    hidden = model._hidden(feat)
    return twohot_mean(torch.baddbmm(model.out_bias, hidden, model.out_weight), model.bins).view(-1, *feat.shape[:-1])


@pytest.mark.parametrize("bins", [15, 17, 255])  # less than the columns that a CPU multiplies at once, and more
@pytest.mark.parametrize(("members", "layers"), [(1, 1), (3, 1), (3, 2)])
def test_each_members_quick_prediction_is_the_plain_one_and_so_are_its_gradients(monkeypatch, bins, members, layers):
    quick = shaken(bins=bins, members=members, layers=layers)
    exact, feat = copy.deepcopy(quick).double(), torch.randn(5, 7, FEAT, requires_grad=True)
    twice = feat.detach().double().requires_grad_()
    monkeypatch.setattr(RewardModel, "_out", None)  # the way of a GPU would call it
    found, expected = quick.members(feat), plainly(exact, twice)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6 * expected.abs().max().item())
    found.sum().backward(), expected.sum().backward()
    pairs = [(feat, twice), *zip(quick.parameters(), exact.parameters(), strict=True)]
    assert all((own.grad.double() - other.grad).norm() <= 1e-5 * other.grad.norm() for own, other in pairs)


def test_small_rewards_lose_no_digits_to_the_quick_way():
    # Nearly even probabilities of bins of 1e8 that are mirror images: what is left of them is a matter of rounding.
    model = shaken(bins=255)
    with torch.no_grad():
        model.out_weight.mul_(1e-2), model.out_bias.mul_(1e-2)
        feat = torch.randn(500, FEAT)
        exact = plainly(copy.deepcopy(model).double(), feat.double())
        errors = [(found - exact).abs().mean() for found in (model.members(feat), plainly(model, feat))]
    assert errors[0] <= 1.5 * errors[1] > 0


def test_a_prediction_from_a_row_that_is_no_number_is_none():
    feat = torch.zeros(3, FEAT)
    feat[1] = math.nan
    assert shaken().predict(feat).isnan().tolist() == [False, True, False]


def test_a_single_member_never_disagrees():
    assert torch.equal(shaken(members=1).disagreement(torch.randn(4, FEAT)), torch.zeros(4))


@pytest.mark.parametrize("layers", [1, 3])
def test_members_share_no_weights(layers):
    model, feat = shaken(layers=layers), torch.randn(4, FEAT)
    model.members(feat)[1].sum().backward()
    # first layer and output of member 1 alone have a gradient
    rows = model.first.weight.grad.view(3, -1).abs().sum(1)
    outs = model.out_weight.grad.flatten(1).abs().sum(1)
    for grads in (rows, outs, *(weight.grad.flatten(1).abs().sum(1) for weight in model.weights)):
        assert grads[1] > 0 and grads[0] == grads[2] == 0


def test_leading_axes_do_not_matter():
    model, feat = shaken(layers=2), torch.randn(2, 5, FEAT)
    torch.testing.assert_close(model.predict(feat).flatten(), model.predict(feat.flatten(0, 1)))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("lead", [(0,), (0, 5), (4, 0)])
@pytest.mark.filterwarnings("ignore:std")  # torch means the deviation of no numbers, of which there are none to read
def test_no_rows_are_rewarded_with_nothing(layers, lead):
    model, feat = shaken(layers=layers), torch.zeros(*lead, FEAT)
    assert model.logits(feat).shape == (3, *lead, 41) and model.members(feat).shape == (3, *lead)
    assert model.predict(feat).shape == model.disagreement(feat).shape == lead
    loss, metrics = model(feat, torch.zeros(lead), torch.zeros(lead))
    assert loss.item() == metrics["reward/train_error"].item() == 0


def test_member_i_leaves_out_the_episodes_of_fold_i():
    # members 3: fold 4 is 1 modulo 3, so that member 1 never sees it
    weight = fold_weights(torch.tensor([0, 1, 2, 3, 4]), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.5]), 3)
    expected = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, 1], [0.5, 0, 0.5]]
    assert weight.tolist() == expected


def test_a_single_member_sees_every_episode():
    assert fold_weights(torch.tensor([0, 1, 2]), torch.ones(3), 1).tolist() == [[1.0], [1.0], [1.0]]


def test_a_left_out_label_does_not_move_its_member():
    model, feat = shaken(), torch.randn(3, FEAT)
    fold, value = torch.tensor([0, 1, 2]), torch.tensor([1.0, 2.0, 3.0])
    grads = []
    for change in (0.0, 100.0):
        model.zero_grad(set_to_none=True)
        loss, _ = model(feat, value + change * (fold == 1), fold_weights(fold, torch.ones(3), 3))
        loss.backward()
        grads.append(model.out_weight.grad.clone())
    # the label of fold 1 changed: members 0 and 2 notice, member 1 does not
    assert [torch.equal(grads[0][i], grads[1][i]) for i in range(3)] == [False, True, False]


def test_each_member_averages_over_the_labels_it_sees():
    model, feat, value = shaken(), torch.randn(4, FEAT), torch.randn(4)
    weight = torch.tensor([[1.0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]])
    loss, _ = model(feat, value, weight)
    expected = 0.0
    for member, seen in enumerate(([0, 1, 3], [2], [0])):
        only = torch.zeros(len(seen), 3)
        only[:, member] = 1.0  # the others see nothing here and add 0
        expected = expected + model(feat[seen], value[seen], only)[0]
    torch.testing.assert_close(loss, expected)


def test_no_label_is_no_loss_and_no_gradient():
    model = shaken()
    loss, metrics = model(torch.randn(4, FEAT), torch.zeros(4), torch.zeros(4))
    loss.backward()
    assert loss.item() == 0 and metrics["reward/train_error"].item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_weights_count_beside_one_another_and_the_largest_is_the_step():
    model, feat, value = shaken(), torch.randn(40, FEAT), torch.randn(40)
    weight = torch.linspace(0.1, 1.0, 40)
    found = []
    for scale in (1.0, 0.0625):
        model.zero_grad()
        loss, metrics = model(feat, value, scale * weight)
        loss.backward()
        grads = [p.grad.clone() for p in model.parameters()]
        found.append([loss.detach(), metrics["reward/train_error"], *grads])
        assert metrics["reward/step"] == scale
    torch.testing.assert_close(*found)


def test_it_learns_a_reward_from_few_labels():
    model, feat = make(bins=63, units=32), torch.randn(64, FEAT, generator=torch.Generator().manual_seed(0))
    value = 3 * feat[:, 0] - 5
    optimizer = LaProp(model.parameters(), OptimizerConfig(lr=3e-3, warmup=0))
    weight = fold_weights(torch.arange(64), torch.ones(64), 3)
    for _ in range(150):
        optimizer.zero_grad()
        loss, metrics = model(feat, value, weight)
        loss.backward()
        optimizer.step()
    assert metrics["reward/train_error"] < 0.6 < value.std()
    assert (model.predict(feat) - value).abs().mean() < 0.6


@pytest.mark.parametrize("name", ["members", "units", "layers"])
def test_a_size_below_one_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"^{name}: must be at least 1, got 0"):
        RewardConfig(**{name: 0})
