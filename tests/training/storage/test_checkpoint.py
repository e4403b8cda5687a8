"""Checkpoints are whole or absent, and say which file is not."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tandem.training.storage import checkpoint
from tandem.training.storage.checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[2]


def parts(value):
    model = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(model.weight, value)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "learner": model,
        "optimizer": optimizer,
        "loop": {"updates": value, "name": "x", "share": 0.5, "none": None},
    }


def save(folder, step, parts):
    return checkpoint.write(folder, checkpoint.content(step, parts))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path):
    saved = parts(7)
    path = save(tmp_path, 100, saved)
    loaded = checkpoint.load(tmp_path)
    assert (loaded.path, loaded.step, loaded.warnings) == (path, 100, ())
    torch.testing.assert_close(loaded.parts["learner"], dict(saved["learner"].state_dict()), rtol=0, atol=0)
    moments = loaded.parts["optimizer"]["state"][0]["exp_avg"]
    assert torch.equal(moments, saved["optimizer"].state_dict()["state"][0]["exp_avg"])
    assert loaded.parts["loop"] == saved["loop"]


def test_the_last_two_are_kept_and_the_newest_is_loaded(tmp_path):
    for step in (9, 80, 700):
        save(tmp_path, step, {"loop": {"updates": step}})
    assert names(tmp_path) == ["000000000080", "000000000700"]
    assert checkpoint.load(tmp_path).parts["loop"] == {"updates": 700}


def test_a_second_checkpoint_of_one_step_is_the_newer(tmp_path):
    for updates in range(12):
        save(tmp_path, 5, {"loop": {"updates": updates}})
    assert checkpoint.load(tmp_path).parts["loop"] == {"updates": 11}
    assert len(names(tmp_path)) == 2


def test_a_flipped_bit_is_found_and_the_one_before_is_loaded(tmp_path):
    save(tmp_path, 1, parts(1))
    newest = save(tmp_path, 2, parts(2))
    file = newest / "learner.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    loaded = checkpoint.load(tmp_path)
    assert loaded.step == 1
    assert len(loaded.warnings) == 1 and str(file) in loaded.warnings[0] and "sha256" in loaded.warnings[0]


@pytest.mark.parametrize("file", ["learner.pt", "manifest.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_the_only_checkpoint_damaged_is_an_error_that_names_the_file(tmp_path, file, content):
    path = save(tmp_path, 1, parts(1)) / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
        checkpoint.load(tmp_path)


def test_a_manifest_of_another_step_is_refused(tmp_path):
    path = save(tmp_path, 1, parts(1)) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step": 3}))
    with pytest.raises(CheckpointError, match="manifest"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("folder", [".", "absent"])
def test_no_checkpoint_is_said_plainly(tmp_path, folder):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.load(tmp_path / folder)


def test_an_abandoned_future_is_dropped_once_a_newer_past_is_saved(tmp_path):
    for step in (10, 20):
        save(tmp_path, step, {"loop": {"updates": step}})
    save(tmp_path, 15, {"loop": {"updates": 15}})  # resumed from 10, because 20 was damaged
    assert names(tmp_path) == ["000000000010", "000000000015"]


def test_a_half_written_folder_is_ignored_and_removed_by_the_next_save(tmp_path):
    save(tmp_path, 1, {"loop": {"updates": 1}})
    (tmp_path / "000000000002.tmp").mkdir()
    assert checkpoint.load(tmp_path).step == 1
    save(tmp_path, 3, {"loop": {"updates": 3}})
    assert names(tmp_path) == ["000000000001", "000000000003"]


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from tandem.training.storage import checkpoint
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    parts = {"loop": {"updates": 2}, "learner": {"weight": torch.randn(300_000)}}
    checkpoint.write(folder, checkpoint.content(2, parts))
except checkpoint.CheckpointError as error:
    print(error)
else:
    print("saved")
"""


@pytest.mark.parametrize("limit", [500, 100_000, 1_200_000])
def test_a_full_disk_is_a_clear_error_and_leaves_the_previous_checkpoint(tmp_path, limit):
    save(tmp_path, 1, {"loop": {"updates": 1}})
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(limit)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "000000000002: could not be saved" in done.stdout
    assert "File too large" in done.stdout
    assert names(tmp_path) == ["000000000001"]
    assert checkpoint.load(tmp_path).parts["loop"] == {"updates": 1}


def test_a_rename_that_fails_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1, {"loop": {"updates": 1}})

    def refuse(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(tmp_path, 2, {"loop": {"updates": 2}})
    assert names(tmp_path) == ["000000000001"]


@pytest.mark.parametrize("value", [np.float64(1.0), np.zeros(2), object(), random.Random(0)])
def test_what_weights_only_would_refuse_is_refused_before_it_is_written(tmp_path, value):
    with pytest.raises(AssertionError, match=r"loop\['deep'\]\[1\]"):
        save(tmp_path, 1, {"loop": {"deep": [0, value]}})
    assert names(tmp_path) == []


def test_generators_go_on_where_they_stopped(tmp_path):
    generators = {"numpy": np.random.default_rng(3), "torch": torch.Generator().manual_seed(4)}

    def draw():
        return (
            random.random(),
            torch.rand(()).item(),
            generators["numpy"].random(),
            torch.rand((), generator=generators["torch"]).item(),
        )

    draw()
    save(tmp_path, 1, {"rng": checkpoint.rng_state(generators)})
    expected = [draw() for _ in range(3)]
    checkpoint.set_rng_state(checkpoint.load(tmp_path).parts["rng"], generators)
    assert [draw() for _ in range(3)] == expected


def test_generators_of_other_names_are_refused():
    state = checkpoint.rng_state({"replay": np.random.default_rng(0)})
    with pytest.raises(CheckpointError, match="replay"):
        checkpoint.set_rng_state(state, {"labels": np.random.default_rng(0)})
