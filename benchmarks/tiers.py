"""Which raters to buy from? A tier chooser against each tier alone, and how soon a bias is noticed (experiment D).

    python benchmarks/tiers.py [--seeds 5] [--alarms 40]

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
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from cells import MACHINE
from kept import Kept
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from budget.adaptive import PerItem
from budget.ledger import Ledger, to_micro
from budget.money import MICRO
from budget.scaling import Curve, MeanLaw, fit_posterior
from budget.tiers import LabelOffer, clean_labels
from envs.labelers.base import DEFAULT, LabelerConfig, make_labeler
from envs.labelers.rater import TierConfig
from envs.records import Label, ObsSpec, Query, Segment, Spaces
from envs.vault import RewardVault
from training import tiers
from training.label import LabelDesk
from worldmodel.replay.copies import Copy
from worldmodel.replay.label_journal import LabelJournal
from worldmodel.replay.labels import LabelBatch, LabelReplay, LabelReplayConfig
from worldmodel.reward import RewardConfig, RewardModel, fold_weights

RESULTS = Path(__file__).parent / "results"
RATERS = {
    "cheap": TierConfig(price=1.0, sigma=1.0),
    "expert": TierConfig(price=6.0, sigma=0.2),
    "biased": TierConfig(price=1.0, sigma=1.0, slope=1.5),
}
TRUSTED = {name: replace(rater, prior_bias=0.05, prior_sigma=1.0) for name, rater in RATERS.items()}
METHODS = {
    "chooser": RATERS,
    "trusting chooser": TRUSTED,
    **dict.fromkeys((f"{name} alone" for name in RATERS), RATERS),
}
BUDGETS = (700, 6000)  # coins: scarce labels, and enough of them for the expert to be worth its price
PILOT, PHASES = 0.06, 8  # share of the coins, phases of equal money after it
STEPS, BATCH, LEARNING_RATE = 600, 256, 3e-2  # of a fit at a phase's end, from a fresh model
LEAST_ERROR = 0.02  # an error estimated from few pairs may come out at nothing
FRESH = 4000  # states that the error is measured on
INJECTED_AFTER, BLOCK, MOST_BLOCKS = 1000, 100, 40  # labels before the injection; between two looks; looks after it
INJECTED = {
    "none": TierConfig(price=1.0, sigma=1.0),
    "shift of 0.5": TierConfig(price=1.0, sigma=1.0, bias=0.5),
    "shift of 1": TierConfig(price=1.0, sigma=1.0, bias=1.0),
    "shift of 2": TierConfig(price=1.0, sigma=1.0, bias=2.0),
    "10 % flips": TierConfig(price=1.0, sigma=1.0, flip=0.1),
    "1.5 sin(reward)": TierConfig(price=1.0, sigma=1.0, slope=1.5),
}


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


def states_and_rewards(number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) cosine and sine of the angle, speed, torque; (n,) the reward of Pendulum-v1 there."""
    angle, speed, torque = rng.uniform(-1, 1, (3, number)) * np.array([[np.pi], [8.0], [2.0]])
    seen = np.stack([np.cos(angle), np.sin(angle), speed / 4, torque / 2], 1)
    return seen.astype(np.float32), -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)


class Pool:
    """States for sale in a random order: what a desk asks of a transition replay. Row k + 1 holds state k."""

    def __init__(self, seen: np.ndarray):
        self.seen, self.sold = seen, 0

    @property
    def num_unlabelled(self) -> int:
        return len(self.seen) - self.sold

    def draw_unlabelled(self, number: int, rng: np.random.Generator) -> list[Segment]:
        first, self.sold = self.sold, min(self.sold + number, len(self.seen))
        return [Segment(0, step) for step in range(first + 1, self.sold + 1)]

    def copies(self, segments: list[Segment], burn_in: int) -> list[Copy]:
        return [copy_of(segment.step, self.seen[segment.step - 1]) for segment in segments]


def copy_of(step: int, seen: np.ndarray) -> Copy:
    """Every state is an episode of its own: there is nothing to leak from one fold to another."""
    zeros = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    action, is_first = np.zeros((1, 1), np.float32), np.ones(1, bool)
    return Copy(0, step, step, False, -1, {"state": seen[None]}, action, is_first, *zeros)


def new_replay(config: LabelerConfig) -> LabelReplay:
    spaces = Spaces({"state": ObsSpec((4,))}, action_size=1)
    return LabelReplay(LabelReplayConfig(burn_in=0), spaces, 1, 1, tiers=(DEFAULT, *config.tiers))


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
            Pool(seen),
            new_replay(config),
            make_labeler(config, vault, seed),
            ledger,
            LabelJournal(Path(folder) / "labels"),
            0,
            tiers.tier_prices(config),
        )
        found = _run(method, desk, config, rng, lambda model: rms(predicted(model, fresh) - truth))
        ledger.close()
    return found


def _run(method: str, desk: LabelDesk, config: LabelerConfig, rng, error_of: Callable[[RewardModel], float]) -> dict:
    belief = Belief(desk.labels, config)
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
        offers = tiers.offers(self.config, self.estimates, self.s0_squared)
        if len(offers) == 1 or not self.errors:
            return offers[0]
        answers = self.labels.answers()
        noise = np.array([self.estimates.tiers[name].noise.variance for name in self.labels.tiers])[answers.tier]
        held = [clean_labels(answers.item[:n], noise[:n], self.s0_squared) for n, _ in self.errors]
        curve = Curve(tuple(held), tuple(error for _, error in self.errors), (1.0,) * len(held))
        law = MeanLaw(fit_posterior(curve).sample(256, np.random.default_rng(len(held))))

        def error_in_the_end(offer: LabelOffer) -> float:
            return PerItem(law, offer).error(held[-1] / offer.clean + left * MICRO / offer.price_micro)

        return min(offers, key=error_in_the_end)


@torch.no_grad()
def unseen_error(model: RewardModel, rows: LabelBatch) -> np.ndarray:
    """rhat - y (n,), each by the member that did not see the item."""
    unseen = (rows.fold % model.config.members).unsqueeze(0)
    members = model.members(rows.obs["state"][:, -1])
    return (members.gather(0, unseen)[0] - rows.value).double().numpy()


def delay(name: str, seed: int) -> dict:
    """Labels and gold labels from the injection until the tier's correction is evident; None where it never is.

    The cheap tier is bought on with an offer's usual share of gold, and the reward model is a right one: noticing rests
    on gold alone. "early": whether the tier was taken for biased before anything was injected.
    """
    rng = np.random.default_rng([23, seed])
    config = LabelerConfig(tiers={"cheap": RATERS["cheap"], "expert": RATERS["expert"]}, gold="expert")
    labels, vault, item, gold, early = new_replay(config), RewardVault(), 0, 0, False
    honest, turned = (
        make_labeler(LabelerConfig(tiers={**config.tiers, "cheap": one}), vault, seed)
        for one in (config.tiers["cheap"], INJECTED[name])
    )

    def predict(batch: LabelBatch) -> np.ndarray:
        cosine, sine, speed, torque = batch.obs["state"][:, -1].double().numpy().T
        return -(np.arctan2(sine, cosine) ** 2 + 0.1 * (4 * speed) ** 2 + 0.001 * (2 * torque) ** 2)

    offer, gold_before = LabelOffer("cheap", MICRO, duplicate_share=0.1, gold_share=0.1, checks=("expert",)), 0
    for block in range(INJECTED_AFTER // BLOCK + MOST_BLOCKS):
        is_injected = block * BLOCK >= INJECTED_AFTER
        gold_before = gold_before if is_injected else gold
        item, gold = answer_block(labels, vault, turned if is_injected else honest, offer, item, gold, rng)
        estimates = tiers.estimate(labels, config, predict)
        offer = next(one for one in tiers.offers(config, estimates, 0.25) if one.tier == "cheap")
        is_noticed = bool(tiers.biased(estimates))
        early |= is_noticed and not is_injected
        if is_injected and is_noticed and not early:
            return {"labels": (block + 1) * BLOCK - INJECTED_AFTER, "gold": gold - gold_before, "early": False}
    return {"labels": None, "gold": None, "early": early}


def answer_block(labels: LabelReplay, vault: RewardVault, labeler, offer: LabelOffer, item: int, gold: int, rng):
    """BLOCK further items as the offer has them. -> items and gold labels so far."""
    seen, rewards = states_and_rewards(BLOCK, rng)
    for one, reward in zip(seen, rewards.tolist(), strict=True):
        item += 1
        vault.put(0, item, reward)
        asked = [("cheap", 0)] + [("cheap", 1)] * (rng.random() < offer.duplicate_share)
        is_gold = rng.random() < offer.gold_share
        gold += is_gold
        for tier, repeat in asked + [("expert", 0)] * is_gold:
            query = Query(f"label/0/{item}/{tier}/{repeat}", Segment(0, item), tier)
            labels.ask(query, copy_of(item, one), repeat == 0)
            labeler.submit([query])
    for label in labeler.collect():
        labels.answer(Label(label.key, label.value))
    return item, gold


def table(runs: dict[tuple[int, str], list[dict]], alarms: dict[str, dict]) -> str:
    seeds, injections = (
        len(next(iter(cells))) for cells in (runs.values(), [one["delays"] for one in alarms.values()])
    )
    lines = [
        "# Label tiers: a chooser against each tier alone, and a bias injected in mid-run",
        "",
        f"`python benchmarks/tiers.py`; {MACHINE}; seeds 0 to {seeds - 1}, {injections} injections of each kind.",
        "",
        "Error of the reward model against the true reward (root mean square; rewards have standard deviation 3.4) after",
        "a part of the money: mean and standard deviation over seeds.",
    ]
    for money in BUDGETS:
        lines += ["", f"| labels from | a quarter of {money} coins | half | three quarters | all |", "|--|--|--|--|--|"]
        lines += [_error_row(method, runs[money, method]) for method in METHODS]
        for method in ("chooser", "trusting chooser"):
            found = runs[money, method]
            bought = {name: np.mean([one["by_tier"][-1].get(name, 0.0) for one in found]) for name in RATERS}
            coins = ", ".join(f"{name} {spent:.0f}" for name, spent in bought.items())
            phases = "; ".join(_runs_of(found[seed]["tier"]) for seed in range(seeds))
            lines += [
                "",
                f"The {method}'s coins went to {coins} (mean). Bought from, phase by phase, each seed: {phases}.",
            ]
    lines += [
        "",
        f"A bias injected into the cheap tier after {INJECTED_AFTER} labels: further items of the cheap tier until its",
        f"correction is evident (log evidence gain above 3), looked for every {BLOCK} items, {MOST_BLOCKS} times at most.",
        "A false alarm is one at any of the looks before.",
        "",
        "| injected | noticed | median delay, labels | 90th percentile | median delay, gold labels | false alarm before |",
        "|--|--|--|--|--|--|",
    ]
    return "\n".join(lines + [_alarm_row(name, cell["delays"]) for name, cell in alarms.items()]) + "\n"


def _error_row(method: str, found: list[dict]) -> str:
    errors = np.array([one["error"] for one in found])[:, [PHASES // 4, PHASES // 2, 3 * PHASES // 4, PHASES]]
    cells = [f"{mean:.3f} +- {spread:.3f}" for mean, spread in zip(errors.mean(0), errors.std(0), strict=True)]
    return f"| {method} | " + " | ".join(cells) + " |"


def _runs_of(names: list[str]) -> str:
    """expert 1, cheap 8"""
    return ", ".join(f"{name} {len(list(group))}" for name, group in groupby(names))


def _alarm_row(name: str, delays: list[dict]) -> str:
    fair = [one for one in delays if not one["early"]]
    noticed = [one for one in fair if one["labels"] is not None]
    early = f"{len(delays) - len(fair)} of {len(delays)}"
    if not noticed:
        return f"| {name} | 0 of {len(fair)} | - | - | - | {early} |"
    # Those never noticed count as later than all others.
    labels = sorted([one["labels"] for one in noticed]) + [np.inf] * (len(fair) - len(noticed))
    gold = sorted([one["gold"] for one in noticed]) + [np.inf] * (len(fair) - len(noticed))
    at = [_text(quantile(labels, 0.5)), _text(quantile(labels, 0.9)), _text(quantile(gold, 0.5))]
    return f"| {name} | {len(noticed)} of {len(fair)} | " + " | ".join(at) + f" | {early} |"


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _text(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else f"> {BLOCK * MOST_BLOCKS}"


def draw(runs: dict[tuple[int, str], list[dict]], alarms: dict[str, dict], path: Path) -> None:
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    *axes, right = figure.subplots(1, 3)
    for axis, money in zip(axes, BUDGETS, strict=True):
        for method in METHODS:
            spent, error = (np.array([one[key] for one in runs[money, method]]) for key in ("spent", "error"))
            axis.plot(spent.mean(0), error.mean(0), label=method)
            axis.fill_between(spent.mean(0), error.min(0), error.max(0), alpha=0.15)
        axis.set(xscale="log", yscale="log", xlabel="coins spent on labels", ylabel="error of the reward model")
        axis.xaxis.set_minor_formatter(NullFormatter())  # its labels would lie on top of each other
        axis.set_title(f"{money} coins, means and ranges of {len(runs[money, 'chooser'])} seeds", fontsize=9)
    axes[0].legend(fontsize=7)
    for name, cell in alarms.items():
        fair = [one["labels"] or np.inf for one in cell["delays"] if not one["early"]]
        looks = BLOCK * np.arange(1, MOST_BLOCKS + 1)
        right.plot(looks, [np.mean(np.array(fair) <= look) for look in looks], label=name, drawstyle="steps-post")
    right.set(xlabel="cheap labels since the injection", ylabel="share noticed", xscale="log", ylim=(-0.02, 1.02))
    right.legend(fontsize=7)
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()
