"""An update in which one number is none: in each input, each loss term and the gradient of each parameter in turn."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tandem.agents.actor_critic
from tandem.training.build import build
from tandem.training.config import Config
from tandem.training.learner import Learner
from tandem.training.pace import draw_inputs
from tandem.training.settings import load_config

from ..lives import changed as changed_settings

NUMBERS = (float("nan"), float("inf"), -float("inf"))
TERMS = ("dynamics.straighten_scale=0.1", "dynamics.spectral_gates=0.5", "dynamics.spectral_prior=0.5")
TERMS += ("reward.spectral=0.02", "actor_critic.spectral_actor=0.02")
MODES = {
    "decoupled": TERMS,
    "coupled": ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0", *TERMS),
}
RATES = tuple(f"{part}.optimizer.warmup=0" for part in ("dynamics", "reward", "actor_critic"))
MOST_UPDATES = 6  # before the poisoned one

Inputs = tuple[Any, Any, Any]  # batch, labels, noise


@dataclass
class Count:
    """What came of poisoned updates."""

    cases: int = 0
    skipped: int = 0  # and counted by the learner
    changed: int = 0  # parameters, statistics and optimiser numbers, over all cases
    learns_after: int = 0  # learners that took a healthy update after all of that
    learners: int = 0
    parameters: dict[str, int] = field(default_factory=dict)  # mode -> tensors whose gradients were poisoned
    faults: list[str] = field(default_factory=list)


def poisoned_updates(folder: Path, rng: random.Random, say: Callable[[str], None] = print) -> Count:
    """Every number in every place, in both modes, each at a random update of a tiny run."""
    count = Count()
    for mode in MODES:
        for number in NUMBERS:
            poison_learner(count, folder / f"{mode}-{number}", mode, number, rng.randrange(1, MOST_UPDATES))
            say(f"{mode}, {number}: {count.cases} poisoned updates, {count.changed} numbers changed")
    return count


def poison_learner(count: Count, folder: Path, mode: str, number: float, num_updates: int) -> None:
    """The number in every place of one learner's update, after so many updates of a run in `folder`."""
    learner, inputs, healthy = trained(folder, MODES[mode], num_updates)
    for name, place, poisoned in places(learner, inputs, number):
        with place:
            _try(count, learner, poisoned, f"{mode}, {number} in {name}")
    count.parameters[mode] = sum(1 for _ in _trainable(learner))
    count.learners += 1
    before = numbers(learner)
    metrics, _ = learner.update(*healthy)
    count.learns_after += bool(metrics["train/skipped"] == 0) and changed(before, numbers(learner)) > 0


def trained(folder: Path, settings: tuple[str, ...], updates: int) -> tuple[Learner, Inputs, Inputs]:
    """A learner after so many updates, and the inputs of two more."""
    own = changed_settings("budget.total=1000", f"run.dir={folder}", *RATES, *settings)
    learner, inputs = begun(load_config(list(own)), updates + 2)
    for one in inputs[:updates]:
        learner.update(*one)
    return learner, inputs[-2], inputs[-1]


def begun(config: Config, number: int) -> tuple[Learner, list[Inputs]]:
    """The learner of a new run, and inputs of so many updates on rows and labels that it has just bought."""
    run = build(config, is_resumed=False)
    run.collector.open(120)
    for _ in range(40):
        run.collector.tick(run.agent)
    run.collector.close()
    run.desk.ask(120, run.numpy_rng)  # every row, so that every batch has labels
    run.desk.collect()
    inputs = [draw_inputs(run)[1:] for _ in range(number)]
    run.close()
    return run.learner, inputs


def places(learner: Learner, inputs: Inputs, number: float) -> Iterator[tuple[str, Any, Inputs]]:
    """(what is poisoned, in which context, the inputs)"""
    for name, poisoned in _inputs(inputs, number):
        yield f"input {name}", _nothing(), poisoned
    for owner, attribute, term in _losses(learner):
        yield (
            f"loss {attribute} {term or ''}",
            _replaced(owner, attribute, _spoilt(getattr(owner, attribute), term, number)),
            inputs,
        )
    for name, p in _trainable(learner):
        yield f"gradient of {name}", _hooked(p, number), inputs


def _inputs(inputs: Inputs, number: float) -> Iterator[tuple[str, Inputs]]:
    batch, labels, noise = inputs
    for name, one in _windows(batch, number):
        yield name, (one, labels, noise)
    if labels is None:
        yield "reward", (replace(batch, reward=_one_wrong(batch.reward, number)), None, noise)
        return
    for name, one in _windows(labels, number):
        yield f"{name} of a label", (batch, one, noise)
    yield "label", (batch, replace(labels, value=_one_wrong(labels.value, number)), noise)


def _windows(window: Any, number: float) -> Iterator[tuple[str, Any]]:
    for key, value in window.obs.items():
        yield f"observation {key}", replace(window, obs=window.obs | {key: _one_wrong(value, number)})
    yield "action", replace(window, prev_action=_one_wrong(window.prev_action, number))
    begun = {"start_deter": _one_wrong(window.start_deter, number), "is_first": torch.zeros_like(window.is_first)}
    yield "latent", replace(window, **begun)


def _one_wrong(value: Tensor, number: float) -> Tensor:
    value = value.clone()
    value[(0, -1) if value.dim() > 1 else (0,)] = number
    return value


def _losses(learner: Learner) -> Iterator[tuple[Any, str, str | None]]:
    yield from ((learner.dynamics, "losses", term) for term in learner.dynamics.scales)
    yield learner.reward, "forward", None
    yield learner.actor_critic, "replay_value_loss", None
    yield from ((tandem.agents.actor_critic, name, None) for name in ("weighted_policy_loss", "value_losses"))


def _spoilt(make: Callable, term: str | None, number: float) -> Callable:
    """`make` with this term of its answer, or its first one, times the number."""

    def made(*arguments):
        answer = make(*arguments)
        if isinstance(answer, dict):
            return answer | {term: answer[term] * number}
        return (answer[0] * number, *answer[1:]) if isinstance(answer, tuple) else answer * number

    return made


def _trainable(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    for name, model in learner.models_by_name().items():
        yield from ((f"{name}.{key}", p) for key, p in model.named_parameters() if p.requires_grad)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    before = getattr(owner, attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, before)


@contextmanager
def _hooked(p: Tensor, number: float) -> Iterator[None]:
    def spoilt(grad: Tensor) -> Tensor:
        grad = grad.clone()
        grad.view(-1)[-1] = number
        return grad

    hook = p.register_hook(spoilt)
    try:
        yield
    finally:
        hook.remove()


def _try(count: Count, learner: Learner, inputs: Inputs, what: str) -> None:
    before, skipped = numbers(learner), int(learner.skipped)
    metrics, _ = learner.update(*inputs)
    found = changed(before, numbers(learner))
    is_skipped = bool(metrics["train/skipped"] == 1) and int(learner.skipped) == skipped + 1
    count.cases += 1
    count.changed += found
    count.skipped += is_skipped
    if found or not is_skipped:
        count.faults.append(f"{what}: {found} numbers changed, {'' if is_skipped else 'not '}counted as skipped")


def numbers(learner: Learner) -> dict[str, Tensor]:
    """All that an update may change but the counters of skipped ones, by name."""
    state = learner.state_dict()
    kept = {f"{name}.{key}": value for name in learner.models_by_name() for key, value in state[name].items()}
    for name in learner.optimizers:
        for place, moments in state[f"{name}_optimizer"]["state"].items():
            kept |= {f"{name}_optimizer.{place}.{key}": value for key, value in moments.items()}
    return {name: value.clone() for name, value in kept.items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> int:
    """Numbers that are others now."""
    assert before.keys() == after.keys()
    return sum(int((before[name] != after[name]).sum()) for name in before)
