"""Tandem: agents trained in a learned world model on two budgets, one for transitions and one for reward labels."""

from pathlib import Path

__all__ = ["__version__", "load"]

__version__ = "0.2.0"


def load(run_dir: str | Path):
    """The agent of a run, from its newest checkpoint.

    `action, state = agent.act(obs, state)` with state None at an episode's first step. Raises a run's own errors
    where the folder is no run.
    """
    from .training.build import load_agent  # late: `import tandem` alone starts no torch

    return load_agent(Path(run_dir))
