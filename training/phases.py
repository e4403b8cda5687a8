"""The loop: a pilot, then phases; in each, collection, purchases and learning interleave."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..budget.ledger import Diverged
from ..budget.money import MICRO, to_micro
from ..budget.phase import fit_capacity
from ..budget.plan import Plan, checked
from ..errors import UserError
from ..seeds import Channel, derive_seed
from .build import build, resolve_device
from .config import Config, ConfigError
from .measurements import raters
from .measurements.findings import Findings
from .measurements.latents import refresh
from .measurements.people import owners_facts
from .pace import catch_up, check_skipped, learn, pause, show, show_if_due, updates_owed, write_row
from .parallel.place import Place
from .parallel.team import Solo, team_of
from .phase_record import PhaseRecord, write_phases
from .purchases.labels import Heard
from .purchases.sellers import SellerFailed
from .purchases.stock import pay_for_stock
from .reports.sinks.begin import check_sinks
from .reports.status import describe, last_word, plan_text, took
from .run import Run
from .settings import read_config, save_config
from .stop import HungUp, Interrupted, listening

LAST_CALLS = 100  # times that the end of a run asks for answers still on their way
LARGER = "a larger budget.total goes on"
GAPS = {  # kept in the record, for the picture of bounds
    "dynamics": "gap/dynamics",
    "reward": "gap/reward",
    "lemma": "bound/lemma",
    "horizon": "bound/horizon",
}


def train(config: Config, resume: Path | None = None) -> None:
    """Train until the budget is spent. A resumed run goes on where it stopped; Ctrl-C saves a checkpoint first.

    What came after the checkpoint that it goes on from is done again, as it was, and paid for no second time. Where that
    does not come out as it was (another kind of machine, a budget raised meanwhile), it begins with all that it bought.
    """
    with team_of(config, resolve_device(config), Place.of(os.environ)) as team:
        try:
            _train(config, resume, team)
        except Diverged as error:
            print(f"what came after the last checkpoint cannot be done again as it was: {error}", flush=True)
            _train(config, resume, team, is_exact=False)


def _train(config: Config, resume: Path | None, team: Solo, is_exact: bool = True) -> None:
    check_sinks(config.log.sinks)
    run = build(config, is_resumed=resume is not None, is_exact=is_exact)
    try:
        if resume is not None:
            go_on(run)
        run.team = team
        team.begin(run.learner, config, run.spaces)
        heading = describe(config, run.learner.num_parameters, run.device, team.size, run.ledger.balance())
        run.logger.line(f"{config.task}: {heading}; folder {run.folder.path}")
        with listening(run.stop.ask):
            pay_for_stock(run.ledger, run.stock.source, run.stock.transitions, run.stock_price_micro)
            while not run.progress.is_over:
                spend(run, decide(run))
                finish_phase(run)
        for line in run.desk.till.lines():
            run.logger.line(line)
        run.onlooker.write_page(run.folder.path)
        run.logger.finished()
        run.logger.line(f"done: {last_word(run.progress)}; see it with: tensorboard --logdir {run.folder.path}")
    except SellerFailed as error:
        run.save()
        raise UserError(f"{error}; everything before it is saved in {run.folder.path}, --resume goes on") from error
    except HungUp as hung:
        run.save()
        raise Interrupted(hung.number, run.folder.path) from hung
    finally:
        run.close()


def decide(run: Run) -> Plan:
    """The plan of the phase under way, or a new one from the evidence and the ledger."""
    progress = run.progress
    if progress.plan is not None:
        return progress.plan
    known = run.evidence()
    with run.watch("measure"):
        plan = checked(
            run.allocator.plan(known, run.ledger), run.config.allocator.name, run.desk.tiers, known.can_collect
        )
        plan = fit_capacity(plan, known, run.ledger)
    decision = known.record(), plan.record()
    run.ledger.record_decision(progress.phase, *decision)
    run.logger.scalars(run.env_steps, {"plan/transitions": plan.transitions, "plan/labels": plan.labels})
    run.logger.text("plan/why", plan_text(progress.phase, *decision), run.env_steps)
    if plan.note:
        run.logger.line(f"{'pilot' if plan.phase == 0 else f'plan of phase {plan.phase}'}: {plan.note}")
    progress.plan, progress.stock = plan, [known.transitions, known.labels]
    return plan


def spend(run: Run, plan: Plan) -> None:
    """Carry a plan out: chunks of transitions, labels in proportion, updates as the money goes."""
    if run.progress.stage != "buy":
        return
    learn(run)  # a run that goes on does first what was due
    while run.collector.chunk.is_open or has_more(run, plan) or has_more_once_booked(run, plan):
        plan = wait_for_room(run, plan)
        collect_chunk(run)
        trade(run, plan)
        learn(run)
    learn(run)  # what was booked last


def wait_for_room(run: Run, plan: Plan) -> Plan:
    """While as many questions are open as may be: nothing is bought, and nothing learned that the money did not pay for.

    -> the plan, without further labels where nobody answered in time: the next one is made from what is known then. Where
    nobody has answered at all in the phase it stays, and other rows are asked about.
    """
    if run.waiting.room(len(run.labels.pending)) or wait(run, lambda: bool(run.waiting.room(len(run.labels.pending)))):
        return plan
    if run.desk.num_bought <= run.progress.stock[1]:
        return plan  # nobody has said anything in this phase: its questions are asked anew
    if run.progress.phase == run.progress.phases:  # no plan comes after it
        left = labels_left(run, plan)
        run.logger.line(f"warning: nobody answered in time: {left:,} labels stay unbought; {LARGER}")
    plan = replace(plan, labels=run.desk.num_bought - run.progress.stock[1])
    run.progress.plan = plan
    return plan


def wait(run: Run, is_enough: Callable[[], bool]) -> bool:
    """Look for answers until it is enough. -> False where patience ran out: what was open is given up then."""
    with run.watch("wait"):
        while not is_enough():
            num_heard = hear(run)
            # What is done again is given up where it was before, and not by the clock.
            is_over = run.desk.is_expiring if run.desk.ahead else run.waiting.is_out_of_patience(num_heard)
            if is_over:
                run.waiting.over()
                tell(run, run.desk.expire(f"nobody answered within {run.waiting.patience:g} seconds"))
                return False
            if run.waiting.is_to_tell():
                say_waiting(run)
            if not (num_heard or run.desk.ahead):  # what is done again is not waited for
                run.waiting.rest()
            learn(run)  # what the answers paid for
            pause(run)
    if run.waiting.over() and run.desk.is_showing:
        run.desk.told({"trainer": f"Phase {run.progress.phase} of {run.progress.phases} goes on"})
    return True


def say_waiting(run: Run) -> None:
    """On the terminal, in TensorBoard, and to whoever looks after those who answer."""
    text = f"waiting for answers: {run.desk.status()}"
    run.logger.line(text)
    run.logger.text("labels/waiting", text, run.env_steps)
    run.logger.scalars(run.env_steps, {"budget/labels_outstanding": len(run.labels.pending)})
    if run.desk.is_showing:
        run.desk.told({"trainer": f"Phase {run.progress.phase} of {run.progress.phases}, {text}"})


def collect_chunk(run: Run) -> None:
    """The transitions of the open chunk, or the rest of them where a run was stopped in it."""
    while run.collector.chunk.left:
        for episode in run.collector.tick(run.agent):  # published curves are training returns
            run.logger.scalars(run.env_steps, {"train/return": episode.episode_return})
        learn(run)
        show_if_due(run)  # before learning begins, and where a step of an environment is what takes time
        pause(run)


def trade(run: Run, plan: Plan) -> None:
    """Pay for all that came since the last time, and buy the next labels and transitions. To wait for the disk takes as
    long as an update or two, so all of it is one commit, with the journals on disk before it."""
    with run.watch("commit"), run.ledger.together():
        run.desk.book()
        if run.collector.chunk.is_open:
            run.collector.close()
        with run.watch("labels"):
            order_labels(run, plan)
        if is_collecting(run, plan):
            run.collector.open(transitions_left(run, plan))
    with run.watch("labels"):
        run.desk.tell()
        tell(run, run.desk.hear())


def order_labels(run: Run, plan: Plan) -> None:
    """In proportion to the phase's transitions; once those are all there a batch at a time, so that learning goes on."""
    due = labels_left(run, plan)
    if is_collecting(run, plan):
        due -= -(-plan.labels * transitions_left(run, plan) // plan.transitions)  # these wait for their transitions
        if plan.offer and due < plan.offer.answers:
            due = 0  # fewer than an item is answered with: they wait for the next ones
    else:
        due = min(due, run.config.train.label_batch)
    due = int(min(due, run.waiting.room(len(run.labels.pending))))
    run.desk.order(due, run.numpy_rng, plan.offer)


def hear(run: Run) -> int:
    """Take in what the labeler says, and pay for it. -> answers and questions declined"""
    with run.watch("labels"):
        heard = run.desk.collect()
        tell(run, heard)
    return len(heard.answers) + len(heard.declined)


def tell(run: Run, heard: Heard) -> None:
    """What a person should know of it, and what people are owed, where that has changed."""
    owed = run.desk.till.news()
    for line in [*heard.lines(), *([] if owed is None else run.desk.till.lines())]:
        run.logger.line(line)
    if owed is not None and run.desk.is_showing:
        run.desk.told({"owed": {name: micro / MICRO for name, micro in owed.items()}})


def transitions_left(run: Run, plan: Plan) -> int:
    """Of the plan, still to buy. Counted by the ledger, which knows what was bought after the newest checkpoint."""
    return plan.transitions - (run.ledger.units("transition") - run.progress.stock[0])


def labels_left(run: Run, plan: Plan) -> int:
    return plan.labels - (run.desk.num_bought - run.progress.stock[1])


def is_collecting(run: Run, plan: Plan) -> bool:
    """Repeated and gold answers are drawn by chance: they may have cost what was meant for the last transitions."""
    num = run.collector.env.num
    return transitions_left(run, plan) >= num and run.ledger.remaining >= num * run.ledger.prices["transition"]


def has_more(run: Run, plan: Plan) -> bool:
    return is_collecting(run, plan) or (labels_left(run, plan) > 0 and run.desk.can_ask(plan.offer))


def has_more_once_booked(run: Run, plan: Plan) -> bool:
    """Book what was heard last: the money of questions that were declined may buy more."""
    run.desk.book()
    return has_more(run, plan)


def finish_phase(run: Run) -> None:
    """Late answers, in the last phase the updates still owed; then save, measure, record, look, and save again."""
    progress = run.progress
    if progress.stage == "buy":
        hear(run)
        if progress.phase == progress.phases:
            spend_the_rest(run)
        progress.stage = "learn"
    if progress.stage == "learn":
        if progress.phase == progress.phases:
            catch_up(run, updates_owed(run))
        check_skipped(run)
        progress.stage = "measure"
    run.transitions.settle()  # whoever looks sees all that was learned
    name = "the pilot" if progress.phase == 0 else f"phase {progress.phase}"
    run.logger.line(f"{name} is bought: saving, and measuring on data that trained nothing")
    run.save()  # whatever fails in measuring the phase must not lose what it bought and learned
    with run.stop.nothing_to_lose(run.folder.path):
        with run.watch("measure"):
            findings = measure(run)
            keep_record(run, findings)
        with run.watch("look"):
            look(run, findings)
    write_row(run)
    run.logger.line(took(name, run.phase_laps.take()))
    show(run)
    progress.phase += 1
    progress.plan, progress.stage = None, "buy"
    run.save(is_milestone=True)


def measure(run: Run) -> Findings:
    """What the next plan is made from. From now on labels count by what is known of those who gave them."""
    seed = derive_seed(run.config.seed, Channel.LOOKING, run.progress.phase)
    refresh(run.models, run.transitions, run.labels, seed)
    if run.measurer is None:
        return Findings({})
    findings = run.measurer.measure(run.progress.phase)
    predict, labels = run.measurer.predictor(run.progress.phase), run.measurer.labels
    if run.desk.is_showing:
        run.desk.told(owners_facts(labels, findings.tiers, findings.residual, run.ledger.by_rater(), predict))
    if findings.residual:
        raters.apply(labels, findings.tiers, findings.residual, predict)
        for line in raters.biased(findings.tiers):
            run.logger.line(line)
    return findings


def keep_record(run: Run, findings: Findings) -> None:
    """All that later plans remember of the phase, before anybody looks at it."""
    progress, balance = run.progress, run.ledger.balance()
    assert progress.plan is not None, "the phase had a plan"
    record = PhaseRecord(
        phase=progress.phase,
        step=run.env_steps,
        spent=balance.spent / MICRO,
        transitions=balance.transitions,
        labels=balance.labels,
        spent_on_tiers={name: tier["spent"] / MICRO for name, tier in run.ledger.by_tier().items()},
        plan=progress.plan,
        measured=findings.measured,
        residual=findings.residual,
        clean_labels=findings.clean_labels,
        offers=findings.offers,
        gaps={name: findings.scalars[key] for name, key in GAPS.items() if key in findings.scalars},
        raters=raters.told(findings.tiers, findings.residual),
    )
    # A run that goes on for late answers alone does its last phase again.
    progress.history = [*(one for one in progress.history if one.phase != record.phase), record]
    write_phases(progress.history, run.folder.phases)


def look(run: Run, findings: Findings) -> None:
    """For a person to see: true returns, held-out losses, pictures."""
    progress = run.progress
    is_last = progress.phase >= progress.phases
    progress.evaluations = run.onlooker.look(
        progress.history, progress.evaluations, findings.scalars, is_last, run.evidence, run.ledger
    )


def spend_the_rest(run: Run) -> None:
    """At the end of a run: what questions that were declined gave back, and answers that cost less than was reserved for
    them, buys other labels, until all is answered or nobody is waited for any longer."""
    while wait_for_answers(run):
        plan = run.progress.plan
        assert plan is not None, "the phase had a plan"
        if not has_more_once_booked(run, plan):
            return
        spend(run, plan)


def wait_for_answers(run: Run) -> bool:
    """For whoever has to look as long as it takes, for the others a little while. -> whether all have answered"""
    if run.config.labeler.is_looking:
        has_heard = wait(run, lambda: not run.labels.pending)
        if not has_heard:
            coins = run.ledger.remaining / MICRO
            run.logger.line(f"warning: nobody answered in time: {coins:,.4g} coins are left; {LARGER}")
        return has_heard
    for _ in range(LAST_CALLS):
        if run.labels.pending and not hear(run):
            with run.watch("labels"):
                time.sleep(0.01)
    if run.labels.pending:
        run.logger.line(f"{len(run.labels.pending)} labels are not answered yet: --resume takes them in later")
    return not run.labels.pending


def go_on(run: Run) -> None:
    """Give a resumed run something to do: what a larger budget pays for, or the answers that had not come."""
    progress, now = run.progress, run.config.budget.total
    saved = read_config(run.folder.config)
    if now > saved.budget.total:
        if run.ledger.is_ahead:
            raise Diverged("budget.total has grown")
        run.ledger.raise_total(to_micro(now))
    if run.config != saved:
        save_config(run.config, run.folder.config, saved)
    if now > progress.total:  # granted now, or before a crash that left no checkpoint of it
        progress.phases += max(1, round(run.config.allocator.phases * (now - progress.total) / progress.total))
        progress.total = now
    if progress.is_over and run.labels.pending:
        progress.phase, progress.stage = progress.phases, "buy"
    elif progress.is_over and not pay_late_work(run):
        raise ConfigError(f"budget.total: the run in {run.folder.path} is finished; give it a larger one to go on")


def pay_late_work(run: Run) -> int:
    """People's time of after the end of the run, as far as the money goes. -> micro-coins"""
    if not run.config.labeler.asks_people:
        return 0
    spent = run.ledger.balance().spent
    while run.desk.ahead:
        hear(run)
    for _ in range(2):  # by the second look the labeler knows that the first was kept
        hear(run)
    run.save()
    paid = run.ledger.balance().spent - spent
    if paid:
        run.logger.line(f"{paid / MICRO:,.4g} coins are paid for people's time that came after the end")
    return paid
