"""A sink of one's own: every row of metrics.jsonl goes to Weights & Biases. pip install wandb; wandb login; and then

    tandem train smoke 'log.sinks=[wandb_sink:Wandb]' run.dir=/tmp/watched

What wandb keeps on the disk lies in the run's folder under `sinks/`, the place for such files: it links to places outside. A
run that goes on goes on there too. `budget/spent` can be chosen as the x axis of every chart.
"""

import hashlib
from pathlib import Path

import wandb


class Wandb:
    """Made with the run's folder and its settings as plain data."""

    def __init__(self, folder: str, config: dict):
        path = Path(folder).absolute()
        (path / "sinks").mkdir(exist_ok=True)
        self._run = wandb.init(
            project="tandem",
            name=path.name,
            id=hashlib.sha256(str(path).encode()).hexdigest()[:16],  # the same when the run goes on
            resume="allow",
            allow_val_change=True,  # a larger budget, say
            dir=path / "sinks",
            config=config,
        )

    def write(self, row: dict) -> None:
        """step is environment steps; a number that is none is left out."""
        self._run.log({key: value for key, value in row.items() if value is not None}, step=row["step"])

    def close(self) -> None:
        self._run.finish()
