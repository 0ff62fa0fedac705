//! What clients ask voters for: tasks, and the life of tasks as a leader would propose it, with all that is late, doubled
//! or made up.

use akita_core::{
    ClusterId, Command, Content, Extras, NodeId, State, TaskId, TaskSpec,
    command::RequeueCause,
    task::{Failure, Outcome},
};

use crate::dice::Dice;

pub struct Client {
    pub dice: Dice,
    number: u64,
    asked: u64,
    pub leader: Option<u64>,
    /// How wrong the clock of the node is that stamps its entries.
    pub clock_ms: i64,
}

fn content() -> Content {
    Content { content_type: "application/json".into(), body: b"{}".to_vec() }
}

impl Client {
    pub fn new(seed: u64, number: u64) -> Client {
        let mut dice = Dice::new(seed ^ (number + 1).wrapping_mul(0xc11e_0000_0001));
        let clock_ms = dice.within(0..20_000) as i64 - 10_000;
        Client { dice, number, asked: 0, leader: None, clock_ms }
    }

    /// Whom to ask: mostly the leader that was heard of last.
    pub fn target(&mut self, voters: &[u64]) -> u64 {
        match self.leader.filter(|_| self.dice.per_mille(900)) {
            Some(leader) => leader,
            None => voters[self.dice.place(voters.len())],
        }
    }

    fn task(&self, number: u64) -> TaskId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.number.to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        TaskId(id)
    }

    fn worker(&mut self) -> NodeId {
        NodeId([self.dice.within(1..6) as u8; 16])
    }

    /// The next entry, given what the asked voter knows.
    pub fn commands(&mut self, view: Option<&State>) -> Vec<Command> {
        if view.is_some_and(|state| state.cluster().is_none()) {
            let (id, founder) = (ClusterId([7; 16]), NodeId([1; 16]));
            return vec![Command::Found { id, name: "akita".into(), founder }];
        }
        (0..self.dice.within(1..5)).map(|_| self.command(view)).collect()
    }

    fn command(&mut self, view: Option<&State>) -> Command {
        let live = view.map(|state| state.tasks()).filter(|tasks| !tasks.is_empty());
        let Some(tasks) = live.filter(|_| self.dice.per_mille(750)) else { return self.submit() };
        let task = tasks.values().nth(self.dice.place(tasks.len())).expect("it is within");
        let (id, worker) = (task.id, self.worker());
        let Some(held) = task.assignment else { return Command::Assign { task: id, worker } };
        // Now and then one that is out of date or made up.
        let fence = if self.dice.per_mille(850) { held.fence } else { self.dice.within(0..held.fence + 5) };
        let worker = if self.dice.per_mille(900) { held.worker } else { worker };
        match self.dice.within(0..10) {
            0..=2 => Command::Acknowledge { task: id, fence },
            3..=6 => Command::Finish { task: id, fence, worker, outcome: Outcome::Completed(content()) },
            7 => {
                let failure = Failure {
                    message: "it does not work".into(),
                    code: None,
                    pointer: None,
                    retry_after_ms: self.dice.per_mille(700).then_some(0),
                };
                Command::Finish { task: id, fence, worker, outcome: Outcome::Failed(failure) }
            }
            8 => Command::Requeue { task: id, fence, cause: RequeueCause::WorkerOffline },
            _ => Command::Requeue { task: id, fence, cause: RequeueCause::AckTimeout },
        }
    }

    /// A new task, or once more one that may have been accepted already.
    fn submit(&mut self) -> Command {
        if self.asked == 0 || self.dice.per_mille(850) {
            self.asked += 1;
        }
        let number = if self.dice.per_mille(850) { self.asked } else { self.dice.within(1..self.asked + 1) };
        Command::Submit {
            id: self.task(number),
            origin: NodeId([1; 16]),
            attempts: 0,
            max_attempts: 3,
            spec: TaskSpec {
                action: "p/work".into(),
                required: vec![],
                priority: 10,
                timeout_ms: None,
                input: content(),
                extras: Extras::default(),
            },
        }
    }
}
