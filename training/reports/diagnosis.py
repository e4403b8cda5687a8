"""What was not finite in an update that was skipped: it is done again from its dump, up to the gradients."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ...errors import UserError
from ...worldmodel.records import Batch, LabelBatch
from ..build import make_learner
from ..config import Config
from ..learner import Learner
from ..settings import read_config
from ..storage.dumps import Dump, Inputs, read_dump


def diagnose(path: Path) -> list[str]:
    """Lines for a person: what of the update's inputs, state, losses and gradients is not finite. UserError for another file."""
    dump = read_dump(path)
    device = torch.device(dump.device if torch.cuda.is_available() else "cpu")
    learner, inputs = _learner(path, dump, device), _on(device, dump.inputs)
    where = f"on the {device.type}" + (f", skipped on {dump.device}" if device.type != dump.device else "")
    wrong = list(_wrong_inputs(inputs)) + list(_wrong("state", learner.named_state()))
    loss, metrics, latent = learner.backward(inputs.batch, inputs.labels, inputs.noise)
    wrong += _wrong("loss", {"of all terms": loss} | metrics)
    wrong += _wrong("new latent", {"deter": latent.deter, "stoch": latent.stoch})
    wrong += _wrong("gradient", _gradients(learner))
    told = "not finite:" if wrong else "all of it is finite here: it would not be skipped"
    return [f"{path}: update {inputs.update}, done again {where}; {told}", *(f"  {line}" for line in wrong)]


def _learner(path: Path, dump: Dump, device: torch.device) -> Learner:
    learner = make_learner(_config(path, dump.config), dump.spaces, device)
    learner.is_bfloat16 = dump.is_bfloat16  # where precision=auto, the device here does not decide
    try:
        learner.load_state_dict(dump.learner)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its learner does not fit its configuration: {error}") from error
    return learner


def _config(path: Path, text: str) -> Config:
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "config.yaml"
        saved.write_text(text)
        try:
            return read_config(saved)
        except UserError as error:
            raise UserError(f"{path}: its configuration cannot be used: {error}") from error


def _on(device: torch.device, inputs: Inputs) -> Inputs:
    labels = None if inputs.labels is None else inputs.labels.to(device)
    noise = type(inputs.noise)(**{name: value.to(device) for name, value in vars(inputs.noise).items()})
    return Inputs(inputs.update, inputs.batch.to(device), labels, noise)


def _wrong_inputs(inputs: Inputs) -> Iterator[str]:
    yield from _wrong("input", _named(inputs.batch, ("start_deter", "reward", "reward_weight")))
    if inputs.labels is not None:
        yield from _wrong("input of labels", _named(inputs.labels, ("start_deter", "value", "weight")))
    yield from _wrong("noise", vars(inputs.noise))


def _named(window: Batch | LabelBatch, names: tuple[str, ...]) -> dict[str, Tensor | None]:
    """In the words of a person: the observations by their keys, the actions, and these others."""
    obs = {f"obs {key}": value for key, value in window.obs.items()}
    return obs | {"action": window.prev_action} | {name: getattr(window, name) for name in names}


def _gradients(learner: Learner) -> dict[str, Tensor | None]:
    models = learner.models_by_name().items()
    return {f"{name}.{key}": p.grad for name, model in models for key, p in model.named_parameters()}


def _wrong(what: str, tensors: Mapping[str, Tensor | None]) -> Iterator[str]:
    """A line for each tensor with numbers that are not finite: how many of them are nan, and how many infinite."""
    for name, tensor in tensors.items():
        if tensor is None or bool(tensor.isfinite().all()):
            continue
        nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        counts = [f"{number} {kind}" for number, kind in ((nan, "nan"), (infinite, "inf")) if number]
        yield f"{what} {name}: {' and '.join(counts)} of {tensor.numel()}"
