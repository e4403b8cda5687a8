"""What money can buy, and the split of it between transitions and labels that makes the sum of both errors least.

The problem: minimise w_d err_d(N_d) + w_r err_r(N_r) where c_d N_d + c_r N_r <= C. At the best interior point the money
on the two sides stands as alpha_d g_d : alpha_r g_r, with g the weighted errors above their floors (arXiv 2605.06732,
theorem 1, says the same of the counts). Stock that cannot be sold, caps and lots are in `Market`.

A reward model that reads the latents of the dynamics model is helped by transitions too: then err_r, but for a bias of the
raters, is multiplied by a factor that falls with N_d, `latents`, and the money stands as alpha_d g_d + alpha_l w_r err_r :
alpha_r g_r, with all of err_r beside alpha_l.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .scaling import ErrorLaw

_SEARCH_LOTS = 2  # on either side of the continuous optimum; counts that are not whole lots lie between two that are
_HALVINGS = 60  # of an interval of length 120: down to 1e-16


class Counts(NamedTuple):
    """Numbers held or to be held, what was bought before included."""

    transitions: int
    labels: int


_NOTHING = Counts(0, 0)


@dataclass(frozen=True)
class Market:
    """What `money` can add to a stock. Money and prices are whole numbers of one unit (micro-coins), so sums are exact.

    Pairs are (transitions, labels). Caps and `labels_per_transition` bound the counts held at the end, stock included;
    what is added comes in whole lots. A stock beyond its bounds stays: nothing can be sold.
    """

    money: int
    prices: tuple[int, int]
    stock: Counts = _NOTHING
    caps: tuple[float, float] = (math.inf, math.inf)
    labels_per_transition: float = math.inf
    lots: tuple[int, int] = (1, 1)
    unattached: int = 0  # labels above (below: negative) the rows that were asked about: only new ones need a row

    def __post_init__(self):
        if self.money < 0 or min(self.prices) < 0 or min(self.stock) < 0 or min(self.lots) < 1:
            raise ValueError(f"market: money, prices and stock must be 0 or more and lots 1 or more, got {self}")
        label_cap = min(self.caps[1], self.labels_per_transition)
        if any(
            price == 0 and cap == math.inf for price, cap in zip(self.prices, (self.caps[0], label_cap), strict=True)
        ):
            raise ValueError(f"prices: 0 needs a cap on what is free, got {self.prices} and caps {self.caps}")

    @property
    def wealth(self) -> int:
        """The money, and the stock at today's prices."""
        return self.money + self.prices[0] * self.stock.transitions + self.prices[1] * self.stock.labels

    def spend_range(self) -> tuple[float, float]:
        """Least and most of the wealth that can stand in transitions; where bounds conflict, the most is right."""
        price, label_price = self.prices
        least = max(
            price * self.stock.transitions,
            self.wealth - label_price * self.caps[1],
            (self.wealth - label_price * self.unattached) * price / (price + self.labels_per_transition * label_price),
        )
        most = min(self.wealth - label_price * self.stock.labels, price * self.caps[0])
        return min(least, most), most

    def at_transitions(self, count: float) -> Counts:
        """`count` transitions or the most below it, the rest of the money in labels, what is left of it back again."""
        (price, _), (lot, _) = self.prices, self.lots
        transitions = _most(self.stock.transitions, self.money, price, lot, min(count, self.caps[0]))
        return self._filled(transitions)

    def at_labels(self, count: float) -> Counts:
        """The same from the labels' side: `count` labels, or the most that the money and the rows beside them allow."""
        (_, price), (_, lot) = self.prices, self.lots
        attached = (self.wealth - self.spend_range()[0]) / price if price else math.inf
        labels = _most(self.stock.labels, self.money, price, lot, min(count, self.caps[1], attached))
        return self._filled(self._transitions_beside(labels))

    def _filled(self, transitions: int) -> Counts:
        """Leave no money that could still buy a lot of either kind."""
        transitions = self._transitions_beside(self._labels_beside(transitions))
        return Counts(transitions, self._labels_beside(transitions))

    def _transitions_beside(self, labels: int) -> int:
        left = self.money - self.prices[1] * (labels - self.stock.labels)
        return _most(self.stock.transitions, left, self.prices[0], self.lots[0], self.caps[0])

    def _labels_beside(self, transitions: int) -> int:
        left = self.money - self.prices[0] * (transitions - self.stock.transitions)
        # 0 transitions times no limit would be NaN
        attached = math.inf
        if self.labels_per_transition != math.inf:
            attached = self.labels_per_transition * transitions + self.unattached
        return _most(self.stock.labels, left, self.prices[1], self.lots[1], min(self.caps[1], attached))


def _most(stock: int, money: int, price: int, lot: int, cap: float) -> int:
    """The largest count up to `cap` that adding whole lots to `stock` reaches with `money`; never below the stock."""
    assert price > 0 or cap < math.inf, "a free and unlimited good"
    affordable = [money // (price * lot)] if price > 0 else []
    allowed = [(math.floor(cap) - stock) // lot] if cap < math.inf else []
    return stock + lot * max(0, min(affordable + allowed))


def gap(
    counts: Counts,
    dynamics: ErrorLaw,
    reward: ErrorLaw,
    weights: tuple[float, float] = (1.0, 1.0),
    latents: ErrorLaw | None = None,
) -> float:
    """w_d err_d + w_r err_r; infinite while one side has no data. latents: what err_r is multiplied with, by transitions."""
    reward = reward if latents is None else reward.scaled(latents.error(counts.transitions))
    return weights[0] * dynamics.error(counts.transitions) + weights[1] * reward.error(counts.labels)


def log_help(transitions: float, labels: float, reward: ErrorLaw, latents: ErrorLaw):
    """Log of what the next transition takes off the reward's error, where `latents` are at those transitions."""
    factor = latents.error(transitions)
    error = reward.scaled(factor).error(labels)
    return np.log((error**2 - reward.bias**2) / error / factor) + latents.log_slope(np.log(transitions))


def split(
    market: Market,
    dynamics: ErrorLaw,
    reward: ErrorLaw,
    weights: tuple[float, float] = (1.0, 1.0),
    latents: ErrorLaw | None = None,
) -> Counts:
    """The whole counts, stock included, of least gap. They never cost more than the money.

    Solved for everything held in the end, so that calling it phase after phase with the growing stock follows the
    expansion path: both optimal counts grow with wealth, and nothing would ever have to be sold. Clipping the
    unconstrained answer is right because the gap is convex in the spend.
    """
    if 0 in market.prices:  # what is free is taken, the money goes to the other side
        return market.at_transitions(math.inf if market.prices[0] else market.caps[0])
    spend = float(best_spend(market, dynamics, reward, weights, latents))
    return min(_whole_counts_near(market, spend), key=lambda counts: gap(counts, dynamics, reward, weights, latents))


def best_spend(
    market: Market,
    dynamics: ErrorLaw,
    reward: ErrorLaw,
    weights: tuple[float, float] = (1.0, 1.0),
    latents: ErrorLaw | None = None,
) -> float | np.ndarray:
    """The part of the wealth that transitions get, counts taken as continuous; K parts from laws that stand for K."""
    if market.wealth == 0:
        return 0.0
    least, most = market.spend_range()
    return np.clip(_unconstrained_spend(market, (dynamics, reward), weights, latents), float(least), float(most))


def _unconstrained_spend(
    market: Market, laws: tuple[ErrorLaw, ErrorLaw], weights: tuple[float, float], latents: ErrorLaw | None
):
    """The best part where nothing binds, by bisection on u = log(spend_d / spend_r), for all K at once."""
    log_wealth, log_prices = math.log(market.wealth), [math.log(price) for price in market.prices]
    log_weights = [math.log(weight) for weight in weights]

    def log_spends(u):
        return log_wealth - np.logaddexp(0, -u), log_wealth - np.logaddexp(0, u)

    def excess(u):
        """Log gain of the next coin in transitions over that of one in labels: strictly decreasing in u."""
        log_counts = [log_spend - log_price for log_spend, log_price in zip(log_spends(u), log_prices, strict=True)]
        transitions, labels = (np.exp(log_count) for log_count in log_counts)
        reward = laws[1] if latents is None else laws[1].scaled(latents.error(transitions))
        gains = [
            log_weight - log_price + law.log_slope(log_count)
            for log_weight, log_price, law, log_count in zip(
                log_weights, log_prices, (laws[0], reward), log_counts, strict=True
            )
        ]
        if latents is not None:
            helped = log_help(transitions, labels, laws[1], latents)
            gains[0] = np.logaddexp(gains[0], log_weights[1] - log_prices[0] + helped)
        return gains[0] - gains[1]

    low, high = -60.0, 60.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_too_low = excess(middle) > 0
        low, high = np.where(is_too_low, middle, low), np.where(is_too_low, high, middle)
    return np.exp(log_spends(low)[0])


def _whole_counts_near(market: Market, spend: float) -> Iterator[Counts]:
    """Candidates: a few lots around the continuous answer on either side, the rest of the money in the other."""
    transitions, labels = spend / market.prices[0], (market.wealth - spend) / market.prices[1]
    for lots in range(-_SEARCH_LOTS, _SEARCH_LOTS + 1):
        yield market.at_transitions(transitions + lots * market.lots[0])
        yield market.at_labels(labels + lots * market.lots[1])


def at_label_share(market: Market, label_share: float) -> Counts:
    """The whole counts at which labels are `label_share` (0 .. 1) of all spend, as far as stock and caps allow."""
    least, most = market.spend_range()
    spend = min(max((1 - label_share) * market.wealth, least), most)
    return market.at_transitions(spend / market.prices[0])


def coupled(market: Market) -> Counts:
    """A label for every transition: equal counts (or the cap on labels); money that buys no such pair is left over."""
    paired = replace(market, labels_per_transition=min(1, market.labels_per_transition))
    price, label_price = market.prices
    pairs = market.wealth // (price + label_price * paired.labels_per_transition)
    wanted = min(max(pairs, market.stock.labels), market.caps[0])
    transitions = _most(market.stock.transitions, market.money, price, market.lots[0], wanted)
    return Counts(transitions, paired._labels_beside(transitions))
