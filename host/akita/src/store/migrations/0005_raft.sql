-- Several voters. Rows here are those of `consensus`, which alone reads what is in the values.

-- The log that voters share, while this node is one of them: entries that may not be applied yet, and some that are.
CREATE TABLE raft_log (
    idx   INTEGER PRIMARY KEY CHECK (idx >= 0),
    entry BLOB NOT NULL
) STRICT;

-- What a voter must remember beside its log: who it is, its vote, how far it has applied. Empty on a node that is the
-- only voter of its log.
CREATE TABLE raft_notes (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Numbers that nodes were given, and nodes that are not to come back; part of the replicated state.
CREATE TABLE enlisted (
    node   BLOB PRIMARY KEY,
    number INTEGER NOT NULL,
    access INTEGER NOT NULL -- 1 voter, 2 worker, 3 banned
) STRICT, WITHOUT ROWID;
