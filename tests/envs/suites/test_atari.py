"""The published protocol of Atari games, by pencil on a console of our own, and on the real one."""

import sys

import numpy as np
import pytest

from tandem.envs.make import EnvConfig, episode_length, make_env, spaces_of
from tandem.envs.suites.atari import AtariConfig, AtariEnv
from tandem.errors import UserError

QUIET = AtariConfig(noops=0)


class Console:
    """Frame n since the game was loaded is of brightness 10 n, or dark where n is odd; each pays 1. Actions are kept."""

    def __init__(self, lives=(), over=None):
        """lives: at which frames one of 3 is lost; over: the frame at which the game is."""
        self._lost, self._over, self.settings, self.acted, self.loads = lives, over, {}, [], 0

    def setInt(self, name, value):
        self.settings[name] = value

    setFloat = setInt

    def loadROM(self, rom):
        self.loads += 1

    def reset_game(self):
        self.frame, self.acted = 0, []

    def act(self, action):
        self.frame += 1
        self.acted.append(action)
        return 1.0

    def game_over(self):
        return self.frame == self._over

    def lives(self):
        return 3 - sum(frame <= self.frame for frame in self._lost)

    def getMinimalActionSet(self):
        return [0, 3, 4]

    def getLegalActionSet(self):
        return list(range(18))

    def getScreenDims(self):
        return 20, 16

    def getScreenRGB(self):
        value = 10 * self.frame % 256 if self.frame % 2 == 0 else 0
        return np.full((20, 16, 3), value, np.uint8) * np.array([1, 0, 1], np.uint8)


def game(console, config=QUIET, **settings):
    return AtariEnv(console, "rom", config, size=16, repeat=4, **settings)


def choose(number, of=3):
    return np.eye(of, dtype=np.float32)[number]


def test_a_step_is_four_frames_of_one_action_and_the_sum_of_their_rewards():
    console = Console()
    env = game(console)
    env.reset(seed=1)
    _, reward, *ends, _ = env.step(choose(2))
    assert console.acted == [4, 4, 4, 4] and reward == 4.0 and ends == [False, False]


def test_a_picture_has_the_brighter_pixel_of_the_last_two_frames():
    env = game(Console())
    obs, _ = env.reset(seed=1)
    assert obs["image"].shape == (16, 16, 3) and not obs["image"].any()  # frame 0
    obs, *_ = env.step(choose(0))
    assert np.unique(obs["image"][..., 0]) == [40]  # frames 3, dark, and 4
    assert not obs["image"][..., 1].any()


def test_grey_is_weighed_and_cut_to_whole_numbers():
    env = game(Console(), AtariConfig(noops=0, grey=True))
    env.reset(seed=1)
    obs, *_ = env.step(choose(0))
    assert obs["image"].shape == (16, 16, 1)
    assert np.unique(obs["image"]) == [16]  # 40 * 0.299 + 40 * 0.114 = 16.52


def test_the_end_of_a_game_ends_the_step_and_is_terminal():
    env = game(Console(over=6))
    env.reset(seed=1)
    env.step(choose(0))
    obs, reward, is_terminated, is_truncated, _ = env.step(choose(0))
    assert (reward, is_terminated, is_truncated) == (2.0, True, False)
    assert np.unique(obs["image"][..., 0]) == [40]  # frames 3 and 4: of the two new ones neither was looked at


def test_the_time_limit_counts_frames_and_truncates():
    env = game(Console(), length=6)
    env.reset(seed=1)
    assert env.step(choose(0))[1:4] == (4.0, False, False)
    assert env.step(choose(0))[1:4] == (2.0, False, True)


@pytest.mark.parametrize("lives, ends", [("unused", [False, False]), ("reset", [False, True])])
def test_a_life_that_is_lost_ends_an_episode_only_where_asked(lives, ends):
    env = game(Console(lives=(7,)), AtariConfig(noops=0, lives=lives))
    env.reset(seed=1)
    assert [env.step(choose(0))[2] for _ in range(2)] == ends


def test_an_episode_begins_with_a_seeded_number_of_frames_of_doing_nothing():
    console = Console()
    env = game(console, AtariConfig(noops=30))
    begun = []
    for seed in (*range(300), *range(300)):
        env.reset(seed=seed)
        assert set(console.acted) <= {0}
        begun.append((len(console.acted), console.settings["random_seed"]))
    assert begun[:300] == begun[300:]
    assert {number for number, _ in begun} == set(range(31))


def test_the_seed_and_stickiness_are_set_before_a_game_is_loaded():
    for is_sticky, share in ((False, 0.0), (True, 0.25)):
        console = Console()
        env = game(console, AtariConfig(sticky=is_sticky))
        loads = console.loads
        env.reset(seed=1)
        assert console.settings["repeat_action_probability"] == share and console.loads == loads + 1


def test_all_actions_are_eighteen():
    assert game(Console()).action_space.factors == (3,)
    assert game(Console(), AtariConfig(actions="all")).action_space.factors == (18,)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"^lives: must be unused or reset, got 'discount'"):
        AtariConfig(lives="discount")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^noops: must be at least 0"):
        AtariConfig(noops=-1)


def test_a_real_game_repeats_bit_for_bit_with_sticky_actions_too():
    pytest.importorskip("ale_py", reason="the extra [atari] is not installed")
    config = EnvConfig(repeat=4, time_limit=1_000, size=16, atari=AtariConfig(sticky=True))
    env = make_env("atari_breakout", config, 0)
    assert spaces_of(env).factors == (4,) and episode_length("atari_breakout", config) == 250
    first, second, other = (played(env, seed) for seed in (1, 1, 2))
    assert first == second != other
    env.close()


def played(env, seed: int) -> bytes:
    obs, _ = env.reset(seed=seed)
    seen = obs["image"].tobytes()
    for number in range(30):
        seen += env.step(choose(number % 4, of=4))[0]["image"].tobytes()
    return seen


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    from tandem.envs.suites import atari

    monkeypatch.setitem(sys.modules, "ale_py", None)
    atari.games.cache_clear()
    with pytest.raises(UserError, match=r"^task: .*install the extra \[atari\]"):
        make_env("atari_pong", EnvConfig(), 0)
