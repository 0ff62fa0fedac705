//! Opens the database: settings for writer and readers, and the numbered migrations. It knows no table.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;

/// The migrations in order; the database's `user_version` says how many it has had.
const MIGRATIONS: [&str; 7] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_plugin_kv.sql"),
    include_str!("migrations/0003_extras.sql"),
    include_str!("migrations/0004_blobs.sql"),
    include_str!("migrations/0005_raft.sql"),
    include_str!("migrations/0006_cluster_key.sql"),
    include_str!("migrations/0007_island.sql"),
];
/// "AKIT", as the first migration sets it.
const APPLICATION_ID: i64 = 0x414B_4954;
/// Pages that the writer keeps, in KiB: the right edges of all tables and the paths to the live tasks.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Pages that one reader keeps, in KiB: point reads and short lists.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// Pages in the log before they go to the database itself. Twice SQLite's default: at 4 KiB a page 8 MiB, some
/// thousand tasks, so that the second fsync is rare; small enough to be read back fast after a crash.
const WAL_PAGES: u32 = 2_000;
/// The log is cut back to this many bytes after a long reader let it grow.
const WAL_LIMIT: u32 = 16 * 1024 * 1024;
/// Prepared statements kept by a connection; more than there are in this folder.
const STATEMENTS: usize = 64;
/// Akita is alone in its database; this only rides out somebody's `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The one connection that writes; brings the schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut conn = connect(path, flags, WRITER_CACHE_KIB)?;
        check_owner(&conn)?;
        // A commit in WAL mode is durable only with FULL; `fullfsync` says the same to macOS.
        conn.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
             PRAGMA wal_autocheckpoint = {WAL_PAGES}; PRAGMA journal_size_limit = {WAL_LIMIT};"
        ))?;
        migrate(&mut conn)?;
        Ok(conn)
    };
    open().map_err(|source| StoreError::Open { path: path.to_owned(), source: Box::new(source) })
}

/// A connection for who must not leave a trace: where there is no write-ahead log, none is made.
pub(super) fn untouched(path: &Path) -> Result<Connection, StoreError> {
    if log_size(path) > 0 {
        return reader(path);
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect(Path::new(&format!("file:{escaped}?immutable=1")), flags, READER_CACHE_KIB)
}

/// Bytes that wait in the write-ahead log.
pub(super) fn log_size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).metadata().map_or(0, |found| found.len())
}

/// The schema that this program writes.
pub(super) fn newest_version() -> i64 {
    MIGRATIONS.len() as i64
}

/// A new database that is filled at once and then only read: a crash in between leaves a file that nobody asks for.
pub(super) fn export(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut conn = connect(path, flags, WRITER_CACHE_KIB)?;
    conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    migrate(&mut conn)?;
    Ok(conn)
}

/// Whether an exported database has the schema that this program writes.
pub(super) fn check_schema(conn: &Connection) -> Result<(), StoreError> {
    let (found, known) = (version(conn)?, MIGRATIONS.len() as i64);
    match found.cmp(&known) {
        std::cmp::Ordering::Greater => Err(StoreError::TooNew { found, known }),
        std::cmp::Ordering::Less => Err(StoreError::Damaged(format!("it has schema version {found}, not {known}"))),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)
}

fn connect(path: &Path, flags: OpenFlags, cache_kib: u32) -> Result<Connection, StoreError> {
    // Each connection is used by one thread at a time, so SQLite's own lock around it is not needed.
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch(&format!(
        "PRAGMA cache_size = -{cache_kib}; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;"
    ))?;
    Ok(conn)
}

fn version(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Refuses, before anything is written, what another program or a newer Akita made; the schema's version, 0 if there is
/// none yet.
pub(super) fn check_owner(conn: &Connection) -> Result<i64, StoreError> {
    let (found, known) = (version(conn)?, MIGRATIONS.len() as i64);
    let application: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(StoreError::NotOurs);
    }
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    Ok(found)
}

fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let done = usize::try_from(version(conn)?).unwrap_or(0);
    for (at, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let step = conn.transaction()?;
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", at as i64 + 1)?;
        step.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_gets_the_newest_schema_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("akita.db");
        for _ in 0..2 {
            let conn = writer(&path).unwrap();
            assert_eq!(version(&conn).unwrap(), MIGRATIONS.len() as i64);
            let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
            let sync: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
            assert_eq!(sync, 2, "FULL");
        }
        assert!(reader(&path).unwrap().execute_batch("DELETE FROM meta").is_err());
    }

    #[test]
    fn tasks_of_an_older_database_are_read_as_ordinary_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("akita.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(MIGRATIONS[1]).unwrap();
        old.pragma_update(None, "user_version", 2).unwrap();
        old.execute_batch(
            "INSERT INTO tasks (id, action, priority, origin, submitted_at, status, attempts, strikes, max_attempts, \
             not_before, input_type, input_len) \
             VALUES (x'01010101010101010101010101010101', 'a/b', 3, x'02020202020202020202020202020202', 1, 2, 0, 0, 3, \
             0, 'text/plain', 5)",
        )
        .unwrap();
        drop(old);
        let tasks = super::super::tasks::live(&writer(&path).unwrap()).unwrap();
        assert_eq!(tasks.len(), 1);
        assert!(tasks[0].extras.is_none());
        assert_eq!((tasks[0].priority, tasks[0].input_len), (3, 5));
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("akita.db");
        writer(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = writer(&path).unwrap_err();
        assert!(error.to_string().contains("schema version 99"), "{error}");
        assert!(error.hint().contains("newer version"));
        assert_eq!(version(&reader(&path).unwrap()).unwrap(), 99);
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("akita.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(writer(&path).unwrap_err().to_string().contains("no database of Akita"));
        let text = dir.path().join("text.db");
        std::fs::write(&text, "not a database at all, but long enough to be looked at as one").unwrap();
        assert!(writer(&text).is_err());
    }
}
