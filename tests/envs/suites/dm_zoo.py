"""Tasks of dm_env as a person might bring them."""

import dm_env
import numpy as np
from dm_env import specs


class Counter(dm_env.Environment):
    """Counts its steps; ends after two, with the discount it was made with."""

    def __init__(self, end: float = 0.0):
        self._end, self.taken = end, []

    def observation_spec(self):
        return {
            "count": specs.DiscreteArray(3),
            "place": specs.BoundedArray((2,), np.float64, -1.0, 1.0),
            "speed": specs.Array((), np.float32),
            "camera": specs.BoundedArray((16, 16, 3), np.uint8, 0, 255),
        }

    def action_spec(self):
        return {
            "gear": specs.BoundedArray((), np.int32, 2, 4),
            "wheel": specs.BoundedArray((2,), np.float32, [0.0, -2.0], [1.0, 2.0]),
        }

    def reset(self):
        self.count = 0
        return dm_env.restart(self._seen())

    def step(self, action):
        self.count += 1
        self.taken.append(action)
        if self.count < 2:
            return dm_env.transition(1.5, self._seen())
        return dm_env.TimeStep(dm_env.StepType.LAST, 2.5, self._end, self._seen())

    def _seen(self):
        count = self.count
        return {
            "count": count,
            "place": np.full(2, count / 4),
            "speed": np.float32(count),
            "camera": np.full((16, 16, 3), count, np.uint8),
        }


class Named(Counter):
    def observation_spec(self):
        return {"name": specs.StringArray(())}


class Alone(Counter):
    """Observes and takes what is in no dict: an array of numbers, one choice."""

    def observation_spec(self):
        return specs.Array((3,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(4)

    def _seen(self):
        return np.full(3, self.count, np.float32)


def balance():
    """A task of dm_control's suite, made as its documentation makes one."""
    from dm_control import suite

    return suite.load("cartpole", "balance")


def pictured():
    """Its state has the key of a camera's image."""
    env = balance()
    seen = env.observation_spec
    env.observation_spec = lambda: {"image": specs.Array((2,), np.float64), **seen()}
    return env


def composed():
    """A task of dm_control's composer, which compiles its model at every reset."""
    from dm_control import composer
    from dm_control.locomotion.arenas import Floor
    from dm_control.locomotion.tasks.go_to_target import GoToTarget
    from dm_control.locomotion.walkers.ant import Ant

    return composer.Environment(GoToTarget(Ant(), Floor(size=(4, 4))), time_limit=0.1)
