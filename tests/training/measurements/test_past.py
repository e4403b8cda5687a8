"""What models of earlier phases are asked: today's labels, read off their latents."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tandem.training.build import build
from tandem.training.measurements.block import block_of
from tandem.training.measurements.dynamics_gap import Dreamed, rolled
from tandem.training.measurements.findings import PAST_READ, Past
from tandem.training.measurements.reward_refit import FEW, Read, RefitError
from tandem.training.settings import resume_config


@pytest.fixture(scope="module")
def run(whole_run_in, tmp_path_factory):
    """A tiny one that is over, without snapshots."""
    folder = whole_run_in(tmp_path_factory.mktemp("past") / "run")
    made = build(resume_config(folder, []), is_resumed=True)
    yield replace(made, measurer=replace(made.measurer, config=replace(made.measurer.config, refit_steps=120)))
    made.close()


@pytest.fixture(autouse=True)
def forget(run):
    for path in run.measurer.snapshots.folder.iterdir():
        path.unlink()


def taken(run, phase: int, transitions: int, explained: float = 0.9, blind: bool = False) -> None:
    """A snapshot; blind: of a model whose latents are the same whatever is observed."""
    models, state = run.measurer.models, {}
    if blind:
        state = {name: value.clone() for name, value in models.dynamics.state_dict().items()}
        for value in models.dynamics.parameters():
            value.data.zero_()
    run.measurer.snapshots.take(models, phase, transitions, explained, explained)
    if blind:
        models.dynamics.load_state_dict(state)


def curves(run, phase: int, step: float = 1.0, noise: float = 0.0):
    measurer, generator = run.measurer, torch.Generator().manual_seed(0)
    block = block_of(measurer.transitions.heldout_episodes(8), 32)
    footing = measurer.footing(block, 0.0)
    ahead = rolled(measurer.models, block, footing.far, 2, generator)
    read = measurer.read(step)
    refits, _ = measurer.reward_errors(generator, read)
    now = Dreamed(replace(ahead, rewards=ahead.rewards + 1.0), ahead, footing, foreseeable=1.0, explained=0.9)
    return measurer.past_curves(Past(phase, block, now, read, refits[-1], noise), generator), refits


def test_labels_are_read_off_the_first_phase_one_half_way_and_today(run):
    received = run.measurer.transitions.received
    parts = [0.1, 0.25, 0.4, 0.6, 0.8]  # the first that explained anything is .25; half way to 1, in logs, is .5
    for phase, (part, explained) in enumerate(zip(parts, (0.1, 0.9, 0.9, 0.9, 0.9), strict=True)):
        taken(run, phase, round(part * received), explained)
    (_, latents), refits = curves(run, phase=5)
    assert (
        latents.counts == (round(0.25 * received), round(0.6 * received), received)
        and len(latents.counts) == PAST_READ + 1
    )
    number = len(refits[-1].heldout)
    assert latents.weights == pytest.approx([number / (number + FEW) * one for one in (0.9**4, 0.9**2, 1.0)])
    unseen = float(np.abs(refits[-1].heldout).mean())
    assert latents.errors[-1] == pytest.approx(unseen)
    # The same models and the same labels: only the chance of a fresh head is between them.
    assert latents.errors[:2] == pytest.approx([unseen] * 2, rel=0.4)


class Weighed(Read):
    """An error that tells whose latents were read: 1, and the size of the model's weights."""

    def errors(self, models, generator, fractions=(1.0,)):
        size = 1.0 + sum(float(value.detach().abs().sum()) for value in models.dynamics.parameters())
        number = len(self.labels.value)
        return [RefitError(number, absolute=0.0, squared=0.0, signed=0.0, heldout=np.full(5, size))]


def test_each_phase_is_read_by_its_own_latents(run, monkeypatch):
    taken(run, 0, 40, blind=True)
    read = run.measurer.read(1.0)
    weighed = Weighed(*(getattr(read, one.name) for one in fields(read)))
    size = weighed.errors(run.measurer.models, None)[0].heldout[0]
    monkeypatch.setattr(type(run.measurer), "read", lambda *_: weighed)
    (_, latents), _ = curves(run, phase=1)
    assert latents.errors == pytest.approx((1.0, size)) and size > 2
    assert weighed.errors(run.measurer.models, None)[0].heldout[0] == size  # and today's models are as before


def test_where_no_transition_came_since_nothing_is_read(run):
    taken(run, 0, run.measurer.transitions.received)
    (dynamics, latents), _ = curves(run, phase=1)
    assert len(latents.counts) == 1 and len(dynamics.counts) == 2


def test_noise_of_raters_leaves_little_to_see(run):
    taken(run, 0, 40)
    (_, latents), refits = curves(run, phase=1)
    (_, noisy), _ = curves(run, phase=1, noise=0.9 * float((refits[-1].heldout ** 2).mean()))
    number = len(refits[-1].heldout)
    assert noisy.errors[1] == pytest.approx(latents.errors[1] * 0.1**0.5)
    assert noisy.weights[1] == pytest.approx(0.01 * number / (0.01 * number + FEW))


def test_what_is_read_comes_to_the_allocator(run):
    taken(run, 0, 40)
    measured = run.measurer.measure(1).measured
    assert measured.latents.counts == (40.0, run.measurer.transitions.received)


@pytest.mark.parametrize("heldout", [None, np.zeros(0), np.array([1.0, np.nan]), np.array([np.inf])], ids=str)
def test_without_numbers_of_heldout_episodes_nothing_is_read(run, monkeypatch, heldout):
    taken(run, 0, 40)
    refits = [RefitError(9, 1.0, 1.0, 0.0, heldout=heldout)]
    monkeypatch.setattr(Read, "errors", lambda *_: refits)
    (_, latents), _ = curves(run, phase=1)
    assert latents.counts == ()
