"""The page of a run: its sections in the order in which a person asks."""

from collections.abc import Callable
from pathlib import Path

import yaml

from ...version import __version__
from ..phase_record import PhaseRecord
from ..reports.pictures import laws
from . import curves, sentences
from .markup import Markup, folded, joined, table, tag, text
from .numbers import NONE, coins_told, count, digits, lasted, moment, percent, plural, returned
from .pictures import films, picture
from .sources import Sources

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
FILMS = {  # in report/films -> what it shows, and whether the first one is shown beside the newest
    "eval_film": (
        "An evaluated episode, with its return, the true and the imagined reward, and the critic's value.",
        True,
    ),
    "dynamics_open_loop_film": ("What was observed, and what the model dreams of the same start and actions.", False),
}
PICTURES = {  # in report -> what it shows
    "dynamics_open_loop": "What the model expects to observe against what was observed, in a held-out episode: up to the mark it sees, "
    "from there on it dreams.",
    "reward_imagined_against_real": "What the reward model, taught by bought labels alone, says of dreams, against the true reward.",
}
LONGEST_CONFIGURATION = 100_000  # letters
RATER_COLUMNS = {  # of `tandem ledger --raters --json` -> heading, and how a number is told
    "labels": ("labels", count),
    "spent": ("coins", digits),
    "seconds_a_label": ("seconds a label", digits),
    "coins_an_hour": ("coins an hour", digits),
    "work_spent": ("coins for other work", digits),
    "sigma": ("noise", digits),
    "bias": ("bias", digits),
}


def page_of(run: Path) -> str:
    """All of it as HTML. UserError in one line where `run` is no run's folder."""
    sources = Sources.read(run)
    title = f"{sources.files.task}, {sources.files.name}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        Markup(f"<style>\n{_style()}</style>"),
    )
    made = [(name, heading, _made(make, sources)) for name, (heading, make) in SECTIONS.items()]
    shown = [(name, heading, inside) for name, heading, inside in made if inside]
    ways = tag("nav", *(tag("a", heading, href=f"#{name}") for name, heading, _ in shown), aria_label="sections")
    sections = (tag("section", tag("h2", heading), inside, id=name) for name, heading, inside in shown)
    body = tag("body", _heading(sources), ways, tag("main", *sections), _foot())
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _made(make: Callable[[Sources], Markup | None], sources: Sources) -> Markup | None:
    """A section; one that cannot be made takes no other with it: a stranger's files may hold anything."""
    try:
        return make(sources)
    except Exception as error:  # noqa: BLE001 - of any kind, for the same reason
        return tag(
            "p", f"This part cannot be told from what lies in the folder: {type(error).__name__}: {error}", class_="bad"
        )


def _style() -> str:
    return Path(__file__).with_name("page.css").read_text()


def _heading(sources: Sources) -> Markup:
    files = sources.files
    last = files.evaluations[-1] if files.evaluations else None
    spent, on_labels = sources.bought("spent"), sources.spent_on_labels
    tiles = {
        "true return": returned(last.return_mode) if last else NONE,
        f"of {coins_told(sources.total)} coins spent": coins_told(spent),
        "transitions": count(sources.bought("transitions")),
        "labels": count(sources.bought("labels")),
        "of the spend on labels": percent(on_labels / spent) if spent and on_labels is not None else NONE,
        "of work": lasted(last.hours) if last else NONE,
    }
    named = f"{files.name} · seed {files.seed} · {files.setting('mode', '')}"
    return tag(
        "header",
        tag("p", "Tandem, the report of a run", class_="brand"),
        tag("h1", files.task),
        tag("p", named, class_="soft"),
        tag("p", sentences.state(files, spent, sources.total), " ", sentences.outcome(files), class_="lead"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in tiles.items()), class_="tiles"),
    )


def _returns(sources: Sources) -> Markup | None:
    found = sources.files.evaluations
    if not found:
        return None
    heads = ("after", "coins", "transitions", "labels", "updates", "worked", "most likely", "drawn")
    rows = (
        (
            *(
                curves.phase_name(one.phase),
                coins_told(one.spent),
                count(one.transitions),
                count(one.labels),
                count(one.updates),
            ),
            *(lasted(one.hours), returned(one.return_mode), returned(one.return_sampled)),
        )
        for one in found
    )
    plots = (
        curves.returns_by(found, lambda one: one.spent, "coins spent"),
        curves.returns_by(found, lambda one: one.labels, "labels bought"),
    )
    told = "What the environment itself says of evaluated episodes. For your eyes alone: nothing trains on it and nothing buys by it."
    return joined(
        [
            tag("p", told),
            tag("div", *plots, class_="pair"),
            folded("Every evaluation", table(heads, rows)),
        ]
    )


def _bought(sources: Sources) -> Markup | None:
    parts: list[object] = [tag("p", sentences.bought(sources.account)) if sources.account else None]
    if history := sources.history:
        bars = curves.bought_by_phase(history, sources.coins)
        parts += [tag("div", bars, curves.shares_by_phase(history, sources.coins), class_="pair")]
        parts.append(_phase_table(sources, history))
    parts += [_tiers(sources), _raters(sources)]
    return joined(parts) or None


def _phase_table(sources: Sources, history: list[PhaseRecord]) -> Markup:
    when = {decision["phase"]: decision["time"] for decision in sources.decisions}
    rows, before = [], (0, 0, 0.0)
    for record in history:
        now = (record.transitions, record.labels, record.spent)
        transitions, labels, coins = (after - earlier for after, earlier in zip(now, before, strict=True))
        more = count(transitions), count(labels), coins_told(coins)
        rows.append((curves.phase_name(record.phase), *more, coins_told(record.spent), moment(when.get(record.phase))))
        before = now
    return table(("in", "transitions", "labels", "coins", "coins so far", "planned at (UTC)"), rows)


def _tiers(sources: Sources) -> Markup | None:
    """By whom the labels were given, where the ledger tells tiers apart."""
    tiers = (sources.account or {}).get("by_tier", {})
    if len(tiers) < 2 and set(tiers) <= {"default"}:
        return None
    rows = ((name, count(tier["labels"]), coins_told(tier["spent"])) for name, tier in tiers.items())
    return joined([tag("h3", "Tiers that labels came from"), table(("tier", "labels", "coins"), rows)])


def _raters(sources: Sources) -> Markup | None:
    if not sources.raters:
        return None
    known = {
        key: column for key, column in RATER_COLUMNS.items() if any(row.get(key) for row in sources.raters.values())
    }
    rows = (
        (name or "(no name)", *(told(row.get(key)) for key, (_, told) in known.items()))
        for name, row in sources.raters.items()
    )
    return joined([tag("h3", "Who answered"), table(("rater", *(head for head, _ in known.values())), rows)])


def _plans(sources: Sources) -> Markup | None:
    items = []
    for one in sources.decisions:
        heading = tag("h3", curves.phase_name(one["phase"]).capitalize(), tag("small", moment(one["time"]), " UTC"))
        known = tag("p", said, class_="soft") if (said := sentences.known(one)) else None
        items.append(tag("li", heading, tag("p", sentences.plan(one)), known))
    return tag("ol", *items, class_="plans") if items else None


def _errors(sources: Sources) -> Markup | None:
    measured = [record for record in sources.history if record.measured]
    if not measured:
        return (
            tag(
                "p",
                "Nothing was measured: the run's allocator asks for no errors, or there was too little data to measure on.",
            )
            if sources.history
            else None
        )
    coins = sources.coins
    dynamics, reward = laws(measured[-1], coins)
    labels = "labels held, as perfect ones" if coins.has_tiers else "labels bought"
    sides = (
        (dynamics, "transitions", "transitions bought", "dynamics error, in return units"),
        (reward, "labels", labels, "reward error, in return units"),
    )
    plots = (curves.error_by_count(*side) for side in sides if len(side[0].counts))
    told = f"Measured at the end of {curves.phase_name(measured[-1].phase)}, on data that trained nothing."
    said = (sentences.law(dynamics, "dynamics", "transitions"), sentences.law(reward, "reward", "labels"))
    return joined([tag("p", " ".join((told, *said))), tag("div", *plots, class_="pair")])


def _gaps(sources: Sources) -> Markup | None:
    plot = curves.gaps_by_phase(sources.history) if sources.history else None
    if plot is None:
        return None
    told = "How far the return may lie below the best that is possible, because a model errs: as measured, and as theory has it. Return units."
    meant = (
        tag("div", tag("dt", f"{name[0].upper()}{name[1:]}"), tag("dd", words))
        for _, name, words in curves.GAPS.values()
    )
    return tag("div", plot, tag("div", tag("p", told), tag("dl", *meant, class_="words")), class_="pair")


def _films(sources: Sources) -> Markup | None:
    folder, shown = sources.files.path / "report" / "films", []
    for name, (words, is_first_shown) in FILMS.items():
        for phase, made in films(folder, name, words, is_first_shown):
            after = f"After {curves.phase_name(phase)}. "
            shown.append(tag("figure", made, tag("figcaption", tag("b", after), words)))
    return tag("div", *shown, class_="films") if shown else None


def _pictures(sources: Sources) -> Markup | None:
    folder = sources.files.path / "report"
    shown = [
        tag("figure", tag("div", made, class_="wide picture", tabindex="0"), tag("figcaption", words))
        for name, words in PICTURES.items()
        if (made := picture(folder / f"{name}.png", words))
    ]
    return joined(shown) or None


def _warnings(sources: Sources) -> Markup:
    items = [tag("li", words) for words in sources.unread]
    for one in sources.warnings:
        often = f", {plural(one.number, 'time')}, last at {moment(one.last)}" if one.number > 1 else ""
        items.append(tag("li", one.words, " ", tag("small", f"{moment(one.first)}{often}")))
    return (
        tag("ul", *items, class_="warnings")
        if items
        else tag("p", "None: the run warned of nothing, and all of its files could be read.")
    )


def _configuration(sources: Sources) -> Markup:
    plain = yaml.safe_dump(sources.files.configuration, sort_keys=False, allow_unicode=True, width=100)
    prices = sources.files.prices
    told = f"A transition cost {digits(prices['transition'])}, a label {digits(prices['label'])} coins; one transition is {plural(sources.files.repeat, 'environment step')}."
    return joined(
        [tag("p", told), folded("All settings, as they were saved", tag("pre", text(plain, LONGEST_CONFIGURATION)))]
    )


def _versions(sources: Sources) -> Markup:
    absent = {"version": "0.1 or 0.2, which wrote none, or run.json is lost"}
    made_by = {"version": "not readable"} if sources.made_by is None else sources.made_by or absent
    rows = [("Tandem" if name == "version" else name, value) for name, value in made_by.items()]
    return table(("the run was started by", ""), [*rows, ("this page", f"Tandem {__version__}")], words=(0, 1))


def _foot() -> Markup:
    return tag("footer", tag("p", "This page is one file: it loads nothing, runs nothing and sends nothing."))


SECTIONS: dict[str, tuple[str, Callable[[Sources], Markup | None]]] = {
    "returns": ("Return by cost", _returns),
    "bought": ("What was bought", _bought),
    "plans": ("Plans, and why", _plans),
    "errors": ("Errors and their laws", _errors),
    "gaps": ("Gaps", _gaps),
    "films": ("Films", _films),
    "pictures": ("What the models expect", _pictures),
    "warnings": ("Warnings", _warnings),
    "configuration": ("Configuration", _configuration),
    "versions": ("Versions", _versions),
}
