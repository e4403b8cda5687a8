"""Seeds for everything random, all functions of the run's one seed."""

from enum import IntEnum

import numpy as np


class Channel(IntEnum):
    """Who draws: derive_seed(seed, Channel.X, ...) is a stream of random numbers of its own.

    The streams of environments are numbered from 0 and share the small numbers; their generators are of another kind.
    """

    AGENT = 1  # the collecting agent's latents and actions
    DRAWS = 2  # batches, labels, rows to ask about
    NOISE = 3  # the noise of updates
    LOADED_AGENT = 4  # an agent brought back by `tandem.load`
    ONLOOKER = 5  # the agent that is evaluated
    MEASURING = 6  # errors at a phase's end
    RATERS = 7  # predictions that raters are held against
    LOOKING = 8  # noise of what a person looks at, and of the latents made anew at a phase's end
    EVALUATION = 1_000_003  # environments too, and so far from those of training


def derive_seed(*entropy: int) -> int:
    """A 31-bit seed that is a function of the numbers given (each >= 0) and unrelated for neighbouring ones."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
