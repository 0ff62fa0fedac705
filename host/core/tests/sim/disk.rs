//! A node's disk: the entries of its log as bytes, and its outbox. What was not synced when the machine died is lost
//! wholly or in part, if the disk is of that kind; what was synced is there.

use std::collections::BTreeMap;

use akita_core::{
    Command, TaskId,
    command::Entry,
    wire::{Message, Sent, Submit},
};

use crate::{
    dice::Dice,
    heap::{MS, Time},
};

/// Longest time that one sync takes on a disk that is not stalled.
const SYNC: (Time, Time) = (MS, 6 * MS);

#[derive(Default)]
pub struct Disk {
    entries: Vec<Vec<u8>>,
    synced: usize,
    outbox: BTreeMap<TaskId, Vec<u8>>,
    /// Syncs take so much longer.
    pub stalled: Time,
    /// The next sync fails, and with it the node.
    pub broken: bool,
}

impl Disk {
    /// Writes an entry behind the others; it is safe once [`Disk::sync`] was called.
    pub fn append(&mut self, time: u64, commands: &[Command]) -> u64 {
        let entry = Entry { time, commands: commands.to_vec() };
        self.entries.push(rmp_serde::to_vec(&entry).expect("an entry encodes"));
        self.entries.len() as u64
    }

    /// Everything up to entry `index` is safe. Answers that entry's bytes.
    pub fn sync(&mut self, index: u64) -> &[u8] {
        self.synced = self.synced.max(index as usize);
        &self.entries[index as usize - 1]
    }

    /// The entry that was written last.
    pub fn last(&self) -> &[u8] {
        self.entries.last().expect("an entry was written")
    }

    pub fn sync_takes(&self, dice: &mut Dice) -> Time {
        dice.within(SYNC.0..SYNC.1) + self.stalled
    }

    /// The power fails: of what was not synced, some of the first entries may be there all the same.
    pub fn power_loss(&mut self, loses_unsynced: bool, dice: &mut Dice) {
        if loses_unsynced {
            let unsynced = self.entries.len() - self.synced;
            self.entries.truncate(self.synced + dice.place(unsynced + 1));
        }
        self.synced = self.entries.len();
    }

    /// The entries, as they are read at a start.
    pub fn read(&self) -> impl Iterator<Item = (u64, &[u8], Entry)> {
        self.entries.iter().enumerate().map(|(at, bytes)| {
            let entry = rmp_serde::from_slice(bytes).expect("what was written can be read");
            (at as u64 + 1, bytes.as_slice(), entry)
        })
    }

    pub fn keep(&mut self, sent: &Sent) {
        let bytes = Submit { tasks: vec![sent.clone()], imported: true }.encode();
        self.outbox.entry(sent.task).or_insert(bytes);
    }

    pub fn outbox(&self) -> impl Iterator<Item = (TaskId, Sent)> {
        self.outbox.iter().map(|(id, bytes)| {
            let mut submit = Submit::decode(bytes).expect("what was written can be read");
            (*id, submit.tasks.remove(0))
        })
    }

    pub fn take_from_outbox(&mut self, id: TaskId) {
        self.outbox.remove(&id);
    }

    pub fn outbox_is_empty(&self) -> bool {
        self.outbox.is_empty()
    }
}
