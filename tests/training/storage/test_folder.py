"""Two starts in one new folder: the one that holds the lock makes the run, whatever the order."""

from pathlib import Path

import pytest

from tandem.errors import UserError
from tandem.training.build import build
from tandem.training.storage.card import RunCard
from tandem.training.storage.folder import RunFolder, is_ours, take_away

PRICES = {"transition": 1_000_000, "label": 4_000_000}


def test_of_two_starts_in_one_new_folder_one_wins_in_any_order(tmp_path):
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    lock = first.hold()
    with pytest.raises(UserError, match="another process"):
        second.hold()
    first.make("a: 1\n", 10, PRICES)
    lock.close()
    late = second.hold()  # the first has ended meanwhile
    with pytest.raises(UserError, match=r"run.dir: .* is a run already, go on with it by --resume"):
        second.make("a: 2\n", 10, PRICES)
    assert first.config.read_text() == "a: 1\n"
    late.close()


def test_a_start_that_was_killed_half_way_leaves_the_folder_to_the_next(tmp_path):
    first = RunFolder(tmp_path / "run")
    first.hold().close()
    with first.hold():
        first.make("a: 1\n", 10, PRICES)
    first.config.unlink()  # the crash came before it
    with first.hold():
        first.make("a: 2\n", 10, PRICES)
    assert first.config.read_text() == "a: 2\n"


def test_a_start_that_makes_no_run_takes_away_what_it_made_and_no_more(tmp_path):
    (tmp_path / "mine").touch()
    folder = RunFolder(tmp_path / "task" / "run")
    made = folder.missing()
    with folder.hold():
        late = open(folder.path / "lock")  # noqa: SIM115  by another start, which comes to lock it only now
        take_away(made)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]
    assert not is_ours(late)
    with folder.hold():
        assert not is_ours(late)
    late.close()


def test_a_place_where_nothing_can_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run"), tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"^run.dir: nothing can be written in "):
            RunFolder(place).hold()


def test_a_second_start_does_not_touch_the_card_of_the_first(tiny):
    config = tiny()
    build(config, is_resumed=False).close()
    card = RunCard.read(Path(config.run.dir))
    with pytest.raises(UserError, match="is a run already"):
        build(tiny("seed=5"), is_resumed=False)
    assert RunCard.read(Path(config.run.dir)) == card and card.spaces.action_size == 1
