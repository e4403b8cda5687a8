"""What each rank gets of an update, and that what is no plain mean over rows comes out as over the rows of all."""

import importlib

import pytest
import torch
from torch import Tensor

from tandem.agents.returns import PercentileScale
from tandem.cli import main
from tandem.training.config import ConfigError
from tandem.training.execution.records import mapped, tensors_of
from tandem.training.parallel.place import Place
from tandem.training.parallel.shares import Inputs, form, is_of_form, packed, share, unpacked
from tandem.training.parallel.team import RanksDiffer, Solo, check_shares, compare, team_of
from tandem.worldmodel.ranks import Alone
from tandem.worldmodel.reward import RewardConfig, RewardModel

begun = importlib.import_module("accidents.poison.updates").begun


class Second(Alone):
    """One of two ranks, whose other one has these rows."""

    size = 2

    def __init__(self, others: Tensor):
        self.others = others

    def gather(self, rows: Tensor) -> Tensor:
        return torch.cat([self.others, rows])


def test_shares_are_consecutive_rows_and_starts_go_with_their_sequences(tiny):
    _, [(batch, labels, noise)] = begun(tiny("budget.total=1000", "train.batch=4", "train.label_batch=6"), 1)
    second = share(Inputs(batch, labels, noise), 1, 2)
    assert torch.equal(second.batch.prev_action, batch.prev_action[2:])
    assert torch.equal(second.labels.value, labels.value[3:])
    assert torch.equal(second.noise.observe, noise.observe[2:])
    # The dream of sequence b, step t is start b * T + t: T = 6, so sequences 2 and 3 are starts 12 to 23.
    assert torch.equal(second.noise.imagine, noise.imagine[12:])


def test_what_is_packed_comes_out_as_it_was(tiny):
    _, [inputs] = begun(tiny("budget.total=1000"), 1)
    mine = share(Inputs(*inputs), 1, 2)
    assert {one.dtype for one in tensors_of(mine)} >= {torch.bool, torch.float32, torch.int64}
    again = unpacked(packed(mine).clone(), form(mine))
    assert all(torch.equal(*pair) for pair in zip(tensors_of(mine), tensors_of(again), strict=True))
    assert is_of_form(again, form(mine)) and not is_of_form(share(Inputs(*inputs), 0, 1), form(mine))
    assert not is_of_form(mine, None)


def test_what_is_sent_lies_on_one_device(tiny):
    """As on a GPU: an address stays in main memory, and a row of bytes is of one device."""
    _, [(batch, labels, noise)] = begun(tiny("budget.total=1000"), 1)
    there = Inputs(batch.to("meta"), labels.to("meta"), mapped(noise, lambda tensor: tensor.to("meta")))
    assert there.batch.address.row.device.type == "cpu"
    assert {one.device.type for one in tensors_of(share(there, 0, 2))} == {"meta"}
    assert packed(share(there, 0, 2)).device.type == "meta"


@pytest.mark.parametrize("first", [[2.0, 1.0], [0.0, 0.0]])
def test_the_mean_of_ranks_reward_losses_is_that_over_all_labels(first):
    """Weights 2, 1 here and 0.5, 0 there: the first rank's loss counts 3 of 3.5, not half."""
    torch.manual_seed(0)
    model = RewardModel(RewardConfig(members=2, units=8, bins=15), feat_size=3)
    torch.nn.init.normal_(model.out_weight)
    feat, value = torch.randn(4, 3), torch.tensor([0.0, 1.0, 5.0, -3.0])
    weight = torch.tensor([*first, 0.5, 0.0])[:, None].expand(4, 2) * torch.tensor([1.0, 0.7])
    whole, metrics = model(feat, value, weight)
    parts = [
        model(feat[:2], value[:2], weight[:2], Second(weight[2:])),
        model(feat[2:], value[2:], weight[2:], Second(weight[:2])),
    ]
    torch.testing.assert_close((parts[0][0] + parts[1][0]) / 2, whole)
    assert abs(parts[0][0] - parts[1][0]) > 0.1
    for name in metrics:
        torch.testing.assert_close((parts[0][1][name] + parts[1][1][name]) / 2, metrics[name])


def test_the_scale_of_returns_is_that_of_all_ranks():
    """0 .. 99 here and 100 .. 199 there: percentiles 5 and 95 of all are 9.95 and 189.05, and those of a half are not."""
    scale = PercentileScale(rate=1.0)
    scale.update(Second(torch.arange(100.0)).gather(torch.arange(100.0, 200.0)))
    assert (float(scale.low), float(scale.high)) == pytest.approx((9.95, 189.05))


def test_the_first_tensor_that_differs_is_named_with_its_rank():
    compare([{"a": "1", "b": "2"}] * 2)
    with pytest.raises(RanksDiffer, match="ranks: b of rank 2 is not that of rank 0"):
        compare([{"a": "1", "b": "2"}, {"a": "1", "b": "2"}, {"a": "1", "b": "3"}])


def test_a_batch_that_cannot_be_shared_equally_is_refused(tiny):
    config = tiny("train.batch=6", "train.label_batch=16")
    check_shares(config, Place(size=2))
    with pytest.raises(ConfigError, match=r"^train.label_batch: must be a multiple of the 3 processes .* got 16$"):
        check_shares(config, Place(size=3))
    with pytest.raises(ConfigError, match=r"^train.batch: must be a multiple of the 4 processes .* got 6$"):
        check_shares(config, Place(size=4))


def test_one_process_of_a_launcher_is_a_run_alone(tiny):
    here = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    place = Place.of(here | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"})
    assert place == Place.of({"RANK": "3"}) == Place()
    with team_of(tiny(), torch.device("cpu"), place) as team:
        assert type(team) is Solo


@pytest.mark.parametrize("asked", ["--help", "-h", "--print-config", "--forecast", "--reproduce=x.pt"])
def test_only_rank_0_answers_a_question(monkeypatch, capsys, asked):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1" if "RANK" in name else "2")
    assert main(["train", asked]) == 0
    assert capsys.readouterr() == ("", "")
