"""Tandem: agents trained in a learned world model on two budgets, one for transitions and one for reward labels."""

from pathlib import Path

from .version import __version__

__all__ = ["__version__", "load"]


def load(run_dir: str | Path, trust: bool = False):
    """The agent of a run, from its newest checkpoint.

    `action, state = agent.act(obs, state)` with state None at an episode's first step. `agent.reward(obs, prev_action)` says
    what the rows of an episode are worth by the labels that were bought, and how much its members differ. Raises a run's own errors
    where the folder is no run. No environment is made, but for a run of versions 0.1 and 0.2; `trust` lets that one run
    the code of a task=module:Class that its folder names.
    """
    from .training.build import load_agent  # late: `import tandem` alone starts no torch

    return load_agent(Path(run_dir), trust)
