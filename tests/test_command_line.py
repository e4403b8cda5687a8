"""The command line as a person meets it: exit status, one plain line for a mistake, no folder left by one."""

import importlib
import json
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

import tandem.cli
import tandem.training.build
from tandem.budget.ledger import BudgetExceeded, Ledger
from tandem.budget.money import to_micro
from tandem.errors import UserError
from tandem.training.settings import load_config, read_config, save_config
from tandem.training.stop import Interrupted

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test starts in an empty folder; what a command leaves there can be seen."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """The calls of tandem.training.phases.train, which takes minutes and has tests of its own."""
    calls = []
    phases = types.ModuleType("tandem.training.phases")
    phases.train = lambda config, resume=None: calls.append((config, resume))
    monkeypatch.setitem(sys.modules, "tandem.training.phases", phases)
    return calls


def refused(capsys, *arguments: str) -> str:
    """The one line on standard error of a command that must end with status 2."""
    assert tandem.cli.main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: "), (out, err)
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "budget.totl=3"], ["budget.totl", "command line", "budget.total?"]),
        (["train", "quickstrat"], ["quickstrat", "quickstart?"]),
        (["train", "envs.num=many"], ["envs.num", "whole number"]),
        (["train", "price.label=0"], ["price.label"]),
        (["train", "allocator=fixed", "allocator.label_share=0.3"], ["allocator", "allocator.label_share"]),
        (["train", "--resume", "nowhere"], ["nowhere", "not a run"]),
        (["train", "--resum", "nowhere"], ["--resum:", "did you mean --resume?"]),
        (["train", "--what", "3"], ["--what", "--help"]),
        (["train", "--seed", "1"], ["--seed:", "write seed=1"]),
        (["train", "smoke", "--seed=1"], ["--seed=1:", "write seed=1"]),
        (["train", "--budget.total", "300"], ["write budget.total=300"]),
        (["train", "--budget-total", "300", "seed=1"], ["write budget.total=300"]),
        (["train", "--label-share", "0.3"], ["write allocator.label_share=0.3"]),
        (["train", "--task", "--print-config"], ["write task=VALUE"]),
        (["train", "--help", "labler"], ["labler", "did you mean labeler?"]),
        (["train", "--resume"], ["--resume"]),
        (["trane"], ["trane", "train"]),
        (["ledger", "nowhere"], ["nowhere", "not a run"]),
        (["ledger"], ["run"]),
        (["compare"], ["RUN"]),
        (["compare", "nowhere"], ["nowhere", "not a run"]),
        (["eval", "nowhere"], ["nowhere", "not a run"]),
        (["eval", "nowhere", "--episodes", "0"], ["--episodes", "0"]),
        (["plan"], ["--budget"]),
        (["plan", "--budget", "much"], ["--budget", "much"]),
        (["plan", "--budget", "10", "--dynamics", "0.34"], ["--dynamics", "0.34"]),
        (["plan", "--budget", "-5"], ["budget", "-5"]),
        (["plan", "--budget", "100", "--price-label", "0"], ["price_label", "0"]),
        (["plan", "--budget", "100", "--run", "nowhere"], ["nowhere", "not a run"]),
    ],
)
def test_a_mistake_ends_with_status_2_and_one_line_and_leaves_nothing(capsys, folder, trained, arguments, words):
    line = refused(capsys, *arguments)
    for word in words:
        assert word in line
    assert list(folder.iterdir()) == [] and trained == []


def test_train_alone_is_the_quickstart(folder, trained):
    assert tandem.cli.main(["train"]) == 0
    [(config, resume)] = trained
    told = load_config(["quickstart"])
    assert (config.task, config.budget, config.train, resume) == (told.task, told.budget, told.train, None)


def test_train_gets_the_configuration_and_a_named_folder_that_is_not_made_yet(folder, trained):
    assert tandem.cli.main(["train", "smoke", "seed=4", "run.name=first"]) == 0
    [(config, resume)] = trained
    assert (config.seed, resume) == (4, None)
    assert Path(config.run.dir) == Path("runs") / config.task / "first"
    assert list(folder.iterdir()) == []


def test_a_folder_that_holds_a_run_is_not_trained_in_again(capsys, folder, trained):
    save_config(load_config(["smoke"]), folder / "config.yaml")
    line = refused(capsys, "train", "smoke", f"run.dir={folder}")
    assert "run.dir" in line and "--resume" in line


def test_resume_hands_over_the_saved_configuration_with_its_new_budget(folder, trained):
    save_config(load_config(["smoke", "seed=8"]), folder / "config.yaml")
    assert tandem.cli.main(["train", "--resume", str(folder), "budget.total=1_000_000"]) == 0
    [(config, resume)] = trained
    assert (config.seed, config.budget.total, resume) == (8, 1_000_000, folder)


def test_resume_with_other_settings_is_refused(capsys, folder, trained):
    save_config(load_config(["smoke"]), folder / "config.yaml")
    assert "seed: cannot change" in refused(capsys, "train", "--resume", str(folder), "seed=77")


def test_options_may_stand_between_settings(trained, capsys):
    assert tandem.cli.main(["train", "smoke", "--print-config", "seed=6"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["seed"] == 6 and trained == []


def test_a_printed_configuration_can_be_read_back(capsys, folder):
    assert tandem.cli.main(["train", "smoke", "--print-config"]) == 0
    (folder / "config.yaml").write_text(capsys.readouterr().out)
    assert read_config(folder / "config.yaml") == load_config(["smoke"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BudgetExceeded("labels: asked 3, left 2 of 5"), 2),
        (UserError("budget.total: must be at least 900 for the pilot, got 3"), 2),
        (PermissionError(13, "Permission denied", "/readonly"), 2),
        (OSError(28, "No space left on device"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_a_person_causes_while_training_has_no_traceback(capsys, monkeypatch, error, status):
    monkeypatch.setitem(sys.modules, "tandem.training.phases", _failing(error))
    assert tandem.cli.main(["train", "smoke"]) == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], ["before the run began"]),
        (["config.yaml", "checkpoints/000000000640.tmp/x"], ["before the first checkpoint", "--resume 'my run'"]),
        (["config.yaml", "checkpoints/000000000640/x"], ["at once", "last checkpoint", "--resume 'my run'"]),
    ],
)
def test_a_run_ended_without_saving_says_what_there_is_to_go_on_with(capsys, folder, monkeypatch, files, words):
    def ended(config, resume=None):
        for file in files:
            (folder / "my run" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "my run" / file).touch()
        raise Interrupted(signal.SIGTERM)

    phases = types.ModuleType("tandem.training.phases")
    phases.train = ended
    monkeypatch.setitem(sys.modules, "tandem.training.phases", phases)
    assert tandem.cli.main(["train", "smoke", "run.dir=my run"]) == 143
    line = capsys.readouterr().err
    assert line.startswith("interrupted ") and line.count("\n") == 1
    assert all(word in line for word in words), line


SHORT = "smoke task=toy_lq envs.repeat=1 envs.time_limit=20 train.batch=2 train.length=6 log.every_seconds=0.1 log.figures=false"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_says_how_to_go_on(folder, number, status):
    command = [sys.executable, str(ROOT / "train.py"), *SHORT.split(), "train.updates=10_000", "run.dir=run"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        next(line for line in run.stdout if "| update " in line)  # it learns
        run.send_signal(number)
        _, told = run.communicate(timeout=60)
    assert (run.returncode, told) == (
        status,
        "interrupted: saved in run; go on with: python train.py --resume run\n",
    )
    assert list((folder / "run" / "checkpoints").glob("*/manifest.json"))


@pytest.mark.slow
@pytest.mark.run
def test_sigterm_is_heard_before_a_run_listens_and_in_evaluation(folder):
    """As the first process of a container it would not be heard at all without a handler."""
    train = [sys.executable, str(ROOT / "train.py"), *SHORT.split(), "run.dir=run"]
    with subprocess.Popen(train, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert "making the environments" in next(iter(run.stdout))
        run.send_signal(signal.SIGTERM)
        _, told = run.communicate(timeout=60)
    assert run.returncode == 143 and told.startswith("interrupted") and told.count("\n") == 1
    subprocess.run([*train[:-1], "run.dir=done"], cwd=folder, check=True, capture_output=True)
    evaluate = [sys.executable, "-u", "-m", "tandem", "eval", "done", "--episodes", "1000"]
    with subprocess.Popen(evaluate, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=8)  # it plays
        run.send_signal(signal.SIGTERM)
        _, told = run.communicate(timeout=60)
    assert (run.returncode, told) == (143, "interrupted\n")


@pytest.mark.parametrize(
    "error", [ValueError("budget.total: a bug that begins like a setting"), OSError(9, "Bad file descriptor")]
)
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    monkeypatch.setitem(sys.modules, "tandem.training.phases", _failing(error))
    with pytest.raises(type(error)):
        tandem.cli.main(["train", "smoke"])


def test_a_file_that_an_environment_misses_is_told_with_the_place_that_asked_for_it(capsys, folder, monkeypatch):
    """It is not the person's disk that fails, and not the run's folder."""
    (folder / "their_env.py").write_text("def step():\n    open('assets.xml')\n")
    monkeypatch.syspath_prepend(folder)
    phases = types.ModuleType("tandem.training.phases")
    phases.train = lambda config, resume=None: importlib.import_module("their_env").step()
    monkeypatch.setitem(sys.modules, "tandem.training.phases", phases)
    assert tandem.cli.main(["train", "smoke"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: FileNotFoundError: ") and line.endswith(f"({folder / 'their_env.py'}, line 2)\n")


def _failing(error: BaseException) -> types.ModuleType:
    def train(config, resume=None):
        raise error

    phases = types.ModuleType("tandem.training.phases")
    phases.train = train
    return phases


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["smoke", "seed=3", "--help"]])
def test_help_names_options_presets_and_the_first_keys(capsys, trained, arguments):
    assert tandem.cli.main(["train", *arguments]) == 0
    out = capsys.readouterr().out
    for word in ("--resume", "--print-config", "quickstart", "smoke", "budget.total=", "allocator.label_share=null"):
        assert word in out
    assert "actor_critic.lam=" not in out and trained == []


@pytest.mark.parametrize("section", ["actor_critic", "all"])
def test_help_of_a_section_shows_its_keys(capsys, section):
    assert tandem.cli.main(["train", "--help", section]) == 0
    assert "actor_critic.lam=0.95" in capsys.readouterr().out


def test_alone_it_shows_what_it_can_do(capsys):
    with pytest.raises(SystemExit) as stop:
        tandem.cli.main([])
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    assert all(f"  {command} " in out for command in ("train", "eval", "ledger", "plan"))


def test_it_says_which_version_it_is(capsys):
    with pytest.raises(SystemExit) as stop:
        tandem.cli.main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"tandem {tandem.__version__}\n")


@pytest.mark.parametrize("command", ["eval", "ledger", "plan"])
def test_every_command_has_a_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        tandem.cli.main([command, "--help"])
    assert stop.value.code == 0 and f"tandem {command}" in capsys.readouterr().out


def test_ledger_prints_the_sums_in_coins(capsys, folder):
    ledger = Ledger.create(folder / "ledger.db", to_micro(100), {"transition": to_micro(1), "label": to_micro(4)})
    ledger.close()
    assert tandem.cli.main(["ledger", str(folder), "--json"]) == 0
    sums = json.loads(capsys.readouterr().out)
    assert (sums["total"], sums["spent"], sums["reserved"], sums["remaining"]) == (100, 0, 0, 100)
    assert (sums["transitions"], sums["labels"], sums["by_tier"]) == (0, 0, {})
    assert tandem.cli.main(["ledger", str(folder)]) == 0
    assert "remaining 100 coins" in " ".join(capsys.readouterr().out.split())


def test_ledger_prints_the_decisions(capsys, folder):
    ledger = Ledger.create(folder / "ledger.db", to_micro(100), {"transition": to_micro(1), "label": to_micro(4)})
    plan = {"transitions": 1008, "labels": 7, "money_micro": 1_036_000_000, "label_spend_share": 0.25, "note": "a note"}
    ledger.record_decision(0, {"transitions": 0, "labels": 0}, plan)
    ledger.close()
    assert tandem.cli.main(["ledger", str(folder), "--decisions", "--json"]) == 0
    [decision] = json.loads(capsys.readouterr().out)
    assert (decision["phase"], decision["outputs"]) == (0, plan)
    assert tandem.cli.main(["ledger", str(folder), "--decisions"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert all(text in line for text in ("pilot", "1,008", "7", "1,036", "25.0%", "a note"))


class Idle:
    """An agent that does nothing."""

    def act(self, obs, state=None, is_first=None, mode=True):
        return np.zeros((len(next(iter(obs.values()))), 1), np.float32), state


def test_eval_prints_the_true_returns_of_mode_and_sampled_actions(capsys, folder, monkeypatch):
    monkeypatch.setattr(tandem.training.build, "load_trained", lambda run, is_trusted: (None, Idle()))
    save_config(load_config(["smoke", "task=toy_lq"]), folder / "config.yaml")
    assert tandem.cli.main(["eval", str(folder), "--episodes", "2"]) == 0
    mode, sampled = capsys.readouterr().out.splitlines()
    assert mode.startswith("mode actions, 2 episodes: mean return -")
    assert sampled == mode.replace("mode actions", "sampled actions")  # the same start states, and it never acts


MARKET = ["--budget", "1e5", "--price-transition", "1", "--price-label", "10"]
PLAN = ["plan", *MARKET, "--dynamics", "0.34,0.11", "--reward", "90.4,0.96"]


def test_plan_answers_the_worked_example(capsys):
    assert tandem.cli.main([*PLAN, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["transitions"], answer["labels"]) == (37390, 6261)
    assert answer["label_spend_share"] == pytest.approx(0.626, abs=5e-4)
    assert answer.keys() >= {"gap", "gap_fifty_fifty", "gap_coupled"}


def test_plan_has_a_table_for_people(capsys):
    assert tandem.cli.main(PLAN) == 0
    out = capsys.readouterr().out
    assert "6261" in out.replace(",", "").replace("_", "") and not out.startswith("{")


CURVE = {"counts": [100.0, 200.0], "errors": [2.0, 1.5], "weights": [1.0, 1.0], "unit": "linear"}
DECIDED_BY = {
    "measured": {"dynamics": CURVE, "reward": CURVE, "weights": [1.0, 2.0], "explained_variance": 0.5},
    "weights_before": None,
    "labels_per_transition": 1.0,
    "clean_labels": None,
    "transitions": 0,
    "labels": 0,
}


@pytest.fixture
def measured_run(folder):
    """The folder of a run that has bought nothing, but has measured."""
    ledger = Ledger.create(folder / "ledger.db", to_micro(100), {"transition": to_micro(1), "label": to_micro(7)})
    ledger.record_decision(3, DECIDED_BY, {"offer": None})
    ledger.close()
    return folder


def test_plan_takes_what_a_run_has_measured(capsys, measured_run):
    assert tandem.cli.main(["plan", "--budget", "1000", "--run", str(measured_run), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    known = answer["laws"]["measured"]
    assert (known["phase"], known["price_label"], known["weights"]) == (3, 7.0, [1.0, 2.0])
    assert tandem.cli.main(["plan", "--budget", "1000", "--run", str(measured_run), "--price-label", "9"]) == 0
    assert f"from {measured_run}" in capsys.readouterr().out


def test_plan_says_that_the_papers_laws_are_not_ones_own(capsys):
    assert tandem.cli.main(["plan", *MARKET]) == 0
    assert "laws: those of the paper's experiment, not yours" in capsys.readouterr().out


@pytest.mark.parametrize("is_of_a_run", [False, True])
def test_plan_answers_without_starting_torch(measured_run, is_of_a_run):
    command = ["plan", "--budget", "100", "--run", str(measured_run)] if is_of_a_run else PLAN
    code = f"import sys, tandem.cli; assert not tandem.cli.main({command!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.run
def test_train_py_is_tandem_train(folder):
    command = [sys.executable, str(ROOT / "train.py"), "budget.totl=3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "budget.total" in done.stderr and list(folder.iterdir()) == []
