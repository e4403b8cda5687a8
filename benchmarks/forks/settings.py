"""Where runs are forked, and into what."""

from ends.settings import COMMON, TASKS, Task

SHARES = (5, 20, 35, 50, 65, 80, 95)  # per cent of the next phase's money that go to labels
AT = (2, 4, 6, 8)  # phases at whose ends a run is copied, of 12
SEEDS = 5  # of what comes after the fork
EPISODES = 64  # that judge a fork, with mode actions; they start alike in all forks of a run
FORKED = tuple(task for task in TASKS if task.name in ("gears", "hills", "pendulum"))


def shares_of(task: Task) -> tuple[int, ...]:
    """Those that can be had: where a label costs no more than a transition, half of the spend each has labelled every row."""
    return SHARES if task.price > 1 else tuple(share for share in SHARES if share <= 50)


def trunk_settings(task: Task, seed: int) -> tuple[str, ...]:
    """Of the run that is forked: half of the spend each, so that its states favour nobody, measured as `adaptive` would."""
    assert set(COMMON) <= set(task.market)
    half = ("allocator.name=fixed", "allocator.label_share=0.5", "evaluate.episodes=0", *task.measured)
    return (*without_evaluation(task.market), *half, f"train.updates={task.updates}", f"seed={seed}", "threads=1")


def without_evaluation(settings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in settings if not one.startswith("evaluate."))
