"""Where the time goes: every second counts once, and a run says what took it."""

import pytest

from tandem.training.reports.status import took
from tandem.watch import Laps, Watch, shares


def watch_at(now: list[float]) -> Watch:
    return Watch(("update", "labels", "commit"), clock=lambda: now[0])


def test_of_parts_within_parts_the_innermost_counts():
    now = [100.0]
    watch = watch_at(now)
    now[0] = 101  # 1 s of nothing
    with watch("commit"):
        now[0] = 103  # 2 s
        with watch("labels"):
            now[0] = 107  # 4 s
        now[0] = 115  # 8 s
    now[0] = 131  # 16 s
    assert watch.seconds() == {"update": 0, "labels": 4, "commit": 10, "other": 17}


def test_what_raises_is_counted_and_the_part_around_it_goes_on():
    now = [0.0]
    watch = watch_at(now)
    with watch("commit"):
        with pytest.raises(OSError, match="full"), watch("labels"):
            now[0] = 1
            raise OSError("full")
        now[0] = 3
    assert watch.seconds() == {"update": 0, "labels": 1, "commit": 2, "other": 0}


def test_laps_hold_what_came_since_the_last_one_inside_an_open_part_too():
    now = [0.0]
    watch = watch_at(now)
    laps = Laps(watch)
    with watch("update"):
        now[0] = 5
        assert laps.take()["update"] == 5
        now[0] = 7
    assert laps.take() == {"update": 2, "labels": 0, "commit": 0, "other": 0}
    assert shares(laps.take())["update"] == 0  # no time has passed


def test_the_sentence_names_the_largest_part_first_and_leaves_crumbs_out():
    seconds = {"environment": 30.0, "update": 240.0, "labels": 1.0, "measure": 27.0, "other": 14.0}
    # of 312 s: 76.9 %, 9.6 %, 8.7 %; the labels' .3 % are no word, and with the others' 4.5 % they are the rest
    said = "phase 2 took 5m 12s: 77% updates, 10% environments, 9% measuring and planning, 5% the rest"
    assert took("phase 2", seconds) == said
    assert took("the pilot", {"update": 0.0, "other": 2.0}) == "the pilot took 2s"
