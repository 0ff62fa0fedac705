//! Signed ends of tasks that ran in an island: whether one is what a node has signed, and whether those that follow each
//! other are a chain. A node that holds the key could write its chain anew, but not so that it fits what it has given out.

use akita_core::{TaskId, island::IslandEntry};

use super::Fault;
use crate::store::{IslandSigned, LedgerKey};

/// The entry, if the holder of `key` has signed it and it is about a task of that node.
///
/// # Errors
/// What does not hold.
pub fn read_entry(signed: &IslandSigned, key: &LedgerKey) -> Result<IslandEntry, Fault> {
    let message = IslandEntry::signed(&signed.entry);
    if !akita_mesh::verify(&key.public_key, &message, &signed.signature) {
        return Err(Fault::new(format!("the signature is not that of {} over these bytes", key.node)));
    }
    let entry = IslandEntry::decode(&signed.entry).map_err(|fault| Fault::new(fault.to_string()))?;
    if entry.origin != key.node {
        return Err(Fault::new(format!("it is about a task of {}, and signed by {}", entry.origin, key.node)));
    }
    Ok(entry)
}

/// Whether the entries, in order, are signed by `key` and follow each other without a gap up to the last one ever
/// signed, `newest`, with that hash. Those before the first may have been trimmed.
///
/// # Errors
/// The first that does not hold, named.
pub fn check_chain(
    entries: &[(u64, TaskId, IslandSigned)],
    key: &LedgerKey,
    newest: u64,
    last: [u8; 32],
) -> Result<(), Fault> {
    let mut before: Option<(u64, [u8; 32])> = None;
    for (number, task, signed) in entries {
        let named = |why: String| Fault::new(format!("entry {number}, task {task}: {why}"));
        let entry = read_entry(signed, key).map_err(|fault| named(fault.0))?;
        if (entry.number, entry.task) != (*number, *task) {
            return Err(named("it is another entry than it is kept as".into()));
        }
        if let Some((earlier, hash)) = before
            && earlier + 1 == *number
            && entry.previous != hash
        {
            return Err(named("it does not go on from the one before".into()));
        }
        before = Some((*number, IslandEntry::hash(&signed.entry)));
    }
    match before {
        Some((number, _)) if number != newest => {
            Err(Fault::new(format!("{newest} entries were signed, and the last one here is {number}")))
        }
        Some((_, hash)) if hash != last => {
            Err(Fault::new(format!("entry {newest} is not the one that was signed last")))
        }
        _ => Ok(()),
    }
}
