"""A link out of a run's folder is refused by name, whatever reads the run; what is no file or folder too, and it is not replaced."""

import os
import sys
import threading
from pathlib import Path

import pytest

import tandem
import tandem.cli
from tandem.envs.records import ObsSpec, Spaces
from tandem.links import LinkError, refuse_links
from tandem.training.settings import load_config, read_config, to_yaml
from tandem.training.storage.card import RunCard
from tandem.training.storage.folder import RunFolder
from tandem.usage import UsageError, file_to_write


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a run that has only just been made."""
    folder, text = RunFolder(tmp_path / "run"), to_yaml(load_config(["smoke", "task=toy_lq"]))
    with folder.hold():
        RunCard.made(text, Spaces({"state": ObsSpec((2,))}, 1)).write(folder.path)
        folder.make(text, 10, {"transition": 1, "label": 4})
    return folder.path


@pytest.fixture
def opened():
    """opened(path) -> names by which it, or something in it, is opened until the test's end; links are followed."""
    targets, names, thread = [], [], threading.get_ident()

    def note(event: str, arguments: tuple) -> None:  # a hook stays for ever: without targets it costs nothing
        if targets and event == "open" and isinstance(arguments[0], str) and threading.get_ident() == thread:
            names.extend([arguments[0]] if f"{os.path.realpath(arguments[0])}/".startswith(targets[0]) else [])

    def begin(path: Path) -> list[str]:
        targets.append(f"{path.resolve()}/")
        return names

    sys.addaudithook(note)
    yield begin
    targets.clear()


def test_a_folder_of_files_and_of_links_within_it_is_read_through_a_link_to_it_too(run, tmp_path):
    os.symlink("config.yaml", run / "also")
    os.symlink(run / "vault", run / "labels" / "rewards")
    os.symlink(run, tmp_path / "link")
    for folder in (run, tmp_path / "link"):
        refuse_links(folder)
        assert read_config(folder / "config.yaml").task == "toy_lq"


@pytest.mark.parametrize("name", ["config.yaml", "lock", "checkpoints", "vault/000000.log", ".run.json.tmp", "new"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_link_out_of_a_run_is_named_and_what_lies_behind_it_is_not_opened(
    run, tmp_path, capsys, opened, name, is_absolute
):
    behind, place = tmp_path / "theirs", run / name
    if place.exists():
        place.rename(behind)
    else:
        behind.write_text("a line")
    os.symlink(behind if is_absolute else os.path.relpath(behind, place.parent), place)
    content = behind.is_file() and behind.read_bytes()
    names = opened(behind)
    for command in ("ledger", "repair", "eval", "plan --budget 9 --run", "train --resume"):
        assert tandem.cli.main([*command.split(), str(run)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {run / name}: leads out of the run's folder, to {behind.resolve()}"), command
    with pytest.raises(LinkError):
        tandem.load(run)
    assert names == []
    assert content == (behind.is_file() and behind.read_bytes())


def test_a_pipe_which_nobody_would_come_back_from_is_refused(run, capsys):
    os.mkfifo(run / "transitions" / "000000.log")
    for command in ("ledger", "eval"):
        assert tandem.cli.main([command, str(run)]) == 2
        assert "000000.log: neither a file nor a folder" in capsys.readouterr().err


def test_what_sinks_keep_of_their_own_may_lead_where_it_likes_and_is_not_opened(run, tmp_path, capsys, opened):
    behind = tmp_path / "theirs"
    behind.write_text("a line")
    (run / "sinks" / "wandb").mkdir(parents=True)
    os.symlink(behind, run / "sinks" / "wandb" / "debug.log")
    os.mkfifo(run / "sinks" / "wandb" / "pipe")
    names = opened(behind)
    for command in ("ledger", "repair", "repair --dry-run"):
        assert tandem.cli.main([*command.split(), str(run)]) == 0, capsys.readouterr().err
    assert read_config(run / "config.yaml").task == "toy_lq"
    assert names == []
    (run / "labels" / "sinks").mkdir()
    os.symlink(behind, run / "labels" / "sinks" / "debug.log")  # one such folder, at the top
    with pytest.raises(LinkError):
        refuse_links(run)


def test_a_file_is_written_where_the_link_of_its_name_leads(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/new")
    assert file_to_write("--out", tmp_path / "link") == tmp_path / "there" / "new"
    (tmp_path / "there" / "new").write_text("old")
    assert file_to_write("--out", tmp_path / "link") == tmp_path / "there" / "new"
    assert file_to_write("--out", tmp_path / "there" / "new") == tmp_path / "there" / "new"


def test_what_is_no_file_is_not_replaced(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "lost").symlink_to("nowhere/page.html")
    for name in ("pipe", "link", "circle"):
        with pytest.raises(UsageError, match=f"--out .*{name}: is no ordinary file"):
            file_to_write("--out", tmp_path / name)
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        file_to_write("--out", tmp_path / "lost")
    for words in ("export RUN --policy", "export RUN --reward", "report RUN --out"):
        assert tandem.cli.main([*words.split(), str(tmp_path / "pipe")]) == 2
        assert "is no ordinary file" in capsys.readouterr().err
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 4
