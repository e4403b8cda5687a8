"""The table of what was survived, in Markdown."""

from collections.abc import Iterator

Row = tuple[str, str, str]  # what happened, how often, what came of it


def table(found: dict) -> str:
    parts = found["parts"]
    rows = [row for name, make in ROWS.items() if name in parts for row in make(parts[name])]
    lines = ["| accident | times | what came of it |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    faults = [f"* {name}: {fault}" for name, part in parts.items() for fault in _faults(part)]
    return "\n".join([*lines, "", "What went wrong:" if faults else "Nothing went wrong.", "", *faults]).rstrip()


def _kills(part: dict, what: str) -> Iterator[Row]:
    runs = f"{part['resumed']} resumed; {part['runs_equal']} of {part['runs']} runs equal to the uninterrupted one"
    labels = f"of {part['labels']:,} labels {part['labels_lost']} lost, {part['labels_paid_twice']} paid twice"
    yield what, str(part["kills"]), f"{runs}; {labels}"


def _exact(part: dict) -> Iterator[Row]:
    what = "stopped in the middle, and on in a fresh process; every combination of mode, task, number, pool and latents"
    yield what, str(part["runs"]), f"{part['runs_equal']} equal to the uninterrupted run"


def _progress(part: dict) -> Iterator[Row]:
    updates = part["updates"]
    shown = ", ".join(map(str, updates[:4])) + (f" ... {updates[-1]}" if len(updates) > 4 else "")
    end = "the run came to its end" if part["is_finished"] else "it did not come to its end"
    yield f"lives of {part['life_seconds']:g} s, a phase lasts longer", f"{len(updates)}", f"updates {shown}; {end}"


def _corruptions(part: dict) -> Iterator[Row]:
    told = f"{part['corruptions_detected']} noticed or harmless, {part['corruptions_rescued']} rescued by one command"
    yield (
        "every file cut to half, emptied, deleted, one bit flipped (three times)",
        f"{part['corruptions']}",
        f"{told}; {part['corruptions_harmless']} went on to the same end",
    )


def _strangers(part: dict) -> Iterator[Row]:
    yield "pickles planted in every file that is loaded", f"{part['pickles']}", f"{part['pickles_executed']} executed"


def _others(part: dict) -> Iterator[Row]:
    for name, counts in part.items():
        if isinstance(counts, dict):
            told = ", ".join(f"{key} {_short(value)}" for key, value in counts.items() if not isinstance(value, list))
            yield name, "", told.replace("_", " ")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _faults(part: dict) -> Iterator[str]:
    """All that stands under "faults" or "troubles", however deep."""
    for key, value in part.items():
        if isinstance(value, dict):
            yield from _faults(value)
        elif key in ("faults", "troubles"):
            yield from value


ROWS = {
    "kills": lambda part: _kills(part, "kill -9 at a random moment"),
    "points": lambda part: _kills(part, "kill -9, and a power cut, before each fsync, rename, deletion and commit"),
    "exact": _exact,
    "progress": _progress,
    "corruptions": _corruptions,
    "strangers": _strangers,
    "stops": _others,
    "workers": _others,
    "poison": _others,
}
