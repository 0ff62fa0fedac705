-- Marks the file as Akita's ("AKIT"), so that no other program's database is taken for one.
PRAGMA application_id = 0x414B4954;

-- What the node remembers about itself. The keys are chosen by their owners.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The last entry of the log that the other tables hold; one row.
CREATE TABLE log_position (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    log_index  INTEGER NOT NULL,
    time_ms    INTEGER NOT NULL
) STRICT;
INSERT INTO log_position VALUES (1, 0, 0);

-- The cluster as the log knows it; at most one row.
CREATE TABLE cluster (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    id            BLOB NOT NULL,
    name          TEXT NOT NULL,
    founder       BLOB NOT NULL,
    term          INTEGER NOT NULL,
    sealed_into   BLOB,
    sealed_leader BLOB
) STRICT;

-- `seq` is the order of acceptance. It keys the bodies too, so that all three tables grow at their right edge.
CREATE TABLE tasks (
    seq            INTEGER PRIMARY KEY,
    id             BLOB NOT NULL UNIQUE,
    action         TEXT NOT NULL,
    required       TEXT,              -- JSON array; NULL: none
    priority       INTEGER NOT NULL,
    timeout_ms     INTEGER,
    origin         BLOB NOT NULL,
    submitted_at   INTEGER NOT NULL,
    status         INTEGER NOT NULL,  -- 1 scheduled, 2 pending, 3 assigned, 4 running, 5 completed, 6 failed,
                                      -- 7 cancelled, 8 handed over to another cluster
    attempts       INTEGER NOT NULL,
    strikes        INTEGER NOT NULL,
    max_attempts   INTEGER NOT NULL,
    not_before     INTEGER NOT NULL,
    fence          INTEGER,
    assigned_at    INTEGER,
    worker         BLOB,
    started_at     INTEGER,
    finished_at    INTEGER,
    left_at        INTEGER,           -- when it ended or was handed over: what retention goes by
    reason         TEXT,
    code           TEXT,
    pointer        TEXT,
    input_type     TEXT NOT NULL,
    input_len      INTEGER NOT NULL,
    handed_over_to BLOB
) STRICT;
CREATE INDEX tasks_by_status ON tasks (status);
CREATE INDEX tasks_by_left_at ON tasks (left_at) WHERE left_at IS NOT NULL;

-- Bodies lie apart, so that listing tasks reads none. An input goes when its task ends.
CREATE TABLE task_inputs (
    seq  INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE task_results (
    seq          INTEGER PRIMARY KEY,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL
) STRICT;

-- `event` is a number of its own (store/sql.rs); `details` is a JSON array of [key, value].
CREATE TABLE ledger (
    idx     INTEGER PRIMARY KEY CHECK (idx >= 0),
    time_ms INTEGER NOT NULL,
    event   INTEGER NOT NULL,
    node    BLOB NOT NULL,
    task    BLOB,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_by_event ON ledger (event);
CREATE INDEX ledger_by_task ON ledger (task) WHERE task IS NOT NULL;

-- Nodes of the Merkle tree over the ledger (RFC 6962), in the order of C2SP's tlog "stored hash index".
CREATE TABLE ledger_hashes (
    idx  INTEGER PRIMARY KEY CHECK (idx >= 0),
    hash BLOB NOT NULL
) STRICT;

-- Signed tree heads (C2SP tlog-checkpoint and signed-note).
CREATE TABLE checkpoints (
    size    INTEGER PRIMARY KEY,
    root    BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    note    TEXT NOT NULL
) STRICT;

-- Tasks taken while no leader was known; not in the ledger yet.
CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY,
    task       BLOB NOT NULL UNIQUE,
    spec       BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Tasks per status, rows per event and the like, so that no status page counts a million rows.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
