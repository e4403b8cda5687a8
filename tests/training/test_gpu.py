"""What only a GPU can show; everything else runs on the CPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tandem.training.build import build
from tandem.training.pace import draw_inputs
from tandem.training.phases import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@pytest.mark.parametrize("settings", [(), ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")])
def test_an_update_never_waits_for_the_device_and_reaches_every_number(tiny, settings):
    run = build(tiny("device=cuda", *settings), is_resumed=False)
    run.collector.open(200)
    for _ in range(40):
        run.collector.tick(run.agent)
    run.collector.close()
    run.desk.ask(8, run.numpy_rng)
    run.desk.collect()
    for _ in range(2):
        _, *inputs = draw_inputs(run)
        run.learner.update(*inputs)
    torch.cuda.set_sync_debug_mode("error")
    try:
        metrics, latent = run.learner.update(*inputs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert latent.deter.is_cuda and all(torch.isfinite(value) for value in metrics.values())
    grads = [p.grad for model in run.learner.models() for p in model.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(grad).all() for grad in grads)
    run.close()


def test_a_run_on_the_gpu_finishes_and_goes_on_after_a_resume(tiny, audit):
    config = tiny("device=cuda")
    train(config)
    more = replace(config, budget=replace(config.budget, total=400.0))
    train(more, resume=Path(config.run.dir))
    assert audit(Path(config.run.dir))["spent"] == 400
