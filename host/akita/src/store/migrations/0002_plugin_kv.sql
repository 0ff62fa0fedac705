-- Durable values of plugins, each in the space of its plugin's name.
CREATE TABLE plugin_kv (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;

-- What a plugin's keys and values take, so that a quota costs no sum; and the last version given out, which stays when
-- values go, so that a version never means two contents.
CREATE TABLE plugin_kv_usage (
    plugin       TEXT PRIMARY KEY,
    bytes        INTEGER NOT NULL,
    last_version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
