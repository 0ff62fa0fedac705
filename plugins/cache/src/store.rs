//! Where the values lie, and how the oldest make room. A value is at `v/KEY`; `t/STAMP/KEY` beside it puts the keys into
//! the order of their age, so that finding the oldest needs no look at the rest. The second is written first: when a run
//! ends between the two, or two runs put the same key, what is left over points at nothing and is cleared away when its
//! turn comes.

use akita_plugin::kv::{self, Error};
use akita_plugin::prelude::*;

use crate::entry::Entry;

/// Longest key in bytes: a node's 256, less what `t/STAMP/` takes, rounded.
pub const MAX_KEY_BYTES: usize = 230;
/// Bytes of one value: what a node keeps under one key at most, less the times and the media type.
pub const MAX_VALUE_BYTES: usize = (1 << 20) - 512;
/// How many may make room for one. Each is two writes, and a run has a thousand.
const MAX_EVICTIONS: u64 = 400;

/// Keys asked for to find the oldest: one, and a few that point at nothing.
const FEW: u32 = 8;

/// Digits of a stamp, so that the order of the bytes is that of the times.
const STAMP_DIGITS: usize = 16;

fn value_key(key: &str) -> String {
    ["v/", key].concat()
}

fn age_key(stamp: u64, key: &str) -> String {
    format!("t/{stamp:0STAMP_DIGITS$x}/{key}")
}

/// The stamp and the key that an age key is made of.
fn parts(age_key: &str) -> Option<(u64, &str)> {
    let (stamp, key) = age_key.strip_prefix("t/")?.split_at_checked(STAMP_DIGITS)?;
    Some((u64::from_str_radix(stamp, 16).ok()?, key.strip_prefix('/')?))
}

/// The value of a key. One whose time is over is removed on the way.
pub fn get(key: &str, now: u64) -> Result<Option<Entry>, TaskError> {
    let Some(found) = kv::get(&value_key(key))? else { return Ok(None) };
    match Entry::read(&found.value) {
        Some(entry) if !entry.is_over(now) => Ok(Some(entry)),
        Some(entry) => {
            remove(key, entry.stamp)?;
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Keeps a value, and answers how many older ones made room for it.
pub fn put(key: &str, entry: &Entry) -> Result<u64, TaskError> {
    let old = kv::get(&value_key(key))?.and_then(|found| Entry::read(&found.value));
    let (age, value) = (age_key(entry.stamp, key), value_key(key));
    let bytes = entry.write();
    let need = age.len() + value.len() + bytes.len();
    let mut evicted = 0;
    keep(&age, &[], need, &age, &mut evicted)?;
    if let Err(error) = keep(&value, &bytes, need, &age, &mut evicted) {
        kv::delete(&age)?;
        return Err(error);
    }
    if let Some(old) = old
        && old.stamp != entry.stamp
    {
        kv::delete(&age_key(old.stamp, key))?;
    }
    Ok(evicted)
}

/// Removes a value. Answers whether there was one.
pub fn delete(key: &str) -> Result<bool, TaskError> {
    let Some(found) = kv::get(&value_key(key))? else { return Ok(false) };
    match Entry::read(&found.value) {
        Some(entry) => remove(key, entry.stamp),
        None => Ok(kv::delete(&value_key(key))?),
    }
}

/// The keys that begin with a prefix, in order, after another.
pub fn keys(prefix: &str, after: Option<&str>) -> impl Iterator<Item = Result<String, TaskError>> {
    let keys = kv::keys(&value_key(prefix)).after(after.map(value_key));
    keys.map(|key| Ok(key?.split_off("v/".len())))
}

fn remove(key: &str, stamp: u64) -> Result<bool, TaskError> {
    let was_there = kv::delete(&value_key(key))?;
    kv::delete(&age_key(stamp, key))?;
    Ok(was_there)
}

/// Writes, and lets older values go until there is room. `own` is the age key of the value that this is for.
fn keep(key: &str, bytes: &[u8], need: usize, own: &str, evicted: &mut u64) -> Result<(), TaskError> {
    loop {
        match kv::put(key, bytes) {
            Ok(_) => return Ok(()),
            Err(Error::OverQuota(quota)) if need as u64 > quota => {
                let message = format!("the value needs {need} bytes and the whole cache may have {quota}");
                return Err(TaskError::invalid(message).code("too-large"));
            }
            Err(Error::OverQuota(_)) if *evicted < MAX_EVICTIONS && evict_oldest(own)? => *evicted += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes the value that was put first. Answers whether there was one.
fn evict_oldest(own: &str) -> Result<bool, TaskError> {
    for age in kv::keys("t/").at_once(FEW) {
        let age = age?;
        let Some((stamp, key)) = parts(&age).filter(|_| age != own) else { continue };
        let found = kv::get(&value_key(key))?.and_then(|found| Entry::read(&found.value));
        let is_its_value = found.is_some_and(|entry| entry.stamp == stamp);
        if is_its_value {
            remove(key, stamp)?;
            return Ok(true);
        }
        kv::delete(&age)?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_age_and_name_back() {
        for (stamp, key) in [(0, "a"), (u64::MAX, "a/b"), (1_767_268_800_000, "größe")] {
            assert_eq!(parts(&age_key(stamp, key)), Some((stamp, key)));
        }
        assert!(age_key(9, "b") < age_key(10, "a"));
        assert_eq!((parts("t/"), parts("t/0000000000000009"), parts("t/00000000000000é9/a")), (None, None, None));
        assert!(age_key(u64::MAX, &"k".repeat(MAX_KEY_BYTES)).len() <= 256);
    }
}
