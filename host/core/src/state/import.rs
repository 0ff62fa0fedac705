//! Ends that a task came to in an island, before this log knew of it or beside it. Nothing of it runs again.

use super::{At, Change, Effects, MAX_ATTEMPTS_EVER, State, new_task};
use crate::{
    command::{IslandResult, Reply},
    event::{Details, EventType},
    task::{MAX_REASON_LEN, Outcome, Status, Task, cut},
};

impl State {
    pub(super) fn import(&mut self, at: &At, result: IslandResult, out: &mut Effects) -> Reply {
        let IslandResult { id, origin, worker, attempts, spec, outcome, .. } = result;
        if self.is_sealed() {
            return Reply::Sealed;
        }
        let mut details: Details = vec![
            ("island".into(), "true".into()),
            ("origin".into(), origin.to_string()),
            ("attempt".into(), attempts.to_string()),
            ("ended_there".into(), result.finished_at.to_string()),
            ("entry".into(), blake3::Hash::from_bytes(result.entry).to_hex().to_string()),
        ];
        let (status, output, failure) = match outcome {
            Outcome::Completed(output) => {
                details.push(("bytes".into(), output.body.len().to_string()));
                (Status::Completed, Some(output), None)
            }
            Outcome::Failed(mut failure) => {
                failure.message = cut(&failure.message, MAX_REASON_LEN).to_owned();
                details.push(("reason".into(), failure.message.clone()));
                details.extend(failure.code.clone().map(|code| ("code".into(), code)));
                (Status::Failed, None, Some(failure))
            }
        };
        let reason = failure.as_ref().map(|failure| failure.message.clone());
        if let Some(task) = self.tasks.get_mut(&id) {
            // Its submitter's node was not told that a leader had accepted it, and had it run in the island.
            task.worker = Some(worker);
            task.attempts = task.attempts.max(attempts).min(MAX_ATTEMPTS_EVER);
            task.reason = reason;
            self.end(at, id, status, output, failure, details, out);
            return Reply::Done;
        }
        let (task, _) = new_task(id, origin, (attempts, 1), at.time, spec);
        let task = Task {
            submitted_at: result.submitted_at.min(at.time),
            started_at: result.started_at.map(|started| started.min(at.time)),
            finished_at: Some(result.finished_at.min(at.time)),
            input_len: result.input_len,
            status,
            worker: Some(worker),
            reason,
            ..task
        };
        let submitted = vec![("action".into(), task.action.clone()), ("island".into(), "true".into())];
        self.row(at, EventType::TaskSubmitted, origin, Some(id), submitted, out);
        let event = if status == Status::Completed { EventType::TaskCompleted } else { EventType::TaskFailed };
        self.row(at, event, worker, Some(id), details, out);
        out.changes.push(Change::Imported { task, output, failure });
        Reply::Done
    }
}
