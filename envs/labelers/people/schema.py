"""The tables of RUN/questions.db, and the one error that its verbs raise."""

from ....errors import UserError

VERSION = 1  # the file's user_version

# state of a question: queued, answered, declined, handed (given to the trainer, which has not shown yet that it kept it),
# collected, expired. That one is leased is no state: its assignment is open and not over.
# outcome of an assignment: NULL while it is open, then answered, skipped, cannot_tell or lapsed.
# state of an answer: counted, undone, duplicate (late, or a second one), practice, gold, retracted.
# state of work: open, handed, collected.
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rater (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token_hash TEXT UNIQUE,           -- sha256 of the token; NULL: cannot log in
    wage_micro INTEGER NOT NULL,      -- micro-coins an hour
    is_owner INTEGER NOT NULL DEFAULT 0,
    is_paused INTEGER NOT NULL DEFAULT 0,
    is_retracted INTEGER NOT NULL DEFAULT 0,
    slope INTEGER NOT NULL,           -- these two make the rater's own order
    offset INTEGER NOT NULL,
    seen REAL                         -- when the rater was last heard of
) STRICT;
CREATE TABLE question (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    tier TEXT NOT NULL,               -- default: anybody; else the name of its rater
    prompt TEXT NOT NULL,
    clips TEXT NOT NULL,              -- JSON [[env, step, length], ...]; of a pair: left, right
    num_rows INTEGER NOT NULL,        -- of the first clip
    low REAL NOT NULL,
    high REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    asked REAL NOT NULL,
    undo_until REAL,                  -- of the answer that counts; 0: there is no undo any more
    answer INTEGER REFERENCES answer, -- the one that counts
    reason TEXT NOT NULL DEFAULT '',  -- why it was declined
    prediction REAL,                  -- of the reward model, for the owner
    mark TEXT                         -- JSON: the owner's own answer, which makes it practice and gold
) STRICT;
CREATE TABLE sight (                  -- apart: a question is read often, and this is long
    question INTEGER PRIMARY KEY REFERENCES question,
    npz BLOB NOT NULL
) STRICT;
CREATE INDEX question_state ON question (state);
CREATE INDEX question_mark ON question (id) WHERE mark IS NOT NULL;
CREATE TABLE assignment (
    question INTEGER NOT NULL REFERENCES question,
    rater INTEGER NOT NULL REFERENCES rater,
    purpose TEXT NOT NULL,            -- label, practice, gold or import
    since REAL NOT NULL,
    until REAL NOT NULL,
    outcome TEXT,
    carried REAL NOT NULL DEFAULT 0,  -- seconds of an answer that was taken back
    replaces TEXT,                    -- its uuid
    PRIMARY KEY (question, rater)
) STRICT, WITHOUT ROWID;
CREATE INDEX assignment_outcome ON assignment (outcome, until);
CREATE INDEX assignment_rater ON assignment (rater, outcome);
CREATE TABLE answer (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    question INTEGER NOT NULL REFERENCES question,
    rater INTEGER NOT NULL REFERENCES rater,
    verdict TEXT NOT NULL,            -- JSON: a score, left, same or right, or [[row, sign], ...], in the question's own sides
    seconds REAL NOT NULL,
    price_micro INTEGER NOT NULL,
    time REAL NOT NULL,
    state TEXT NOT NULL,
    replaces TEXT
) STRICT;
CREATE INDEX answer_question ON answer (question);
CREATE INDEX answer_rater ON answer (rater, time);
CREATE TABLE work (
    key TEXT PRIMARY KEY,
    rater INTEGER NOT NULL REFERENCES rater,
    seconds REAL NOT NULL,
    price_micro INTEGER NOT NULL,
    reason TEXT NOT NULL,
    time REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'open'
) STRICT, WITHOUT ROWID;
CREATE INDEX work_state ON work (state);
CREATE TABLE film (
    question INTEGER NOT NULL REFERENCES question,
    side INTEGER NOT NULL,            -- which of the question's clips
    webp BLOB NOT NULL,               -- empty where there is nothing to see
    facts TEXT NOT NULL,              -- JSON
    PRIMARY KEY (question, side)
) STRICT;
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    what TEXT NOT NULL,
    question INTEGER,
    rater INTEGER,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX event_question ON event (question);
CREATE TRIGGER event_kept BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are kept'); END;
CREATE TRIGGER event_fixed BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are kept'); END;
"""


class QueueRefused(UserError):
    """What was asked of the queue does not go; nothing was written. `word` is for programs, the message for a person.

    Words: invalid (what was sent makes no sense), unknown (no such question, answer, rater or token), paused, retracted,
    closed (too late for that), busy, full (the disk), foreign (the file belongs to another run), damaged.
    """

    def __init__(self, word: str, message: str):
        super().__init__(message)
        self.word = word
