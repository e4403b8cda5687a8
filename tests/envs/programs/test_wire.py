"""The form of questions and replies: what goes out can be read in any language, what comes in is checked."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.programs.address import without_secrets
from tandem.envs.labelers.programs.journal import Log
from tandem.envs.labelers.programs.lines import Lines
from tandem.envs.labelers.programs.wire import PROMPTS, Unusable, reply_of, written
from tandem.envs.records import QUESTION_KINDS, Answer, Clip, Question, Sight


def test_a_question_holds_all_that_is_seen():
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    obs = {"eye": image, "deep": image[..., :2], "pose": np.array([[0.0], [np.nan], [2.5]], np.float32)}
    obs |= {"way": np.array([[0], [1], [2]], np.int32)}
    left = Sight(obs, np.full((3, 1), 0.5, np.float32), 1, (b"", b"S\xff", b"S2"))
    question = Question("k", Clip(4, 9, 2), "t", "pair", Clip(5, 8, 2), (left, left))
    line = written(question, "", "r")
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    plain = json.loads(line, parse_constant=pytest.fail)
    assert [plain[key] for key in ("run", "key", "kind", "tier")] == ["r", "k", "pair", "t"]
    assert plain["prompt"] == PROMPTS["pair"] and json.loads(written(question, "Well?", "r"))["prompt"] == "Well?"
    first, second = plain["clips"]
    assert (first["env"], first["step"], first["length"], second["step"], first["num_padding"]) == (4, 9, 2, 8, 1)
    assert first["rows"]["pose"] == [[0.0], [None], [2.5]] and first["rows"]["way"] == [[0], [1], [2]]
    assert first["actions"] == [[0.5]] * 3 and [base64.b64decode(one) for one in first["snapshots"]][1] == b"S\xff"
    seen = np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in first["rows"]["eye"]])
    assert np.array_equal(seen, image)
    deep = np.asarray(Image.open(io.BytesIO(base64.b64decode(first["rows"]["deep"][0]))))
    assert np.array_equal(deep, np.concatenate([image[0, ..., 0], image[0, ..., 1]]))


def test_there_is_a_prompt_for_every_kind():
    assert PROMPTS.keys() == set(QUESTION_KINDS)


def question(kind, length=3):
    return Question("k", Clip(0, 9, length), kind=kind)


def test_replies_of_every_kind():
    assert reply_of({"value": -2}, question("clip")) == Answer("k", -2.0)
    assert reply_of({"preference": 0.5, "seconds": 3}, question("pair")) == Answer("k", 0.5, seconds=3.0)
    moments = reply_of({"moments": [[2, 1], [0, -0.5]]}, question("moments"))
    assert moments == Answer("k", 0.5, moments=((2, 1.0), (0, -0.5)))
    assert reply_of({"moments": []}, question("moments")) == Answer("k", 0.0)


@pytest.mark.parametrize(
    "kind, said",
    [
        ("pair", {"preference": 0.7}),
        ("pair", {"value": 1}),
        ("moments", {"moments": [[3, 1]]}),
        ("moments", {"moments": [[-1, 1]]}),
        ("moments", {"moments": [[True, 1]]}),
        ("moments", {"moments": [[0, 1], [0, 2]]}),
        ("moments", {"moments": [[0, None]]}),
        ("moments", {"moments": [[0]]}),
        ("moments", {"moments": 3}),
        ("clip", {"value": None}),
        ("clip", {"value": [1]}),
        ("clip", {"value": 1, "seconds": "long"}),
        ("clip", {}),
    ],
)
def test_a_reply_that_is_none_is_refused(kind, said):
    with pytest.raises(Unusable):
        reply_of(said, question(kind))


def test_lines_are_cut_where_they_are_too_long_and_found_however_the_bytes_come():
    content = b"one\n" + b"x" * 25 + b"\ntwo\n\nthree"
    for size in (1, 3, 7, 100):
        lines = Lines(most_bytes=10)
        found = [line for at in range(0, len(content), size) for line in lines.of(content[at : at + size])]
        assert found == [b"one", b"x" * 10, b"two", b""], size
        assert list(lines.of(b"\n")) == [b"three"]


def test_a_log_keeps_its_last_part(tmp_path):
    log = Log(tmp_path / "labeler.log", most_bytes=100)
    for number in range(100):
        log.add(b"%09d\n" % number)
    log.line("a\x1b[2J\nb")
    kept = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir(), reverse=True))
    assert len(kept) < 250 and b"000000099\n" in kept and kept.endswith(b" a [2J b\n")


def test_a_log_never_writes_through_a_link(tmp_path):
    (tmp_path / "labeler.log").symlink_to(tmp_path / "precious")
    Log(tmp_path / "labeler.log").add(b"x")
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    "url, told",
    [
        ("http://host:80/a/b", "http://host:80/a/b"),
        ("http://me:secret@host/a", "http://***@host/a"),
        ("http://me:se@cret@host/a?token=secret#secret", "http://***@host/a?***"),
        ("https://secret@host", "https://***@host"),
        ("http://host?secret", "http://host?***"),
    ],
)
def test_an_address_is_told_without_its_secrets(url, told):
    assert without_secrets(url) == told


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"url": "http://h", "command": ("a",)}, "url: only one of command and url can answer"),
        ({"url": "http://h", "name": "noisy"}, "url: cannot answer beside name=noisy"),
        ({"command": ("a",), "name": "people"}, "command: cannot answer beside name=people"),
        ({"command": ("a",), "delay": 1}, "delay: must be 0 where command answers, got 1"),
        ({"anchor_prompt": "Well?"}, "anchor_prompt: is for labeler.kind=pair, got kind step: set labeler.prompt"),
        ({"command": ("",)}, "command: must begin with a program, got ['']"),
    ],
)
def test_settings_that_contradict_each_other_are_named(settings, told):
    with pytest.raises(ValueError) as caught:
        LabelerConfig(**settings)
    assert str(caught.value) == told
