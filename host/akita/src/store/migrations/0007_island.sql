-- Tasks that were to run without a leader, and what became of them: this node's own, beside every log. The columns up to
-- `depth` are those of `tasks`.
CREATE TABLE island_tasks (
    seq            INTEGER PRIMARY KEY,
    id             BLOB NOT NULL UNIQUE,
    action         TEXT NOT NULL,
    required       TEXT,
    priority       INTEGER NOT NULL,
    timeout_ms     INTEGER,
    origin         BLOB NOT NULL,
    submitted_at   INTEGER NOT NULL,
    status         INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    strikes        INTEGER NOT NULL,
    max_attempts   INTEGER NOT NULL,
    not_before     INTEGER NOT NULL,
    fence          INTEGER,
    assigned_at    INTEGER,
    worker         BLOB,
    started_at     INTEGER,
    finished_at    INTEGER,
    reason         TEXT,
    code           TEXT,
    pointer        TEXT,
    input_type     TEXT NOT NULL,
    input_len      INTEGER NOT NULL,
    handed_over_to BLOB,
    deterministic  INTEGER NOT NULL,
    key            BLOB,
    parent         BLOB,
    depth          INTEGER,
    input          BLOB,    -- until it ends
    number         INTEGER, -- which entry it is, once it has ended; as the following three
    entry          BLOB,    -- what was signed
    signature      BLOB,
    imported_at    INTEGER, -- when the cluster had it
    note           TEXT     -- why the leader does not take it
) STRICT;
CREATE INDEX island_tasks_by_number ON island_tasks (number) WHERE number IS NOT NULL;

-- Each step of each of them, as rows of a ledger.
CREATE TABLE island_journal (
    idx     INTEGER PRIMARY KEY CHECK (idx >= 0),
    time_ms INTEGER NOT NULL,
    event   INTEGER NOT NULL,
    node    BLOB NOT NULL,
    task    BLOB,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX island_journal_by_task ON island_journal (task);
