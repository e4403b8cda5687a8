"""The linear-quadratic toy: one step, its value and its optimum by pencil."""

import numpy as np
import pytest

from tandem.envs.toy import EPISODE_LENGTH, LinearQuadratic, ToyEnv

DISCOUNT = 0.95


def rollout(env, gain, seed, reset_to):
    """The discounted return of one episode from `reset_to` under u = -gain x."""
    env.reset(seed=seed)
    env._state = np.array(reset_to)
    total, state = 0.0, np.array(reset_to)
    for step in range(EPISODE_LENGTH):
        obs, reward, *_ = env.step(-gain @ state)
        state = obs["state"]
        total += DISCOUNT**step * reward
    return total


def test_one_step_by_pencil():
    # x = (1, 2), u = 0.5 -> x' = (1 + 0.2, 2 + 0.05); reward -(1.2^2 + 0.1 * 2.05^2 + 0.5 * 0.5^2) = -1.98525
    system = LinearQuadratic(noise=0.0)
    env = ToyEnv(system)
    env.reset(seed=0)
    env._state = np.array([1.0, 2.0])
    obs, reward, is_terminated, is_truncated, _ = env.step(np.array([0.5], np.float32))
    np.testing.assert_allclose(obs["state"], [1.2, 2.05], rtol=1e-6)
    assert reward == pytest.approx(-1.98525)
    assert not is_terminated and not is_truncated


def test_a_scalar_system_by_pencil():
    # A = B = Q = R = 1, discount 1/2: P = M - M^2 / (1 + M) and M = 1 + P / 2, so
    system = LinearQuadratic(A=np.eye(1), B=np.eye(1), Q=np.eye(1), R=np.eye(1), noise=0.1)
    # M (1 + M) = (1 + M) + M / 2, that is M^2 - M / 2 - 1 = 0 and M = (1 + sqrt 17) / 4
    M = (1 + np.sqrt(17)) / 4
    np.testing.assert_allclose(system.optimal_gain(0.5), [[M / (1 + M)]])
    # P = (M - 1) / (1/2), c = 0.01 M / (1 - 1/2)
    np.testing.assert_allclose(system.value(np.array([2.0]), 0.5), -4 * 2 * (M - 1) - 0.02 * M)


def test_the_value_solves_bellmans_equation_and_no_action_beats_the_optimum():
    system = LinearQuadratic()
    gain = system.optimal_gain(DISCOUNT)
    rng = np.random.default_rng(0)
    half = rng.standard_normal((2000, 2)) * system.noise
    noise = np.concatenate([half, -half])  # mean exactly zero: only the variance is estimated
    for state in rng.uniform(-1, 1, (5, 2)):

        def backup(action, state=state):
            after = system.A @ state + system.B @ action + noise
            rewards = -np.einsum("ni,ij,nj->n", after, system.Q, after) - action @ system.R @ action
            return (rewards + DISCOUNT * system.value(after, DISCOUNT)).mean()

        best = -gain @ state
        assert backup(best) == pytest.approx(system.value(state, DISCOUNT), abs=2e-4)
        assert all(backup(best + shift) < backup(best) for shift in (np.array([0.1]), np.array([-0.1])))


def test_the_environment_pays_the_value_that_was_computed():
    system = LinearQuadratic()
    env = ToyEnv(system)
    start = [0.3, -0.2]
    for gain in (system.optimal_gain(DISCOUNT), np.array([[0.2, 0.5]])):
        returns = [rollout(env, gain, seed, start) for seed in range(40)]
        # 200 steps at 0.95 leave out 4e-5 of the whole
        error = np.std(returns) / np.sqrt(len(returns))
        assert np.mean(returns) == pytest.approx(system.value(np.array(start), DISCOUNT, gain), abs=4 * error)


def test_the_optimal_policy_stays_inside_the_action_range_from_every_start():
    system = LinearQuadratic()
    gain = system.optimal_gain(0.99)
    corners = system.start * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    assert np.abs(corners @ gain.T).max() < 0.9, "the clip would make the computed optimum wrong"


def test_a_policy_without_a_bounded_return_is_refused():
    with pytest.raises(ValueError, match=r"^gain: "):
        LinearQuadratic().value(np.zeros(2), 0.99, np.array([[-5.0, -5.0]]))
