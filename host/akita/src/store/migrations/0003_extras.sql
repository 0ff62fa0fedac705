-- What few tasks have: to be run deterministically, submitted with an API key, submitted by another task.
ALTER TABLE tasks ADD COLUMN deterministic INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN key BLOB;      -- fingerprint, 8 bytes
ALTER TABLE tasks ADD COLUMN parent BLOB;   -- the task that submitted it
ALTER TABLE tasks ADD COLUMN depth INTEGER; -- generations above; there with `parent`
