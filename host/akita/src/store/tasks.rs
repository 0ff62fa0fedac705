//! Tasks, inputs and results in the database: the statements that write them and those that read them.
//! It decides nothing about a task.

use akita_core::{
    Archive,
    id::{ClusterId, Millis, TaskId},
    task::{Content, Failure, Status, Task},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    counters,
    error::StoreError,
    records::{TaskMeta, TaskRecord},
    rows::{insert_task, insert_task_sql, update_task, update_task_sql},
    sql::{HANDED_OVER, status_code, status_of, task_columns, task_meta},
};

/// Stores a task that was just accepted.
pub(super) fn insert(conn: &Connection, task: &Task, input: &[u8]) -> Result<(), StoreError> {
    let seq = insert_task(conn, insert_task_sql!("tasks"), task)?;
    conn.prepare_cached("INSERT INTO task_inputs (seq, body) VALUES (?1, ?2)")?.execute(params![seq, input])?;
    Ok(())
}

/// Stores where a live task is now.
pub(super) fn update(conn: &Connection, task: &Task) -> Result<(), StoreError> {
    update_row(conn, task, None).map(drop)
}

/// Stores a task's end: its input goes, its result comes.
pub(super) fn end(
    conn: &Connection,
    task: &Task,
    output: Option<&Content>,
    failure: Option<&Failure>,
) -> Result<(), StoreError> {
    let seq = update_row(conn, task, failure)?;
    conn.prepare_cached("DELETE FROM task_inputs WHERE seq = ?1")?.execute([seq])?;
    if let Some(output) = output {
        conn.prepare_cached("INSERT INTO task_results (seq, content_type, body) VALUES (?1, ?2, ?3)")?
            .execute(params![seq, output.content_type, output.body])?;
    }
    Ok(())
}

/// Stores a task that had ended before this log knew of it; it stays as long as one that ended at `time`.
pub(super) fn import(
    conn: &Connection,
    task: &Task,
    output: Option<&Content>,
    failure: Option<&Failure>,
    time: Millis,
) -> Result<(), StoreError> {
    insert(conn, task, &[])?;
    end(conn, task, output, failure)?;
    conn.prepare_cached("UPDATE tasks SET left_at = ?2 WHERE id = ?1")?
        .execute(params![task.id.0, time.cast_signed()])?;
    Ok(())
}

fn update_row(conn: &Connection, task: &Task, failure: Option<&Failure>) -> Result<i64, StoreError> {
    let seq = update_task(conn, update_task_sql!("tasks", ", left_at = ?10"), task, failure)?;
    seq.ok_or_else(|| missing(task.id))
}

/// Stores that a task belongs to another cluster; its input went there too.
pub(super) fn hand_over(conn: &Connection, id: TaskId, to: ClusterId, time: Millis) -> Result<(), StoreError> {
    let seq: Option<i64> = conn
        .prepare_cached(
            "UPDATE tasks SET status = ?2, handed_over_to = ?3, left_at = ?4, fence = NULL, assigned_at = NULL \
             WHERE id = ?1 RETURNING seq",
        )?
        .query_row(params![id.0, HANDED_OVER, to.0, time.cast_signed()], |row| row.get(0))
        .optional()?;
    let seq = seq.ok_or_else(|| missing(id))?;
    conn.prepare_cached("DELETE FROM task_inputs WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// Deletes what is left of a task that was handed over: it has come back.
pub(super) fn forget_handed_over(conn: &Connection, id: TaskId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM tasks WHERE id = ?1 AND status = ?2")?.execute(params![id.0, HANDED_OVER])?;
    Ok(())
}

fn missing(id: TaskId) -> StoreError {
    StoreError::Damaged(format!("the task {id} is not in it"))
}

/// The tasks that have left [`State`](akita_core::State), asked within the writer's transaction.
pub(super) struct Ended<'a> {
    conn: &'a Connection,
    failed: std::cell::RefCell<Option<rusqlite::Error>>,
    handed_over: std::cell::Cell<Option<TaskId>>,
}

impl<'a> Ended<'a> {
    pub(super) fn new(conn: &'a Connection) -> Self {
        Ended { conn, failed: std::cell::RefCell::default(), handed_over: std::cell::Cell::default() }
    }

    /// `apply` has no way to hear of an error, so it is asked for afterwards and is fatal. Answers a task that was asked
    /// after and whose record says that it went to another cluster.
    pub(super) fn check(self) -> Result<Option<TaskId>, StoreError> {
        self.failed.into_inner().map_or(Ok(self.handed_over.into_inner()), |error| Err(error.into()))
    }
}

impl Archive for Ended<'_> {
    fn ended(&self, task: TaskId) -> Option<Status> {
        let ask = || {
            let mut statement = self.conn.prepare_cached("SELECT status FROM tasks WHERE id = ?1")?;
            statement.query_row([task.0], |row| row.get::<_, i64>(0)).optional()
        };
        match ask() {
            // It may come back, when that cluster gives way in its turn; refused as known, it would be lost.
            Ok(Some(HANDED_OVER)) => {
                self.handed_over.set(Some(task));
                None
            }
            Ok(code) => code.and_then(status_of),
            Err(error) => {
                self.failed.borrow_mut().get_or_insert(error);
                None
            }
        }
    }
}

/// The tasks that have not ended.
pub(super) fn live(conn: &Connection) -> Result<Vec<Task>, StoreError> {
    let (first, last) = (status_code(Status::Scheduled), status_code(Status::Running));
    let mut statement =
        conn.prepare(concat!("SELECT ", task_columns!(), " FROM tasks WHERE status BETWEEN ?1 AND ?2"))?;
    let tasks = statement.query_map([first, last], |row| Ok(task_meta(row)?.task))?;
    Ok(tasks.collect::<Result<_, _>>()?)
}

/// One task without its bodies.
pub(super) fn meta(conn: &Connection, id: TaskId) -> Result<Option<TaskMeta>, StoreError> {
    let mut statement = conn.prepare_cached(concat!("SELECT ", task_columns!(), " FROM tasks WHERE id = ?1"))?;
    Ok(statement.query_row([id.0], task_meta).optional()?)
}

/// One task with its result.
pub(super) fn record(conn: &Connection, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        task_columns!(),
        ", content_type, body FROM tasks LEFT JOIN task_results USING (seq) WHERE id = ?1"
    ))?;
    let record = statement.query_row([id.0], |row| {
        let result = match row.get::<_, Option<String>>(27)? {
            Some(content_type) => Some(Content { content_type, body: row.get(28)? }),
            None => None,
        };
        Ok(TaskRecord { meta: task_meta(row)?, result })
    });
    Ok(record.optional()?)
}

/// One task's input, until it ends.
pub(super) fn input(conn: &Connection, id: TaskId) -> Result<Option<Content>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT input_type, body FROM tasks JOIN task_inputs USING (seq) WHERE id = ?1")?;
    let input =
        statement.query_row([id.0], |row| Ok(Content { content_type: row.get(0)?, body: row.get(1)? })).optional()?;
    Ok(input)
}

/// The newest tasks, of one status or of all.
pub(super) fn list(conn: &Connection, status: Option<Status>, limit: usize) -> Result<Vec<TaskMeta>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = match status {
        Some(status) => conn
            .prepare_cached(concat!(
                "SELECT ",
                task_columns!(),
                " FROM tasks WHERE status = ?1 ORDER BY seq DESC LIMIT ?2"
            ))?
            .query_map([status_code(status), limit], task_meta)?
            .collect::<Result<_, _>>()?,
        None => conn
            .prepare_cached(concat!("SELECT ", task_columns!(), " FROM tasks ORDER BY seq DESC LIMIT ?1"))?
            .query_map([limit], task_meta)?
            .collect::<Result<_, _>>()?,
    };
    Ok(rows)
}

/// Whether [`prune`] would find anything.
pub(super) fn prunable(conn: &Connection, older_than: Millis, keep_max: u64) -> Result<bool, StoreError> {
    let old = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM tasks WHERE left_at < ?1)")?
        .query_row([i64::try_from(older_than).unwrap_or(i64::MAX)], |row| row.get(0))?;
    Ok(old || counters::read(conn, counters::KEPT)? > keep_max)
}

/// Deletes tasks that have ended or were handed over, with their results, oldest first: those that left before
/// `older_than`, and those beyond the newest `keep_max` of `kept`. At most `batch`; says how many.
pub(super) fn prune(
    conn: &Connection,
    older_than: Millis,
    keep_max: u64,
    kept: u64,
    batch: u32,
) -> Result<u64, StoreError> {
    let old: i64 = conn
        .prepare_cached("SELECT COUNT(*) FROM (SELECT 1 FROM tasks WHERE left_at < ?1 LIMIT ?2)")?
        .query_row(params![i64::try_from(older_than).unwrap_or(i64::MAX), batch], |row| row.get(0))?;
    let excess = i64::try_from(kept.saturating_sub(keep_max)).unwrap_or(i64::MAX).min(batch.into());
    let victims: Vec<i64> = conn
        .prepare_cached("SELECT seq FROM tasks WHERE left_at IS NOT NULL ORDER BY left_at, seq LIMIT ?1")?
        .query_map([old.max(excess)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seq in &victims {
        conn.prepare_cached("DELETE FROM task_results WHERE seq = ?1")?.execute([seq])?;
        conn.prepare_cached("DELETE FROM tasks WHERE seq = ?1")?.execute([seq])?;
    }
    Ok(victims.len() as u64)
}
