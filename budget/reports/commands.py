"""`tandem plan`: its options, and what it prints."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..ledger import Ledger
from ..money import PriceConfig
from .laws import run_terms
from .plan import plan_answer, plan_table
from .raters import parse_tiers

BUDGET = "to spend now, beside what was bought before"
RUN = "take laws, weights, prices and stock as this run has measured, paid and bought; other options go before it"
POWER_LAW = "coefficient and exponent of error = coefficient * count ** -exponent (default: the paper's)"
TIERS = (
    "raters to choose from, such as 'cheap:price=1,sigma=1;expert:price=6,sigma=0.2' (and bias=...), in reward units"
)
RESIDUAL = "standard deviation of what a perfect rater would leave unexplained, in reward units (default: 1)"
ITEM_PRICE = "of showing a row to the first of its raters (default: 0)"
ROLLOUTS = "where raters score each step of whole rollouts: of a rollout without its answers"
GRADIENT = "variance of one rollout's gradient, its own and a unit of reward noise's (default: 1,1)"


def plan(arguments: list[str], parser: ArgumentParser, run_folder: Callable[[Path], Path]) -> None:
    """`tandem plan ARGUMENTS`. UserError for what a person can set right. run_folder: checks that a folder holds a run."""
    price = PriceConfig()
    known: dict[str, Any] = {"price_transition": price.transition, "price_label": price.label}
    options = {
        name: value
        for name, value in vars(_with_options(parser, known).parse_args(arguments)).items()
        if value is not None
    }
    as_json, run = options.pop("json"), options.pop("run", None)
    if run:
        ledger = Ledger.open(run_folder(run) / "ledger.db")
        known = run_terms(ledger, str(run), run / "phases.jsonl").arguments()
    try:
        options["tiers"] = parse_tiers(options["tiers"]) if options["tiers"] else ()
        answer = plan_answer(**known | options)
    except ValueError as error:
        raise UserError(str(error)) from error
    print(json.dumps(answer) if as_json else plan_table(answer))


def _with_options(parser: ArgumentParser, known: dict) -> ArgumentParser:
    """known: the prices without --run. What a run may know has no default here."""
    transition, label = (f"coins each (default: {known[name]:g})" for name in ("price_transition", "price_label"))
    parser.add_argument("--budget", type=float, required=True, metavar="COINS", help=BUDGET)
    parser.add_argument("--run", type=Path, metavar="RUN", help=RUN)
    parser.add_argument("--price-transition", type=float, metavar="COINS", help=transition)
    parser.add_argument("--price-label", type=float, metavar="COINS", help=label)
    parser.add_argument("--dynamics", type=_pair, metavar="A,ALPHA", help=f"of transitions: {POWER_LAW}")
    parser.add_argument("--reward", type=_pair, metavar="B,BETA", help=f"of labels: {POWER_LAW}")
    parser.add_argument("--weights", type=_pair, metavar="D,R", help="of the two errors in the gap (default: 1,1)")
    parser.add_argument("--have-transitions", type=int, metavar="N", help="bought before (default: 0)")
    parser.add_argument("--have-labels", type=int, metavar="N", help="bought before (default: 0)")
    parser.add_argument("--tiers", default="", metavar="TIERS", help=TIERS)
    parser.add_argument("--residual", type=float, default=1.0, metavar="S0", help=RESIDUAL)
    parser.add_argument("--item-price", type=float, default=0.0, metavar="COINS", help=ITEM_PRICE)
    parser.add_argument("--rollout-price", type=float, metavar="COINS", help=ROLLOUTS)
    parser.add_argument("--horizon", type=int, default=15, metavar="STEPS", help="of such a rollout (default: 15)")
    parser.add_argument("--gradient-variance", type=_pair, default=(1.0, 1.0), metavar="V0,V1", help=GRADIENT)
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _pair(text: str) -> tuple[float, float]:
    """Two numbers with a comma between them."""
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"must be two numbers such as 0.34,0.11, got {text!r}") from error
    return first, second
