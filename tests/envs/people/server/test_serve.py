"""`serve`: one server a run, on the loopback alone unless it is exposed."""

import fcntl
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

from tandem.cli import main
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.server.drawing import drawing
from tandem.envs.labelers.people.server.serve import bound
from tandem.envs.labelers.people.serving import LOCK, held, served_at
from tandem.errors import UserError
from tandem.training.settings import load_config, save_config


def test_the_second_server_of_a_run_says_where_the_first_is(tmp_path):
    with held(tmp_path) as lock:
        lock.write("http://127.0.0.1:8612")
        lock.flush()
        with pytest.raises(UserError, match=r"is served already, at http://127\.0\.0\.1:8612$"), held(tmp_path):
            pass
    with held(tmp_path):  # the first has ended
        assert (tmp_path / LOCK).read_text() == ""


def test_where_a_run_is_served_is_known_while_it_is(tmp_path):
    assert served_at(tmp_path) == ""
    with held(tmp_path) as lock:
        lock.write("http://127.0.0.1:8612")
        lock.flush()
        assert served_at(tmp_path) == "http://127.0.0.1:8612"
    (tmp_path / LOCK).write_text("http://127.0.0.1:8612")  # of one that was killed
    assert served_at(tmp_path) == ""
    with open(tmp_path / LOCK) as looking:  # whoever looks at the moment keeps no server away
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.03, looking.close).start()
        with held(tmp_path):
            pass


def test_it_listens_on_the_loopback_alone_unless_it_is_exposed():
    with bound(False, 0) as own, bound(True, 0) as exposed:
        assert (own.getsockname()[0], exposed.getsockname()[0]) == ("127.0.0.1", "0.0.0.0")


def test_a_port_that_is_taken_is_named_and_without_a_wish_the_next_one_is_taken():
    with bound(False, None) as first, bound(False, None) as second:
        taken = first.getsockname()[1]
        assert second.getsockname()[1] > taken
        with pytest.raises(UserError, match=rf"^--port: {taken} cannot be had \(Address already in use\)"):
            bound(False, taken)


@pytest.mark.run
def test_a_server_greets_serves_and_ends_by_a_signal_in_words(tmp_path):
    (tmp_path / "config.yaml").touch()
    Queue.create(tmp_path).close()
    command = [sys.executable, "-m", "tandem", "label", "serve", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        owner = process.stdout.readline().removeprefix("owner: ").strip()
        assert "none yet" in process.stdout.readline()
        with urllib.request.urlopen(owner) as page:
            assert page.url == f"{owner.partition('/?')[0]}/owner" and b"<title>Owner" in page.read()
    finally:
        process.send_signal(signal.SIGTERM)
    told, complained = process.communicate(timeout=20)
    assert (complained, "what was said is kept" in told) == ("", True)
    assert (tmp_path / LOCK).read_text() == ""


def test_what_is_no_run_and_what_is_no_port_is_said_in_a_line(tmp_path, capsys):
    assert main(["label", "serve", str(tmp_path)]) == 2
    (tmp_path / "config.yaml").touch()
    Queue.create(tmp_path).close()
    assert main(["label", "serve", str(tmp_path), "--port", "70000"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [f"error: {tmp_path}: is no run's folder, it has no config.yaml", "error: --port: must be from 0 to 65535, got 70000"]  # fmt: skip


def test_a_run_that_asks_no_people_is_not_served(tmp_path, capsys):
    save_config(load_config(["smoke"]), tmp_path / "config.yaml")
    assert main(["label", "serve", str(tmp_path)]) == 2
    told = (
        f"error: {tmp_path}: asks no people, labeler.name is env_reward: train one that does with labeler.name=people\n"
    )
    assert capsys.readouterr().err == told
    (tmp_path / "config.yaml").write_text("task: nonsense\n")
    assert main(["label", "serve", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "questions.db").exists()


def test_what_draws_is_begun_again_where_it_dies_and_at_last_without_pictures(monkeypatch, capsys):
    monkeypatch.setattr("tandem.envs.labelers.people.server.drawing.PAUSE_SECONDS", 0.0)
    whys: list[str] = []
    is_last = threading.Event()

    def begin(why: str) -> subprocess.Popen:
        whys.append(why)
        if why:
            is_last.set()
        return subprocess.Popen(["sh", "-c", "read line; exit 0" if why else "exit 3"], stdin=subprocess.PIPE)

    with drawing(begin):
        assert is_last.wait(20)
    assert whys == ["", "", "", "the process that draws has died 3 times"]
    assert capsys.readouterr().err == "warning: the process that draws clips has died (3)\n" * 3
