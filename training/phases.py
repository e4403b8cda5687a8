"""The loop: a pilot, then phases; in each, collection, purchases and learning interleave."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from budget.allocator import Plan
from budget.money import MICRO, to_micro
from training.build import Run, build, make_evidence
from training.config import Config, ConfigError, read_config, save_config
from training.fit import Noise
from training.logger import Progress as Line
from training.measure import measure
from training.run_folder import SAVED_AS

LAST_CALLS = 100  # times that the end of a run asks for answers still on their way


def train(config: Config, resume: Path | None = None) -> None:
    """Train until the budget is spent. A resumed run goes on where it stopped; Ctrl-C saves a checkpoint first."""
    run = build(config, is_resumed=resume is not None)
    try:
        if resume is not None:
            go_on(run)
        run.logger.line(f"{config.task}: {describe(run)}; folder {run.folder}")
        with stopping_cleanly() as stop:
            while run.progress.phase <= run.progress.phases:
                plan = decide(run)
                spend(run, plan, stop)
                finish_phase(run)
        run.logger.line(f"done: {last_result(run)}; see it with: tensorboard --logdir {run.folder}")
    finally:
        run.close()


def decide(run: Run) -> Plan:
    """The plan of the phase under way, or a new one from the evidence and the ledger."""
    progress = run.progress
    if progress.plan is not None:
        return Plan(**progress.plan)
    stock = run.ledger.units("transition"), run.desk.num_bought
    evidence = make_evidence(run.config, progress.phase, progress.phases, *stock)
    plan = run.allocator.plan(evidence, run.ledger)
    run.ledger.record_decision(progress.phase, asdict(evidence), asdict(plan))
    run.logger.scalars(run.env_steps, {"plan/transitions": plan.transitions, "plan/labels": plan.labels})
    progress.plan, progress.phase_transitions, progress.phase_labels = asdict(plan), 0, 0
    return plan


def spend(run: Run, plan: Plan, stop: "Stop") -> None:
    """Carry a plan out: chunks of transitions, labels in proportion, updates as the money goes."""
    progress = run.progress
    while True:
        if stop.is_asked:
            run.save()
            raise KeyboardInterrupt
        if is_collecting(run, plan):
            collect_chunk(run, plan.transitions - progress.phase_transitions, stop)
        buy_labels(run, plan)
        learn(run)
        if not has_more(run, plan):
            return


def collect_chunk(run: Run, wanted: int, stop: "Stop") -> None:
    for _ in range(run.collector.open(wanted)):
        episodes = run.collector.tick(run.agent)
        if run.config.mode == "coupled":  # published curves are training returns
            for episode in episodes:
                run.logger.scalars(run.env_steps, {"train/return": episode.episode_return})
        learn(run)
        if stop.is_asked:
            break
    run.progress.phase_transitions += run.collector.close()


def buy_labels(run: Run, plan: Plan) -> None:
    """In proportion to the phase's transitions; once those are all there a batch at a time, so that learning goes on."""
    progress = run.progress
    if is_collecting(run, plan):
        due = plan.labels * progress.phase_transitions // plan.transitions - progress.phase_labels
    else:
        due = min(plan.labels - progress.phase_labels, run.config.train.label_batch)
    progress.phase_labels += run.desk.ask(due, run.numpy_rng)
    run.desk.collect()


def is_collecting(run: Run, plan: Plan) -> bool:
    return plan.transitions - run.progress.phase_transitions >= run.collector.env.num


def has_more(run: Run, plan: Plan) -> bool:
    can_ask = run.transitions.num_unlabelled > 0 and run.ledger.remaining >= run.ledger.prices["label"]
    return is_collecting(run, plan) or (run.progress.phase_labels < plan.labels and can_ask)


def learn(run: Run) -> None:
    """Do the updates that are due."""
    progress, train_config = run.progress, run.config.train
    if run.transitions.num_starts < train_config.batch * train_config.length:
        return
    if progress.start is None:
        progress.start = pace(run)
    while progress.updates < updates_due(run):
        update(run)
        if run.logger.is_due():
            show(run)


def pace(run: Run) -> float:
    """What updates keep pace with: coins settled or received in the open chunk, or rows collected."""
    if run.config.train.ratio:
        return float(run.transitions.counts.rows.sum())
    open_micro = run.collector.received * run.ledger.prices["transition"]
    return (run.ledger.spent + open_micro) / MICRO


def updates_due(run: Run) -> int:
    """train.updates is spread evenly over what is left to spend when learning starts; train.ratio over the rows."""
    progress, train_config = run.progress, run.config.train
    done = pace(run) - progress.start
    if train_config.ratio:
        return int(done * train_config.ratio / (train_config.batch * train_config.length))
    total = run.ledger.total / MICRO
    return int(progress.updates_per_coin * total * min(1.0, done / (total - progress.start)))


def update(run: Run) -> None:
    config, train_config = run.config, run.config.train
    batch = run.transitions.sample(train_config.batch, run.numpy_rng)
    if config.mode == "coupled":
        batch, labels, label_shape = run.labels.join(batch), None, (0, 1)
    else:
        labels = run.labels.sample(train_config.label_batch, run.numpy_rng).to(run.device)
        label_shape = (train_config.label_batch, config.labels.burn_in + 1)
    noise = Noise.draw(run.noise_rng, train_config, config.dynamics.stoch, run.spaces, *label_shape)
    metrics, latent = run.learner.update(batch.to(run.device), labels, noise)
    run.transitions.write_back(batch.address, latent.deter, latent.stoch.argmax(-1))
    run.logger.add(metrics)
    run.progress.updates += 1


def finish_phase(run: Run) -> None:
    """Late answers, in the last phase the updates still owed, then look, and save."""
    progress = run.progress
    run.desk.collect()
    if progress.phase == progress.phases:
        wind_up(run)
    if run.config.mode == "decoupled":
        run.labels.refresh(run.transitions)
    measure(run)
    show(run)
    progress.phase += 1
    progress.plan = None
    run.save()


def wind_up(run: Run) -> None:
    """Wait a little for answers on their way, and do the updates that the last unspendable coins stood for."""
    for _ in range(LAST_CALLS):
        if run.labels.pending and not run.desk.collect():
            time.sleep(0.01)
    if run.labels.pending:
        run.logger.line(f"{len(run.labels.pending)} labels are not answered yet: --resume takes them in later")
    total = int(run.progress.updates_per_coin * run.ledger.total / MICRO)
    while run.progress.start is not None and run.progress.updates < total:
        update(run)
        if run.logger.is_due():
            show(run)


def go_on(run: Run) -> None:
    """Give a resumed run something to do: what a larger budget pays for, or the answers that had not come."""
    progress, before = run.progress, read_config(run.folder / SAVED_AS).budget.total
    now = run.config.budget.total
    if now > before:
        run.ledger.raise_total(to_micro(now))
        progress.phases += max(1, round(run.config.allocator.phases * (now - before) / before))
        save_config(run.config, run.folder / SAVED_AS)
    if progress.phase > progress.phases:
        if not run.labels.pending:
            raise ConfigError(f"budget.total: the run in {run.folder} is finished; give it a larger one to go on")
        progress.phase = progress.phases


def show(run: Run) -> None:
    """The training scalars since the last time, the money, and the line on the terminal."""
    progress, balance = run.progress, run.ledger.balance()
    run.logger.flush(run.env_steps)
    money = {
        "budget/spent": balance.spent / MICRO,
        "budget/remaining": balance.remaining / MICRO,
        "budget/transitions": balance.transitions,
        "budget/labels": balance.labels,
        "budget/labels_outstanding": len(run.labels.pending),
        "train/updates": progress.updates,
    }
    run.logger.scalars(run.env_steps, money)
    run.logger.progress(
        Line(
            phase=min(progress.phase, progress.phases),
            phases=progress.phases,
            step=run.env_steps,
            transitions=balance.transitions,
            labels=balance.labels,
            spent=balance.spent / MICRO,
            total=balance.total / MICRO,
            updates=progress.updates,
            episode_return=progress.history[-1]["return_mode"] if progress.history else None,
        )
    )


def describe(run: Run) -> str:
    config, balance = run.config, run.ledger.balance()
    parameters = sum(p.numel() for model in run.learner.models() for p in model.parameters() if p.requires_grad)
    return (
        f"{config.mode}, {parameters / 1e6:.2f} M parameters on {run.device.type}, {balance.total / MICRO:,.0f} coins, "
        f"a transition {config.price.transition:g}, a label {config.price.label:g}"
    )


def last_result(run: Run) -> str:
    last = run.progress.history[-1]
    return (
        f"return {last['return_mode']:.1f} (mode), {last['return_sampled']:.1f} (sampled) for "
        f"{last['spent']:,.0f} coins: {last['transitions']:,} transitions and {last['labels']:,} labels"
    )


class Stop:
    """Whether somebody wants the run to end; a second Ctrl-C ends it at once."""

    def __init__(self):
        self.is_asked = False

    def ask(self, number: int, frame) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True


@contextmanager
def stopping_cleanly() -> Iterator[Stop]:
    """SIGINT and SIGTERM end the run after the update under way, with a checkpoint."""
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
