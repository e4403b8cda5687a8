"""`tandem label` as a person meets it."""

import json
import os

import numpy as np
import pytest

import tandem.cli
from tandem.envs.labelers.people.films import Films
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.serving import held
from tandem.envs.sights.film import strip

from .conftest import asked


@pytest.fixture
def command(booth, capsys):
    """Runs `tandem label VERB RUN ...`. -> what it prints; status 2 gives the one line on standard error."""

    def run(verb: str, *arguments: object, status: int = 0) -> str:
        assert tandem.cli.main(["label", verb, str(booth.folder), *map(str, arguments)]) == status
        out, err = capsys.readouterr()
        assert (err.count("\n"), bool(err)) == ((1, True) if status else (0, False)), err
        return err if status else out

    return run


def test_add_prints_an_address_that_logs_in(booth, command):
    out = command("add", "cat", "--wage", "9.5")
    assert out.startswith("cat: http://127.0.0.1:8600/?token=")
    token = out.splitlines()[0].partition("token=")[2]
    cat = booth.raters.by_token(token)
    assert cat is not None and (cat.name, cat.wage_micro) == ("cat", 9_500_000)
    assert "a rater already" in command("add", "cat", status=2)
    newer = command("add", "cat", "--renew").splitlines()[0].partition("token=")[2]
    assert booth.raters.by_token(token) is None and booth.raters.by_token(newer) == cat


def test_an_address_says_how_to_serve_until_somebody_does(booth, command):
    hint = f"nobody serves the page yet: tandem label serve {booth.folder}"
    assert hint in command("add", "cat") and command("status").splitlines()[0].endswith(hint)
    assert booth.trainers[0].status().endswith(hint)
    with held(booth.folder) as lock:
        lock.write("http://127.0.0.1:8612")
        lock.flush()
        assert command("status").splitlines()[0].endswith("/h, http://127.0.0.1:8612")
        assert booth.trainers[0].status().endswith("/h, http://127.0.0.1:8612")
        told = command("add", "dan")
        assert told.startswith("dan: http://127.0.0.1:8612/?token=") and "nobody serves" not in told
    assert command("status").splitlines()[0].endswith(hint)  # it has ended


def test_renewing_with_a_wage_pays_it_from_then_on(booth, command):
    booth.trainers[0].submit(asked("clip", 1, 2))
    booth.score("ann", seconds=6.0)
    command("add", "ann", "--renew", "--wage", "24")
    booth.score("ann", seconds=6.0)
    prices = [row["price_micro"] for row in booth.queue.read("SELECT price_micro FROM answer ORDER BY id")]
    assert prices == [20_000, 40_000]  # 6 s at 12 and at 24 an hour
    command("add", "ann", "--renew")
    assert booth.raters.find("ann").wage_micro == 24_000_000
    assert "wage: must be coins" in command("add", "ann", "--renew", "--wage", "-1", status=2)


def test_a_wage_that_the_ceiling_cuts_is_warned_of(booth, command):
    """A label is a coin and the ceiling three: at 3,000 an hour that is 3.6 s of 5; at 2,000 it is 5.4 s."""
    assert "warning" not in command("add", "cat", "--wage", "2000")
    told = command("add", "dan", "--wage", "3000")
    assert "warning: an answer costs 3 coins at most" in told and "3.6 seconds of the 5.0" in told
    booth.trainers[0].submit(asked("clip", 1))
    booth.score("ann", seconds=10.0)  # what an answer takes is known now
    assert "5.4 seconds of the 10.0" in command("add", "cat", "--renew")
    assert "warning" not in command("add", "eve", "--wage", "0")


def test_a_name_that_nobody_can_have_is_refused_in_a_line(booth, command):
    for name in ("\udcff", "a\x00b", "a b", "x" * 5000):
        for verb in ("pause", "resume", "retract"):
            assert "nobody of that name was added" in command(verb, name, status=2)
        assert "name: up to 40 letters" in command("add", name, status=2)


def test_status_shows_what_is_open_and_what_each_rater_does(booth, command):
    booth.trainers[0].submit(asked("clip", 1, 2, 3))
    booth.trainers[0].collect()
    booth.score("ann", seconds=6.0)
    first, numbers, head, ann, bob = command("status").splitlines()
    assert first.startswith("2 open, oldest ") and numbers.startswith("2 queued, 1 answered; ")
    assert head.split()[:3] == ["rater", "today", "answers"]
    assert ann.split() == ["ann", "1", "1", "6.0", "600", "12", "0.02", "0.00", "0", "-", "-"] or ann.split()[1] == "0"
    assert bob.split()[:3] == ["bob", "0", "0"]


def test_pause_and_resume_one_and_all(booth, command):
    assert command("pause", "ann") == "ann: pauses\n"
    assert Raters(booth.queue).find("ann").is_paused
    command("resume", "ann")
    assert not Raters(booth.queue).find("ann").is_paused
    command("pause")
    assert "paused" in command("status").splitlines()[0]
    command("resume")
    assert "nobody of that name" in command("pause", "eve", status=2)


def test_the_owner_is_no_rater(booth, command):
    booth.raters.owner()
    assert [line.split()[0] for line in command("status").splitlines()[3:]] == ["ann", "bob"]
    for verb in ("pause", "resume", "retract"):
        assert "owner: is whoever serves the page, and no rater" in command(verb, "owner", status=2)
    owner = booth.raters.find("owner")
    assert not owner.is_paused and not owner.is_retracted


def test_retract_and_expire(booth, command):
    booth.trainers[0].submit(asked("clip", 1, 2))
    command("retract", "ann")
    assert booth.trainers[0].retracted() == {"ann"}
    assert command("expire") == "2 open questions are given up\n"
    assert {reply.reason for reply in booth.trainers[0].collect()} == {"given up by the owner"}


def test_export_and_import(booth, command, tmp_path):
    booth.trainers[0].submit(asked("clip", 1, 2))
    booth.score("ann")
    file = tmp_path / "answers.jsonl"
    assert command("export", "--jsonl", file) == f"{file}: 1 answers to 2 questions\n"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["rater"] for line in lines].count("ann") == 1
    assert command("import", file).endswith("0 labels, 0 kept beside them, 1 were there before\n")
    file.write_bytes(b"\xff\xfe")
    assert "no UTF-8" in command("import", file, status=2)
    file.write_bytes(b"")
    assert f"{file}: is empty\n" in command("import", file, status=2)


def test_help_says_that_an_export_for_label_studio_has_no_pictures(capsys):
    with pytest.raises(SystemExit) as ended:
        tandem.cli.main(["label", "export", "--help"])
    assert not ended.value.code and "without pictures" in " ".join(capsys.readouterr().out.split())


def test_an_export_to_be_labelled_elsewhere_says_how_much_of_it_there_is(booth, command, tmp_path):
    booth.trainers[0].submit(asked("clip", 1, 2, 3))
    booth.score("ann")
    films = Films(booth.queue)
    films.put(1, [strip([np.zeros((40, 60, 3), np.uint8)] * 2, context=1)])
    films.put(2, [strip([np.zeros((40, 60, 3), np.uint8)] * 2, context=1)])
    file = tmp_path / "tasks.json"
    told = command("export", "--label-studio-tasks", file)
    assert told.startswith(f"{file}: 1 of 2 open questions; ")
    (task,) = json.loads(file.read_text())
    assert task["data"]["strip"].startswith("data:image/webp;base64,")


def test_a_place_that_cannot_be_written_or_read_is_named_as_it_was_given(command, tmp_path):
    nowhere = tmp_path / "no" / "answers.jsonl"
    assert f"{nowhere}: there is no folder {nowhere.parent}\n" in command("export", "--jsonl", nowhere, status=2)
    assert f"{nowhere}: cannot be read (No such file or directory)\n" in command("import", nowhere, status=2)
    for folder in (tmp_path, "."):
        assert f"--csv {folder}: is a folder" in command("export", "--csv", folder, status=2)


def test_an_export_replaces_nothing_that_is_no_file(command, tmp_path_factory):
    pipe = tmp_path_factory.mktemp("elsewhere") / "pipe"
    os.mkfifo(pipe)
    assert "--jsonl" in command("export", "--jsonl", pipe, status=2) and pipe.is_fifo()


def test_a_folder_without_questions_is_told_in_a_line(tmp_path, capsys):
    assert tandem.cli.main(["label", "status", str(tmp_path)]) == 2
    assert "has no questions.db, a run with labeler.name=people makes it" in capsys.readouterr().err
