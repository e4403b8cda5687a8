"""What the newest updates were made of, and a file of it that does one of them again on any machine."""

from collections import deque
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...durable import whole_file
from ...envs.records import ObsSpec, Spaces
from ...errors import UserError
from ...worldmodel.records import Address, Batch, LabelBatch
from ..learner import Learner, Noise

FORMAT = 1


@dataclass(frozen=True)
class Inputs:
    """All that an update takes beside the learner's state."""

    update: int  # how many were done before it
    batch: Batch
    labels: LabelBatch | None
    noise: Noise


@dataclass(frozen=True)
class Dump:
    """An update that was skipped, and the learner as that update found it, and left it."""

    config: str  # YAML, as in the run's folder
    spaces: Spaces
    device: str  # "cuda" or "cpu": where it was skipped
    is_bfloat16: bool
    learner: dict[str, Any]  # its state
    inputs: Inputs


class Recorder:
    """The inputs of the newest `size` updates, by reference: nothing is copied, and nothing waits for the device."""

    def __init__(self, size: int = 2):
        self.kept: deque[Inputs] = deque(maxlen=size)

    def keep(self, update: int, batch: Batch, labels: LabelBatch | None, noise: Noise) -> None:
        self.kept.append(Inputs(update, batch, labels, noise))

    def dump(self, folder: Path, learner: Learner, config: str) -> Path:
        """Write the newest update, which the learner skipped, into dumps/ of a run's folder. UserError where that fails.

        A skipped update changes no parameter, so that the learner still is what the update found.
        """
        newest = self.kept[-1]
        path = folder / "dumps" / f"update-{newest.update}.pt"
        spaces = learner.actor_critic.spaces
        state = {
            "format": FORMAT,
            "config": config,
            "spaces": asdict(spaces),
            "device": newest.noise.observe.device.type,
            "is_bfloat16": learner.is_bfloat16,
            "learner": learner.state_dict(),
            "inputs": newest,
        }
        try:
            path.parent.mkdir(exist_ok=True)
            with whole_file(path) as file:
                torch.save(_plain(state), file)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a failed write into a RuntimeError
            raise UserError(f"{path}: could not be saved ({error})") from error
        return path


def read_dump(path: Path) -> Dump:
    """What `dump` wrote, on the CPU. UserError where it is no such file; nothing in it is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        known = {one.name for one in fields(Dump)} | {"format"}
        if not isinstance(state, dict) or state.keys() != known or state["format"] != FORMAT:
            raise UserError(f"{path}: not an update of format {FORMAT}, as a run leaves it in dumps/")
        inputs = state["inputs"]
        labels = inputs["labels"] and LabelBatch(**inputs["labels"])
        batch = Batch(**inputs["batch"] | {"address": Address(**inputs["batch"]["address"])})
        spaces = state["spaces"]
        specs = {name: ObsSpec(**spec) for name, spec in spaces["obs"].items()}
        found = {name: state[name] for name in ("config", "device", "is_bfloat16", "learner")}
        return Dump(
            **found,
            spaces=Spaces(**spaces | {"obs": specs, "factors": tuple(spaces["factors"])}),
            inputs=Inputs(inputs["update"], batch, labels, Noise(**inputs["noise"])),
        )
    except UserError:
        raise
    except Exception as error:  # a damaged file: torch has many types of error for one
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not readable as an update of a run's dumps/ ({reason})") from error


def _plain(value: Any) -> Any:
    """Records as dictionaries, tensors on the CPU: what torch reads without executing anything."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
