"""The layering: which of our modules a file may import, read from its source. Late imports and those for types alone count too."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("agents", "budget", "configs", "envs", "training", "worldmodel")
OUTSIDE = ("benchmarks", "examples", "tests")
GROUND = {f"tandem.{file.stem}" for file in ROOT.glob("*.py")} - {
    "tandem.__init__",
    "tandem.__main__",
    "tandem.cli",
    "tandem.train",
}
BELOW = {
    "tandem.envs": {"tandem.envs"},
    "tandem.budget": {"tandem.budget"},
    "tandem.worldmodel": {"tandem.worldmodel", "tandem.envs.records"},
    "tandem.agents": {"tandem.agents", "tandem.worldmodel", "tandem.envs.records"},
    "tandem.training": {f"tandem.{room}" for room in ROOMS},
}
# Rooms of training that must not know each other. What measures gets parts, never the whole run or its settings, and
# cannot buy; what buys or keeps files learns nothing from the reports.
APART = {
    "tandem.training.storage": {"tandem.training.purchases", "tandem.training.reports"},
    "tandem.training.purchases": {"tandem.training.storage", "tandem.training.reports"},
    "tandem.training.measurements": {
        "tandem.training.run",
        "tandem.training.config",
        "tandem.training.settings",
        "tandem.training.purchases",
        "tandem.training.reports",
        "tandem.envs.vault",
    },
    # Whoever only reads a run's folder never starts torch, makes an environment, or writes.
    "tandem.training.reading": {
        "tandem.envs.make",
        "tandem.envs.pool",
        "tandem.envs.vault",
        "tandem.envs.vector",
        "tandem.worldmodel",
        "tandem.agents",
        "tandem.budget.ledger",
        "tandem.training.run",
        "tandem.training.config",
        "tandem.training.settings",
        "tandem.training.purchases",
        "tandem.training.measurements",
        "tandem.training.reports",
        "tandem.training.storage",
    },
}
SEE_THE_WHOLE_RUN = {"tandem.training.build", "tandem.training.pace", "tandem.training.phases"}


@cache
def modules(package: str = "tandem") -> dict[str, Path]:
    """Dotted name -> file of every module in a package."""
    files = [*ROOT.glob("*.py"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]
    named = {dotted(file): file for file in sorted(files)}
    return {module: file for module, file in named.items() if is_in(module, package)}


def dotted(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(["tandem", *(part for part in parts if part != "__init__")])


@cache
def imports_of(module: str) -> set[str]:
    file = modules()[module]
    return imports(module if file.name == "__init__.py" else module.rpartition(".")[0], file.read_text())


def imports(package: str, source: str) -> set[str]:
    """Every name that a module of `package` imports, at any depth of the code; `from a import b` counts as a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@cache
def graph() -> dict[str, set[str]]:
    """Module -> our modules that it imports; of `from a import b` the module b where it is one, else a."""
    known = modules()

    def module_of(name: str) -> str:
        return name if name in known else module_of(name.rpartition(".")[0])

    return {module: {module_of(n) for n in imports_of(module) if is_in(n, "tandem")} - {module} for module in known}


def test_the_reader_sees_relative_and_late_imports():
    source = (
        "from . import noisy\nfrom ..vault import RewardVault\nfrom ... import seeds\ndef f():\n    import torch.nn\n"
    )
    assert imports("tandem.envs.labelers", source) == {
        "tandem.envs.labelers.noisy",
        "tandem.envs.vault.RewardVault",
        "tandem.seeds",
        "torch.nn",
    }


def test_the_graph_has_the_arrows_that_we_know():
    arrows = graph()
    assert "tandem.training.build" in arrows["tandem"]  # late
    assert {"tandem.durable", "tandem.errors"} <= arrows["tandem.training.storage.checkpoint"]
    assert "tandem.configs" in set().union(*(arrows[module] for module in modules("tandem.training")))
    assert "tandem.cli" in arrows["tandem.train"]


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_down_only(package):
    found = modules(package)
    assert found, f"no modules in {package}"
    wrong = [
        f"{module} imports {name}"
        for module in found
        for name in imports_of(module)
        if name.split(".")[0] in ("tandem", *OUTSIDE) and not any(is_in(name, one) for one in BELOW[package] | GROUND)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["tandem.envs.records", *sorted(GROUND)])
def test_the_shared_nouns_and_the_ground_import_nothing_of_ours_but_errors(module):
    assert {"tandem.durable", "tandem.errors", "tandem.seeds"} <= GROUND
    ours = graph()[module]
    files = {"tandem.durable"} if module == "tandem.frames" else set()
    assert ours <= ({"tandem.errors"} | files if module in GROUND else set())


@pytest.mark.parametrize("room", APART)
def test_rooms_of_training_stay_apart(room):
    found = modules(room)
    assert found, f"no modules in {room}"
    wrong = [
        f"{module} imports {name}"
        for module in found
        for name in imports_of(module)
        if any(is_in(name, other) for other in APART[room])
    ]
    assert wrong == []


def test_only_the_loop_and_what_builds_it_see_the_whole_run():
    seeing = {module for module, imported in graph().items() if "tandem.training.run" in imported}
    assert sorted(seeing - SEE_THE_WHOLE_RUN) == []


def test_money_is_counted_without_torch():
    for module in modules("tandem.budget"):
        assert not any(is_in(name, "torch") for name in imports_of(module)), module


def test_one_file_of_training_knows_omegaconf():
    knowing = [module for module in modules() if any(is_in(name, "omegaconf") for name in imports_of(module))]
    assert len(knowing) == 1 and is_in(knowing[0], "tandem.training"), knowing


def test_what_learns_and_what_buys_never_opens_the_vault_of_true_rewards():
    # Of the labelers only the simulated ones, and who makes them: one of a person's own is never handed it.
    sellers = {"tandem.envs.vector", "tandem.envs.labelers.env_reward", "tandem.envs.labelers.make"}
    eyes = {"tandem.envs.episodes", "tandem.training.reports.evaluate"}
    # They make it, hand it on, put it on disk, bring an older version's over.
    hands = {"tandem.training.build", "tandem.training.purchases.transitions", "tandem.training.storage.older"}
    for module in modules():
        opens = any(is_in(name, "tandem.envs.vault") for name in imports_of(module))
        assert not opens or any(is_in(module, place) for place in sellers | eyes | hands), module


def absolute(source: str) -> list[str]:
    """The names of modules that are imported by their full name."""
    nodes = list(ast.walk(ast.parse(source)))
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return found + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]


def test_the_package_imports_itself_by_dots_and_everybody_else_by_its_name():
    """A bare `envs` would be any module of that name on a person's path."""
    bare = {*ROOMS, *(file.stem for file in ROOT.glob("*.py"))}
    inside = {module: file for module, file in modules().items() if module != "tandem.train"}  # a script, in no package
    outside = {str(file): file for folder in OUTSIDE for file in (ROOT / folder).rglob("*.py")}
    wrong = [
        f"{module} imports {name}"
        for module, file in {**inside, **outside}.items()
        for name in absolute(file.read_text())
        if name.split(".")[0] in (bare | {"tandem"} if module in inside else bare)
    ]
    assert wrong == []
