//! How a task and a row of a ledger are written: the cluster's tables and those of an island's journal have the same
//! columns. It decides nothing about either.

use akita_core::{
    event::LedgerRow,
    task::{Failure, Task},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::StoreError,
    sql::{details_text, event_code, required_text, status_code},
};

/// The statement of [`insert_task`] for a table.
macro_rules! insert_task_sql {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (id, action, required, priority, timeout_ms, origin, submitted_at, status, attempts, strikes, \
             max_attempts, not_before, input_type, input_len, deterministic, key, parent, depth) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        )
    };
}
pub(super) use insert_task_sql;

/// The statement of [`update_task`] for a table, with what else it sets.
macro_rules! update_task_sql {
    ($table:literal, $more:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET status = ?2, attempts = ?3, strikes = ?4, not_before = ?5, fence = ?6, assigned_at = ?7, \
             worker = ?8, started_at = ?9, finished_at = ?10, reason = ?11, code = ?12, pointer = ?13",
            $more,
            " WHERE id = ?1 RETURNING seq"
        )
    };
}
pub(super) use update_task_sql;

/// The statement of [`append_row`] for a table.
macro_rules! append_row_sql {
    ($table:literal) => {
        concat!("INSERT INTO ", $table, " (idx, time_ms, event, node, task, details) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
    };
}
pub(super) use append_row_sql;

/// Writes a task that was just accepted; answers its place in the table.
pub(super) fn insert_task(conn: &Connection, sql: &str, task: &Task) -> Result<i64, StoreError> {
    conn.prepare_cached(sql)?.execute(params![
        task.id.0,
        task.action,
        required_text(&task.required),
        task.priority,
        task.timeout_ms,
        task.origin.0,
        task.submitted_at.cast_signed(),
        status_code(task.status),
        task.attempts,
        task.strikes,
        task.max_attempts,
        task.not_before.cast_signed(),
        task.input_type,
        task.input_len.cast_signed(),
        task.extras.deterministic,
        task.extras.key.map(|key| key.0),
        task.extras.parent.map(|parent| parent.task.0),
        task.extras.parent.map(|parent| parent.depth),
    ])?;
    Ok(conn.last_insert_rowid())
}

/// Writes where a task is now; answers its place in the table, if it is there.
pub(super) fn update_task(
    conn: &Connection,
    sql: &str,
    task: &Task,
    failure: Option<&Failure>,
) -> Result<Option<i64>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let place = statement.query_row(
        params![
            task.id.0,
            status_code(task.status),
            task.attempts,
            task.strikes,
            task.not_before.cast_signed(),
            task.assignment.map(|held| held.fence.cast_signed()),
            task.assignment.map(|held| held.assigned_at.cast_signed()),
            task.worker.map(|worker| worker.0),
            task.started_at.map(u64::cast_signed),
            task.finished_at.map(u64::cast_signed),
            task.reason,
            failure.and_then(|failure| failure.code.as_deref()),
            failure.and_then(|failure| failure.pointer.as_deref()),
        ],
        |row| row.get(0),
    );
    Ok(place.optional()?)
}

/// Writes a row of a ledger.
pub(super) fn append_row(conn: &Connection, sql: &str, row: &LedgerRow) -> Result<(), StoreError> {
    conn.prepare_cached(sql)?.execute(params![
        row.index.cast_signed(),
        row.time.cast_signed(),
        event_code(row.event),
        row.node.0,
        row.task.map(|task| task.0),
        details_text(&row.details),
    ])?;
    Ok(())
}
