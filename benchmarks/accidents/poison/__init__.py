"""Numbers that are none, in whatever a run is told and whatever it computes: nothing learns them, and the run goes on."""

import random
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .runs import poisoned_runs
from .updates import poisoned_updates


def poison(seed: int = 0, say: Callable[[str], None] = print) -> dict:
    """-> "updates": what came of every poisoned update; "runs": of runs that met such numbers from outside, or in themselves."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base:
        updates = asdict(poisoned_updates(Path(base), rng, say))
        return {"updates": updates, "runs": asdict(poisoned_runs(Path(base), rng, say))}
