"""Streams whose every stored number says which environment and step it belongs to."""

import numpy as np
import pytest
import torch

from tandem.envs.records import ObsSpec, Spaces, Transition

SPACES = Spaces({"state": ObsSpec((2,)), "kind": ObsSpec((1,), classes=7)}, action_size=1)


class AddressStreams:
    """N environments in lockstep with episodes of `episode` steps (episode + 1 rows), all of them full-length.

    Row (env, step) has obs (env, step), kind step % 7, action step + env / 100 and latent (env, step), each exact.
    """

    spaces, deter, stoch = SPACES, 2, 3

    def __init__(self, num=2, episode=9, heldout=()):
        self.num, self.rows, self.heldout, self.step = num, episode + 1, set(heldout), 0

    def tick(self, cut=()):
        """(transition, action, deter, stoch) of the next row; `cut` ends nothing but begins anew in these environments."""
        env, step = np.arange(self.num), np.full(self.num, self.step, np.int64)
        number = self.step // self.rows
        transition = Transition(
            obs={"state": np.stack([env, step], 1).astype(np.float32), "kind": (step % 7)[:, None].astype(np.int32)},
            is_first=(step % self.rows == 0) | np.isin(env, cut),
            is_last=step % self.rows == self.rows - 1,
            is_terminal=np.zeros(self.num, bool),
            step=step,
            is_heldout=np.array([(e, number) in self.heldout for e in env]),
        )
        deter = torch.from_numpy(np.stack([env, step], 1)).float()
        stoch = torch.from_numpy(np.stack([env, step % 256, step // 256], 1))
        self.step += 1
        return transition, action_at(env, step), deter, stoch

    def ticks(self, number):
        return [self.tick() for _ in range(number)]


def action_at(env, step):
    return (step + env / 100)[:, None].astype(np.float32)


@pytest.fixture
def address_streams():
    return AddressStreams
