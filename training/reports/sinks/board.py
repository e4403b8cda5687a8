"""TensorBoard's files of a run: numbers by step and by coins, pictures, texts, settings, and the order in which they are shown."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]  # made when it is imported
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from ..films.gif import Film

SPENT = "budget/spent"  # rows that say it have a place on the axis of coins
BY_COST = {  # a key of metrics.jsonl -> its name on the axis of coins
    "eval/return": "by_cost/return",
    "eval/return_sampled": "by_cost/return_sampled",
    "gap/dynamics": "by_cost/dynamics_error",
    "gap/reward": "by_cost/reward_error",
    "reward/heldout_error": "by_cost/heldout_reward_error",
    "budget/transitions": "by_cost/transitions",
    "budget/labels": "by_cost/labels",
    "train/updates": "by_cost/updates",
}
DIAGNOSTICS = {  # what is of use to those who work on the method: a group of its own, diagnostics/...
    *(f"smoothness/{name}{end}" for name in ("rho", "policy", "reward", "value") for end in ("", "_p95")),
    *(f"smoothness/dynamics_{name}{end}" for name in ("state", "action") for end in ("", "_p95")),
    "smoothness/dynamics_error",
    *("bound/lemma", "bound/horizon", "eval/imagined_gap_signed"),
    *(f"gap/dynamics_{name}" for name in ("adjoint", "ratio", "signed", "steps", "steps_signed")),
    *("gap/reward_heldout", "gap/reward_refit", "gap/reward_signed", "gap/value_deviation"),
}
RESULTS = ("eval/return", SPENT)  # beside the settings of each run: the newest of both


def chart(*tags: str) -> list:
    return ["Multiline", [f"^{tag}$" for tag in tags]]  # TensorBoard takes each for the beginning of a name


LAYOUT = {  # of the tab "Custom Scalars", in this order
    "return": {
        "return by coins": chart("by_cost/return", "by_cost/return_sampled"),
        "return by steps": chart("eval/return", "eval/return_sampled"),
    },
    "money": {
        "bought, by coins": chart("by_cost/transitions", "by_cost/labels"),
        "coins by steps": chart("budget/spent", "budget/remaining"),
        "planned": chart("plan/transitions", "plan/labels"),
    },
    "errors": {
        "of the return, by coins": chart("by_cost/dynamics_error", "by_cost/reward_error"),
        "of the return, by steps": chart("gap/dynamics", "gap/reward"),
        "of the reward on labels": chart("reward/heldout_error", "reward/train_error"),
    },
}


class Board:
    """Writes into `folder`. purge_step: what is shown from this step on is of a life that ended without a checkpoint."""

    def __init__(self, folder: Path, purge_step: int | None = None):
        self._writer, self._purge_step = SummaryWriter(log_dir=str(folder), purge_step=purge_step), purge_step
        self._writer.add_custom_scalars(LAYOUT)
        self._ended: Summary | None = None

    def scalars(self, numbers: Mapping[str, float], step: int, seconds: float) -> None:
        for key, value in numbers.items():
            tag = f"diagnostics/{key}" if key in DIAGNOSTICS else key
            self._writer.add_scalar(tag, value, step, walltime=seconds)
        for key in BY_COST.keys() & numbers.keys() if SPENT in numbers else ():
            self._writer.add_scalar(BY_COST[key], numbers[key], round(numbers[SPENT]), walltime=seconds)

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show rows of before again on the axis of coins: what TensorBoard purged from a step on is there other coins' too."""
        for row in rows:
            coins = row.get(SPENT)
            if coins is None or self._purge_step is None or round(coins) < self._purge_step:
                continue
            for key in BY_COST.keys() & row.keys():
                value = float("nan") if row[key] is None else row[key]
                self._writer.add_scalar(BY_COST[key], value, round(coins), walltime=row["time"])

    def settings(self, yaml: str, flat: Mapping[str, bool | int | float | str]) -> None:
        """The configuration as text, and the settings that a table of runs shows beside their results."""
        self._writer.add_text("run/configuration", f"```yaml\n{yaml}```", self._purge_step or 0)
        experiment, begun, self._ended = hparams(dict(flat), dict.fromkeys(RESULTS, 0))
        for summary in (experiment, begun):
            self._writer._get_file_writer().add_summary(summary)

    def finished(self) -> None:
        """The run is over: the table of runs says so."""
        if self._ended is not None:
            self._writer._get_file_writer().add_summary(self._ended)

    def text(self, name: str, text: str, step: int) -> None:
        self._writer.add_text(name, text, step)

    def picture(self, name: str, data: bytes, size: tuple[int, int], step: int) -> None:
        """A file's bytes, and its width and height."""
        width, height = size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
        self._writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def film(self, name: str, film: Film, step: int) -> None:
        """An image that moves."""
        self.picture(name, film.data, (film.width, film.height), step)

    def close(self) -> None:
        self._writer.close()
