"""The tables of a ledger file, as each version of the program made them."""

import sqlite3
from contextlib import closing
from functools import cache

APPLICATION_ID = 0x54414E44  # "TAND": tells a ledger from any other SQLite file
VERSION = 3  # that is written; older ones are read
CHAINS = ("events", "decisions")  # tables whose rows each carry the hash of all that came before

# Every event carries the balance after it: the last row is the whole position.
_TABLES = {
    1: """
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
""",
    # No index by key: who writes knows all keys, and each further page of a commit costs.
    2: """
CREATE TABLE prices (kind TEXT PRIMARY KEY, price_micro INTEGER NOT NULL CHECK (price_micro > 0), hash BLOB NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('reserve', 'settle', 'release', 'raise_total', 'write_off')),
    key TEXT, kind TEXT, units INTEGER, price_micro INTEGER, tier TEXT, note TEXT,
    total INTEGER NOT NULL,
    spent INTEGER NOT NULL CHECK (spent >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    transitions INTEGER NOT NULL CHECK (transitions >= 0),
    labels INTEGER NOT NULL CHECK (labels >= 0),
    hash BLOB NOT NULL,
    CHECK (spent + reserved <= total)
);
CREATE UNIQUE INDEX paid_once ON events (key) WHERE event = 'settle';
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, phase INTEGER NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
    hash BLOB NOT NULL
);
""",
}
# The tables of 2. But a label may be settled below its reserved price, and `work` is a kind: what read 2 would call either damage.
_TABLES[3] = _TABLES[2]
_TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: no {verb}'); END;\n"
    for table in ("prices", "events", "decisions")
    for verb in ("UPDATE", "DELETE")
)
VERSIONS = tuple(_TABLES)


def make_tables(db: sqlite3.Connection, version: int = VERSION) -> None:
    """Make an empty file a ledger without rows, in one transaction that the caller commits."""
    marks = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\n"
    db.executescript(f"BEGIN;\n{marks}{_TABLES[version]}{_TRIGGERS}")


def tables_in(db: sqlite3.Connection) -> list[tuple]:
    """All tables, indices and triggers of a file, with the text that made them."""
    return db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()


@cache
def tables_of(version: int) -> list[tuple]:
    """What `tables_in` says of a ledger as it should be."""
    with closing(sqlite3.connect(":memory:")) as db:
        make_tables(db, version)
        return tables_in(db)
