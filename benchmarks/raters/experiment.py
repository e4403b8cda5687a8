"""Which raters to buy from? A tier chooser against each tier alone, and how soon a bias is noticed (experiment D).

    python benchmarks/raters [--seeds 5] [--alarms 40]

A reward model learns the reward of Pendulum-v1 over uniformly drawn states and torques from bought labels alone. For sale
are a cheap rater (noise 1, price 1), an expert (noise .2, price 6) and a biased one (noise 1, price 1, and an error of
1.5 sin(reward) that no shift or rescaling undoes); rewards have standard deviation 3.4. The chooser knows the prices only;
the trusting one was told, wrongly of one of them, that all raters have noise 1 and hardly a bias (.05). Choosing goes the
way training goes: the same desk, label replay, ledger, estimates and offers, and of these the one of least error expected
once all the money is spent. Errors are root mean squares over fresh states, against the true reward.

The second part injects a bias into the cheap rater in mid-run and counts the labels until its correction is evident.
Finished cells are kept in benchmarks/results/tiers.json and skipped on a rerun.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from kept import Kept
from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, to_micro
from tandem.budget.offers import LabelOffer, PerItem, clean_labels
from tandem.budget.scaling import Curve, MeanLaw, fit_posterior
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.labelers.question_keys import DEFAULT
from tandem.envs.vault import RewardVault
from tandem.training.measurements import raters as tiers
from tandem.training.purchases.items import Drawer
from tandem.training.purchases.labels import LabelDesk, Terms
from tandem.training.stop import Stop
from tandem.worldmodel.records import LabelBatch
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.labels import LabelReplay
from tandem.worldmodel.reward import RewardConfig, RewardModel, fold_weights

from .alarms import delay
from .report import draw, table
from .settings import BUDGETS, INJECTED, INJECTED_AFTER, METHODS, PHASES, PILOT
from .world import Pool, new_replay, states_and_rewards

RESULTS = Path(__file__).resolve().parents[1] / "results"
STEPS, BATCH, LEARNING_RATE = 600, 256, 3e-2  # of a fit at a phase's end, from a fresh model
LEAST_ERROR = 0.02  # an error estimated from few pairs may come out at nothing
FRESH = 4000  # states that the error is measured on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="of each method")
    parser.add_argument("--alarms", type=int, default=40, help="injections of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = Kept(RESULTS / "tiers.json", f"{PHASES} phases, {STEPS} steps")
    runs = {
        (money, method): [
            kept.cell(f"{method}-{money}-s{seed}", lambda m=method, c=money, s=seed: run(m, c, s))
            for seed in range(options.seeds)
        ]
        for money in BUDGETS
        for method in METHODS
    }
    kept = Kept(RESULTS / "tiers.json", f"{options.alarms} injections after {INJECTED_AFTER} labels")
    alarms = {
        name: kept.cell(f"injected: {name}", lambda n=name: {"delays": [delay(n, s) for s in range(options.alarms)]})
        for name in INJECTED
    }
    text = table(runs, alarms)
    (RESULTS / "tiers.md").write_text(text)
    draw(runs, alarms, RESULTS / "tiers.png")
    print(text)


def run(method: str, money: int, seed: int) -> dict:
    """One seed of a method: coins spent, true error and money by tier at every phase's end."""
    rng = np.random.default_rng([21, seed])
    seen, rewards = states_and_rewards(money + 1, rng)
    fresh, truth = states_and_rewards(FRESH, np.random.default_rng([22, seed]))
    vault = RewardVault()
    for step, reward in enumerate(rewards.tolist(), 1):
        vault.put(0, step, reward)
    config = LabelerConfig(tiers=METHODS[method], gold="expert")
    with tempfile.TemporaryDirectory() as folder:
        prices = {"transition": MICRO, "label": MICRO}
        ledger = Ledger.create(Path(folder) / "ledger.db", to_micro(money), prices)
        desk = LabelDesk(
            Drawer(Pool(seen)),
            new_replay(config),
            make_labeler(config, vault, seed),
            ledger,
            LabelJournal(Path(folder) / "labels"),
            Stop(),
            Terms({DEFAULT: MICRO, **tiers.tier_prices(config)}),
        )
        found = _run(method, desk, config, rng, lambda model: rms(predicted(model, fresh) - truth))
        ledger.close()
    return found


def _run(
    method: str,
    desk: LabelDesk,
    config: LabelerConfig,
    rng: np.random.Generator,
    error_of: Callable[[RewardModel], float],
) -> dict:
    belief = Belief(desk.labels, config, desk.ledger.total)
    record = {"spent": [], "error": [], "tier": [], "by_tier": []}
    for phase in range(PHASES + 1):
        left = desk.ledger.remaining / MICRO
        money = PILOT * left if phase == 0 else left / (PHASES + 1 - phase)
        if method.endswith("chooser"):
            offer = belief.best_offer(left)
        else:
            tier = method.removesuffix(" alone")
            offer = LabelOffer(tier, tiers.tier_prices(config)[tier])
        buy(desk, offer, to_micro(money), rng)
        model = fit(desk.labels, rng)
        if method.endswith("chooser"):
            belief.look(model)
        record["spent"].append(desk.ledger.spent / MICRO)
        record["error"].append(error_of(model))
        record["tier"].append(offer.tier)
        record["by_tier"].append({name: row["spent"] / MICRO for name, row in desk.ledger.by_tier().items()})
    return record


def buy(desk: LabelDesk, offer: LabelOffer, money: int, rng: np.random.Generator) -> None:
    """A phase's money in labels: as many answers as it pays for at the offer's average price."""
    end = desk.ledger.spent + money
    while (left := int((end - desk.ledger.spent) / offer.price_micro * offer.answers)) > 0:
        if not desk.ask(left, rng, offer):
            return
        desk.collect()


def fit(labels: LabelReplay, rng: np.random.Generator) -> RewardModel:
    """A fresh model on all labels, as training fits it: weighted, corrected, each member without its fold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        model = RewardModel(RewardConfig(units=64, bins=127), 4)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
        batch = labels.sample(BATCH, rng)
        weight = fold_weights(batch.fold, batch.weight, model.config.members)
        loss, _ = model(batch.obs["state"][:, -1], batch.value, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@torch.no_grad()
def predicted(model: RewardModel, seen: np.ndarray) -> np.ndarray:
    return model.predict(torch.from_numpy(seen)).double().numpy()


def rms(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).mean()))


@dataclass
class Belief:
    """What the chooser knows after each phase."""

    labels: LabelReplay
    config: LabelerConfig
    money: int  # micro-coins in all
    estimates: tiers.TierEstimates | None = None
    s0_squared: float = 1.0
    errors: tuple[tuple[int, float], ...] = ()  # answers held, and the error then

    def look(self, model: RewardModel) -> None:
        """Estimate the raters, and the model's error without any rater's noise; weigh and correct the labels."""

        def predict(batch: LabelBatch) -> np.ndarray:
            return predicted(model, batch.obs["state"][:, -1].numpy())

        self.estimates = tiers.estimate(self.labels, self.config, predict)
        answers = self.labels.answers()
        rows = self.labels.rows(np.arange(len(answers.value)))
        squared, pairs = tiers.squared_error(unseen_error(model, rows), rows.weight.double().numpy(), answers)
        if pairs:
            self.s0_squared = max(squared, LEAST_ERROR**2)
            self.errors += ((len(answers.value), self.s0_squared**0.5),)
        tiers.apply(self.labels, self.estimates, self.s0_squared, predict)

    def best_offer(self, left: float) -> LabelOffer:
        """Of least error once the money left (coins) is spent on it, as the adaptive allocator chooses."""
        offers = tiers.offers(self.config, self.estimates, self.s0_squared, self.money)
        if len(offers) == 1 or not self.errors:
            return offers[0]
        answers = self.labels.answers()
        noise = np.array([self.estimates.tiers[name].noise.variance for name in self.labels.tiers])[answers.tier]
        held = [clean_labels(answers.item[:n], noise[:n], self.s0_squared) for n, _ in self.errors]
        curve = Curve(tuple(held), tuple(error for _, error in self.errors), (1.0,) * len(held))
        law = MeanLaw(fit_posterior(curve).sample(256, np.random.default_rng(len(held))))

        bias = tiers.held_bias(self.labels, self.estimates, self.s0_squared)

        def error_in_the_end(offer: LabelOffer) -> float:
            new = left * MICRO / offer.price_per_clean
            joined = replace(offer, held_bias=bias).joined(held[-1], new)
            return PerItem(law, joined).error((held[-1] + new) / offer.clean)

        return min(offers, key=error_in_the_end)


@torch.no_grad()
def unseen_error(model: RewardModel, rows: LabelBatch) -> np.ndarray:
    """rhat - y (n,), each by the member that did not see the item."""
    unseen = (rows.fold % model.config.members).unsqueeze(0)
    members = model.members(rows.obs["state"][:, -1])
    return (members.gather(0, unseen)[0] - rows.value).double().numpy()
