//! A copy of the database for a backup, and what makes a copy that was put back a beginning of its own: it is a moment of
//! another life, so it never goes on as the voter and leader that it was.

use std::path::Path;

use akita_core::{Command, EventType, Millis, NodeId, TaskId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Machine, Position, connection,
    error::StoreError,
    ledger::{
        self,
        checkpoint::{LedgerKey, Signer},
    },
    mark, tasks,
};

/// Tasks that one command hands over: an entry of 160 KiB.
const HAND_OVER_AT_ONCE: usize = 10_000;
/// What voters keep of their log, where there is any: a copy must not vote again as the voter that it was.
const OF_VOTERS: [&str; 3] = ["raft_log", "raft_notes", "enlisted"];

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySummary {
    /// Rows of its ledger.
    pub rows: u64,
    /// The root over them.
    pub root: [u8; 32],
    /// The newest signed checkpoint in it.
    pub checkpoint: Option<String>,
    /// Tasks that had not ended, and those of the outbox.
    pub unfinished: u64,
}

/// Copies a database as it is at this moment into the new file `to`. `alone`: no node runs on it.
///
/// # Errors
/// It is none of Akita's, is damaged, or the copy cannot be written.
pub fn copy_file(from: &Path, to: &Path, alone: bool) -> Result<CopySummary, StoreError> {
    let copy = || {
        let conn = if alone { connection::untouched(from)? } else { connection::reader(from)? };
        if connection::check_owner(&conn)? == 0 {
            return Err(StoreError::Damaged("it is empty".into()));
        }
        conn.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
        Ok(())
    };
    copy().map_err(|source| StoreError::Open { path: from.to_owned(), source: Box::new(source) })?;
    summary(&connection::untouched(to)?)
}

fn summary(conn: &Connection) -> Result<CopySummary, StoreError> {
    let head = ledger::head(conn)?;
    let mut waiting: i64 = conn.query_row("SELECT COUNT(*) FROM outbox", [], |row| row.get(0))?;
    if has_table(conn, "island_tasks")? {
        let open = "SELECT COUNT(*) FROM island_tasks WHERE number IS NULL";
        waiting += conn.query_row(open, [], |row| row.get::<_, i64>(0))?;
    }
    Ok(CopySummary {
        rows: head.rows,
        root: head.root,
        checkpoint: ledger::prove::newest(conn)?.map(|newest| newest.note),
        unfinished: tasks::live(conn)?.len() as u64 + waiting.cast_unsigned(),
    })
}

/// How a copy is to go on.
pub struct Settle {
    /// The node that it comes back as, if that is the one that it was.
    pub same: Option<LedgerKey>,
    /// The node that it was.
    pub was: NodeId,
    /// The time.
    pub now: Millis,
    /// Whether tasks that had not ended are to run: nobody else has them any more.
    pub run_tasks: bool,
    /// What the ledger is to say about it.
    pub details: Vec<(String, String)>,
}

/// Makes a copy ready for its new life: it belongs to no cluster, holds no task that another may have run meanwhile, and
/// its ledger says so. Signatures of another node's key go: what it recorded stays. Answers how many tasks it let go.
///
/// # Errors
/// The copy cannot be written.
pub fn settle(path: &Path, settle: Settle) -> Result<u64, StoreError> {
    let key = settle.same.unwrap_or(LedgerKey { node: settle.was, public_key: [0; 64] });
    // Nothing is signed here: that is for the node, when it starts.
    let mut machine = Machine::load(connection::writer(path)?, Signer { key, sign: Box::new(|_| [0; 64]) })?;
    machine.conn.execute_batch("BEGIN IMMEDIATE")?;
    let mut commands = Vec::new();
    let cluster = machine.state().cluster().map(|cluster| cluster.id);
    let mut let_go = 0;
    if !settle.run_tasks {
        let ids: Vec<TaskId> = tasks::live(&machine.conn)?.into_iter().map(|task| task.id).collect();
        let to = cluster.unwrap_or_default();
        commands.extend(ids.chunks(HAND_OVER_AT_ONCE).map(|some| Command::HandOver { tasks: some.to_vec(), to }));
        let waiting = machine.conn.execute("DELETE FROM outbox", [])?;
        machine.counters.add(akita_core::Status::QueuedLocally.as_str(), -(waiting as i64));
        // Ends that were signed are kept: they are taken once, whoever brings them.
        let islands = machine.conn.execute("DELETE FROM island_tasks WHERE number IS NULL", [])?;
        let_go = (ids.len() + waiting + islands) as u64;
    }
    commands.push(Command::Record { event: EventType::ConfigChange, node: settle.was, details: settle.details });
    let last = machine.position();
    let at = Position { index: last.index + 1, time: settle.now.max(last.time) };
    machine.apply(at, commands)?;
    machine.counters.flush(&machine.conn)?;
    let conn = &machine.conn;
    conn.execute(
        "UPDATE log_position SET log_index = ?1, time_ms = ?2",
        params![at.index.cast_signed(), at.time.cast_signed()],
    )?;
    let mark = mark::within(conn)?;
    conn.execute("DELETE FROM cluster", [])?;
    if settle.same.is_none() {
        conn.execute("DELETE FROM checkpoints", [])?;
    }
    forget_votes(conn)?;
    conn.execute_batch("COMMIT")?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    if let Some(mark) = mark {
        mark::write(path, &mark)
            .map_err(|error| StoreError::Damaged(format!("its mark cannot be written: {error}")))?;
    }
    Ok(let_go)
}

/// A copy of a database that no node has started on since an update lacks the newer tables.
fn has_table(conn: &Connection, table: &str) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(conn.query_row(sql, [table], |row| row.get::<_, String>(0)).optional()?.is_some())
}

fn forget_votes(conn: &Connection) -> Result<(), StoreError> {
    for table in OF_VOTERS {
        if has_table(conn, table)? {
            conn.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::store::{
        DataDir, Verdict, check_file,
        testing::{Log, ME, clock, execute, signer, submit, task},
    };

    async fn copied() -> (Log, PathBuf, CopySummary) {
        let log = Log::new().await;
        log.finished(task(1)).await;
        log.started(task(2)).await;
        log.one(submit(task(3))).await;
        log.opened.store.outbox_add(task(4), vec![1], 1).await.unwrap();
        log.opened.store.signed_head(None).await.unwrap();
        let to = log.dir.path().join("copy.db");
        // While the node goes on with it.
        let summary = copy_file(&log.database(), &to, false).unwrap();
        (log, to, summary)
    }

    fn settle_with(path: &Path, same: bool, run_tasks: bool) -> u64 {
        let details = vec![("restored".into(), "x".into())];
        let same = same.then(|| signer().key);
        settle(path, Settle { same, was: ME, now: 9_000_000, run_tasks, details }).unwrap()
    }

    fn sound(path: &Path) {
        let report = check_file(path, Some(&signer().key));
        let bad: Vec<_> = report.findings.into_iter().filter(|finding| finding.verdict == Verdict::Bad).collect();
        assert_eq!(bad, []);
    }

    #[tokio::test]
    async fn a_copy_is_whole_and_of_one_moment() {
        let (log, path, summary) = copied().await;
        let head = log.opened.store.ledger_head().await.unwrap();
        assert_eq!((summary.rows, summary.root, summary.unfinished), (head.rows, head.root, 3));
        assert!(summary.checkpoint.unwrap().starts_with("akita/"));
        sound(&path);
        log.one(submit(task(5))).await;
        assert_eq!(summary_of(&path).rows, head.rows);
        execute(&path, "PRAGMA application_id = 1");
        assert!(copy_file(&path, &log.dir.path().join("other.db"), true).is_err());
    }

    fn summary_of(path: &Path) -> CopySummary {
        summary(&connection::untouched(path).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_copy_that_goes_on_holds_no_task_that_may_have_run_meanwhile_and_belongs_to_no_cluster() {
        let (_log, path, before) = copied().await;
        assert_eq!(settle_with(&path, true, false), 3);
        sound(&path);
        let after = summary_of(&path);
        assert_eq!((after.unfinished, after.rows), (0, before.rows + 2));
        assert_eq!(after.checkpoint, before.checkpoint);
        let dir = tempfile::tempdir().unwrap();
        std::fs::rename(&path, dir.path().join("akita.db")).unwrap();
        std::fs::rename(mark::path(&path), dir.path().join("akita.db.head")).unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let opened = crate::consensus::open(&data, "akita.db", signer(), clock()).unwrap();
        assert!(opened.state.cluster().is_none() && opened.state.tasks().is_empty());
        let store = &opened.store;
        assert_eq!(store.task(task(1)).await.unwrap().unwrap().result.unwrap().body, b"result");
        assert!(store.task_meta(task(2)).await.unwrap().unwrap().handed_over_to.is_some());
        let rows = store.ledger_rows(before.rows, 9).await.unwrap().0;
        assert_eq!((rows[0].event, rows[1].event), (EventType::StateSync, EventType::ConfigChange));
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn tasks_run_again_when_the_operator_says_that_nobody_else_has_them() {
        let (_log, path, before) = copied().await;
        assert_eq!(settle_with(&path, true, true), 0);
        sound(&path);
        assert_eq!(summary_of(&path).unfinished, before.unfinished);
    }

    #[tokio::test]
    async fn another_node_keeps_the_rows_and_not_the_signatures() {
        let (_log, path, before) = copied().await;
        settle_with(&path, false, false);
        sound(&path);
        let after = summary_of(&path);
        assert_eq!((after.checkpoint, after.rows), (None, before.rows + 2));
    }

    #[tokio::test]
    async fn a_database_that_no_node_has_started_on_since_an_update_is_copied_as_it_is() {
        let (log, path, before) = copied().await;
        execute(&path, "DROP TABLE island_tasks; DROP TABLE island_journal; PRAGMA user_version = 6");
        let again = copy_file(&path, &log.dir.path().join("older.db"), true).unwrap();
        assert_eq!((again.rows, again.unfinished), (before.rows, before.unfinished));
    }

    #[tokio::test]
    async fn a_copy_forgets_how_it_voted() {
        let (_log, path, _) = copied().await;
        execute(
            &path,
            "INSERT INTO raft_log VALUES (1, x'00');
             INSERT INTO raft_notes VALUES ('vote', x'00');
             INSERT INTO enlisted VALUES (zeroblob(16), 1, 1);",
        );
        settle_with(&path, true, false);
        let conn = connection::untouched(&path).unwrap();
        for table in OF_VOTERS {
            let left: i64 = conn.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "{table}");
        }
    }
}
