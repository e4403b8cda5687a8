"""What `tandem ledger` prints: what a run has bought and what is left, for a person to read."""


def account_lines(summary: dict) -> list[str]:
    """From `Ledger.summary()`: a line an amount with its unit, then a line for each of the tiers that labels came from."""
    notes = {"reserved": " for labels or transitions on their way"} if summary["reserved"] else {}
    lines = [
        f"{name:<12}{summary[name]:>16,.15g} coins{notes.get(name, '')}"
        for name in ("total", "spent", "reserved", "remaining")
    ]
    lines += [f"{name:<12}{summary[name]:>16,} bought" for name in ("transitions", "labels")]
    return lines + [
        f"  from tier {name}: {tier['labels']:,} labels for {tier['spent']:,.15g} coins"
        for name, tier in summary["by_tier"].items()
    ]
