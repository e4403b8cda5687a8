"""Programs that answer, die, hang, flood and write garbage: each question gets its answer or a clear word, and nobody waits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.records import Answer, Declined
from tandem.envs.vault import RewardVault
from tandem.errors import UserError

from .asking import all_of, asked

pytestmark = pytest.mark.run
ROW = "for q in asked(): say(key=q['key'], value=q['clips'][0]['rows']['row'][-1][0], seconds=.5)"


def test_a_program_answers_what_it_sees(program):
    labeler = program(ROW)
    labeler.submit(asked(3, 7))
    assert all_of(labeler, 2) == {"q3": Answer("q3", 3.0, seconds=0.5), "q7": Answer("q7", 7.0, seconds=0.5)}
    assert labeler.collect() == [] and labeler.account()["labeler/answered"] == 2.0
    assert labeler.status().startswith("0 open, 2 answered, ")


def test_a_question_asked_again_has_the_same_answer_also_after_a_crash(program, make, tmp_path):
    source = "import itertools\nfor n, q in enumerate(asked()): say(key=q['key'], value=n + os.getpid())"
    labeler = program(source)
    labeler.submit(asked(1, 2))
    first = all_of(labeler, 2)
    labeler.submit(asked(2, 1))
    assert all_of(labeler, 2) == first
    with open(tmp_path / "labeler.answers.jsonl", "ab") as file:
        file.write(b'{"key": "q3", "val')  # a crash in mid-word
    again = program(source)
    again.submit(asked(1, 3))
    replies = all_of(again, 2)
    assert replies["q1"] == first["q1"] and again.account()["labeler/asked"] == 1.0
    once_more = program(source)
    once_more.submit(asked(3))
    assert all_of(once_more, 1)["q3"] == replies["q3"]


def test_one_that_dies_is_started_anew_and_its_last_words_are_told(program):
    labeler = program(
        "for q in asked():\n    if q['key'] == 'q2': sys.exit('no idea')\n    say(key=q['key'], value=1)", retries=1
    )
    labeler.submit(asked(1, 2, 3))
    replies = all_of(labeler, 3)
    assert replies["q1"].value == replies["q3"].value == 1.0
    assert isinstance(replies["q2"], Declined)
    assert replies["q2"].reason.endswith("judge.py: ended with status 1: no idea, after 2 tries")
    account = labeler.account()
    assert (account["labeler/failed"], account["labeler/retried"], account["labeler/answered"]) == (1.0, 1.0, 2.0)


def test_one_that_dies_now_and_then_is_asked_again(program, tmp_path):
    mark = tmp_path / "died"
    labeler = program(
        f"for q in asked():\n    if not os.path.exists({str(mark)!r}):\n        open({str(mark)!r}, 'w')\n"
        "        os.kill(os.getpid(), 9)\n    say(key=q['key'], value=1)"
    )
    labeler.submit(asked(1))
    assert all_of(labeler, 1) == {"q1": Answer("q1", 1.0)}
    assert "the last failure: was ended by signal 9" in labeler.status()
    assert b"was ended by signal 9" in (tmp_path / "labeler.log").read_bytes()


def test_one_that_hangs_is_killed_with_all_that_it_started(program, tmp_path):
    source = f"""
import subprocess
child = subprocess.Popen(["sleep", "600"])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""
    labeler = program(source, timeout=1.0, retries=0)
    labeler.submit(asked(1))
    assert all_of(labeler, 1)["q1"].reason.endswith("gave no answer in 1 seconds")
    assert all(is_gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def is_gone(pid: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # dead, and nobody has asked how
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "flood",
    ["sys.stdout.write('x' * 65536)", "print('all is well')", "sys.stderr.write('y' * 65536)"],
    ids=["without an end", "lines", "beside"],
)
def test_one_that_floods_takes_no_memory_and_little_disk(program, tmp_path, flood):
    labeler = program(f"while True: {flood}", timeout=1.0, retries=0)
    labeler.submit(asked(1))
    why = all_of(labeler, 1)["q1"].reason
    assert "MB that are no answer" in why or "gave no answer in 1 seconds" in why
    assert sum(path.stat().st_size for path in tmp_path.glob("labeler.log*")) < 3_000_000
    if "stderr" not in flood:
        assert labeler.account()["labeler/unusable"] >= 1 and len(labeler.status()) < 1000


def test_garbage_is_counted_told_once_and_does_not_hide_an_answer(program, tmp_path):
    labeler = program("""
for q in asked():
    print('\\x1b[2Jhello'); print('[1, 2]'); print('[' * 100000); print('{"key": 3}'); print()
    say(key='stranger', value=1)
    sys.stdout.flush(); sys.stdout.buffer.write(b'\\xff\\xfe\\n')
    say(key=q['key'], value=2)
    say(key=q['key'], value=3)
""")
    labeler.submit(asked(1, 2))
    assert all_of(labeler, 2) == {"q1": Answer("q1", 2.0), "q2": Answer("q2", 2.0)}
    assert labeler.account()["labeler/unusable"] >= 6 + 1 + 6
    assert "the first: '[2Jhello'" in labeler.status()
    assert (tmp_path / "labeler.log").read_text().count("no reply") == 1


@pytest.mark.parametrize(
    "said, why",
    [
        ("value=float('nan')", "value is nan, no finite number"),
        ("value='1'", "value is '1', no finite number"),
        ("value=True", "value is True, no finite number"),
        ("value=10 ** 400", "no finite number"),
        ("preference=1", "the reply has no value"),
        ("value=1, seconds=-1", "seconds is -1.0"),
    ],
)
def test_an_answer_that_is_none_is_told_by_what_is_wrong(program, said, why):
    labeler = program(f"for q in asked(): say(key=q['key'], {said})", retries=0)
    labeler.submit(asked(1))
    assert all_of(labeler, 1)["q1"].reason.endswith(why)


def test_one_that_declines_is_taken_at_its_word(program):
    labeler = program("for q in asked(): say(key=q['key'], declined='too\\ndark')")
    labeler.submit(asked(1))
    assert all_of(labeler, 1) == {"q1": Declined("q1", "too dark")}
    assert labeler.account()["labeler/failed"] == 0.0 and labeler.account()["labeler/declined"] == 1.0


def test_copies_work_at_once(program):
    """Each waits until four are there, which one alone would never see."""
    labeler = program(
        """
folder = os.path.dirname(__file__)
for q in asked():
    open(os.path.join(folder, 'here-' + q['key']), 'w').close()
    while sum(name.startswith('here-') for name in os.listdir(folder)) < 4: time.sleep(.01)
    say(key=q['key'], value=1)
""",
        parallel=4,
        retries=0,
    )
    labeler.submit(asked(1, 2, 3, 4))
    assert {reply.value for reply in all_of(labeler, 4).values()} == {1.0}


def test_a_large_question_and_a_program_that_reads_late_hold_nobody(program):
    labeler = program("print('x' * 200000); print('begun', file=sys.stderr)\n" + ROW)
    labeler.submit(asked(90_000, length=60_000))
    assert all_of(labeler, 1) == {"q90000": Answer("q90000", 90_000.0, seconds=0.5)}
    assert labeler.account()["labeler/retried"] == 0.0


def test_expired_questions_are_not_asked_and_not_answered(program):
    labeler = program("for q in asked():\n    time.sleep(.3)\n    say(key=q['key'], value=1)")
    labeler.submit(asked(1, 2, 3))
    labeler.expire(["q1", "q2"])
    assert list(all_of(labeler, 1)) == ["q3"] and labeler.collect() == []


def test_a_closed_labeler_leaves_no_process_and_lets_a_program_end_by_itself(program, tmp_path):
    labeler = program(ROW + "\nopen(__file__ + '.end', 'w').write(str(os.getpid()))")
    labeler.submit(asked(1))
    all_of(labeler, 1)
    labeler.close()
    assert is_gone(int((tmp_path / "judge.py.end").read_text()))


@pytest.mark.parametrize("busy", [True, False])
def test_a_killed_trainer_leaves_no_program(tmp_path, busy):
    (tmp_path / "judge.py").write_text(
        f"import os, sys, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        f'print(sys.stdin.readline()[:0] + \'{{"key": "q1", "value": 1}}\' if not {busy} else \'\', flush=True)\n'
        "time.sleep(600)\n"
    )
    trainer = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from asking import asked
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.make import make_labeler
labeler = make_labeler(LabelerConfig(command=(sys.executable, "judge.py")), None, 0)
labeler.submit(asked(1))
time.sleep(600)
"""
    running = subprocess.Popen([sys.executable, "-c", trainer], cwd=tmp_path)
    until = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_is_not_there_is_told_before_anything_is_made():
    with pytest.raises(UserError, match=r"^labeler.command: there is no program 'no_such_judge'"):
        make_labeler(LabelerConfig(command=("no_such_judge",)), RewardVault(), 0)


def test_a_disk_that_takes_no_answer_is_told_where_the_trainer_looks(program, tmp_path):
    labeler = program("for q in asked():\n    time.sleep(.2)\n    say(key=q['key'], value=1)")
    labeler.submit(asked(1))
    (tmp_path / "labeler.answers.jsonl").unlink()
    (tmp_path / "labeler.answers.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        all_of(labeler, 1)
    assert not (tmp_path / "elsewhere").exists()
