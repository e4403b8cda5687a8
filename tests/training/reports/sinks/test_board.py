"""TensorBoard's files, read back: what stands on which axis and in which group, and what a run that goes on leaves of it."""

import json
import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tandem.training.reports.logger import LogConfig, Logger
from tandem.training.reports.sinks.board import BY_COST, DIAGNOSTICS, LAYOUT
from tandem.training.reports.sinks.told import ToldSettings

DEFAULTS = "task: a\nseed: 0\nmode: m\ndynamics: {deter: 512, act: silu}\nlog: {sinks: []}\nlabeler: {tiers: {}}\n"
TOLD = ToldSettings.of(DEFAULTS.replace("512", "64").replace("tiers: {}", "tiers: {b: {price: 2.0}}"), DEFAULTS)


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(folder).Scalars(tag)]


def texts(folder: Path, tag: str) -> list[str]:
    return [event.tensor_proto.string_val[0].decode() for event in events(folder).Tensors(f"{tag}/text_summary")]


def test_the_axis_of_by_cost_is_whole_coins(tmp_path):
    with Logger(tmp_path, LogConfig()) as logger:
        logger.scalars(800, {"eval/return": 12.0, "gap/reward": 0.5, "budget/spent": 199.6})
        logger.scalars(800, {"budget/spent": 199.6, "budget/labels": 20, "train/updates": 7})
        logger.scalars(900, {"eval/return": 13.0})  # nobody says what it cost
    assert points(tmp_path, "by_cost/return") == [(200, 12.0)]
    assert points(tmp_path, "by_cost/reward_error") == [(200, 0.5)]
    assert points(tmp_path, "by_cost/labels") == [(200, 20.0)]
    assert points(tmp_path, "eval/return") == [(800, 12.0), (900, 13.0)]


def test_diagnostics_have_a_group_of_their_own_and_their_old_names_in_the_json(tmp_path):
    assert len(DIAGNOSTICS) == 25 and not DIAGNOSTICS & BY_COST.keys()
    with Logger(tmp_path, LogConfig()) as logger:
        logger.scalars(1, {**dict.fromkeys(DIAGNOSTICS, 1.0), "gap/dynamics": 2.0})
    tags = set(events(tmp_path).Tags()["scalars"])
    assert tags == {f"diagnostics/{key}" for key in DIAGNOSTICS} | {"gap/dynamics"}
    assert json.loads((tmp_path / "metrics.jsonl").read_text()).keys() >= DIAGNOSTICS


def test_the_layout_puts_return_money_and_errors_first(tmp_path):
    Logger(tmp_path, LogConfig()).close()
    (event,) = events(tmp_path).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert [category.title for category in layout.category] == ["return", "money", "errors"] == list(LAYOUT)
    assert list(layout.category[0].chart[0].multiline.tag) == ["^by_cost/return$", "^by_cost/return_sampled$"]


def test_settings_are_a_text_and_those_that_tell_runs_apart_stand_in_the_table_of_runs(tmp_path):
    with Logger(tmp_path, LogConfig(), settings=TOLD) as logger:
        logger.scalars(800, {"eval/return": 12.0, "budget/spent": 200.0})
        logger.finished()
    assert "deter: 64" in texts(tmp_path, "run/configuration")[0]
    content = events(tmp_path).PluginTagToContent("hparams")
    parsed = {tag.split("/")[-1]: HParamsPluginData.FromString(data) for tag, data in content.items()}
    begun = parsed["session_start_info"].session_start_info.hparams
    values = {key: value.number_value or value.string_value for key, value in begun.items()}
    assert values == {"task": "a", "seed": 0.0 or "", "mode": "m", "dynamics.deter": 64.0, "labeler.tiers.b.price": 2.0}
    metrics = [info.name.tag for info in parsed["experiment"].experiment.metric_infos]
    assert metrics == ["eval/return", "budget/spent"]  # the newest values of these scalars
    assert parsed["session_end_info"].session_end_info.status > 0


def life(
    folder: Path, rows: list[tuple[int, float, float]], purge_step: int | None = None, cut: int | None = None
) -> int:
    """Write (step, coins, return). -> the size of metrics.jsonl"""
    with Logger(folder, LogConfig(), purge_step=purge_step) as logger:
        if cut is not None:
            logger.cut(cut)
        for step, coins, value in rows:
            logger.scalars(step, {"eval/return": value, "budget/spent": coins})
    for path in folder.glob("events.out.tfevents.1*"):  # read in the order of their names, which hold the second
        path.rename(folder / f"events.out.tfevents.{len(list(folder.glob('events*'))):010d}")
    return (folder / "metrics.jsonl").stat().st_size


@pytest.mark.parametrize("price", [0.1, 10.0], ids=["coins below steps", "coins above steps"])
def test_a_run_that_goes_on_leaves_no_hole_and_no_stranger_on_either_axis(tmp_path, price):
    """TensorBoard purges by steps alone, whatever the axis of a chart is."""
    rows = [(step, step * price, float(step)) for step in (100, 200, 300, 400)]
    size = life(tmp_path, rows[:2])
    life(tmp_path, rows[2:3])  # after the checkpoint: it comes again
    life(tmp_path, rows[2:], purge_step=201, cut=size)
    assert points(tmp_path, "eval/return") == [(step, value) for step, _, value in rows]
    shown = points(tmp_path, "by_cost/return")
    assert set(shown) == {(round(coins), value) for _, coins, value in rows}
    assert [step for step, _ in dict.fromkeys(shown)] == sorted({step for step, _ in shown})


def test_a_number_that_is_none_is_restored_as_none(tmp_path):
    size = life(tmp_path, [(1, 100.0, math.nan)])
    life(tmp_path, [], purge_step=2, cut=size)
    ((step, value),) = points(tmp_path, "by_cost/return")
    assert step == 100 and math.isnan(value)
