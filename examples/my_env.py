"""An environment of one's own: tandem train smoke task=my_env:Reach envs.time_limit=400

Any gymnasium.Env will do, whatever it observes but sequences, texts and graphs (docs/environments.md); it needs no registration.
This one never ends an episode by itself, so envs.time_limit does.
"""

import gymnasium
import numpy as np


class Reach(gymnasium.Env):
    """Push a point on a line to the origin."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)  # position, velocity
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.state, {}

    def step(self, action):
        position, velocity = self.state
        velocity = 0.9 * velocity + 0.1 * action[0]
        self.state = np.array([position + 0.1 * velocity, velocity], np.float32)
        return self.state, float(np.exp(-(position**2))), False, False, {}
