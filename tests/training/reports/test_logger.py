"""What the logger is told is what the files say."""

import io
import json
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tandem.training.reports.logger import LogConfig, Logger, ProgressLine, Speed, duration, progress_line


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def rows(folder):
    return [
        json.loads(line, parse_constant=pytest.fail) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def standing(**changes):
    first = {"phase": 2, "phases": 12, "step": 41_200, "transitions": 40_000, "labels": 9_500}
    money = {"spent": 7_000.0, "total": 20_000.0, "updates": 300, "updates_in_all": 3_100, "episode_return": 523.14}
    return ProgressLine(**(first | money | changes))


def test_the_same_numbers_reach_the_json_and_tensorboard(tmp_path):
    with Logger(tmp_path, LogConfig(), clock=Clock()) as logger:
        logger.scalars(64, {"eval/return": 12.5, "critic/value": torch.tensor([3.0], dtype=torch.bfloat16)})
    assert rows(tmp_path) == [{"step": 64, "time": 1000.0, "eval/return": 12.5, "critic/value": 3.0}]
    (event,) = events(tmp_path).Scalars("eval/return")
    assert (event.step, event.value) == (64, 12.5)


def test_a_number_that_is_none_stays_valid_json(tmp_path):
    with Logger(tmp_path, LogConfig()) as logger:
        logger.scalars(1, {"a": math.nan, "b": torch.tensor(math.inf), "c": np.float32(2.0)})
    (row,) = rows(tmp_path)
    assert (row["a"], row["b"], row["c"]) == (None, None, 2.0)
    assert math.isnan(events(tmp_path).Scalars("a")[0].value)


def test_a_flush_writes_the_mean_of_what_was_added(tmp_path):
    with Logger(tmp_path, LogConfig()) as logger:
        logger.add({"loss": torch.tensor(1.0), "speed": 4})
        logger.add({"loss": torch.tensor(2.0), "rare": torch.tensor(7, dtype=torch.int64)})
        logger.add({"loss": torch.tensor(6.0)})
        means = logger.flush(10)
        assert means == {"loss": 3.0, "speed": 4.0, "rare": 7.0}  # (1 + 2 + 6) / 3; the others were seen once
        logger.add({"loss": torch.tensor(8.0)})
        assert logger.flush(20) == {"loss": 8.0}
        assert logger.flush(30) == {}
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [(10, 3.0), (20, 8.0)]


def test_a_tensor_may_be_overwritten_once_it_was_added(tmp_path):
    output = torch.tensor(5.0, requires_grad=True)  # as a captured graph does with its outputs
    with Logger(tmp_path, LogConfig()) as logger:
        logger.add({"loss": output})
        output.data.fill_(100.0)
        assert logger.flush(1) == {"loss": 5.0}


def test_a_metric_with_a_shape_is_a_bug_that_is_named(tmp_path):
    with Logger(tmp_path, LogConfig()) as logger, pytest.raises(AssertionError, match=r"loss.*\(2,\)"):
        logger.scalars(1, {"loss": torch.zeros(2)})


def test_a_resumed_run_is_appended_to_after_a_row_cut_short(tmp_path):
    with Logger(tmp_path, LogConfig()) as logger:
        logger.scalars(1, {"a": 1.0})
        logger.line("first")
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "a"')  # killed here
    with Logger(tmp_path, LogConfig()) as logger:
        logger.scalars(3, {"a": 3.0})
        logger.line("second")
    assert [row["step"] for row in rows(tmp_path)] == [1, 3]
    assert [line.split()[1] for line in (tmp_path / "console.log").read_text().splitlines()] == ["first", "second"]
    assert [event.step for event in events(tmp_path).Scalars("a")] == [1, 3]


def test_rows_are_on_disk_before_the_logger_is_closed(tmp_path):
    logger = Logger(tmp_path, LogConfig())
    logger.scalars(1, {"a": 1.0})
    logger.line("hello")
    assert len(rows(tmp_path)) == 1 and "hello" in (tmp_path / "console.log").read_text()
    logger.close()


def test_a_figure_is_in_tensorboard_and_in_the_report(tmp_path):
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.add_subplot().plot([0, 1])
    with Logger(tmp_path, LogConfig()) as logger:
        logger.figure("plan/shares", figure, 7)
    (image,) = events(tmp_path).Images("plan/shares")
    assert (image.step, image.width, image.height) == (7, 300, 150)
    file = (tmp_path / "report" / "plan_shares.png").read_bytes()
    assert file == image.encoded_image_string
    picture = Image.open(io.BytesIO(file))
    assert (picture.mode, picture.size) == ("RGB", (300, 150)) and round(picture.info["dpi"][0]) == 150
    assert len(picture.getcolors(10_000) or ()) > 10  # something is drawn


def test_without_figures_none_is_written(tmp_path):
    with Logger(tmp_path, LogConfig(figures=False)) as logger:
        logger.figure("plan/shares", Figure(), 7)
    assert not (tmp_path / "report").exists()


def test_progress_is_due_every_so_many_seconds(tmp_path):
    clock = Clock()
    with Logger(tmp_path, LogConfig(every_seconds=10.0), clock=clock) as logger:
        assert logger.is_due()
        logger.progress(standing())
        clock.now += 9.5
        assert not logger.is_due()
        clock.now += 0.5
        assert logger.is_due()


def test_the_progress_line_says_money_speed_and_time_left(tmp_path, capsys):
    clock = Clock()
    with Logger(tmp_path, LogConfig(), clock=clock) as logger:
        for updates in (60, 140, 220):
            logger.progress(standing(spent=6_000.0, updates=updates))
            clock.now += 20
        logger.progress(standing())
    # 240 updates in 60 s, and 2,800 to come: 700 s
    assert capsys.readouterr().out.splitlines()[-1] == (
        "phase 2/12 | step 41,200 | 40,000 transitions + 9,500 labels | 7,000 of 20,000 coins, 13,000 left"
        " | return 523.1 | update 300 (4.00/s) | time left 11m 40s"
    )
    assert "time left 11m 40s" in (tmp_path / "console.log").read_text()


def test_the_first_line_claims_no_speed():
    speed = Speed()
    now = standing(phase=0, episode_return=None)
    speed.add(5.0, now)
    line = progress_line(now, speed)
    assert line.startswith("pilot | ") and line.endswith(" | return - | update 300 | time left -")


SPENT_FIRST, LEARNING = (
    60,
    2_000,
)  # seconds: a third of the money is spent in the first ones, all 8,000 updates come after


def lives_of_a_run(updates_in_all: int | None):
    """A line every ten seconds of a run of 20,000 coins, as it goes. -> seconds since the start, what is left by the clock"""
    speed = Speed()
    for now in range(0, SPENT_FIRST + LEARNING, 10):
        done = max(0, now - SPENT_FIRST) / LEARNING
        spent = 20_000 * (min(now / SPENT_FIRST, 1) / 3 + done * 2 / 3)
        speed.add(now, standing(spent=spent, updates=round(8_000 * done), updates_in_all=updates_in_all))
        yield now, speed.seconds_left()


@pytest.mark.parametrize("updates_in_all", [8_000, None], ids=["train.updates", "train.ratio"])
def test_money_spent_before_the_first_update_does_not_shorten_the_time_left(updates_in_all):
    told = dict(lives_of_a_run(updates_in_all))
    assert all(
        told[now] is None for now in range(0, SPENT_FIRST + 40, 10)
    )  # no update, or fewer than four lines with one
    for now in range(SPENT_FIRST + 40, SPENT_FIRST + LEARNING, 10):
        assert told[now] == pytest.approx(SPENT_FIRST + LEARNING - now, rel=0.01), now


def test_time_left_is_unknown_while_nothing_is_learned():
    speed = Speed()
    for seconds in range(0, 100, 10):
        speed.add(seconds, standing(updates=20))
    assert speed.updates_per_second() == 0.0 and speed.seconds_left() is None


@pytest.mark.parametrize(("seconds", "text"), [(44.6, "45s"), (59.9, "1m 00s"), (750, "12m 30s"), (11_100, "3h 05m")])
def test_durations_read_as_a_person_says_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_wait_that_is_not_positive_is_refused(seconds):
    with pytest.raises(ValueError, match=r"^every_seconds: must be positive"):
        LogConfig(every_seconds=seconds)
