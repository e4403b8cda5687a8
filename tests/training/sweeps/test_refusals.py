"""A sweep that cannot be is told in one line, before anything is written or started."""

import json
import sys
from contextlib import closing
from pathlib import Path

import pytest

import tandem.cli
from tandem.training.sweeps.cells import Sweep
from tandem.training.sweeps.folder import SweepFolder


def refused(capsys, *arguments: str) -> str:
    assert tandem.cli.main(["train", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: "), (out, err)
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sweep", "smoke"], ["--sweep: no setting has several values", "seed=0..9"]),
        (["--sweep", "smoke", "seed=3"], ["--sweep: no setting has several values"]),
        (["--sweep", "smoke", "sed=0..3"], ["sed: no such key", "did you mean seed?"]),
        (["--sweep", "smoke", "seed=0..3,2"], ["seed: 2 is given twice"]),
        (["--sweep", "smoke", "price.label=4,4.0"], ["price.label=4.0", "same run"]),
        (["--sweep", "smoke", "seed=0,1", "seed=2"], ["seed: given twice"]),
        (["--sweep", "smoke", "price.label=4,-1"], ["price.label: must be positive"]),
        (["--sweep", "smoke", "price.label=4,400"], ["budget.total", "(cell price.label=400)"]),
        (["--sweep", "smoke", "run.dir=a,b"], ["run.dir", "for all of them"]),
        (["--sweep", "smoke", "seed=0,1", "run.name=a"], ["run.name", "run.dir=FOLDER"]),
        (["--sweep", "smokes", "seed=0,1"], ["smokes", "smoke?"]),
        (["--sweep", "smoke", "seed=0,1", "--resume", "there"], ["--sweep", "--resume"]),
        (["--sweep", "smoke", "seed=0,1", "--jobs", "0"], ["--jobs"]),
        (["--sweep", "smoke", "seed=0,1", "--slurm", "partition=a"], ["--slurm: there is no Slurm here"]),
        (["--sweep", "smoke", "seed=0,1", "--slurm", "a"], ["--slurm: write partition=NAME"]),
        (["smoke", "--jobs", "2"], ["--jobs and --slurm: go with --sweep"]),
        (["--sweeep", "smoke"], ["--sweeep", "did you mean --sweep?"]),
    ],
)
def test_a_sweep_that_cannot_be_leaves_nothing(capsys, monkeypatch, tmp_path, arguments, words):
    monkeypatch.setenv("PATH", "")
    line = refused(capsys, *arguments)
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


def test_without_submitit_its_extra_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install -e '.[sweep]'" in refused(capsys, "--sweep", "smoke", "seed=0,1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["partitoin=a", "timeout_min=soon", "partition=closed"])
def test_what_slurm_does_not_take_is_told_and_nothing_is_left(capsys, cluster, words):
    assert tandem.cli.main(["train", "--sweep", "smoke", "run.dir=new/cells", "seed=0,1", "--slurm", words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words.partition("=")[0 if words != "partition=closed" else 2] in line
    assert not Path("new").exists()


def test_what_lay_in_the_folder_before_a_sweep_that_never_began_stays(capsys, cluster):
    folder = SweepFolder(Path("cells").absolute())
    with closing(folder.hold()):
        folder.record(Sweep.read(["smoke", "seed=0,1", "run.dir=cells"]))
    (folder.engine / "earlier").mkdir(parents=True)
    before = folder.standing()
    arguments = ["train", "--sweep", "smoke", "run.dir=cells", "seed=0,1", "--slurm", "partition=closed"]
    assert tandem.cli.main(arguments) == 2 and folder.standing() == before


@pytest.mark.parametrize("line", ["{}", "[]", "3", '{"phase": "2", "step": 640}'])
def test_a_cell_whose_last_phase_cannot_be_read_is_not_finished(line):
    folder, checkpoint = SweepFolder(Path("cells").absolute()), Path("cells/a/checkpoints/000000000640")
    checkpoint.mkdir(parents=True)
    manifest = {"format": 2, "step": 640, "is_milestone": True, "files": {"run.pt": {}}, "covers": {}}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    for last, is_finished in (('{"phase": 2, "step": 640}', True), (line, False)):
        Path("cells/a/phases.jsonl").write_text(f"{last}\n")
        assert folder.is_finished("a", 2) == is_finished


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (["smoke", "seed=0,1", "price.label=6"], "with no price.label, not with price.label=6"),
        (["smoke", "seed=0,1", "price.label=5,6"], "over seed, not over price.label and seed"),
        (["smoke", "size_small", "seed=0,1"], "of smoke, not of smoke size_small"),
    ],
)
def test_a_folder_of_another_sweep_is_left_alone(capsys, other, told):
    folder = SweepFolder(Path("cells").absolute())
    with closing(folder.hold()):
        folder.record(Sweep.read(["smoke", "seed=0,1", "run.dir=cells"]))
    before = {path: path.stat().st_mtime_ns for path in Path("cells").rglob("*")}
    assert f"run.dir: {Path('cells').absolute()} holds another sweep: {told}" in refused(
        capsys, "--sweep", *other, "run.dir=cells"
    )
    assert before == {path: path.stat().st_mtime_ns for path in Path("cells").rglob("*")}


def test_a_folder_that_holds_something_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "mine").mkdir()
    for name, told in (("notes.txt", "holds other files"), ("config.yaml", "is a run")):
        (tmp_path / "mine" / name).write_text("")
        assert told in refused(capsys, "--sweep", "smoke", "seed=0,1", "run.dir=mine")
    (tmp_path / "mine" / "config.yaml").unlink()
    (tmp_path / "mine" / "sweep.json").write_text("{")
    assert "sweep.json: not readable" in refused(capsys, "--sweep", "smoke", "seed=0,1", "run.dir=mine")
    assert "something else" in refused(capsys, "--sweep", "smoke", "seed=0,1", "run.dir=mine/notes.txt")


def test_a_second_sweep_at_once_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("tandem.training.sweeps.folder.PATIENCE_SECONDS", 0.1)
    folder = SweepFolder(Path("cells").absolute())
    with closing(folder.hold()):
        folder.record(Sweep.read(["smoke", "seed=0,1", "run.dir=cells"]))
        assert "another process is sweeping in" in refused(capsys, "--sweep", "smoke", "run.dir=cells", "seed=0..1")
