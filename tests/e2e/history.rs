//! What clients did and what they were told, and whether one cluster that keeps its word could have told them so: each
//! task is accepted once, ends once, and every read that does not say that it is stale shows the newest.
//!
//! Linearizability is checked task by task, which is enough: a history is linearizable if that of each object is. A task
//! only ever goes on (unknown, live, ended in one way), and it ends by itself. For such an object a search through all
//! orders is not needed: it is enough that the moments of its two steps lie before everything that has seen them ended,
//! and after everything that had not seen them began. The well-kept checkers that exist (`stateright`, `todc-utils`)
//! know neither operations whose outcome nobody learned nor steps that no client asked for.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde_json::{Value, json};

use crate::harness::TestNode;

/// What a client was told of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is accepted.
    Accepted,
    /// It is kept where it was submitted, or nobody knows: it may be accepted at any time later, or never.
    Maybe,
    /// There is no such task.
    Absent,
    /// It waits or runs.
    Live,
    /// It has ended, in this way.
    Ended(String),
}

/// One operation, in milliseconds of the recorder's clock.
#[derive(Clone, Debug)]
pub struct Op {
    /// The task.
    pub task: String,
    /// When it was asked.
    pub begun: u64,
    /// When it was answered.
    pub done: u64,
    /// The answer.
    pub told: Told,
    /// The answer says that it may be old.
    pub stale: bool,
}

/// Records operations of many clients.
pub struct History {
    start: Instant,
    ops: Mutex<Vec<Op>>,
    next: AtomicU64,
}

impl History {
    /// With nothing in it.
    pub fn new() -> History {
        History { start: Instant::now(), ops: Mutex::default(), next: AtomicU64::new(1) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("a short test")
    }

    fn note(&self, task: &str, begun: u64, told: Told, stale: bool) {
        let op = Op { task: task.to_owned(), begun, done: self.now(), told, stale };
        self.ops.lock().unwrap_or_else(PoisonError::into_inner).push(op);
    }

    /// Submits a task that nobody submitted before, and notes what became of it. Its id, if it got one.
    pub fn submit(&self, api: &str, mut task: Value) -> Option<String> {
        task["n"] = json!(self.next.fetch_add(1, Ordering::Relaxed));
        let begun = self.now();
        let (code, body) = TestNode::post_to(api, "/tasks/submit", &task)?;
        let id = body["task_id"].as_str().filter(|_| code == 202)?;
        let told = if body["status"] == "queued_locally" { Told::Maybe } else { Told::Accepted };
        self.note(id, begun, told, false);
        Some(id.to_owned())
    }

    /// Reads a task, and notes what was read. What only the asked node keeps, and no answer, is no word of the cluster.
    pub fn read(&self, api: &str, id: &str) -> Option<Told> {
        let begun = self.now();
        let (code, task) = TestNode::get_from(api, &format!("/tasks/{id}"))?;
        let told = match (code, task["status"].as_str()) {
            (404, _) => Told::Absent,
            (200, Some("completed" | "failed" | "cancelled")) => {
                let end = json!([task["status"], task["result"], task["error"], task["worker_id"], task["attempts"]]);
                Told::Ended(end.to_string())
            }
            (200, Some(word)) if word != "queued_locally" => Told::Live,
            _ => return None,
        };
        self.note(id, begun, told.clone(), task["stale"] == true);
        Some(told)
    }

    /// Tasks that clients were told are, or may be, accepted; and those that surely are.
    pub fn tasks(&self) -> (Vec<String>, Vec<String>) {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |told: &[Told]| ops.iter().filter(|op| told.contains(&op.told)).map(|op| op.task.clone()).collect();
        (of(&[Told::Accepted, Told::Maybe]), of(&[Told::Accepted]))
    }

    /// Checks all that was recorded.
    ///
    /// # Panics
    /// When no cluster that keeps its word could have answered so.
    #[track_caller]
    pub fn check(&self) {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = faults(&ops);
        assert!(faults.is_empty(), "of {} operations:\n{}", ops.len(), faults.join("\n"));
    }
}

/// What cannot be, in words.
pub fn faults(ops: &[Op]) -> Vec<String> {
    let mut tasks: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    ops.iter().for_each(|op| tasks.entry(&op.task).or_default().push(op));
    tasks.into_iter().filter_map(|(task, ops)| Some(format!("{task}: {}", fault(&ops)?))).collect()
}

fn fault(ops: &[&Op]) -> Option<String> {
    let ends: Vec<&&Op> = ops.iter().filter(|op| matches!(op.told, Told::Ended(_))).collect();
    if let [first, rest @ ..] = &ends[..]
        && let Some(other) = rest.iter().find(|op| op.told != first.told)
    {
        return Some(format!("it ended in two ways: {first:?} and {other:?}"));
    }
    let submitted = ops.iter().find(|op| matches!(op.told, Told::Accepted | Told::Maybe));
    for rank in [1, 2] {
        // The step to this rank lies after the latest begin of what had not seen it, and before the earliest end of what
        // had. What may be old has not seen it whenever it was asked.
        let unseen = ops.iter().filter(|op| !op.stale && rank_of(&op.told).is_some_and(|seen| seen < rank));
        let last = unseen.max_by_key(|op| op.begun);
        let seen = ops.iter().filter(|op| rank_of(&op.told).is_some_and(|seen| seen >= rank));
        let first = seen.min_by_key(|op| op.done);
        if let (Some(last), Some(first)) = (last, first)
            && last.begun > first.done
        {
            return Some(format!("{first:?} was known, and then {last:?}"));
        }
        if let (Some(submitted), Some(first)) = (submitted, first)
            && first.done < submitted.begun
        {
            return Some(format!("{first:?} came before {submitted:?}"));
        }
    }
    None
}

/// How far the task is known to be; nothing where the operation tells nothing.
fn rank_of(told: &Told) -> Option<u8> {
    match told {
        Told::Maybe => None,
        Told::Absent => Some(0),
        Told::Accepted | Told::Live => Some(1),
        Told::Ended(_) => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(begun: u64, done: u64, told: Told) -> Op {
        Op { task: "t".into(), begun, done, told, stale: false }
    }

    fn ended(how: &str) -> Told {
        Told::Ended(how.into())
    }

    #[test]
    fn what_a_cluster_may_say_passes() {
        use Told::{Absent, Accepted, Live, Maybe};
        let fine = [
            vec![op(1, 2, Accepted), op(3, 4, Live), op(5, 6, ended("ok")), op(7, 8, ended("ok"))],
            // At the same time as it is accepted, or ends, either may be read, by one after the other.
            vec![op(1, 9, Accepted), op(2, 3, Absent), op(4, 5, Live)],
            vec![op(1, 2, Accepted), op(3, 9, ended("ok")), op(4, 5, Live)],
            // Nobody learned whether it was accepted: it may be at any later time, or never.
            vec![op(1, 2, Maybe), op(3, 4, Absent), op(5, 6, Live)],
            vec![op(1, 2, Maybe), op(3, 4, Absent)],
            // Said to be old, and it is.
            vec![op(1, 2, Accepted), op(3, 4, ended("ok")), Op { stale: true, ..op(5, 6, Live) }],
            vec![op(1, 2, Accepted), Op { stale: true, ..op(5, 6, Absent) }],
        ];
        for ops in fine {
            assert_eq!(faults(&ops), Vec::<String>::new(), "{ops:?}");
        }
    }

    #[test]
    fn what_no_cluster_may_say_is_found() {
        use Told::{Absent, Accepted, Live, Maybe};
        let wrong = [
            ("a lost task", vec![op(1, 2, Accepted), op(3, 4, Absent)]),
            ("lost after it was seen", vec![op(1, 2, Maybe), op(3, 4, Live), op(5, 6, Absent)]),
            ("a stale read", vec![op(1, 2, Accepted), op(3, 4, ended("ok")), op(5, 6, Live)]),
            ("two outcomes", vec![op(1, 2, Accepted), op(3, 9, ended("one")), op(3, 9, ended("other"))]),
            (
                "two outcomes, though one is old",
                vec![op(3, 9, ended("one")), Op { stale: true, ..op(3, 9, ended("other")) }],
            ),
            ("seen before it was submitted", vec![op(1, 2, Live), op(3, 4, Accepted)]),
            ("old from before it was submitted", vec![Op { stale: true, ..op(1, 2, ended("ok")) }, op(3, 4, Maybe)]),
        ];
        for (what, ops) in wrong {
            assert_eq!(faults(&ops).len(), 1, "{what}");
        }
        // Of two tasks, the one that is wrong is named.
        let other = Op { task: "u".into(), ..op(3, 4, Absent) };
        let both = [op(1, 2, Accepted), Op { task: "u".into(), ..op(1, 2, Accepted) }, other];
        assert!(faults(&both)[0].starts_with("u: "));
    }
}
