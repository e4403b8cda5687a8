"""The least that a pilot buys is enough to learn from."""

import pytest

from tandem.training.build import build
from tandem.training.parts.money import least_transitions


@pytest.mark.parametrize(
    "settings",
    [
        *(f"envs.num={num} envs.time_limit={limit}" for num in (1, 2, 4) for limit in (20, 100)),
        "envs.num=4 envs.time_limit=100 envs.heldout_share=0 allocator.name=fixed",
        "envs.num=3 envs.time_limit=100 envs.heldout_share=0.4",
    ],
)
def test_with_the_least_of_transitions_training_starts(tiny, settings):
    """Pendulum-v1 once spent 4,000 coins without an update: a held-out episode had left too few rows to train on."""
    config = tiny("train.batch=8", "train.length=16", "budget.total=5000", *settings.split())
    run = build(config, is_resumed=False)
    least = -(-least_transitions(config) // config.envs.num) * config.envs.num
    while left := least - run.transitions.received:
        run.collector.open(left)
        while run.collector.chunk.left:
            run.collector.tick(run.agent)
        run.collector.close()
    needed = config.train.batch * config.train.length
    assert needed <= run.transitions.num_starts < 2 * needed, "enough, and not far more"
    run.close()
