"""Pencil tests of the learning rate and of what one step does."""

import pytest
import torch

from tandem.worldmodel.optimizer import LaProp, OptimizerConfig, learning_rate


def rate(count: int, anneal: int = 0, **settings) -> float:
    optimizer = LaProp([torch.zeros(1)], OptimizerConfig(**settings), anneal)
    return float(learning_rate(optimizer.param_groups[0], torch.tensor(float(count))))


def test_warmup_rises_from_zero_at_the_first_update():
    assert rate(1, lr=1.0, warmup=4) == 0.0  # (1 - 1) / 4
    assert rate(3, lr=1.0, warmup=4) == 0.5  # (3 - 1) / 4
    assert rate(5, lr=1.0, warmup=4) == 1.0
    assert rate(50, lr=1.0, warmup=4) == 1.0


def test_anneal_falls_to_a_tenth_in_its_second_half_and_stays_there():
    settings = {"lr": 2.0, "warmup": 0, "anneal": 100}
    assert rate(50, **settings) == pytest.approx(2.0)
    assert rate(75, **settings) == pytest.approx(2.0 * (1 - 0.9 / 2))
    assert rate(100, **settings) == pytest.approx(0.2)
    assert rate(1000, **settings) == pytest.approx(0.2)


def test_without_warmup_the_first_step_moves_every_number_by_the_rate():
    # One step: nu' = u^2, r = u / |u| = +-1, mu' = r, so p moves by lr whatever the gradient's size.
    p = torch.nn.Parameter(torch.tensor([10.0, -10.0]))
    optimizer = LaProp([p], OptimizerConfig(lr=0.5, warmup=0))
    p.grad = torch.tensor([1e-3, -2.0])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([9.5, -9.5]))


def test_steps_that_are_not_taken_leave_no_trace():
    """Warm-up, moments and counters go on where they were, whatever the gradients said meanwhile."""
    random = torch.Generator().manual_seed(0)
    gradients = [torch.randn(2, 3, generator=random) for _ in range(5)]
    nonsense = torch.full((2, 3), float("nan"))
    ends = []
    for script in ("+++++", "--+++-++--"):
        p, given = torch.nn.Parameter(torch.ones(2, 3)), iter(gradients)
        optimizer = LaProp([p], OptimizerConfig(lr=0.1, warmup=3), anneal=8)
        for sign in script:
            p.grad = next(given).clone() if sign == "+" else nonsense.clone()
            optimizer.step(is_live=torch.tensor(sign == "+"))
        ends.append({"p": p.detach(), **optimizer.state[p]})
    assert ends[0]["count"] == 5 and all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_a_step_that_is_taken_is_the_same_with_a_flag_and_without():
    random = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(4, 5, generator=random), torch.randn(6, 4, 5, generator=random)
    ends = []
    for flag in ({}, {"is_live": torch.tensor(True)}):
        p = torch.nn.Parameter(start.clone())
        optimizer = LaProp([p], OptimizerConfig(lr=0.1, warmup=3))
        for gradient in gradients:
            p.grad = gradient.clone()
            optimizer.step(**flag)
        ends.append([p.detach(), *optimizer.state[p].values()])
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


def test_part_of_a_step_moves_as_far_as_that_part_of_the_rate():
    start, ends = torch.ones(3), []
    for rate, part in ((0.1, 0.25), (0.025, 1.0)):
        p = torch.nn.Parameter(start.clone())
        optimizer = LaProp([p], OptimizerConfig(lr=rate, warmup=0))
        p.grad = torch.tensor([1.0, -2.0, 3.0])
        optimizer.step(is_live=torch.tensor(True), part=torch.tensor(part))
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def test_a_parameter_without_gradient_stays():
    p = torch.nn.Parameter(torch.ones(2))
    LaProp([p], OptimizerConfig(warmup=0)).step()
    assert torch.equal(p, torch.ones(2))
