"""What `tandem ledger` prints: what a run has bought and what is left, for a person to read."""


def account_lines(summary: dict) -> list[str]:
    """From `Ledger.summary()`: a line an amount with its unit, then a line a tier and a rater that labels came from, and a data set that transitions came from."""
    notes = {"reserved": " for labels or transitions on their way"} if summary["reserved"] else {}
    lines = [
        f"{name:<12}{summary[name]:>16,.15g} coins{notes.get(name, '')}"
        for name in ("total", "spent", "reserved", "remaining")
    ]
    lines += [f"{name:<12}{summary[name]:>16,} bought{_lost(summary, name)}" for name in ("transitions", "labels")]
    if summary["written_off"]:
        lines.append(f"{'written off':<12}{summary['written_off']:>16,.15g} coins of what was spent, for what is lost")
    if summary["work_spent"]:
        spent = f"{'work':<12}{summary['work_spent']:>16,.15g}"
        lines.append(f"{spent} coins of what was spent, for people's time that brought no label")
    lines += [
        f"  from tier {name}: {tier['labels']:,} labels for {tier['spent']:,.15g} coins{_lost_of_tier(tier)}"
        for name, tier in summary["by_tier"].items()
    ]
    lines += [
        f"  there before, from {name}: {one['transitions']:,} transitions for {one['spent']:,.15g} coins"
        for name, one in summary["by_source"].items()
    ]
    return lines + [
        f"  rater {name or '(no name)'}: {one['labels']:,} labels for {one['spent']:,.15g} coins in {one['seconds']:,.6g} s"
        f"{_other_work(one)}"
        for name, one in summary["raters"].items()
    ]


def _other_work(rater: dict) -> str:
    if not rater["work_seconds"]:
        return ""
    return f", {rater['work_spent']:,.15g} coins more for {rater['work_seconds']:,.6g} s of other work"


def _lost(summary: dict, name: str) -> str:
    lost = summary[f"{name}_written_off"]
    return f" and held, {lost:,} written off" if lost else ""


def _lost_of_tier(tier: dict) -> str:
    if not tier["written_off"]:
        return ""
    return f", {tier['written_off']:,} more written off with {tier['written_off_spent']:,.15g} of them"
