-- What the log says of the newest cluster key: its number and fingerprint, until when the one before is accepted, and who
-- has it (MessagePack). Never the key. At most one row; part of the replicated state.
CREATE TABLE cluster_key (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    turn BLOB NOT NULL
) STRICT;
