"""The SQLite file under a ledger: its tables, how it is made whole or not at all, how it is opened and checked."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..durable import publish
from ..errors import UserError

_APPLICATION_ID = 0x54414E44  # "TAND": tells a ledger from any other SQLite file
_SCHEMA_VERSION = 1
_LOCK_SECONDS = 60.0  # how long to wait for another process that reads or writes the same file

# Every event carries the balance after it: the last row is the whole position, no total lives in a process's memory.
_SCHEMA = f"""
BEGIN;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
CREATE TABLE prices (kind TEXT PRIMARY KEY, price_micro INTEGER NOT NULL CHECK (price_micro > 0));
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('reserve', 'settle', 'release', 'raise_total')),
    key TEXT, kind TEXT, units INTEGER, price_micro INTEGER, tier TEXT,
    total INTEGER NOT NULL,
    spent INTEGER NOT NULL CHECK (spent >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    transitions INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    CHECK (spent + reserved <= total)
);
CREATE INDEX events_by_key ON events (key);
CREATE UNIQUE INDEX paid_once ON events (key) WHERE event = 'settle';
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, phase INTEGER NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL
);
""" + "".join(
    f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: no {verb}'); END;\n"
    for table in ("prices", "events", "decisions")
    for verb in ("UPDATE", "DELETE")
)


class LedgerError(UserError):
    """The file is no ledger, is damaged or unreachable, or was asked for a booking that makes no sense."""


def create_file(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make the tables, let `fill` write the first rows, and only then give the file its name; never replaces one."""
    if path.exists():
        raise LedgerError(f"{path}: exists already, a ledger is never replaced")
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.unlink(missing_ok=True)  # what a crash in here left behind
    with as_ledger_error(path), closing(sqlite3.connect(unfinished)) as db:
        db.executescript(_SCHEMA)
        fill(db)
        db.commit()
    publish(unfinished, path)


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to a checked ledger file, without implicit transactions: whoever writes says BEGIN and COMMIT."""
    if not path.is_file():
        raise LedgerError(f"{path}: no ledger there")
    with as_ledger_error(path):
        uri = f"{path.absolute().as_uri()}?mode=rw"  # rw: a file is never made by opening it
        db = sqlite3.connect(uri, uri=True, timeout=_LOCK_SECONDS, isolation_level=None)
    try:
        with as_ledger_error(path):
            # A rollback journal, because WAL fails on network file systems. TRUNCATE rather than DELETE: SQLite then
            # syncs the end of a transaction too, so that no power cut can bring an old journal back and undo a commit.
            db.execute("PRAGMA journal_mode = TRUNCATE")
            db.execute("PRAGMA synchronous = FULL")
            _check_file(path, db)
    except LedgerError:
        db.close()
        raise
    return db


@contextmanager
def as_ledger_error(path: Path) -> Iterator[None]:
    """SQLite's errors, said with the name of the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error


def _check_file(path: Path, db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise LedgerError(f"{path}: not a ledger of Tandem")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != _SCHEMA_VERSION:
        raise LedgerError(f"{path}: a ledger of version {version}, this program reads version {_SCHEMA_VERSION}")
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise LedgerError(f"{path}: damaged: {verdict}")
