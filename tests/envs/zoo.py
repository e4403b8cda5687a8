"""Small environments, each with one peculiarity of those that people bring. test_zoo.py says what each must get."""

import ctypes
import os
import random
import signal
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Tuple

HUGE = float(np.finfo(np.float32).max)
ANY = Box(-np.inf, np.inf, (3,), np.float32)


class Drift(gymnasium.Env):
    """Three numbers that shrink, pushed about by seeded noise and by the action, for `length` steps; nothing peculiar."""

    observation_space: gymnasium.Space = ANY
    action_space: gymnasium.Space = Box(-1, 1, (2,), np.float32)
    length = 12
    is_terminal = False  # how it ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        self.place = self.np_random.normal(size=3)
        return self.seen(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.count += 1
        self.place = 0.8 * self.place + 0.1 * self.np_random.normal(size=3)
        if isinstance(self.action_space, Box) and self.action_space.shape == (2,):
            self.place[:2] += 0.01 * np.clip(action, -1, 1)
        is_over = self.count >= self.length
        return self.seen(), self.paid(), is_over and self.is_terminal, is_over and not self.is_terminal, {}

    def seen(self):
        return self.place.astype(np.float32)

    def paid(self):
        return -float(np.abs(self.place).sum())


def of(name: str, **members) -> type:
    """A Drift with some members replaced; a function is a method."""
    made = type(name, (Drift,), members)
    made.__module__ = __name__
    return made


# What works as it is.
OneStep = of("OneStep", length=1)
OneTerminalStep = of("OneTerminalStep", length=1, is_terminal=True)
TwoSteps = of("TwoSteps", length=2, is_terminal=True)
Bytes = of(
    "Bytes", observation_space=Box(0, 255, (3,), np.uint8), seen=lambda self: (self.place * 9 + 128).astype("u1")
)
Doubles = of(
    "Doubles",
    observation_space=Box(-np.inf, np.inf, (3,), np.float64),
    action_space=Box(-2.0, 5.0, (2,), np.float64),
    seen=lambda self: self.place,
)
Scalar = of("Scalar", observation_space=Box(-9, 9, (), np.float32), seen=lambda self: np.float32(self.place[0]))
Listed = of("Listed", seen=lambda self: self.place.tolist())
Flags = of("Flags", observation_space=Box(0, 1, (3,), bool), seen=lambda self: self.place > 0)
Goals = of(
    "Goals",
    observation_space=Dict({key: Box(-np.inf, np.inf, (3,), np.float64) for key in ("observation", "desired_goal")}),
    seen=lambda self: {"observation": self.place, "desired_goal": np.ones(3)},
)
OddKeys = of(
    "OddKeys",
    observation_space=Dict({key: Box(-9, 9, (2,), np.float32) for key in ("arm/pos", "arm.vel", "is_first", "")}),
    seen=lambda self: dict.fromkeys(("arm/pos", "arm.vel", "is_first", ""), np.ones(2, np.float32)),
)
Shifted = of("Shifted", action_space=Discrete(3, start=-1))
Alone = of("Alone", action_space=Discrete(1))
Lopsided = of("Lopsided", action_space=Box(np.array([0, 300], np.float32), np.array([800, 301], np.float32)))
Stuck = of("Stuck", action_space=Box(np.array([0, 1], np.float32), np.array([1, 1], np.float32)))
ScalarAction = of("ScalarAction", action_space=Box(-1, 1, (), np.float32))
ArrayReward = of("ArrayReward", paid=lambda self: np.array([-1.0]))
NumpyReward = of("NumpyReward", paid=lambda self: np.float64(-1.0))
NoReward = of("NoReward", paid=lambda self: None)
NanReward = of("NanReward", paid=lambda self: float("nan") if self.count == 7 else -1.0)


class Reused(Drift):
    """Writes all its observations into one array."""

    buffer = np.zeros(3, np.float32)

    def seen(self):
        self.buffer[:] = self.place
        return self.buffer


class Tensors(Drift):
    def seen(self):
        import torch

        return torch.tensor(self.place).float()


class NumpyFlags(Drift):
    def step(self, action):
        obs, reward, is_terminated, is_truncated, info = super().step(action)
        return obs, reward, np.bool_(is_terminated), np.array([is_truncated]), info


class Sized(Drift):
    """Cannot be made without an argument."""

    def __init__(self, size, gain=1.0):
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float32)
        self.size, self.gain = size, gain

    def seen(self):
        return np.full(self.size, self.gain, np.float32)


class Wrapped(gymnasium.Wrapper):
    def __init__(self):
        super().__init__(Drift())


def factory():
    return gymnasium.wrappers.TimeLimit(Drift(), 5)


# What is told before anything is bought.
WideIntegers = of(
    "WideIntegers",
    observation_space=Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (3,), np.int64),
    seen=lambda self: np.array([1_700_000_001, 2**62, -(2**62)]),
)
HugeReward = of("HugeReward", paid=lambda self: -1e12)
Endless = of("Endless", length=10**9)
WrongShape = of("WrongShape", seen=lambda self: np.zeros(4, np.float32))
Words = of("Words", seen=lambda self: np.array(["a", "b", "c"]))
WordReward = of("WordReward", paid=lambda self: "much")
TwoRewards = of("TwoRewards", paid=lambda self: np.ones(2))
LostKey = of("LostKey", observation_space=Dict({"a": ANY, "b": ANY}), seen=lambda self: {"a": self.place})
UnboundAction = of("UnboundAction", action_space=Box(-np.inf, np.inf, (2,), np.float32))
HalfBoundAction = of("HalfBoundAction", action_space=Box(np.zeros(2, np.float32), np.array([np.inf, 1], np.float32)))
IntegerAction = of("IntegerAction", action_space=Box(0, 5, (2,), np.int32))
HugeAction = of("HugeAction", action_space=Box(-HUGE, HUGE, (2,), np.float32))
Growing = of("Growing", observation_space=Sequence(ANY), seen=lambda self: (self.place.astype(np.float32),))
Twice = of("Twice", observation_space=Dict({"arm/place": ANY, "arm": Dict({"place": ANY})}))

# What is no vector, and actions that are no single run of numbers.
Choice = of("Choice", observation_space=Discrete(5, start=-1), seen=lambda self: 3)
Choices = of("Choices", observation_space=MultiDiscrete([3, 4]), seen=lambda self: np.array([1, 2]))
Switches = of("Switches", observation_space=MultiBinary((3, 1)), seen=lambda self: np.array([[1], [0], [1]], np.int8))
Mixed = of(
    "Mixed",
    observation_space=Dict({"place": ANY, "way": Discrete(4), "words": Sequence(ANY)}),
    seen=lambda self: {"place": self.place.astype(np.float32), "way": self.count % 4, "words": None},
)
Nested = of(
    "Nested",
    observation_space=Dict({"arm": Dict({"place": ANY})}),
    seen=lambda self: {"arm": {"place": self.place.astype(np.float32)}},
)
Pair = of("Pair", observation_space=Tuple((ANY, Discrete(2))), seen=lambda self: (self.place.astype(np.float32), 1))
Matrix = of("Matrix", observation_space=Box(-99, 99, (3, 1), np.float32), seen=lambda self: np.ones((3, 1), np.float32))
Pixels = of(
    "Pixels", observation_space=Box(0, 255, (3, 16, 20), np.uint8), seen=lambda self: np.zeros((3, 16, 20), np.uint8)
)
Symbols = of(
    "Symbols", observation_space=Box(0, 255, (7, 7, 3), np.uint8), seen=lambda self: np.ones((7, 7, 3), np.uint8)
)
ManyChoices = of("ManyChoices", action_space=MultiDiscrete([2, 3]))
ManySwitches = of("ManySwitches", action_space=MultiBinary(3))
NamedActions = of("NamedActions", action_space=Dict({"push": Box(-1, 1, (1,), np.float32), "grip": Discrete(2)}))


class Everything(Drift):
    """All kinds of observations, and of actions, at once."""

    observation_space = Dict(
        {
            "arm": Dict({"place": Box(-99, 99, (3, 1), np.float64), "grips": MultiBinary(2)}),
            "eye": Box(0, 255, (20, 16, 3), np.uint8),
            "mission": Sequence(Discrete(3)),
            "sides": Tuple((Discrete(3, start=1), Box(0, 255, (16, 16), np.uint8))),
        }
    )
    action_space = Dict(
        {"push": Box(-2, 2, (2, 1), np.float32), "grip": Discrete(2, start=1), "keys": MultiDiscrete([2, 3])}
    )

    def seen(self):
        light = np.clip(128 + 50 * self.place, 0, 255)
        eye = np.broadcast_to(light, (20, 16, 3)).astype(np.uint8)
        arm = {"place": self.place[:, None], "grips": (self.place[:2] > 0).astype(np.int8)}
        sides = (1 + self.count % 3, np.full((16, 16), light[0]).astype(np.uint8))
        return {"arm": arm, "eye": eye, "mission": "go there", "sides": sides}


class FailingView(Everything):
    """From the seventh step of an episode on it observes what is not of its space, in the way that is asked for."""

    def __init__(self, how):
        self.how = how

    def seen(self):
        obs = super().seen()
        if self.count >= 7:
            self.spoil(obs)
        return obs

    def spoil(self, obs):
        if self.how == "missing":
            del obs["arm"]["grips"]
        elif self.how == "shape":
            obs["arm"]["place"] = self.place
        elif self.how == "nan":
            obs["arm"]["place"] = np.full((3, 1), np.nan)
        elif self.how == "class":
            obs["sides"] = (4, obs["sides"][1])
        elif self.how == "size":
            obs["eye"] = obs["eye"][:-1]
        elif self.how == "real":
            obs["eye"] = obs["eye"] / 255
        elif self.how == "words":
            obs["arm"]["grips"] = "open"


class OldStep(Drift):
    def step(self, action):
        obs, reward, is_terminated, is_truncated, info = super().step(action)
        return obs, reward, is_terminated or is_truncated, info


class OldReset(Drift):
    def reset(self):  # type: ignore[override]
        return super().reset()


class BareReset(Drift):
    def reset(self, **kwargs):  # type: ignore[override]
        return super().reset(**kwargs)[0]


# What fails while it is played.
NanSeen = of("NanSeen", seen=lambda self: np.where(self.count == 7, np.nan, self.place).astype(np.float32))
Overflow = of(
    "Overflow",
    observation_space=Box(-np.inf, np.inf, (3,), np.float64),
    seen=lambda self: np.array([1e39 if self.count == 7 else 0.0, 0.0, 0.0]),
)


class Failing(Drift):
    """Fails at the seventh step, in every episode; what a subclass does instead of failing is its peculiarity."""

    def step(self, action):
        if self.count == 6 and self.is_due():
            self.fail()
        return super().step(action)

    def is_due(self) -> bool:
        return True

    def fail(self):
        raise RuntimeError("simulator connection lost")


class Slow(Drift):
    def step(self, action):
        time.sleep(0.3)
        return super().step(action)


class FailingWith(Failing):
    """Raises what Python itself raises, by name."""

    def __init__(self, kind):
        self.kind = kind

    def fail(self):
        if self.kind == "FileNotFoundError":
            Path("no/such/scene.xml").read_text()
        float("a word")  # ValueError


class FailingOnce(Failing):
    """Fails in the first `most` episodes only, of all together: the files in the folder `marks` count them."""

    def __init__(self, marks, most=1):
        self.marks, self.most = Path(marks), most

    def is_due(self):
        for number in range(self.most):
            try:
                (self.marks / str(number)).touch(exist_ok=False)  # by one process alone, of two that are here at once
            except FileExistsError:
                continue
            return True
        return False


class Dying(FailingOnce):
    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Hanging(FailingOnce):
    def fail(self):
        time.sleep(1000)


class Holding(FailingOnce):
    """Hangs in native code that lets no other thread of Python run."""

    def fail(self):
        ctypes.PyDLL(None).sleep(1000)


class Resetting(FailingOnce):
    """Raises what a pipe to a dead process raises."""

    def fail(self):
        raise ConnectionResetError("the robot hung up")


class BadStarts(Drift):
    """Half of its starts fail."""

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        if self.place[0] > 0:
            raise RuntimeError("no start from here")
        return obs, info


class Unseeded(Drift):
    """Its noise is the process's own, which no seed reaches."""

    def seen(self):
        return (self.place + random.SystemRandom().random()).astype(np.float32)


class Single(Drift):
    """Only one of it can be open at a time, as with a robot."""

    num_open = 0

    def __init__(self):
        if Single.num_open:
            raise OSError("the port is taken")
        Single.num_open += 1

    def close(self):
        Single.num_open -= 1


class Pictured(Drift):
    """In the standard style: it draws where it was made with a render_mode, in numbers up to 1."""

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return None if self.render_mode is None else np.full((40, 60, 3), 0.5)
