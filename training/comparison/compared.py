"""What the groups of runs of one task reached, by what they spent."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ...errors import UserError
from .courses import COUNTED, Axis, Course
from .curves import Curve, Returns, common_grid, curve, is_wide
from .estimates import Estimate, Resamples, estimate, improvement, interquartile_mean, opposite
from .groups import Group, also_differing, group

WAY = 0.9  # to the best last return, where no level is given
NEARLY = 1.02  # ends that differ by less are one: a last phase leaves some coins over
ENOUGH = 5  # runs that a bootstrap can begin to trust
MOST_NAMES = 4  # of runs or settings in a note
SEED = 0  # of the resamples: the same runs give the same bands


@dataclass(frozen=True)
class Reached:
    """What the middle run of a group had spent when it first reached the level; one that never did counts as infinite.

    Of an even number of runs it is the dearer one of the two in the middle.
    """

    spent: float  # the most that was spent, where the middle run never reached it
    is_reached: bool
    number: int  # of runs that reached it


@dataclass(frozen=True)
class Standing:
    """Of a group. All estimates are interquartile means over runs."""

    group: Group
    curve: Curve
    runs: tuple[Returns, ...]
    final: Estimate  # the last return
    at_common: Estimate  # the return where every run of the task had spent as much
    area: Estimate  # the mean return until there
    reached: Reached
    wins: tuple[str, ...]  # groups that it is above with a probability whose bounds leave out one half


@dataclass(frozen=True)
class Comparison:
    """Of all groups of a task, the best at the common spend first."""

    task: str
    axis: Axis
    level: float
    is_level_given: bool
    common: float  # as much as every run has spent
    standings: tuple[Standing, ...]
    improvements: dict[tuple[str, str], Estimate]  # of the first group over the second, at the common spend
    notes: tuple[str, ...]

    @property
    def is_wide(self) -> bool:
        return is_wide([max(run.end for run in one.runs) for one in self.standings])


def compare(courses: Sequence[Course], axis: Axis, level: float | None) -> Comparison:
    """courses: of one task, each with an evaluation. level: a return; None: 90 % of the way from the first to the best last."""
    groups = group(courses)
    runs = [tuple(_returns(one, axis) for one in each.courses) for each in groups]
    ends = [max(run.end for run in inside) for inside in runs]
    common = min(run.end for inside in runs for run in inside)
    terms = Terms(
        level=_level(runs) if level is None else level,
        common=common,
        grid=common_grid(ends, min(run.at[0] for inside in runs for run in inside)),
    )
    rng = np.random.default_rng(SEED)
    resamples = [Resamples.draw(len(inside), rng) for inside in runs]
    better = _improvements([_at(inside, common) for inside in runs], [one.shares() for one in resamples])
    standings = [
        _standing(groups[one], inside, terms, resamples[one], [groups[b].name for b in _beaten(better, one)])
        for one, inside in enumerate(runs)
    ]
    return Comparison(
        task=courses[0].task,
        axis=axis,
        level=terms.level,
        is_level_given=level is not None,
        common=common,
        standings=tuple(sorted(standings, key=lambda one: -one.at_common.value)),
        improvements={(groups[a].name, groups[b].name): one for (a, b), one in better.items()},
        notes=tuple(_notes(groups, runs, axis, terms)),
    )


@dataclass(frozen=True)
class Terms:
    """By which all groups of a task are measured."""

    level: float
    common: float
    grid: np.ndarray


def _standing(group: Group, runs: tuple[Returns, ...], terms: Terms, resamples: Resamples, wins: list[str]) -> Standing:
    return Standing(
        group=group,
        curve=curve(runs, terms.grid, resamples),
        runs=runs,
        final=estimate(np.array([run.value[-1] for run in runs]), resamples),
        at_common=estimate(_at(runs, terms.common), resamples),
        area=estimate(np.array([run.mean_until(terms.common) for run in runs]), resamples),
        reached=_reached(runs, terms.level),
        wins=tuple(wins),
    )


def _at(runs: Sequence[Returns], spent: float) -> np.ndarray:
    return np.array([run.on(np.array([spent]))[0] for run in runs])


def _improvements(values: list[np.ndarray], shares: list[np.ndarray]) -> dict[tuple[int, int], Estimate]:
    """Of the first group over the second, for all ordered pairs."""
    found = {}
    for a in range(len(values)):
        for b in range(a):
            one = improvement(values[a], values[b], shares[a], shares[b])
            found[a, b] = one
            found[b, a] = opposite(one)
    return found


def _beaten(better: dict[tuple[int, int], Estimate], one: int) -> list[int]:
    return sorted(b for (a, b), found in better.items() if a == one and found.low is not None and found.low > 0.5)


def _returns(course: Course, axis: Axis) -> Returns:
    returns = Returns.of(course, axis)
    if not np.isfinite(returns.at).all():
        raise UserError(f"{course.name}: {axis} of its evaluations are not known, compare by another")
    return returns


def _level(runs: Sequence[Sequence[Returns]]) -> float:
    first = _first(runs)
    best = max(interquartile_mean(np.array([run.value[-1] for run in inside])) for inside in runs)
    return float(first + WAY * (best - first))


def _first(runs: Sequence[Sequence[Returns]]) -> float:
    return float(interquartile_mean(np.array([run.value[0] for inside in runs for run in inside])))


def _reached(runs: Sequence[Returns], level: float) -> Reached:
    spent = sorted(run.reaches(level) for run in runs)
    middle, number = spent[len(spent) // 2], sum(map(math.isfinite, spent))
    if math.isfinite(middle):
        return Reached(middle, True, number)
    return Reached(max(run.end for run in runs), False, number)


def _notes(groups: Sequence[Group], runs: Sequence[Sequence[Returns]], axis: Axis, terms: Terms) -> list[str]:
    """What a person should know before believing the numbers, a line each."""
    pairs = [pair for each, inside in zip(groups, runs, strict=True) for pair in zip(each.courses, inside, strict=True)]
    names = {
        "not over, the latest return counts as the last one": [one.name for one, _ in pairs if not one.is_over],
        "one evaluation only, a point and no curve": [one.name for one, _ in pairs if len(one.evaluations) == 1],
        f"evaluations all at one place by {axis}, a point and no curve": [
            one.name for one, run in pairs if len(run.at) == 1 < len(one.evaluations)
        ],
        f"first evaluated after {terms.common:,.6g} {axis}, where the first return stands for what came before": [
            one.name for one, run in pairs if run.at[0] > terms.common
        ],
        "seed is there more than once in its group, such runs are not independent": list(_repeated(groups)),
    }
    notes = [f"{what}: {_named(found)}" for what, found in names.items() if found]
    repeats = sorted({one.repeat for one, _ in pairs})
    if len(repeats) > 1:
        told = ", ".join(map(str, repeats))
        notes.append(f"action repeats differ ({told}): steps are those of the environment, not transitions")
    if more := also_differing(groups):
        notes.append(f"groups also differ in what their names leave out: {_named(more)}")
    shortest = min(pairs, key=lambda pair: pair[1].end)[0].name
    if max(run.end for _, run in pairs) > NEARLY * terms.common:
        notes.append(f"all runs have spent {terms.common:,.6g} {axis}: {shortest} ends there, others go on")
    if any(1 < len(inside) < ENOUGH for inside in runs):
        notes.append(
            f"of fewer than {ENOUGH} runs a band is narrower than 95 %: so few cannot show how much others differ"
        )
    if terms.level <= _first(runs):
        notes.append("the level is no higher than the first returns: what it costs says nothing")
    return notes


def _repeated(groups: Sequence[Group]) -> Iterator[str]:
    for each in groups:
        for seed, number in Counter(one.seed for one in each.courses).items():
            yield from [one.name for one in each.courses if one.seed == seed][: number if number > 1 else 0]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def to_plain(comparison: Comparison) -> dict:
    """As JSON knows it."""
    one = comparison
    return {
        "task": one.task,
        "by": one.axis,
        "level": one.level,
        "is_level_given": one.is_level_given,
        "common": one.common,
        "groups": [_plain_standing(each, one.axis) for each in one.standings],
        "improvements": [{"group": a, "over": b, **asdict(each)} for (a, b), each in one.improvements.items()],
        "notes": list(one.notes),
    }


def _plain_standing(one: Standing, axis: Axis) -> dict:
    curve = {name: None if value is None else value.tolist() for name, value in vars(one.curve).items()}
    estimates = {name: asdict(getattr(one, name)) for name in ("final", "at_common", "area", "reached")}
    return {
        "name": one.group.name,
        "settings": one.group.settings,
        "runs": [course.name for course in one.group.courses],
        **estimates,
        "wins": list(one.wins),
        "curve": {COUNTED[axis] if name == "at" else name: value for name, value in curve.items()},
    }
