"""What a person reads of a run's books and decisions."""

from tandem.budget.reports.accounts import account_lines
from tandem.budget.reports.decisions import decision_lines

FACTS = {
    "gap_now": 3.21,
    "gap_after": 2.5,
    "label_share": 0.42,
    "best_share": 0.38,
    "best_share_low": 0.2,
    "best_share_high": 0.51,
    "gain_dynamics": 0.002,
    "gain_reward": 0.0031,
    "floor_dominates_dynamics": 0.1,
    "floor_dominates_reward": 0.25,
    "exponent_dynamics": 0.31,
    "exponent_dynamics_low": 0.1,
    "exponent_dynamics_high": 0.6,
    "stuck_reward": 0.04,
    "exponent_reward": 0.5,
    "exponent_reward_low": 0.3,
    "exponent_reward_high": 0.9,
}
OFFER = {"tier": "cheap", "replication": 2, "clean": 0.24, "price_micro": 2_600_000, "bias": 0.184}


def decision(**changes) -> dict:
    curve = {"counts": [100.0], "errors": [1.0], "weights": [1.0]}
    two = {"counts": [50.0, 100.0], "errors": [2.0, 1.0], "weights": [1.0, 1.0]}
    measured = {"dynamics": curve, "reward": two, "weights": [1.0, 20.0], "explained_variance": 0.57}
    plan = {"transitions": 144, "labels": 36, "money_micro": 288_000_000, "label_spend_share": 0.5, "note": ""}
    more = {"weights": [1.5, 20.0], "offer": None, "facts": FACTS}
    held = {"transitions": 1656, "labels": 164, "measured": measured}
    return {"phase": 4, "inputs": held, "outputs": plan | more | changes}


def test_a_decision_by_measured_errors_gives_its_reasons():
    _, row, *reasons, _ = decision_lines([decision(offer=OFFER)])
    assert row.split() == ["4", "1,656", "+", "164", "144", "36", "288", "50.0%"]
    told = [
        "in the end 42% of all spend on labels, 38% if all were bought anew (90 %: 20% to 51%)",
        "expected gap 3.21 now, 2.5 after this phase, in return units",
        "the critic explains 0.57 of the variance of held-out returns, whose values count for 57%",
        "dynamics: 1 error, exponent 0.31 (90 %: 0.1 to 0.6), mostly a floor that no data removes with probability 0.1, ",
        "reward: 2 errors, exponent 0.5 (90 %: 0.3 to 0.9), mostly a floor that no data removes with probability 0.25, ",
        "labels by cheap, 2 answers an item that is worth 0.24 clean labels and costs 2.6 coins; bias at most 0.184 reward units",
    ]
    told[3] += "hardly less with twice the data with probability ?, weight 1.5, the next coin cuts the gap by 0.002"
    told[4] += "hardly less with twice the data with probability 0.04, weight 20, the next coin cuts the gap by 0.0031"
    assert [reason.strip() for reason in reasons] == told


def test_it_is_counted_what_decided_in_how_many_phases():
    by_rewards = decision()
    by_rewards["inputs"]["measured"] |= {"explained_variance": 0.1, "explained_labels": 0.7}
    pilot, blind = decision(facts={}) | {"phase": 0}, decision(facts={})
    last = decision_lines([pilot, blind, by_rewards, decision(), decision()])[-1]
    assert last.startswith("3 of 4 plans were decided by what was measured: 1 mostly by rewards alone, 2 mostly by the")


def test_a_fact_that_is_not_known_is_a_question_mark():
    facts = {name: value for name, value in FACTS.items() if name != "best_share"} | {"gap_now": None}
    text = "\n".join(decision_lines([decision(facts=facts)]))
    assert ", ? if all were bought anew" in text and "expected gap ? now" in text


def test_a_decision_without_measured_errors_is_one_row():
    plain = decision(facts={}, note="half of the spend each: nothing is measured")
    assert decision_lines([plain])[1].endswith("  50.0%  half of the spend each: nothing is measured")
    assert len(decision_lines([plain | {"phase": 0}])) == 2
    assert decision_lines([plain | {"phase": 0}])[1].split()[0] == "pilot"


def test_the_accounts_say_what_is_coins_and_what_is_not():
    summary = {"total": 2500.0, "spent": 2498.0, "reserved": 2.0, "remaining": 0.0, "transitions": 1252, "labels": 241}
    summary |= {
        "written_off": 0.0,
        "transitions_written_off": 0,
        "labels_written_off": 0,
        "work_spent": 0.0,
        "raters": {},
        "by_source": {"minari:toy/one-v0": {"transitions": 1000, "spent": 0.5}},
    }
    tiers = {
        "cheap": {"labels": 40, "spent": 40.0, "written_off": 0, "written_off_spent": 0.0},
        "expert": {"labels": 201, "spent": 1206.5, "written_off": 0, "written_off_spent": 0.0},
    }
    lines = [" ".join(line.split()) for line in account_lines(summary | {"by_tier": tiers})]
    assert lines == [
        "total 2,500 coins",
        "spent 2,498 coins",
        "reserved 2 coins for labels or transitions on their way",
        "remaining 0 coins",
        "transitions 1,252 bought",
        "labels 241 bought",
        "from tier cheap: 40 labels for 40 coins",
        "from tier expert: 201 labels for 1,206.5 coins",
        "there before, from minari:toy/one-v0: 1,000 transitions for 0.5 coins",
    ]
