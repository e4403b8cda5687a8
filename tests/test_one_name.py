"""One import name: a folder with modules named like our rooms works, a wheel brings `tandem` alone, a bare checkout trains."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    *("smoke", "envs.repeat=1", "envs.time_limit=20", "budget.total=320", "train.updates=4", "train.batch=2"),
    *("train.length=6", "evaluate.episodes=1", "evaluate.final_episodes=1", "log.figures=false"),
)
THEIRS = {  # what a person's folder may hold, each file named like one of ours
    "my_env.py": "from envs.wrappers import START\n",  # and then the class of examples/my_env.py
    "envs/__init__.py": "",
    "envs/wrappers.py": "START = 1\n",
    "configs/mine.yaml": "a: 1\n",
    **{
        f"{name}.py": f"raise ImportError('{name}.py of this folder is not tandem')\n"
        for name in ("budget", "training")
    },
    **{f"{name}.py": f"raise ImportError('{name}.py of this folder is not tandem')\n" for name in ("agents", "errors")},
}


@pytest.fixture
def theirs(tmp_path):
    for name, text in THEIRS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with open(tmp_path / "my_env.py", "a") as file:
        file.write((ROOT / "examples/my_env.py").read_text())
    return tmp_path


def run(*command: str, folder: Path, **env: str) -> str:
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.run
@pytest.mark.slow
@pytest.mark.parametrize("processes", ["false", "true"])
def test_a_folder_with_modules_named_like_ours_plans_trains_and_loads(theirs, processes):
    plan = run(sys.executable, "-m", "tandem", "plan", "--budget", "1e5", "--price-label", "10", folder=theirs)
    assert "labels (stock included)" in plan
    settings = (*TINY, "task=my_env:Reach", f"envs.processes={processes}", "run.dir=run")
    assert "done: " in run(sys.executable, "-m", "tandem", "train", *settings, folder=theirs)
    load = "import tandem; print(type(tandem.load('run')).__name__); from envs.wrappers import START; print(START)"
    assert run(sys.executable, "-c", load, folder=theirs).split() == ["Agent", "1"]


@pytest.mark.run
def test_a_checkout_that_is_not_installed_trains_from_any_folder(theirs, tmp_path_factory):
    """-S and a path of our own: only the dependencies can be imported, `tandem` cannot."""
    bare = tmp_path_factory.mktemp("bare") / "checkout"
    kept = shutil.ignore_patterns(".*", "*.egg-info", "tests", "benchmarks", "runs", "__pycache__", "build")
    shutil.copytree(ROOT, bare, ignore=kept)
    site = next(path for path in sys.path if path.endswith("site-packages"))
    command = (sys.executable, "-S", str(bare / "train.py"), *TINY, "task=my_env:Reach", "run.dir=bare_run")
    assert "done: " in run(*command, folder=theirs, PYTHONPATH=site)
    missing = subprocess.run(
        [sys.executable, "-S", "-c", "import tandem"],
        check=False,
        cwd=theirs,
        env={**os.environ, "PYTHONPATH": site},
        capture_output=True,
    )
    assert missing.returncode == 1


def test_the_wheel_holds_tandem_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    kept = shutil.ignore_patterns(".*", "*.egg-info", "runs", "__pycache__", "build")
    shutil.copytree(ROOT, source, ignore=kept)
    make = "from setuptools.build_meta import build_wheel; print(build_wheel('out'))"
    (source / "out").mkdir()
    wheel = source / "out" / run(sys.executable, "-c", make, folder=source).split()[-1]
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"tandem", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert {"tandem/py.typed", "tandem/cli.py", "tandem/configs/smoke.yaml", "tandem/__main__.py"} <= set(names)
    code = {
        str(path.relative_to(ROOT))
        for room in ("agents", "budget", "envs", "training", "worldmodel")
        for path in (ROOT / room).rglob("*.py")
    }
    assert {f"tandem/{name}" for name in code} <= set(names)
