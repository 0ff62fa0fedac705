//! Assignments under way and when to lose patience with each. It never talks to a worker; it says what is overdue.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::RequeueCause,
    id::{Millis, NodeId, TaskId},
};

/// One assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Who has it.
    pub worker: NodeId,
    /// Its fence.
    pub fence: u64,
    acknowledged: bool,
    deadline: Millis,
}

/// Every assignment under way.
#[derive(Debug, Default)]
pub struct Dispatch {
    tasks: BTreeMap<TaskId, InFlight>,
    /// Each worker's last outcome: of which fence, and when.
    outcomes: BTreeMap<NodeId, (u64, Millis)>,
    deadlines: BTreeSet<(Millis, TaskId)>,
}

/// An assignment to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The task.
    pub task: TaskId,
    /// Its fence.
    pub fence: u64,
    /// Why.
    pub cause: RequeueCause,
}

impl Dispatch {
    /// Assignments under way.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The assignment of a task.
    pub fn get(&self, task: TaskId) -> Option<&InFlight> {
        self.tasks.get(&task)
    }

    /// A worker was given a task and is to acknowledge it before `deadline`.
    pub fn assigned(&mut self, task: TaskId, worker: NodeId, fence: u64, deadline: Millis) {
        self.set(task, InFlight { worker, fence, acknowledged: false, deadline });
    }

    /// The worker has it and is to finish it before `deadline`.
    pub fn acknowledged(&mut self, task: TaskId, worker: NodeId, fence: u64, deadline: Millis) {
        self.set(task, InFlight { worker, fence, acknowledged: true, deadline });
    }

    /// It is over. Answers who had it.
    pub fn ended(&mut self, task: TaskId) -> Option<NodeId> {
        let old = self.tasks.remove(&task)?;
        self.deadlines.remove(&(old.deadline, task));
        Some(old.worker)
    }

    /// When the next one is overdue.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A worker gave an outcome. It takes its tasks in the order of their assignment, so until now it had no slot for
    /// those assigned later.
    pub fn outcome(&mut self, worker: NodeId, fence: u64, now: Millis) {
        self.outcomes.insert(worker, (fence, now));
    }

    /// A worker is gone.
    pub fn forget(&mut self, worker: NodeId) {
        self.outcomes.remove(&worker);
    }

    /// What is overdue at `now`, at most `most`. Each is named again after another second at the earliest, should taking
    /// it back fail. What its worker could not have begun yet has `patience` from the last outcome before it.
    pub fn overdue(&mut self, now: Millis, patience: Millis, most: usize) -> Vec<Overdue> {
        let late = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).take(most);
        let late: Vec<TaskId> = late.map(|(_, task)| *task).collect();
        late.into_iter()
            .filter_map(|task| {
                let one = *self.tasks.get(&task)?;
                let before = self.outcomes.get(&one.worker).filter(|(fence, _)| *fence <= one.fence);
                let due = before.map(|(_, at)| at + patience).filter(|due| one.acknowledged && *due > now);
                if let Some(deadline) = due {
                    self.set(task, InFlight { deadline, ..one });
                    return None;
                }
                self.set(task, InFlight { deadline: now + 1_000, ..one });
                let cause = if one.acknowledged { RequeueCause::ProcessingTimeout } else { RequeueCause::AckTimeout };
                Some(Overdue { task, fence: one.fence, cause })
            })
            .collect()
    }

    /// What a worker that went away had.
    pub fn held_by(&self, worker: NodeId) -> Vec<(TaskId, u64)> {
        self.tasks.iter().filter(|(_, one)| one.worker == worker).map(|(task, one)| (*task, one.fence)).collect()
    }

    /// What a worker has acknowledged and not ended.
    pub fn running_on(&self, worker: NodeId) -> Vec<(TaskId, u64)> {
        let running = self.tasks.iter().filter(|(_, one)| one.worker == worker && one.acknowledged);
        running.map(|(task, one)| (*task, one.fence)).collect()
    }

    /// The workers that hold something.
    pub fn workers(&self) -> BTreeSet<NodeId> {
        self.tasks.values().map(|one| one.worker).collect()
    }

    fn set(&mut self, task: TaskId, new: InFlight) {
        if let Some(old) = self.tasks.insert(task, new) {
            self.deadlines.remove(&(old.deadline, task));
        }
        self.deadlines.insert((new.deadline, task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId([1; 16]);
    const WORKER: NodeId = NodeId([2; 16]);

    #[test]
    fn patience_ends_first_for_the_acknowledgement_then_for_the_outcome() {
        let mut dispatch = Dispatch::default();
        dispatch.assigned(TASK, WORKER, 5, 100);
        assert!(dispatch.overdue(99, 400, 9).is_empty());
        assert_eq!(dispatch.overdue(100, 400, 9), [Overdue { task: TASK, fence: 5, cause: RequeueCause::AckTimeout }]);
        assert!(dispatch.overdue(101, 400, 9).is_empty(), "said once");
        dispatch.acknowledged(TASK, WORKER, 5, 500);
        assert!(dispatch.overdue(499, 400, 9).is_empty());
        assert_eq!(dispatch.overdue(500, 400, 9)[0].cause, RequeueCause::ProcessingTimeout);
        assert_eq!(dispatch.ended(TASK), Some(WORKER));
        assert_eq!((dispatch.next_deadline(), dispatch.len()), (None, 0));
    }

    #[test]
    fn a_task_that_waits_behind_others_at_its_worker_is_not_late() {
        let mut dispatch = Dispatch::default();
        for n in 0..3u8 {
            dispatch.acknowledged(TaskId([n; 16]), WORKER, 5 + u64::from(n), 300);
        }
        dispatch.ended(TaskId([0; 16]));
        dispatch.outcome(WORKER, 5, 250);
        assert!(dispatch.overdue(300, 200, 9).is_empty(), "the worker has just begun the next one");
        let late: Vec<TaskId> = dispatch.overdue(450, 200, 9).iter().map(|one| one.task).collect();
        assert_eq!(late.len(), 2, "now it has been silent for too long");
        dispatch.acknowledged(TASK, WORKER, 4, 600);
        dispatch.outcome(WORKER, 9, 590);
        assert_eq!(dispatch.overdue(600, 200, 1).len(), 1, "what was assigned before had its slot");
    }

    #[test]
    fn a_worker_that_went_away_leaves_what_it_held() {
        let mut dispatch = Dispatch::default();
        dispatch.assigned(TASK, WORKER, 5, 100);
        dispatch.assigned(TaskId([3; 16]), NodeId([9; 16]), 6, 100);
        assert_eq!(dispatch.held_by(WORKER), [(TASK, 5)]);
        assert_eq!(dispatch.running_on(WORKER), []);
        dispatch.acknowledged(TASK, WORKER, 5, 100);
        assert_eq!(dispatch.running_on(WORKER), [(TASK, 5)]);
    }
}
