"""When to learn and on what: how many updates are due for the coins spent so far, and one update's draw and write-back."""

from ..budget.money import MICRO
from ..errors import UserError
from ..worldmodel.records import Address, Batch, LabelBatch
from .learner import Noise
from .reports import status
from .run import Run
from .stop import Interrupted

CHECKED_EVERY = 100  # updates between two looks at the device's count of skipped ones


def learn(run: Run) -> None:
    """Do the updates that are due."""
    progress, train_config = run.progress, run.config.train
    if run.transitions.num_starts < train_config.batch * train_config.length:
        return
    if progress.start is None:
        progress.start = pace(run)
    catch_up(run, updates_due(run))


def catch_up(run: Run, updates: int) -> None:
    """Update until that many are done."""
    while run.progress.updates < updates:
        update(run)
        show_if_due(run)
        pause(run)


def pause(run: Run) -> None:
    """Between two updates or two steps of the environments: keep everything where that is due, and end where somebody
    asked for it. A run that goes on begins with the updates that were due."""
    if run.stop.is_asked:
        run.save()
        raise Interrupted(run.stop.number, run.folder.path)
    if run.keeper.is_due():
        run.save(is_awaited=False)


def pace(run: Run) -> float:
    """What updates keep pace with: coins settled or received in the open chunk, or rows collected."""
    if run.config.train.ratio:
        return float(run.transitions.counts.rows.sum())
    open_micro = run.collector.received * run.ledger.prices["transition"]
    return (run.ledger.spent + open_micro) / MICRO


def updates_due(run: Run) -> int:
    """train.updates is spread evenly over what is left to spend when learning starts; train.ratio over the rows."""
    start, train_config = run.progress.start, run.config.train
    assert start is not None, "learning has begun"
    done = pace(run) - start
    if train_config.ratio:
        return int(done * train_config.ratio / (train_config.batch * train_config.length))
    total = run.ledger.total / MICRO
    share = done / (total - start) if start < total else 1.0
    return int(updates_in_all(run) * min(1.0, share))


def updates_owed(run: Run) -> int:
    """At the end: those that the last unspendable coins stood for too, but not yet those of labels on their way."""
    start = run.progress.start
    if start is None:
        return 0
    balance = run.ledger.balance()
    total, open_coins = balance.total / MICRO, balance.reserved / MICRO
    share = 1.0 - open_coins / (total - start) if start < total else 1.0
    return int(updates_in_all(run) * max(0.0, share))


def updates_in_all(run: Run) -> int:
    """Where train.updates rules; a budget raised later brings updates in proportion."""
    return run.progress.updates_in_all(run.ledger.total)


def update(run: Run) -> None:
    """One draw, one update. Its latents reach their rows after the next draw: so the host draws while a GPU still computes.
    It is the same order on every device, and in a run that goes on."""
    address, batch, labels, noise = draw_inputs(run)
    run.recorder.keep(run.progress.updates, batch, labels, noise)
    with run.watch("update"):
        metrics, latent = run.team.update(run.execution, batch, labels, noise)
    with run.watch("write_back"):
        run.transitions.settle()  # those of the update before
        run.transitions.hold(address, latent.deter, latent.stoch.argmax(-1))
    run.logger.add(metrics)
    run.progress.updates += 1
    if run.progress.updates % run.logger.every_updates == 0:
        write_row(run)
    if run.progress.updates % CHECKED_EVERY == 0:
        check_skipped(run)


def check_skipped(run: Run) -> None:
    """Say how many updates were skipped since the last check. UserError where the run goes nowhere: as many as that in a row."""
    skipped, in_a_row = (int(count) for count in (run.learner.skipped, run.learner.skipped_in_a_row))
    run.learner.skipped.zero_()
    if not skipped:
        return
    why = "a loss or a gradient was not finite, no parameter changed"
    run.logger.line(f"warning: {skipped} updates before number {run.progress.updates} were skipped: {why}")
    if in_a_row >= CHECKED_EVERY:
        dump = run.recorder.dump(run.folder.path, run.learner, run.settings)  # the newest one was skipped
        if run.learner.is_finite():
            run.save()
            kept = f"saved in {run.folder.path}, --resume goes on from there"
        else:
            kept = "a model itself holds such numbers, --resume goes on from the last checkpoint, which holds none"
        raise UserError(
            f"train: {in_a_row} updates in a row were skipped: {why}; {kept}, --reproduce {dump} says what was not"
        )


def draw_inputs(run: Run) -> tuple[Address, Batch, LabelBatch | None, Noise]:
    """Where the next batch came from, and what the learner takes: batch, labels (decoupled) and noise, on its device."""
    config, train_config = run.config, run.config.train
    with run.watch("sample"):
        batch = run.transitions.sample(train_config.batch, run.numpy_rng)
        batch, labels = run.labels.draw(batch, train_config.label_batch, run.numpy_rng)
        rows = (0, 1) if labels is None else (len(labels.value) * labels.sides, labels.is_first.shape[1])
        noise = Noise.draw(run.noise_rng, train_config, config.dynamics.stoch, run.spaces, *rows)
    with run.watch("copy"):
        return batch.address, batch.to(run.device), None if labels is None else labels.to(run.device), noise


def show_if_due(run: Run) -> None:
    if run.logger.is_due():
        show(run)


def show(run: Run) -> None:
    status.show(run.logger, run.progress, run.ledger.balance(), run.env_steps)
    run.onlooker.show_films()


def write_row(run: Run) -> None:
    balance, pending, seconds = run.ledger.balance(), len(run.labels.pending), run.row_laps.take()
    if account := run.desk.account():
        run.logger.scalars(run.env_steps, account)
    status.write_row(run.logger, run.progress, balance, pending, run.env_steps, seconds)
