"""A skipped update in a file: what it was made of, what in it was not finite, and what else such a file may hold."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tandem.cli
from tandem.errors import UserError
from tandem.training.build import build
from tandem.training.learner import Learner
from tandem.training.pace import draw_inputs, update
from tandem.training.phases import train
from tandem.training.reports.diagnosis import diagnose
from tandem.training.settings import to_yaml
from tandem.training.storage.dumps import Recorder, read_dump

COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")
MODES = pytest.mark.parametrize("settings", [(), COUPLED], ids=["decoupled", "coupled"])


@pytest.fixture
def started(tiny, buy):
    """A run with rows and labels."""
    runs = []

    def make(*settings: str):
        run = build(tiny("budget.total=1000", *settings), is_resumed=False)
        runs.append(run)
        buy(run, 120, 120)
        return run

    yield make
    for run in runs:
        run.close()


def dumped(run, inputs: tuple, number: int = 7) -> Path:
    run.learner.update(*inputs)
    run.recorder.keep(number, *inputs)
    return run.recorder.dump(run.folder.path, run.learner, to_yaml(run.config))


@MODES
def test_a_dump_does_its_update_again_bit_for_bit(started, settings):
    run = started(*settings)
    for _ in range(3):
        update(run)
    batch, labels, noise = draw_inputs(run)[1:]
    path = dumped(run, (replace(batch, prev_action=batch.prev_action * float("nan")), labels, noise))
    assert path == run.folder.path / "dumps" / "update-7.pt" and [one.name for one in path.parent.iterdir()] == [
        path.name
    ]
    lines = diagnose(path)
    assert lines[0] == f"{path}: update 7, done again on the cpu; not finite:"
    told = {line.strip().rpartition(":")[0] for line in lines[1:]}
    assert {"input action", "loss of all terms", "loss dynamics/loss/rec_state", "new latent deter"} <= told
    assert "gradient dynamics.rssm.in_deter.weight" in told
    assert f"  input action: {batch.prev_action.numel()} nan of {batch.prev_action.numel()}" in lines
    assert not any(line.startswith(("  state", "  noise", "  input obs")) for line in lines)
    dump = read_dump(path)
    assert dump.inputs.batch.address.row.equal(batch.address.row)
    for name, value in vars(noise).items():
        assert torch.equal(getattr(dump.inputs.noise, name), value)
    assert dump.spaces.obs == run.spaces.obs and dump.spaces.action_size == run.spaces.action_size
    torch.testing.assert_close(dump.learner["dynamics"], dict(run.learner.dynamics.state_dict()), rtol=0, atol=0)


@MODES
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_what_is_not_finite_is_named_where_it_lies(started, settings, number):
    run = started(*settings)
    update(run)
    batch, labels, noise = draw_inputs(run)[1:]
    key, obs = next(iter(batch.obs.items()))
    obs = obs.clone()
    obs.view(-1)[0] = float(number)
    assert f"  input obs {key}: 1 {number} of {obs.numel()}" in diagnose(
        dumped(run, (replace(batch, obs=batch.obs | {key: obs}), labels, noise))
    )
    if labels is None:
        spoilt = replace(batch, reward=torch.full_like(batch.reward, float(number))), None, noise
        named = f"input reward: {batch.reward.numel()} {number}"
    else:
        spoilt = batch, replace(labels, value=torch.full_like(labels.value, float(number))), noise
        named = f"input of labels value: {labels.value.numel()} {number}"
    assert any(named in line for line in diagnose(dumped(run, spoilt)))


def test_a_poisoned_parameter_is_named_and_an_update_without_fault_is_said_to_have_none(started):
    run = started()
    update(run)
    inputs = draw_inputs(run)[1:]
    (line,) = diagnose(dumped(run, inputs))
    assert line.endswith("all of it is finite here: it would not be skipped")
    run.learner.reward.out_bias.detach()[0, 0, 3] = float("inf")
    assert any(line.startswith("  state reward.out_bias: 1 inf of ") for line in diagnose(dumped(run, inputs)))


def test_the_newest_updates_are_kept_by_reference():
    recorder = Recorder()
    inputs = [(torch.zeros(1), None, torch.zeros(1)) for _ in range(3)]
    for number, one in enumerate(inputs):
        recorder.keep(number, *one)
    assert [kept.update for kept in recorder.kept] == [1, 2]
    assert recorder.kept[-1].batch is inputs[2][0] and recorder.kept[-1].noise is inputs[2][2]


@pytest.mark.slow
def test_a_run_of_skipped_updates_leaves_a_dump_that_a_command_explains(tiny, monkeypatch, capsys):
    """Every action is infinite from the first update on."""
    config = tiny("train.updates=120")
    draw = Learner.update

    def spoilt(self, batch, labels, noise):
        batch.prev_action[:] = float("inf")
        return draw(self, batch, labels, noise)

    monkeypatch.setattr(Learner, "update", spoilt)
    with pytest.raises(UserError, match=r"^train: 100 updates in a row .*--reproduce .*dumps/update-99\.pt says what"):
        train(config)
    path = Path(config.run.dir) / "dumps" / "update-99.pt"
    capsys.readouterr()
    assert tandem.cli.main(["train", "--reproduce", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: update 99, done again on the cpu") and any(
        "input action" in one for one in lines
    )


class Malicious:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["none", "text", "pickle", "checkpoint", "cut", "config", "learner"])
def test_another_file_is_refused_in_a_line_and_executes_nothing(started, tmp_path, capsys, kind):
    path, executed = tmp_path / "update.pt", tmp_path / "executed"
    if kind == "text":
        path.write_text("no update")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Malicious(executed)))
    if kind == "checkpoint":
        torch.save({"learner": {"format": 1}}, path)
    if kind in ("cut", "config", "learner"):
        run = started()
        whole = dumped(run, draw_inputs(run)[1:])
        state = torch.load(whole, weights_only=True)
        if kind == "config":
            state["config"] = "task: toy_lq\nno_such_key: 1\n"
        if kind == "learner":
            state["learner"]["reward"].popitem()
        torch.save(state, path)
        if kind == "cut":
            path.write_bytes(path.read_bytes()[:-1000])
    assert tandem.cli.main(["train", "--reproduce", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ") and "Traceback" not in line
    assert not executed.exists()


def test_a_full_disk_is_told_and_leaves_no_half_file(started, monkeypatch):
    run = started()

    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"update-7\.pt: could not be saved \(PytorchStreamWriter"):
        dumped(run, draw_inputs(run)[1:])
    assert list((run.folder.path / "dumps").iterdir()) == []


@MODES
@pytest.mark.parametrize(
    "damage, told",
    [
        ("missing", r"learner: the checkpoint holds .*, expected .*'reward_optimizer'"),
        ("parameter", r"reward: out_bias is nothing in the checkpoint, expected \(\d, 1, \d+\) float32"),
        ("unknown", r"dynamics: more is \(1,\) float32 in the checkpoint, expected nothing"),
        ("shape", r"actor_critic: actor.out.bias is \(3,\) float32 in the checkpoint, expected \(\d+,\)"),
        ("type", r"actor_critic: return_scale.low is \(\) float64 in the checkpoint, expected \(\) float32"),
        ("setting", r"dynamics_optimizer: lr was 0.5 at the checkpoint, expected "),
        ("moments", r"reward_optimizer: parameter 0 has \{'count': \(\), 'mu'.*\} in the checkpoint, expected .*'nu'"),
    ],
)
def test_a_learner_takes_a_state_that_fits_or_nothing(started, settings, damage, told):
    run = started(*settings)
    update(run)
    state = run.learner.state_dict()
    before = [value.clone() for value in run.learner.reward.state_dict().values()]
    if damage == "missing":
        del state["reward_optimizer"]
    if damage == "parameter":
        del state["reward"]["out_bias"]
    if damage == "unknown":
        state["dynamics"]["more"] = torch.zeros(1)
    if damage == "shape":
        state["actor_critic"]["actor.out.bias"] = torch.zeros(3)
    if damage == "type":
        state["actor_critic"]["return_scale.low"] = torch.zeros((), dtype=torch.float64)
    if damage == "setting":
        state["dynamics_optimizer"]["param_groups"][0]["lr"] = 0.5
    if damage == "moments":
        del state["reward_optimizer"]["state"][0]["nu"]
    with pytest.raises(ValueError, match=f"^{told}"):
        run.learner.load_state_dict(state)
    assert all(map(torch.equal, before, run.learner.reward.state_dict().values()))
