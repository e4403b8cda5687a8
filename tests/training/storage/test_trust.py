"""A run's folder names code: it is imported where this user started the run or says so, and nowhere else."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tandem
import tandem.cli
from tandem.envs.make import make_env, spaces_of
from tandem.training.build import load_agent
from tandem.training.settings import load_config, read_config, resume_config, save_config, to_yaml, trusted_config
from tandem.training.storage.card import RunCard
from tandem.training.storage.trust import TrustError, code_settings, signed

MARK = "open({mark!r}, 'w').close()\n"
CODE = ["task=theirs:Env", "labeler.name=theirs:Labeler", "allocator.name=theirs:Allocator"]


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state" / "tandem"


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Runs whose module says that it was imported, by a file: stranger(*settings) -> folder; stranger.mark."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    class Stranger:
        mark = tmp_path / "imported"

        def __call__(self, *settings: str, signs: bool = False) -> Path:
            folder = tmp_path / "run"
            folder.mkdir(exist_ok=True)
            (tmp_path / "theirs.py").write_text(MARK.format(mark=str(self.mark)))
            config = load_config(["smoke", *settings])
            card = RunCard.made(to_yaml(config), spaces_of(make_env("toy_lq", config.envs, 0)))
            (signed(card, config) if signs else card).write(folder)
            (folder / "config.yaml").write_text(to_yaml(config))
            return folder

    return Stranger()


@pytest.mark.parametrize("setting", [*CODE, "task=gym:theirs:Env-v0", "log.sinks=[theirs:Sink]"])
def test_a_strangers_code_is_refused_by_the_name_of_its_setting_and_not_imported(stranger, capsys, setting):
    folder = stranger(setting)
    key, value = setting.split("=")
    for command in (["train", "--resume", str(folder)], ["eval", str(folder)]):
        assert tandem.cli.main(command) == 2
        out, err = capsys.readouterr()
        assert err.startswith(f"error: {key}: {value} ") and err.count("\n") == 1 and "--trust" in err and out == ""
    assert not stranger.mark.exists()


@pytest.mark.parametrize(
    "setting, told",
    [
        ("labeler.command=[python,judge.py]", "labeler.command: [python,judge.py] is code "),
        ("labeler.url=http://me:secret@host/a?secret", "labeler.url: http://***@host/a?*** is a server "),
    ],
)
def test_a_strangers_program_or_server_is_not_asked_unless_it_is_named_again(stranger, setting, told):
    folder, other = stranger(setting), setting.replace("judge", "my").replace("host", "elsewhere")
    with pytest.raises(TrustError) as caught:
        resume_config(folder, [])
    assert str(caught.value).startswith(told) and "--trust" in str(caught.value) and "secret" not in str(caught.value)
    assert resume_config(folder, [setting]) == resume_config(folder, [], is_trusted=True)
    with pytest.raises(tandem.cli.UserError, match=r"^labeler\.\w+: cannot change") as caught:
        resume_config(folder, [other])
    assert "secret" not in str(caught.value)
    assert resume_config(stranger(setting, signs=True), []).labeler == load_config(["smoke", setting]).labeler


def test_who_started_a_run_needs_to_say_nothing(stranger, state):
    folder = stranger(*CODE, signs=True)
    assert resume_config(folder, []).task == "theirs:Env" and trusted_config(folder).task == "theirs:Env"
    key = state / "key"
    assert (key.stat().st_mode & 0o777, len(key.read_bytes())) == (0o600, 32)


@pytest.mark.parametrize("harm", ["deleted", "other", "readable by all", "short"])
def test_a_signature_of_another_key_is_none(stranger, state, harm):
    folder, key = stranger(*CODE, signs=True), state / "key"
    if harm == "deleted":
        key.unlink()
    elif harm == "readable by all":
        key.chmod(0o644)
    else:
        key.write_bytes(bytes(32 if harm == "other" else 31))
    with pytest.raises(TrustError, match="task: theirs:Env"):
        resume_config(folder, [])


def test_a_signature_holds_for_the_code_and_the_folder_that_it_was_made_for(stranger):
    folder = stranger("task=theirs:Env", signs=True)
    card = RunCard.read(folder)
    replace(card, folder="/elsewhere").write(folder)
    with pytest.raises(TrustError):
        resume_config(folder, [])
    other = load_config(["smoke", "task=theirs:Other"])
    (folder / "config.yaml").write_text(to_yaml(other))
    card.accepting_only(to_yaml(other)).write(folder)
    with pytest.raises(TrustError, match="theirs:Other"):
        resume_config(folder, [])


@pytest.mark.parametrize("is_theirs", [True, False])
def test_sinks_that_the_owner_changes_are_trusted_from_then_on_and_strangers_code_is_not(stranger, is_theirs):
    folder = stranger("task=theirs:Env", signs=not is_theirs)
    before = read_config(folder / "config.yaml")
    after = resume_config(folder, ["log.sinks=[theirs:Sink]"], is_trusted=is_theirs)
    save_config(after, folder / "config.yaml", before)
    if is_theirs:
        with pytest.raises(TrustError, match="task: theirs:Env"):
            resume_config(folder, [])
    else:
        assert resume_config(folder, []).log.sinks == ("theirs:Sink",)


def test_sinks_are_dropped_or_named_anew_without_trust_in_those_of_a_stranger(stranger):
    folder = stranger("log.sinks=[theirs:Sink]")
    assert resume_config(folder, ["log.sinks=[]"]).log.sinks == ()
    assert resume_config(folder, ["log.sinks=[mine:Sink]"]).log.sinks == ("mine:Sink",)
    assert resume_config(folder, ["log.sinks=[theirs:Sink]"]).log.sinks == ("theirs:Sink",)


def test_what_a_person_says_is_trusted_and_only_that(stranger):
    folder = stranger(*CODE)
    assert resume_config(folder, [], is_trusted=True).task == "theirs:Env"
    assert resume_config(folder, CODE).task == "theirs:Env"
    with pytest.raises(TrustError, match=r"allocator.name: theirs:Allocator"):
        resume_config(folder, CODE[:2])


def test_the_folder_of_the_start_is_looked_in_only_where_the_run_is_trusted(stranger, tmp_path, monkeypatch):
    folder = stranger("task=theirs:Env")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not any(Path(one).glob("theirs*"))])  # of other tests
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    resume_config(folder, ["task=theirs:Env"])
    assert str(tmp_path) not in sys.path and str(tmp_path / "elsewhere") in sys.path
    resume_config(folder, [], is_trusted=True)
    assert str(tmp_path) in sys.path
    (tmp_path / "theirs.py").unlink()
    with pytest.raises(
        tandem.cli.UserError, match=f"PYTHONPATH adds .*looked for in {tmp_path}/elsewhere and {tmp_path} too"
    ):
        make_env("theirs:Env", load_config([]).envs, 0)


def test_tasks_of_installed_packages_need_no_trust_but_their_arguments_do():
    """Some ids take the name of a module as an argument."""
    assert code_settings(load_config(["smoke", "task=gym:CartPole-v1"])) == {}
    assert code_settings(load_config(["smoke", "task=toy_lq", "envs.kwargs.a=1"])) == {}
    assert code_settings(load_config(["smoke", "task=gym:CartPole-v1", "envs.kwargs.a=1"])) == {"envs.kwargs": {"a": 1}}


def test_without_a_place_for_a_key_a_run_starts_unsigned(stranger, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert RunCard.read(stranger(*CODE, signs=True)).signature == ""


@pytest.mark.run
def test_the_agent_of_a_strangers_run_is_loaded_without_its_code_and_its_environment(tmp_path, stranger):
    (tmp_path / "my_env.py").write_text((Path(tandem.__file__).parent / "examples" / "my_env.py").read_text())
    small = ["envs.repeat=1", "envs.time_limit=20", "budget.total=320", "train.updates=4", "train.batch=2"]
    small += ["train.length=6", "evaluate.episodes=1", "evaluate.final_episodes=1", "log.figures=false", "threads=1"]
    train = [sys.executable, "-m", "tandem", "train", "smoke", *small, "task=my_env:Reach", "run.dir=run"]
    subprocess.run(train, check=True, capture_output=True, cwd=tmp_path)
    resumed = resume_config(tmp_path / "run", [])  # by who started it: without a word
    assert resumed.task == "my_env:Reach"
    shutil.rmtree(tmp_path / "state")  # from here on it is a stranger's
    (tmp_path / "my_env.py").write_text(MARK.format(mark=str(stranger.mark)))
    agent = load_agent(tmp_path / "run")
    assert agent.spaces.action_size > 0 and type(tandem.load(tmp_path / "run")).__name__ == "Agent"
    for card in (tmp_path / "run").rglob("run.json"):
        card.unlink()  # as 0.2 left it: the environment has to say its spaces
    with pytest.raises(TrustError, match=r"task: my_env:Reach .* trust=True"):
        tandem.load(tmp_path / "run")
    assert not stranger.mark.exists()
