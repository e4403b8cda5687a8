"""The file that trainer, server, darkroom and command line meet in: RUN/questions.db."""

import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from ....durable import publish, sync_folder, whole_file
from .schema import TABLES, VERSION, QueueRefused

FILE, IDENTITY = "questions.db", "questions.id"
BUSY_SECONDS = 10.0
TRAINER_SECONDS = 60.0
FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}


class Queue:
    """An open questions.db. Any number of processes and threads may have one; each verb is one transaction.

    Who works with it: `Raters(queue)` are the people, `Counter(queue)` their verbs (next, answer, undo, skip), `Films(queue)`
    what they look at, `People` the trainer's labeler, `Overview(queue)` what the owner sees.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, now: Callable[[], float]):
        """Use `create` or `open`."""
        self.path, self.now = path, now
        self._db, self._lock = connection, threading.RLock()
        self._log: int | None = None  # SQLite's own, where commits go first, once there is one to put on disk
        self._sync_lock, self._commits, self._synced = threading.Lock(), 0, 0

    @classmethod
    def create(cls, folder: Path, now: Callable[[], float] = time.time) -> Self:
        """The queue in a run's folder, made where there is none. QueueRefused as in `open`."""
        folder = Path(folder)
        if not (folder / FILE).exists():
            _make(folder)
        return cls.open(folder, now)

    @classmethod
    def open(cls, folder: Path, now: Callable[[], float] = time.time) -> Self:
        """The queue of the run in `folder`. now: seconds since the epoch; tests have a clock of their own.

        QueueRefused: there is none (unknown), it is another run's (foreign), or no questions.db (damaged).
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise QueueRefused("unknown", f"{folder}: has no {FILE}, a run with labeler.name=people makes it")
        connection = _connect(path)
        try:
            queue = cls(path, connection, now)
            queue._check()
            return queue
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        with self._lock, self._sync_lock:
            if self._log is not None:
                os.close(self._log)
                self._log = None
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on disk afterwards, or nothing where an error leaves the block."""
        with self._lock, _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            before = self._db.total_changes
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            self._commits += self._db.total_changes > before
            mine = self._commits
        self._sync(mine)

    def read(self, sql: str, values: tuple | dict = ()) -> list[sqlite3.Row]:
        with self._lock, _told(self.path):
            return self._db.execute(sql, values).fetchall()

    def meta(self, key: str, default: Any = None) -> Any:
        """A fact about the run, plain JSON values: run, kind, prices, wage_micro, address, trainer, facts."""
        rows = self.read("SELECT value FROM meta WHERE key = ?", (key,))
        return json.loads(rows[0]["value"]) if rows else default

    def set_meta(self, **facts: Any) -> None:
        with self.writing() as db:
            rows = [(key, json.dumps(value)) for key, value in facts.items()]
            db.executemany("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", rows)

    def has_trainer(self) -> bool:
        """Whether a trainer has asked for answers in the last minute."""
        trainer = self.meta("trainer")
        return trainer is not None and self.now() - trainer["seen"] < TRAINER_SECONDS

    def note(
        self, db: sqlite3.Connection, what: str, question: int | None = None, rater: int | None = None, detail: str = ""
    ) -> None:
        """Keep that something happened, in the transaction `db`."""
        db.execute("INSERT INTO event VALUES (NULL, ?, ?, ?, ?, ?)", (self.now(), what, question, rater, detail))

    def checkpoint(self) -> None:
        """Move what SQLite's log holds into the file. Whoever writes does it too, once the log is long; it takes a while, and so
        a process that has time should be before them."""
        with self._lock, _told(self.path):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _sync(self, mine: int) -> None:
        """Return once the first `mine` commits are on disk. Others read and write meanwhile, and whoever waits for the disk at
        the same time waits for it once: SQLite by itself would keep everybody out until it has written."""
        if self._synced >= mine:
            return
        with self._sync_lock:
            if self._synced >= mine:  # somebody else's turn was for this one too
                return
            now = self._commits
            try:
                if self._log is None:
                    self._log = os.open(f"{self.path}-wal", os.O_RDONLY)
                os.fsync(self._log)
            except OSError as error:  # it may be there all the same: to do it again changes nothing
                raise QueueRefused("full", f"{self.path}: the disk does not take it ({error.strerror})") from error
            self._synced = now

    def _check(self) -> None:
        version = self.read("PRAGMA user_version")[0][0]
        if version != VERSION:
            raise QueueRefused("damaged", f"{self.path}: a version {version} of the file, this program reads {VERSION}")
        named = self.path.with_name(IDENTITY)
        own = named.read_text().strip() if named.exists() else ""
        if self.meta("run") != own:
            raise QueueRefused("foreign", f"{self.path}: belongs to another run (see {named}), move it away")


def _make(folder: Path) -> None:
    """The file appears whole or not at all. Its run's identity lies beside it, so that another run's file is known."""
    named = folder / IDENTITY
    if not named.exists():
        with whole_file(named, "w") as file:
            file.write(uuid.uuid4().hex + "\n")
    path, unfinished = folder / FILE, folder / f".{FILE}.{os.getpid()}.tmp"
    unfinished.unlink(missing_ok=True)
    with _told(path), closing(_connect(unfinished)) as db:
        db.executescript(TABLES)
        db.execute("INSERT INTO meta VALUES ('run', ?)", (json.dumps(named.read_text().strip()),))
        db.execute(f"PRAGMA user_version = {VERSION}")
    publish(unfinished, path)
    sync_folder(folder)


def _connect(path: Path) -> sqlite3.Connection:
    with _told(path):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        # NORMAL: a commit is put on disk by `Queue._sync`, after the lock is given back.
        if (mode := db.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
            db.close()
            raise QueueRefused(
                "damaged", f"{path}: has a {mode} log, processes cannot share it there: use a local disk"
            )
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
            db.execute(f"PRAGMA {pragma}")
    return db


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """QueueRefused in place of what SQLite says of the disk and of other writers."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode
        if code in FULL:
            raise QueueRefused("full", f"{path}: the disk is full, nothing was saved") from error
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise QueueRefused("busy", f"{path}: another process has been writing for {BUSY_SECONDS:g} s") from error
        raise QueueRefused("damaged", f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            raise
        raise QueueRefused("damaged", f"{path}: {error}") from error
