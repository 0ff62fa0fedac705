//! Looks through a database as a whole, without a node and without changing it, and tells all that it finds. It repairs
//! nothing.

use std::path::Path;

use akita_core::{EventType, Status};
use rusqlite::Connection;

use super::{
    blobs::BlobKey,
    connection,
    counters::{self, KEPT},
    error::StoreError,
    ledger::{checkpoint::LedgerKey, verify},
    mark,
    sql::{event_code, status_code},
    tasks,
};

/// Findings of one kind that are told at most: the first ones say what happened.
const MOST_TOLD: usize = 20;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Good,
    /// It is no fault, or could not be looked at.
    Note,
    /// It is damaged.
    Bad,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// In words.
    pub detail: String,
}

impl Finding {
    /// A finding.
    pub fn new(what: &'static str, verdict: Verdict, detail: impl Into<String>) -> Finding {
        Finding { what, verdict, detail: detail.into() }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
    /// The blobs that should lie beside the database, with their sizes; none if that cannot be told.
    pub blobs: Option<Vec<(BlobKey, u64)>>,
}

impl CheckReport {
    fn tell(&mut self, what: &'static str, verdict: Verdict, detail: impl Into<String>) {
        self.findings.push(Finding::new(what, verdict, detail));
    }

    /// What one look gave: words for people if all is well, or everything that is not.
    fn look(&mut self, what: &'static str, found: Result<Result<String, Vec<String>>, StoreError>) {
        match found {
            Ok(Ok(detail)) => self.tell(what, Verdict::Good, detail),
            Ok(Err(faults)) => faults.into_iter().for_each(|fault| self.tell(what, Verdict::Bad, fault)),
            Err(error) => self.tell(what, Verdict::Bad, error.to_string()),
        }
    }
}

/// Looks through the database. With no key the signatures of checkpoints are not checked.
pub fn check_file(path: &Path, key: Option<&LedgerKey>) -> CheckReport {
    let mut report = CheckReport::default();
    let size = match path.metadata() {
        Ok(found) => found.len(),
        Err(error) => {
            report.tell("file", Verdict::Bad, format!("cannot be read: {error}"));
            return report;
        }
    };
    let log = connection::log_size(path);
    let opened = connection::untouched(path).and_then(|conn| {
        let version = connection::check_owner(&conn)?;
        Ok((conn, version))
    });
    let (conn, version) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.tell("file", Verdict::Bad, error.to_string());
            return report;
        }
    };
    let waiting = if log > 0 { format!(", and {log} in its write-ahead log") } else { String::new() };
    report.tell("file", Verdict::Good, format!("{size} bytes{waiting}"));
    if version == 0 {
        report.look("rows", marked(&conn, path, true));
        report.tell("schema", Verdict::Note, "it is empty");
        return report;
    }
    report.look("schema", schema(version));
    report.look("pages", pages(&conn));
    report.look("references", references(&conn));
    report.look("rows", marked(&conn, path, false));
    look_at_ledger(&mut report, &conn, key);
    report.look("totals", totals(&conn));
    report.look("tasks", look_at_tasks(&conn));
    report.look("plugin values", plugin_values(&conn));
    report.blobs = blobs(&conn).ok();
    report
}

type Found = Result<Result<String, Vec<String>>, StoreError>;

fn schema(version: i64) -> Found {
    let known = connection::newest_version();
    let later = if version < known { format!("; `akita start` brings it to {known}") } else { String::new() };
    Ok(Ok(format!("version {version}{later}")))
}

fn list(conn: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    let mut faults: Vec<String> = rows.take(MOST_TOLD + 1).collect::<Result<_, _>>()?;
    if faults.len() > MOST_TOLD {
        faults[MOST_TOLD] = "and more".into();
    }
    Ok(faults)
}

fn told(faults: Vec<String>, good: &str) -> Found {
    Ok(if faults.is_empty() { Ok(good.to_owned()) } else { Err(faults) })
}

fn pages(conn: &Connection) -> Found {
    let faults = list(conn, &format!("PRAGMA integrity_check({MOST_TOLD})"))?;
    told(faults.into_iter().filter(|fault| fault != "ok").collect(), "every page, index and value is readable")
}

fn references(conn: &Connection) -> Found {
    let sql = "SELECT \"table\" || ': row ' || COALESCE(rowid, '?') || ' names a missing row of ' || \"parent\" \
               FROM pragma_foreign_key_check";
    told(list(conn, sql)?, "no row names one that is missing")
}

fn marked(conn: &Connection, path: &Path, empty: bool) -> Found {
    let Some(mark) = mark::read(path) else { return Ok(Ok("nothing is known of how many there were".into())) };
    let checked = if empty { Err(mark.missing(path)) } else { mark.check(conn, path) };
    Ok(checked.map(|()| "as many as there were".into()).map_err(|error| vec![error.to_string()]))
}

fn look_at_ledger(report: &mut CheckReport, conn: &Connection, key: Option<&LedgerKey>) {
    match verify::verify_whole(conn, key.map(std::slice::from_ref).unwrap_or_default()) {
        Err(error) => report.tell("ledger", Verdict::Bad, error.to_string()),
        Ok(found) => match found.problem {
            Some(problem) => report.tell("ledger", Verdict::Bad, problem),
            None => {
                let text = format!("{} rows verify, {} of them under a checkpoint", found.rows, found.signed_rows);
                report.tell("ledger", Verdict::Good, text);
                if key.is_none() {
                    let text = "signatures were not checked: the node's identity is not there";
                    report.tell("ledger", Verdict::Note, text);
                }
            }
        },
    }
}

/// The running totals against what they count.
fn totals(conn: &Connection) -> Found {
    let mut faults = Vec::new();
    let mut compare = |name: &str, sql: &str, code: i64| -> Result<(), StoreError> {
        let counted: i64 = conn.query_row(sql, [code], |row| row.get(0))?;
        let total = counters::read(conn, name)?;
        if total != counted.cast_unsigned() {
            faults.push(format!("the total of {name} is {total}, and {counted} are there"));
        }
        Ok(())
    };
    for status in [Status::Scheduled, Status::Pending, Status::Assigned, Status::Running] {
        compare(status.as_str(), "SELECT COUNT(*) FROM tasks WHERE status = ?1", status_code(status))?;
    }
    compare(Status::QueuedLocally.as_str(), "SELECT COUNT(*) FROM outbox WHERE ?1 = 0", 0)?;
    compare(KEPT, "SELECT COUNT(*) FROM tasks WHERE left_at IS NOT NULL AND ?1 = 0", 0)?;
    for event in EventType::ALL {
        compare(event.as_str(), "SELECT COUNT(*) FROM ledger WHERE event = ?1", event_code(*event))?;
    }
    told(faults, "agree with what they count")
}

/// Tasks against their bodies and against what the ledger tells of them.
fn look_at_tasks(conn: &Connection) -> Found {
    let live = tasks::live(conn)?.len();
    let (completed, failed) = (status_code(Status::Completed), status_code(Status::Failed));
    let (first, last) = (status_code(Status::Scheduled), status_code(Status::Running));
    let (done, broke) = (event_code(EventType::TaskCompleted), event_code(EventType::TaskFailed));
    let submitted = event_code(EventType::TaskSubmitted);
    let end = format!(
        "(SELECT event FROM ledger WHERE task = tasks.id AND event IN ({submitted}, {done}, {broke}) ORDER BY idx DESC LIMIT 1)"
    );
    let name = "'task ' || lower(hex(id)) || ' '";
    let mut faults = Vec::new();
    for sql in [
        format!(
            "SELECT {name} || 'has no input' FROM tasks LEFT JOIN task_inputs USING (seq) \
                 WHERE status BETWEEN {first} AND {last} AND body IS NULL"
        ),
        format!(
            "SELECT {name} || 'has an input of another length' FROM tasks JOIN task_inputs USING (seq) \
                 WHERE length(body) <> input_len"
        ),
        format!(
            "SELECT {name} || 'has completed and has no result' FROM tasks LEFT JOIN task_results USING (seq) \
                 WHERE status = {completed} AND body IS NULL"
        ),
        "SELECT 'an input belongs to no task' FROM task_inputs WHERE seq NOT IN (SELECT seq FROM tasks)".into(),
        "SELECT 'a result belongs to no task' FROM task_results WHERE seq NOT IN (SELECT seq FROM tasks)".into(),
        format!("SELECT {name} || 'is not in the ledger' FROM tasks WHERE {end} IS NULL"),
        format!(
            "SELECT {name} || 'ended otherwise by the ledger' FROM tasks \
                 WHERE status = {completed} AND {end} <> {done} OR status = {failed} AND {end} <> {broke}"
        ),
        format!(
            "SELECT {name} || 'has ended by the ledger' FROM tasks \
                 WHERE status BETWEEN {first} AND {last} AND {end} <> {submitted}"
        ),
        "SELECT 'the log is at a time before the last row of the ledger' FROM log_position \
         WHERE time_ms < (SELECT time_ms FROM ledger ORDER BY idx DESC LIMIT 1)"
            .into(),
    ] {
        faults.extend(list(conn, &sql)?);
    }
    told(faults, &format!("agree with the ledger; {live} have not ended"))
}

fn plugin_values(conn: &Connection) -> Found {
    let sum = "SELECT SUM(length(CAST(key AS BLOB)) + length(value)) FROM plugin_kv WHERE plugin_kv.plugin = plugin_kv_usage.plugin";
    let sql = format!(
        "SELECT 'those of ' || plugin || ' take another number of bytes than noted' FROM plugin_kv_usage \
         WHERE bytes <> COALESCE(({sum}), 0)"
    );
    told(list(conn, &sql)?, "take as many bytes as noted")
}

fn blobs(conn: &Connection) -> Result<Vec<(BlobKey, u64)>, StoreError> {
    let mut statement = conn.prepare("SELECT id, size FROM blobs ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, super::sql::unsigned(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::store::testing::{Log, execute, signer, submit, task};

    /// A closed database with tasks in every state.
    async fn database() -> (TempDir, PathBuf) {
        let log = Log::new().await;
        for n in 1..=3 {
            log.finished(task(n)).await;
        }
        log.started(task(4)).await;
        log.one(submit(task(5))).await;
        log.opened.store.outbox_add(task(6), vec![1], 1).await.unwrap();
        log.opened.store.kv_put("p".into(), "é".into(), vec![1; 5], None, 99).await.unwrap();
        log.opened.store.mark().await.unwrap();
        log.opened.store.close().await.unwrap();
        let path = log.database();
        // With its readers, so that no write-ahead log is left.
        let Log { opened, dir } = log;
        drop(opened);
        (dir, path)
    }

    fn bad(path: &Path) -> Vec<(&'static str, String)> {
        let report = check_file(path, Some(&signer().key));
        let bad = report.findings.into_iter().filter(|finding| finding.verdict == Verdict::Bad);
        bad.map(|finding| (finding.what, finding.detail)).collect()
    }

    #[tokio::test]
    async fn a_sound_database_has_no_fault_and_is_not_touched() {
        let (dir, path) = database().await;
        let files = || {
            let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        let (before, listed) = (std::fs::read(&path).unwrap(), files());
        assert_eq!(bad(&path), []);
        assert_eq!(check_file(&path, None).findings.len(), 10);
        assert!(std::fs::read(&path).unwrap() == before && files() == listed);
    }

    #[tokio::test]
    async fn whatever_disagrees_is_told() {
        let (_dir, path) = database().await;
        let pristine = std::fs::read(&path).unwrap();
        let first = "(SELECT seq FROM tasks ORDER BY seq LIMIT 1)";
        let cases = [
            ("UPDATE ledger SET time_ms = 1 WHERE idx = 3".into(), "ledger", "row 3 was changed"),
            ("UPDATE counters SET value = 9 WHERE name = 'pending'".into(), "totals", "the total of pending is 9"),
            ("DELETE FROM outbox".into(), "totals", "the total of queued_locally is 1, and 0"),
            ("DELETE FROM task_inputs".into(), "tasks", "has no input"),
            ("UPDATE task_inputs SET body = x'00'".into(), "tasks", "has an input of another length"),
            (format!("DELETE FROM task_results WHERE seq = {first}"), "tasks", "has completed and has no result"),
            (format!("UPDATE tasks SET status = 6 WHERE seq = {first}"), "tasks", "ended otherwise by the ledger"),
            (format!("UPDATE tasks SET id = zeroblob(16) WHERE seq = {first}"), "tasks", "is not in the ledger"),
            ("INSERT INTO task_inputs VALUES (99, x'00')".into(), "tasks", "an input belongs to no task"),
            ("UPDATE log_position SET time_ms = 1".into(), "tasks", "before the last row"),
            ("UPDATE plugin_kv_usage SET bytes = 1".into(), "plugin values", "those of p take"),
            (
                "PRAGMA foreign_keys = OFF; INSERT INTO blob_owners VALUES ('x', zeroblob(32))".into(),
                "references",
                "blob_owners",
            ),
            (
                "DELETE FROM checkpoints; DELETE FROM ledger WHERE idx > 4; DELETE FROM ledger_hashes WHERE idx > 7"
                    .into(),
                "rows",
                "5 rows",
            ),
            ("PRAGMA user_version = 99".into(), "file", "99"),
            ("PRAGMA application_id = 7".into(), "file", "no database of Akita"),
        ];
        for (sql, what, words) in cases {
            std::fs::write(&path, &pristine).unwrap();
            execute(&path, &sql);
            let found = bad(&path);
            assert!(found.iter().any(|(of, detail)| *of == what && detail.contains(words)), "{sql}: {found:?}");
        }
    }

    #[tokio::test]
    async fn a_cut_or_overwritten_file_is_told() {
        let (_dir, path) = database().await;
        let pristine = std::fs::read(&path).unwrap();
        for cut in [100, 4_096, pristine.len() / 2, pristine.len() - 4_096] {
            std::fs::write(&path, &pristine[..cut]).unwrap();
            assert!(!bad(&path).is_empty(), "{cut}");
        }
        for page in 1..pristine.len() / 4_096 {
            let mut bytes = pristine.clone();
            bytes[page * 4_096..page * 4_096 + 64].fill(0x5A);
            std::fs::write(&path, bytes).unwrap();
            assert!(!bad(&path).is_empty(), "page {page}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bad(&path)[0].0, "file");
    }
}
