"""What rows are drawn by, in a run: there for every row, also after a crash; what is lost of it stops nothing."""

from pathlib import Path

import pytest

from tandem.envs.records import Clip
from tandem.envs.sights.reel import Reel
from tandem.training.phases import train
from tandem.training.purchases.transitions import Collector
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.repair.repair import repair
from tandem.training.storage.verify import verify_files
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

OWN = """
from tandem.envs.records import Answer

class Judge:
    seen = []

    def __init__(self):
        self.open = []

    def submit(self, questions):
        self.open += questions
        self.seen += [(one.clip, sight) for one in questions for sight in one.sights]

    def collect(self):
        answers = [Answer(one.key, float(one.sights[0].obs["state"][-1].sum())) for one in self.open]
        self.open = []
        return answers
"""
TASK = ("task=gym:Pendulum-v1", "labeler.name=judging:Judge")


class Crash(BaseException):
    pass


@pytest.fixture
def config(tiny, tmp_path, monkeypatch):
    (tmp_path / "judging.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return tiny(*TASK)


def sights_of(run: Path) -> dict[tuple[int, int], bytes]:
    """(env, step) -> the sight, of all rows in the journal."""
    reel = Reel(RunFolder(run).sights, pytest.fail)
    reel.load()
    ticks = [tick.transition for block in TransitionJournal(RunFolder(run).transitions).read() for tick in block]
    rows = [(env, int(step)) for tick in ticks for env, step in enumerate(tick.step)]
    return {(env, step): reel.of(Clip(env, step), 0)[0] for env, step in rows}


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_the_same_sights(config, tiny, monkeypatch):
    from judging import Judge

    whole = tiny(*TASK, folder="whole")
    train(whole)
    assert Judge.seen and all(len(sight.snapshots) == len(sight.prev_action) for _, sight in Judge.seen)
    assert all(sight.snapshots[-1] and not any(sight.snapshots[: sight.num_padding]) for _, sight in Judge.seen)
    original, calls = Collector.tick, []

    def ticking(self, agent):
        calls.append(0)
        if len(calls) == 50:
            raise Crash
        return original(self, agent)

    monkeypatch.setattr(Collector, "tick", ticking)
    with pytest.raises(Crash):
        train(config)
    train(config, Path(config.run.dir))
    found = sights_of(Path(config.run.dir))
    assert all(found.values()) and found == sights_of(Path(whole.run.dir))
    shown = {clip: sight.snapshots[-1] for clip, sight in Judge.seen}
    assert all(found[clip.env, clip.step] == sight for clip, sight in shown.items())


@pytest.mark.slow
def test_damaged_sights_are_said_mended_and_in_nobodys_way(config):
    run = Path(config.run.dir)
    train(config)
    path = next(RunFolder(run).sights.rglob("*.log"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert any("some pictures are lost" in line for line in verify_files(RunFolder(run)))
    assert any("numbers in place of some pictures" in line for line in repair(run))
    assert repair(run) == []
    assert not any("lost" in line for line in verify_files(RunFolder(run)))
    assert sum(not sight for sight in sights_of(run).values()) > 0


@pytest.mark.slow
def test_who_does_not_look_leaves_none(tiny):
    config = tiny()
    train(config)
    assert not RunFolder(Path(config.run.dir)).sights.exists()
