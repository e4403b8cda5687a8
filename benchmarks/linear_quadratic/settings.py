"""What experiment A runs: money and prices, shares, phases, and the methods compared. Its cells and its report read this."""

import numpy as np

from regret import least_squares
from tandem.budget.allocator import make_allocator
from tandem.budget.market import Counts
from tandem.budget.plan import AllocatorConfig

MONEY = 40_000  # coins; a transition costs 1
PRICES = (1, 10, 100)  # of a label
SHARES = tuple(np.linspace(0.04, 0.96, 24).round(3).tolist())  # of spend on labels
PHASES, PILOT_SHARE, PILOT = 12, 0.06, Counts(100, 32)
SHOWN_EVERY = 3  # phases
CURVE_COUNTS = tuple(2**k for k in range(6, 16))
BOUND_SYSTEMS = 600
FIXED = {"fifty_fifty": 0.5, "labels_20": 0.2, "labels_80": 0.8}
MEASURING = {
    "adaptive": make_allocator(AllocatorConfig(phases=PHASES, pilot_share=PILOT_SHARE)),
    "least_squares": least_squares(AllocatorConfig(phases=PHASES, pilot_share=PILOT_SHARE)),
}
METHODS = (*MEASURING, *FIXED, "coupled")
