"""The headline table of docs/allocation.md is what `tandem compare` says of the kept runs of benchmarks/allocators.py."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from tandem.training.comparison.compared import Comparison, compare
from tandem.training.comparison.courses import find_courses
from tandem.training.comparison.groups import Group

ROOT = Path(__file__).resolve().parents[3]
ROWS = {  # a row of the table -> the task of the benchmark
    "Pendulum-v1, a label costs 10": "pendulum_10",
    "Pendulum-v1, a label costs 100": "pendulum_100",
    "swing-up, a label costs 10": "swingup_10",
}
METHODS = {  # the table's columns, in order: what the groups are that it shows, all at equal updates
    "adaptive": {"allocator.name": "adaptive", "train.ratio": "null"},
    "half of the spend each": {"allocator.name": "fixed", "allocator.label_share": "0.5", "train.ratio": "null"},
    "a label a transition": {"allocator.name": "coupled", "train.ratio": "null"},
}


@pytest.fixture(scope="module")
def benchmark():
    """The modules `allocators` and `cells` of benchmarks/."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("allocators"), importlib.import_module("cells")
    sys.path.remove(str(ROOT / "benchmarks"))


def written() -> dict[str, list[str]]:
    """First cell -> the cells after it, of every row of the page's first table."""
    lines = (ROOT / "docs/allocation.md").read_text().partition("| coins to the level |")[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: len(ROWS)]]
    return {first: rest for first, *rest in rows}


def is_of(group: Group, settings: dict[str, str]) -> bool:
    return all(group.settings[key] == value for key, value in settings.items())


def coins(comparison: Comparison, settings: dict[str, str]) -> str:
    """Of the one group with these settings."""
    (found,) = (one.reached for one in comparison.standings if is_of(one.group, settings))
    return f"{'' if found.is_reached else '> '}{found.spent:,.0f}"


@pytest.mark.parametrize("row", ROWS)
def test_compare_says_what_the_table_says(row, benchmark, tmp_path):
    allocators, cells = benchmark
    results = cells.load(allocators.KEPT)
    task = next(one for one in allocators.TASKS if one.name == ROWS[row])
    mine = {name: by_seed for name, by_seed in results.items() if name.startswith(f"{task.name}_")}
    (tmp_path / "kept.json").write_text(json.dumps(cells.kept_runs(mine)))
    courses, notes = find_courses([tmp_path / "kept.json"])
    comparison = compare(courses, "coins", allocators.level(results, task))
    assert notes == []
    assert [coins(comparison, settings) for settings in METHODS.values()] == written()[row][:3]
