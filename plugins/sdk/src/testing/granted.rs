//! The interfaces that an operator grants, as a node behaves: the same limits, the same errors, all in memory.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::RefCell;

use super::fake::{self, Node};
use super::world::World;

/// The largest value and the largest piece of a blob.
const MEBIBYTE: usize = 1 << 20;

/// The node and its world, or why the interface does not answer.
fn open(interface: &'static str) -> Result<(Node, Rc<RefCell<World>>), String> {
    let (node, world) = fake::now(|now| (now.node.clone(), now.world.clone()));
    if node.unavailable.contains(&interface) {
        return Err("the test says so".to_string());
    }
    Ok((node, world))
}

pub(crate) mod kv {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::{MEBIBYTE, open};
    use crate::kv::{Entry, Error};

    const MAX_KEY_BYTES: usize = 256;
    const MAX_KEYS: u32 = 1_000;

    fn check(key: &str) -> Result<(), Error> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
            return Err(Error::BadKey("a key has 1 to 256 bytes without control characters".to_string()));
        }
        Ok(())
    }

    pub(crate) fn get(key: &str) -> Result<Option<Entry>, Error> {
        check(key)?;
        let (node, world) = open("kv").map_err(Error::Unavailable)?;
        Ok(world.borrow().nodes[node.here].values.get(key).cloned())
    }

    pub(crate) fn put(key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, Error> {
        check(key)?;
        if value.len() > MEBIBYTE {
            return Err(Error::OverQuota(MEBIBYTE as u64));
        }
        let (node, world) = open("kv").map_err(Error::Unavailable)?;
        let mut world = world.borrow_mut();
        let version = world.version + 1;
        let values = &mut world.nodes[node.here].values;
        let present = values.get(key).map_or(0, |entry| entry.version);
        if expected.is_some_and(|expected| expected != present) {
            return Err(Error::Conflict(present));
        }
        let others = values.iter().filter(|(other, _)| *other != key);
        let used: usize = others.map(|(key, entry)| key.len() + entry.value.len()).sum();
        if (used + key.len() + value.len()) as u64 > node.kv_quota {
            return Err(Error::OverQuota(node.kv_quota));
        }
        values.insert(key.into(), Entry { value: value.into(), version });
        world.version = version;
        Ok(version)
    }

    pub(crate) fn delete(key: &str) -> Result<bool, Error> {
        check(key)?;
        let (node, world) = open("kv").map_err(Error::Unavailable)?;
        Ok(world.borrow_mut().nodes[node.here].values.remove(key).is_some())
    }

    pub(crate) fn list_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let (node, world) = open("kv").map_err(Error::Unavailable)?;
        let world = world.borrow();
        let keys = world.nodes[node.here].values.keys();
        let asked = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(asked.take(limit.min(MAX_KEYS) as usize).cloned().collect())
    }
}

pub(crate) mod blobs {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::{MEBIBYTE, fake, open};
    use crate::blobs::Error;

    fn with<T>(id: &str, look: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
        if id.len() != 64 || !id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Error::BadId);
        }
        let (_, world) = open("blobs").map_err(Error::Unavailable)?;
        world.borrow().blobs.get(id).map(|bytes| look(bytes)).ok_or(Error::NotFound)
    }

    pub(crate) fn size(id: &str) -> Result<u64, Error> {
        with(id, |bytes| bytes.len() as u64)
    }

    pub(crate) fn read(id: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        with(id, |bytes| fake::piece(bytes, offset, max, MEBIBYTE))
    }

    pub(crate) fn put(bytes: &[u8]) -> Result<String, Error> {
        let (node, world) = open("blobs").map_err(Error::Unavailable)?;
        let mut world = world.borrow_mut();
        let id = blake3::hash(bytes).to_hex().to_string();
        let used: usize = world.blobs.iter().filter(|(other, _)| **other != id).map(|(_, bytes)| bytes.len()).sum();
        if (used + bytes.len()) as u64 > node.blob_quota {
            return Err(Error::OverQuota(node.blob_quota));
        }
        world.blobs.insert(id.clone(), bytes.into());
        Ok(id)
    }
}

pub(crate) mod mesh {
    use alloc::vec::Vec;

    use super::{fake, open};
    use crate::mesh::{Error, MAX_MESSAGE_BYTES, Message, Node, Peer};

    /// Messages that wait on one node.
    const MAX_INBOX: usize = 64;

    pub(crate) fn this_node() -> Node {
        fake::now(|now| now.world.borrow().nodes[now.node.here].node.clone())
    }

    pub(crate) fn peers() -> Vec<Peer> {
        fake::now(|now| now.world.borrow().peers(now.node.here))
    }

    pub(crate) fn send(node: &str, body: &[u8]) -> Result<(), Error> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(Error::TooLarge(MAX_MESSAGE_BYTES as u32));
        }
        let sender = this_node().id;
        let (_, world) = open("mesh").map_err(Error::Unavailable)?;
        let mut world = world.borrow_mut();
        let receiver = world.nodes.iter_mut().find(|other| other.node.id == node).ok_or(Error::UnknownNode)?;
        if receiver.inbox.len() >= MAX_INBOX {
            return Err(Error::Full);
        }
        receiver.inbox.push_back(Message { sender, body: body.into(), age_ms: 0 });
        fake::now(|now| now.record.sent.push((node.into(), body.into())));
        Ok(())
    }

    pub(crate) fn receive(_wait_ms: u32) -> Option<Message> {
        fake::now(|now| now.world.borrow_mut().nodes[now.node.here].inbox.pop_front())
    }
}

pub(crate) mod sensors {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{fake, open};
    use crate::sensors::{Error, Reading};

    pub(crate) fn names() -> Vec<String> {
        fake::now(|now| now.world.borrow().nodes[now.node.here].sensors.keys().cloned().collect())
    }

    pub(crate) fn read(name: &str) -> Result<Reading, Error> {
        let (node, world) = open("sensors").map_err(Error::Unavailable)?;
        let reading = world.borrow().nodes[node.here].sensors.get(name).cloned();
        reading.ok_or(Error::UnknownSensor)
    }
}

pub(crate) mod tasks {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{fake, open};
    use crate::tasks::{Child, Error};
    use crate::{Content, TaskError};

    const FIRST_WORD: &str = "child-";

    pub(crate) fn submit(children: &[Child]) -> Result<Vec<String>, Error> {
        let (node, world) = open("tasks").map_err(Error::Unavailable)?;
        if children.iter().any(|child| child.action.is_empty()) {
            return Err(Error::Invalid("a child names no action".into()));
        }
        let first = world.borrow().asked;
        if first + children.len() > node.max_children as usize {
            return Err(Error::TooMany(node.max_children));
        }
        let mut ids = Vec::with_capacity(children.len());
        for (place, child) in (first..).zip(children) {
            // On a later attempt it is there, and has ended.
            if place >= world.borrow().results.len() {
                // Not while the world is borrowed: the answer may be another run in it.
                let answer = world.borrow().answers.get(&child.action).cloned();
                let result = answer.map_or(Err(TaskError::UnknownAction), |answer| answer(&child.input));
                world.borrow_mut().results.push(result);
                fake::now(|now| now.record.children.push(child.clone()));
            }
            ids.push(format!("{FIRST_WORD}{}", place + 1));
        }
        world.borrow_mut().asked = first + children.len();
        Ok(ids)
    }

    pub(crate) fn gather(ids: &[String]) -> Result<Vec<Result<Content, TaskError>>, Error> {
        let (_, world) = open("tasks").map_err(Error::Unavailable)?;
        let world = world.borrow();
        let result = |id: &String| {
            let number = id.strip_prefix(FIRST_WORD).and_then(|number| number.parse::<usize>().ok());
            let place = number.and_then(|number| number.checked_sub(1)).filter(|place| *place < world.asked);
            place.map(|place| world.results[place].clone()).ok_or_else(|| Error::NotAChild(id.clone()))
        };
        ids.iter().map(result).collect()
    }
}

#[cfg(feature = "http")]
pub(crate) mod http {
    use super::open;
    use crate::http::{Error, Request, Response, Url};

    pub(crate) fn send(request: &Request, _: &Url<'_>) -> Result<Response, Error> {
        let (_, world) = open("http").map_err(Error::Unavailable)?;
        // Not while the world is borrowed: the answer may be another run in it.
        let answer = world.borrow().server.clone();
        answer.map_or(Err(Error::Denied), |answer| answer(request))
    }
}
