"""The layering: which of our packages a file may import, read from its source."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {
    "durable",
    "errors",
    "outside",
    "seeds",
    "agents",
    "benchmarks",
    "budget",
    "cli",
    "configs",
    "envs",
    "tandem",
    "tests",
    "train",
    "training",
    "worldmodel",
}
GROUND = {"durable", "errors", "outside", "seeds"}
BELOW = {
    "envs": {"envs"},
    "budget": {"budget"},
    "worldmodel": {"worldmodel", "envs.records"},
    "agents": {"agents", "worldmodel", "envs.records"},
    "training": {"training", "agents", "worldmodel", "budget", "envs", "configs"},
}


def modules(package: str) -> dict[str, Path]:
    """Dotted name -> file of every module in a package."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}


def imports(module: str, source: str) -> set[str]:
    """Every name that a module imports, at any depth of the code; `from a import b` counts as a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_the_reader_sees_relative_and_late_imports():
    source = "from . import noisy\nfrom ..vault import RewardVault\ndef f():\n    import torch.nn\n"
    names = imports("envs.labelers.base", source)
    assert names == {"envs.labelers.noisy", "envs.vault.RewardVault", "torch.nn"}


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_down_only(package):
    found = modules(package)
    assert found, f"no modules under {ROOT / package}"
    wrong = [
        f"{module} imports {name}"
        for module, file in found.items()
        for name in imports(module, file.read_text())
        if name.split(".")[0] in OURS and not any(is_in(name, below) for below in BELOW[package] | GROUND)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["envs.records", *sorted(GROUND)])
def test_the_shared_nouns_and_the_ground_import_nothing_of_ours(module):
    names = imports(module, (ROOT / f"{module.replace('.', '/')}.py").read_text())
    allowed = {"errors.UserError"} if module == "outside" else set()
    assert {name for name in names if name.split(".")[0] in OURS} == allowed


def test_money_is_counted_without_torch():
    for module, file in modules("budget").items():
        assert not any(is_in(name, "torch") for name in imports(module, file.read_text())), module


def test_only_the_root_config_knows_omegaconf():
    files = {module: file for package in BELOW for module, file in modules(package).items()}
    files |= {"cli": ROOT / "cli.py", "train": ROOT / "train.py"}
    knowing = [m for m, file in files.items() if any(is_in(n, "omegaconf") for n in imports(m, file.read_text()))]
    assert knowing == ["training.config"]


def test_what_learns_and_what_buys_never_opens_the_vault_of_true_rewards():
    # Of the labelers the simulated ones and who makes them: a person's own is never handed it.
    sellers, eyes = {"envs.vector", "envs.labelers.env_reward", "envs.labelers.make"}, {"training.reports.evaluate"}
    hands = {
        "training.build",
        "training.purchases.transitions",
    }  # they make it, hand it on and put it on disk
    for package in BELOW:
        for module, file in modules(package).items():
            opens = any(is_in(name, "envs.vault") for name in imports(module, file.read_text()))
            assert not opens or any(is_in(module, place) for place in sellers | eyes | hands), module


def test_no_circle_of_imports_in_budget():
    found = modules("budget")
    below = {module: imports(module, file.read_text()) for module, file in found.items()}
    graph = {module: {one for one in found if any(is_in(name, one) for name in below[module])} for module in found}
    TopologicalSorter(graph).prepare()  # CycleError names the circle
