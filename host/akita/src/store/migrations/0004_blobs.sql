-- Blobs that lie on this node; their bytes are files beside the database.
CREATE TABLE blobs (
    id      BLOB NOT NULL PRIMARY KEY,
    size    INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who put a blob: a plugin by its name, or the operator with an empty one. A blob without an owner is a copy that was
-- fetched from another node, and makes room when room is needed.
CREATE TABLE blob_owners (
    owner TEXT NOT NULL,
    id    BLOB NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_owners_by_blob ON blob_owners (id);
