//! Between SQL values and domain types: the numbers and texts that stand in the database. They never change once
//! released; a new meaning gets a new number.

use akita_core::{
    command::Access,
    event::{Details, EventType, LedgerRow},
    id::{ClusterId, KeyPrint, NodeId, TaskId},
    state::{Cluster, Enlisted},
    task::{Assignment, Extras, Parent, Status, Task},
};
use rusqlite::{Row, types::Type};

use super::records::TaskMeta;

/// In the place of a status: the task belongs to another cluster.
pub(super) const HANDED_OVER: i64 = 8;

/// The columns that [`task_meta`] reads, in its order.
macro_rules! task_columns {
    () => {
        "id, action, required, priority, timeout_ms, origin, submitted_at, status, attempts, strikes, max_attempts, \
         not_before, fence, assigned_at, worker, started_at, finished_at, reason, input_type, input_len, code, pointer, \
         handed_over_to, deterministic, key, parent, depth"
    };
}
pub(super) use task_columns;

/// The columns that [`RawRow::read`] reads, in its order.
macro_rules! ledger_columns {
    () => {
        "idx, time_ms, event, node, task, details"
    };
}
pub(super) use ledger_columns;

/// The number of a status.
pub(super) fn status_code(status: Status) -> i64 {
    match status {
        Status::QueuedLocally => 0,
        Status::Scheduled => 1,
        Status::Pending => 2,
        Status::Assigned => 3,
        Status::Running => 4,
        Status::Completed => 5,
        Status::Failed => 6,
        Status::Cancelled => 7,
    }
}

/// The status of a number. A task handed over is pending, elsewhere.
pub(super) fn status_of(code: i64) -> Option<Status> {
    if code == HANDED_OVER {
        return Some(Status::Pending);
    }
    Status::ALL.into_iter().find(|status| status_code(*status) == code)
}

/// The number of an event.
pub(super) fn event_code(event: EventType) -> i64 {
    match event {
        EventType::NodeStart => 1,
        EventType::NodeStop => 2,
        EventType::NodeOnline => 3,
        EventType::NodeOffline => 4,
        EventType::ClusterJoin => 5,
        EventType::ClusterLeave => 6,
        EventType::LeaderElected => 7,
        EventType::TaskSubmitted => 8,
        EventType::TaskAccepted => 9,
        EventType::TaskAssigned => 10,
        EventType::TaskStarted => 11,
        EventType::TaskCompleted => 12,
        EventType::TaskFailed => 13,
        EventType::TaskTimeout => 14,
        EventType::TaskRequeued => 15,
        EventType::StateSync => 16,
        EventType::ConfigChange => 17,
        EventType::SecurityAlert => 18,
    }
}

fn event_of(code: i64) -> Option<EventType> {
    EventType::ALL.iter().copied().find(|event| event_code(*event) == code)
}

/// The number of what a node may do.
pub(super) fn access_code(access: Access) -> i64 {
    match access {
        Access::Voter => 1,
        Access::Worker => 2,
        Access::Banned => 3,
    }
}

/// A node that is enlisted, from `node, number, access`.
pub(super) fn enlisted(row: &Row<'_>) -> rusqlite::Result<(NodeId, Enlisted)> {
    let code: i64 = row.get(2)?;
    let access = [Access::Voter, Access::Worker, Access::Banned].into_iter().find(|one| access_code(*one) == code);
    let access = access.ok_or_else(|| bad(2, Type::Integer, format!("{code} is no access")))?;
    Ok((NodeId(row.get(0)?), Enlisted { number: unsigned(row, 1)?, access }))
}

/// The text of a list of capabilities; none for an empty one.
pub(super) fn required_text(required: &[String]) -> Option<String> {
    (!required.is_empty()).then(|| serde_json::to_string(required).expect("a list of texts always encodes"))
}

/// The text of a row's details.
pub(super) fn details_text(details: &Details) -> String {
    serde_json::to_string(details).expect("a list of texts always encodes")
}

/// A number without its sign: SQLite has 64 bits with one, so the bits are kept as they are.
pub(super) fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn maybe_unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<u64>> {
    row.get::<_, Option<i64>>(at).map(|value| value.map(i64::cast_unsigned))
}

fn bad(at: usize, kind: Type, what: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, kind, what.into().into())
}

fn extras(row: &Row<'_>) -> rusqlite::Result<Extras> {
    let parent = row.get::<_, Option<[u8; 16]>>(25)?.map(TaskId).zip(row.get(26)?);
    Ok(Extras {
        deterministic: row.get(23)?,
        key: row.get::<_, Option<[u8; 8]>>(24)?.map(KeyPrint),
        parent: parent.map(|(task, depth)| Parent { task, depth }),
    })
}

/// A task from a row of [`task_columns!`].
pub(super) fn task_meta(row: &Row<'_>) -> rusqlite::Result<TaskMeta> {
    let status: i64 = row.get(7)?;
    let status = status_of(status).ok_or_else(|| bad(7, Type::Integer, format!("{status} is no status")))?;
    let required = match row.get::<_, Option<String>>(2)? {
        Some(text) => serde_json::from_str(&text).map_err(|error| bad(2, Type::Text, error.to_string()))?,
        None => Vec::new(),
    };
    let worker = row.get::<_, Option<[u8; 16]>>(14)?.map(NodeId);
    let assignment = match (maybe_unsigned(row, 12)?, maybe_unsigned(row, 13)?, worker) {
        (Some(fence), Some(assigned_at), Some(worker)) => Some(Assignment { worker, fence, assigned_at }),
        _ => None,
    };
    let task = Task {
        id: TaskId(row.get(0)?),
        action: row.get(1)?,
        required,
        priority: row.get(3)?,
        timeout_ms: row.get(4)?,
        origin: NodeId(row.get(5)?),
        submitted_at: unsigned(row, 6)?,
        status,
        attempts: row.get(8)?,
        strikes: row.get(9)?,
        max_attempts: row.get(10)?,
        not_before: unsigned(row, 11)?,
        assignment,
        worker,
        started_at: maybe_unsigned(row, 15)?,
        finished_at: maybe_unsigned(row, 16)?,
        reason: row.get(17)?,
        input_type: row.get(18)?,
        input_len: unsigned(row, 19)?,
        extras: extras(row)?,
    };
    let handed_over_to = row.get::<_, Option<[u8; 16]>>(22)?.map(ClusterId);
    Ok(TaskMeta { task, code: row.get(20)?, pointer: row.get(21)?, handed_over_to })
}

/// The cluster from `id, name, founder, term, sealed_into, sealed_leader`.
pub(super) fn cluster(row: &Row<'_>) -> rusqlite::Result<Cluster> {
    let into = row.get::<_, Option<[u8; 16]>>(4)?.map(ClusterId);
    let leader = row.get::<_, Option<[u8; 16]>>(5)?.map(NodeId);
    Ok(Cluster {
        id: ClusterId(row.get(0)?),
        name: row.get(1)?,
        founder: NodeId(row.get(2)?),
        term: unsigned(row, 3)?,
        sealed_into: into.zip(leader),
    })
}

/// A row of the ledger as it stands in the database.
pub(super) struct RawRow {
    pub(super) index: u64,
    time: u64,
    event: i64,
    node: Vec<u8>,
    task: Option<Vec<u8>>,
    details: String,
}

impl RawRow {
    /// From a row of [`ledger_columns!`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<RawRow> {
        Ok(RawRow {
            index: unsigned(row, 0)?,
            time: unsigned(row, 1)?,
            event: row.get(2)?,
            node: row.get(3)?,
            task: row.get(4)?,
            details: row.get(5)?,
        })
    }

    /// The row, if it is one that this code can have written, to the byte.
    pub(super) fn decode(self) -> Result<LedgerRow, String> {
        let details: Vec<(String, String)> =
            serde_json::from_str(&self.details).map_err(|error| format!("its details cannot be read: {error}"))?;
        let details: Details = details.into_iter().map(|(key, value)| (key.into(), value)).collect();
        if details_text(&details) != self.details {
            return Err("its details are not written as Akita writes them".into());
        }
        let id = |bytes: Vec<u8>| <[u8; 16]>::try_from(bytes).map_err(|_| "an id in it is not 16 bytes long");
        Ok(LedgerRow {
            index: self.index,
            time: self.time,
            event: event_of(self.event).ok_or_else(|| format!("{} is no event", self.event))?,
            node: NodeId(id(self.node)?),
            task: self.task.map(id).transpose()?.map(TaskId),
            details,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_and_event_has_a_number_of_its_own() {
        for status in Status::ALL {
            assert_eq!(status_of(status_code(status)), Some(status));
            assert_ne!(status_code(status), HANDED_OVER);
        }
        for event in EventType::ALL {
            assert_eq!(event_of(event_code(*event)), Some(*event));
        }
    }
}
