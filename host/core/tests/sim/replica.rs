//! A replica that applies a log from its bytes, and what it makes of it: two of them must come to the same, byte by byte.

use std::collections::BTreeMap;

use akita_core::{Archive, Change, Effects, State, Status, TaskId, command::Entry};

/// BLAKE3 over everything that applying an entry brought about.
pub type Digest = [u8; 32];

/// The ended tasks, which a node keeps on disk.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ended(BTreeMap<TaskId, Status>);

impl Archive for Ended {
    fn ended(&self, task: TaskId) -> Option<Status> {
        self.0.get(&task).copied()
    }
}

/// State, archive and ledger of one log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replica {
    state: State,
    ended: Ended,
    index: u64,
    /// Over every row so far, each with its hash: of equal ledgers it is equal, and of unequal prefixes never.
    ledger: Digest,
}

impl Replica {
    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn apply(&mut self, index: u64, bytes: &[u8]) -> (Effects, Digest) {
        assert_eq!(index, self.index + 1, "entries come in order");
        let entry: Entry = rmp_serde::from_slice(bytes).expect("an entry decodes");
        self.index = index;
        let mut effects = Effects::default();
        for command in entry.commands {
            let changes = effects.changes.len();
            self.state.apply(index, entry.time, command, &self.ended, &mut effects);
            for change in &effects.changes[changes..] {
                match change {
                    Change::Ended { task, .. } | Change::Imported { task, .. } => {
                        self.ended.0.insert(task.id, task.status);
                    }
                    Change::HandedOver { task, .. } => drop(self.ended.0.remove(task)),
                    _ => {}
                }
            }
        }
        let mut hash = blake3::Hasher::new();
        hash.update(&self.ledger);
        for row in &effects.rows {
            hash.update(&row.leaf());
        }
        self.ledger = *hash.finalize().as_bytes();
        hash.update(format!("{:?}", effects.replies).as_bytes());
        effects.changes.iter().for_each(|change| describe(change, &mut hash));
        (effects, *hash.finalize().as_bytes())
    }

    /// As after a restart: the state is made from what a store holds.
    pub fn restart(&mut self) {
        let (cluster, rows) = (self.state.cluster().cloned(), self.state.rows());
        let tasks: Vec<_> = self.state.tasks().values().cloned().collect();
        let enlisted = self.state.enlisted().clone();
        self.state = State::restore(cluster, tasks, enlisted, rows);
    }
}

fn describe(change: &Change, hash: &mut blake3::Hasher) {
    match change {
        Change::Accepted { task, input } => hash.update(format!("{task:?}").as_bytes()).update(input),
        other => hash.update(format!("{other:?}").as_bytes()),
    };
}
