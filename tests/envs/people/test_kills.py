"""Processes that race for one file, and that are killed in the middle of what they do."""

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter as Tally
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from tandem.durable import whole_file
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.people.counter import Counter
from tandem.envs.labelers.people.people import People
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.schema import QueueRefused
from tandem.envs.labelers.people.verdict import Given

from .conftest import LABEL_MICRO, asked

FORK = multiprocessing.get_context("fork")
CONFIG = LabelerConfig(name="people", kind="clip")
TRAINER, RATERS = "trainer", ("ann", "bob")


def fast_clock() -> float:
    """A thousand seconds a second: an undo time is over after 10 ms."""
    return 1e9 + 1000 * time.monotonic()


def keep(path: Path, *records: dict) -> None:
    """On disk when this returns, as a journal and a browser's store are."""
    with open(path, "a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))
        file.flush()
        os.fsync(file.fileno())


def kept(path: Path) -> list[dict]:
    """A line that was cut off by a kill was not written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def mend(path: Path) -> None:
    """All or nothing: whoever mends may be killed too, and a journal that lost its end would ask for what it had before."""
    if path.exists():
        with whole_file(path, "w") as file:
            file.write("".join(json.dumps(record) + "\n" for record in kept(path)))


def train(folder: Path, seed: int, is_ending: bool = False, now: Callable[[], float] = fast_clock) -> None:
    """As the desk does: questions are written down before they are asked, replies before the next call."""
    journal, rng = folder / "journal", random.Random(seed)
    mend(journal)
    told = kept(journal)
    heard = {one["key"] for one in told if "price" in one}
    pending = [one["step"] for one in told if "step" in one and f"key/{one['step']}" not in heard]
    people, number = People(folder, CONFIG, LABEL_MICRO, now), sum("step" in one for one in told)
    people.submit(asked("clip", *pending))
    while not is_ending or pending:
        if len(pending) < 5 and not is_ending:
            fresh = range(number, number + rng.randint(1, 5))
            keep(journal, *({"step": step} for step in fresh))
            people.submit(asked("clip", *fresh))
            pending, number = [*pending, *fresh], fresh.stop
        replies = people.collect()
        keep(journal, *({"key": one.key, "price": getattr(one, "price_micro", 0)} for one in replies))
        gone = {one.key for one in replies}
        pending = [step for step in pending if f"key/{step}" not in gone]
        if is_ending:
            answer_all(folder, now)
        time.sleep(0.002)
    people.collect()
    people.close()


def rate(folder: Path, name: str, seed: int) -> None:
    """As a page does: an answer is stored before it is sent, and sent until it is acknowledged."""
    store, rng = folder / f"store-{name}", random.Random(seed)
    mend(store)
    counter = Counter(Queue.open(folder, fast_clock))
    resend(counter, store, name)
    while True:
        item = counter.next(name)
        if item is None:
            time.sleep(0.002)
            continue
        uuid = str(UUID(int=rng.getrandbits(128)))
        if rng.random() < 0.2:
            counter.skip(name, item.question, uuid, 1.0)
            continue
        keep(store, {"question": item.question, "uuid": uuid, "seconds": 1.0, "value": round(rng.random(), 3)})
        counter.answer(name, Given.of(kept(store)[-1]))
        keep(store, {"done": uuid})
        if rng.random() < 0.2:
            try:
                counter.undo(name, uuid)
            except QueueRefused as error:
                assert error.word == "closed"


def resend(counter: Counter, store: Path, name: str) -> None:
    told = kept(store)
    done = {one["done"] for one in told if "done" in one}
    for one in told:
        if "uuid" in one and one["uuid"] not in done:
            try:
                counter.answer(name, Given.of(one))
                keep(store, {"done": one["uuid"]})
            except QueueRefused as error:  # a later life of this rater has answered that question
                assert error.word == "closed"


def answer_all(folder: Path, now: Callable[[], float]) -> None:
    with Queue.open(folder, now) as queue:
        counter = Counter(queue)
        for name in RATERS:
            while item := counter.next(name):
                counter.answer(name, Given(item.question, str(UUID(int=random.getrandbits(128))), 1.0, value=0.5))


def killed_at_random(folder: Path, kills: int, seed: int) -> None:
    """Three processes at work; again and again one of them is killed and started anew."""
    rng, running = random.Random(seed), {}
    for number in range(kills + 3):
        name = (TRAINER, *RATERS)[number] if number < 3 else rng.choice(list(running))
        if name in running:
            await_progress(folder)
            time.sleep(rng.uniform(0.0, 0.05))
            os.kill(running[name].pid, signal.SIGKILL)
            running[name].join()
        target, arguments = (train, (folder, number)) if name == TRAINER else (rate, (folder, name, number))
        running[name] = FORK.Process(target=target, args=arguments, daemon=True)
        running[name].start()
    await_progress(folder)
    for process in running.values():
        assert process.is_alive(), "it ended by itself"
        process.kill()
        process.join()


def await_progress(folder: Path, seconds: float = 20.0) -> None:
    """Until both raters have written something more."""
    stores = [folder / f"store-{name}" for name in RATERS]
    before = [store.stat().st_size if store.exists() else 0 for store in stores]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if all(store.exists() and store.stat().st_size > size for store, size in zip(stores, before, strict=True)):
            return
        time.sleep(0.01)
    raise AssertionError("nobody works")


def check_books(folder: Path) -> None:
    told = kept(folder / "journal")
    replies = [one for one in told if "price" in one]
    labels = [one for one in replies if one["key"].startswith("key/")]
    works = {one["key"]: one["price"] for one in replies if one["key"].startswith("work/")}
    asked_keys = [f"key/{one['step']}" for one in told if "step" in one]
    assert sorted(one["key"] for one in labels) == sorted(asked_keys), "each has one reply"
    with Queue.open(folder, fast_clock) as queue:
        rows = queue.read(
            "SELECT q.key, q.state, a.price_micro AS price FROM question q LEFT JOIN answer a ON a.id = q.answer"
        )
        assert {row["key"]: row["price"] or 0 for row in rows} == {one["key"]: one["price"] for one in labels}
        assert {row["state"] for row in rows} == {"collected"}
        owed = queue.read("SELECT key, price_micro FROM work")
        assert {row["key"]: row["price_micro"] for row in owed} == works
        answers = queue.read("SELECT state, SUM(price_micro) AS price FROM answer GROUP BY state")
        prices = {row["state"]: row["price"] for row in answers}
        assert prices.get("counted", 0) == sum(one["price"] for one in labels)
        counted = Tally(row[0] for row in queue.read("SELECT question FROM answer WHERE state = 'counted'"))
        assert max(counted.values()) == 1 and len(counted) > 2
        uuids = {row["uuid"] for row in queue.read("SELECT uuid FROM answer")}
    acknowledged = {one["done"] for name in RATERS for one in kept(folder / f"store-{name}") if "done" in one}
    assert acknowledged and acknowledged <= uuids


@pytest.mark.run
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_whoever_is_killed_whenever_each_answer_is_counted_and_paid_once(tmp_path, kills, seed):
    with Queue.create(tmp_path, fast_clock) as queue:
        for name in RATERS:
            Raters(queue).add(name, 12.0)
    killed_at_random(tmp_path, kills, seed)
    train(tmp_path, seed, is_ending=True)
    check_books(tmp_path)


def grab(folder: Path, name: str, start, found) -> None:
    with Queue.open(folder) as queue:
        start.wait()
        item = Counter(queue).next(name)
        found.put((name, item and item.question))


@pytest.mark.run
def test_of_two_processes_that_ask_at_once_one_gets_the_question(tmp_path):
    people = People(tmp_path, CONFIG, LABEL_MICRO)
    for name in RATERS:
        Raters(people.queue).add(name)
    for turn in range(5):
        people.submit(asked("clip", turn))
        people.close()
        start, found = FORK.Barrier(2), FORK.Queue()
        racers = [FORK.Process(target=grab, args=(tmp_path, name, start, found)) for name in RATERS]
        for racer in racers:
            racer.start()
        got = dict(found.get(timeout=20) for _ in racers)
        for racer in racers:
            racer.join()
        assert sorted(got.values(), key=str) == [turn + 1, None]
        name = next(name for name, question in got.items() if question)
        Counter(people.queue).answer(name, Given(turn + 1, str(UUID(int=turn + 1)), 0.0, value=0.5))
    people.close()
