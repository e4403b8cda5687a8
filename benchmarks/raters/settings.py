"""What experiment D compares: raters, ways to buy from them, and biases to inject."""

from dataclasses import replace

from tandem.envs.labelers.rater import TierConfig

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
INJECTED_AFTER, BLOCK, MOST_BLOCKS = 1000, 100, 40  # labels before the injection; between two looks; looks after it
INJECTED = {
    "none": TierConfig(price=1.0, sigma=1.0),
    "shift of 0.5": TierConfig(price=1.0, sigma=1.0, bias=0.5),
    "shift of 1": TierConfig(price=1.0, sigma=1.0, bias=1.0),
    "shift of 2": TierConfig(price=1.0, sigma=1.0, bias=2.0),
    "10 % flips": TierConfig(price=1.0, sigma=1.0, flip=0.1),
    "1.5 sin(reward)": TierConfig(price=1.0, sigma=1.0, slope=1.5),
}
