"""The SQLite file under a ledger: how it is made whole or not at all, how it is opened and checked."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..durable import publish
from ..errors import Damaged, UserError
from .books.rows import Refused
from .books.schema import APPLICATION_ID, VERSIONS, make_tables, tables_in, tables_of

_LOCK_SECONDS = 60.0  # how long to wait for another process that reads or writes the same file


class LedgerError(UserError):
    """The file is no ledger, is damaged or unreachable, or was asked for a booking that makes no sense."""


class DamagedLedger(LedgerError, Damaged):
    """The file is not what was written."""


def create_file(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make the tables, let `fill` write the first rows, and only then give the file its name; never replaces one."""
    if path.exists():
        raise LedgerError(f"{path}: exists already, a ledger is never replaced")
    unfinished = unfinished_file(path, fill)
    _journal(path).unlink(missing_ok=True)  # of a file that is gone: SQLite would write its pages into the new one
    publish(unfinished, path)


def unfinished_file(path: Path, fill: Callable[[sqlite3.Connection], None]) -> Path:
    """A whole ledger beside `path` that waits for its name."""
    unfinished = path.with_name(path.name + ".tmp")
    for left in (unfinished, _journal(unfinished)):
        left.unlink(missing_ok=True)  # what a crash in here left behind
    try:
        with as_ledger_error(path), closing(sqlite3.connect(unfinished)) as db:
            make_tables(db)
            fill(db)
            db.commit()
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def _journal(path: Path) -> Path:
    """SQLite's rollback journal beside a file, from which it undoes a commit that was cut off."""
    return path.with_name(path.name + "-journal")


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to a ledger, without implicit transactions: whoever writes says BEGIN and COMMIT.

    Only what kind of file it is has been looked at; `checked_copy` looks at the rest.
    """
    if not path.is_file():
        raise DamagedLedger(f"{path}: no ledger there")
    with as_ledger_error(path):
        uri = f"{path.absolute().as_uri()}?mode=rw"  # rw: a file is never made by opening it
        db = sqlite3.connect(uri, uri=True, timeout=_LOCK_SECONDS, isolation_level=None)
    try:
        with as_ledger_error(path):
            # A rollback journal, because WAL fails on network file systems. PERSIST overwrites one file again and again,
            # where TRUNCATE makes it anew at each commit: then the disk has sizes to write down too. FULL, because
            # NORMAL trusts the disk to write the journal before the number that says how much of it counts. Both end
            # a commit with a flush, so that no power cut can bring an old journal back.
            db.execute("PRAGMA journal_mode = PERSIST")
            db.execute("PRAGMA synchronous = FULL")
            file_version(path, db)
    except LedgerError:
        db.close()
        raise
    return db


def file_version(path: Path, db: sqlite3.Connection) -> int:
    """The version of a ledger; LedgerError for a file that is none, or one that we cannot read."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DamagedLedger(f"{path}: not a ledger of Tandem")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in VERSIONS:
        raise LedgerError(f"{path}: a ledger of version {version}, this program reads versions {VERSIONS}")
    return version


def checked_copy(path: Path, db: sqlite3.Connection) -> sqlite3.Connection:
    """All of a file in memory as it stood at one instant, its structure checked; the rows are the reader's to check.

    A copy takes milliseconds, in which nobody can write; to check the file itself would hold up its writer for seconds.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with as_ledger_error(path):
            with _reading(db):
                db.backup(copy)
            _check_structure(path, copy)
    except BaseException:
        copy.close()
        raise
    return copy


@contextmanager
def _reading(db: sqlite3.Connection) -> Iterator[None]:
    """One state of the file throughout. Waits for a writer, but not for ever, as a copy by itself would."""
    try:
        db.execute("BEGIN")
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def as_ledger_error(path: Path) -> Iterator[None]:
    """What SQLite says, and what a damaged or foreign row is refused for, said in one line with the name of the file."""
    try:
        yield
    except Refused as error:
        raise LedgerError(f"{path}: {error}") from error
    except (sqlite3.Error, UnicodeError) as error:  # UnicodeError: where SQLite quotes damaged text
        # Those of this very type, and texts that are none, come from the file; a lock or a full disk is of another.
        is_damage = type(error) is sqlite3.DatabaseError or isinstance(error, UnicodeError)
        kind = DamagedLedger if is_damage else LedgerError
        raise kind(f"{path}: {' '.join(str(error).split())}") from error


@contextmanager
def as_damage(path: Path) -> Iterator[None]:
    """The same of rows that stand in the file already: what is refused there is damage."""
    with as_ledger_error(path):
        try:
            yield
        except Refused as error:
            raise DamagedLedger(f"{path}: damaged: {error}") from error


def _check_structure(path: Path, db: sqlite3.Connection) -> None:
    version = file_version(path, db)
    verdict = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise DamagedLedger(f"{path}: damaged: {' '.join(verdict.split())}")
    if tables_in(db) != tables_of(version):
        raise DamagedLedger(f"{path}: damaged: its tables and triggers are not those of a ledger of version {version}")
