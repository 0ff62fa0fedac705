//! Names of things: nodes, clusters, tasks, and points in time. It never makes one up: random bytes come in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch (UTC), stamped by the leader.
pub type Millis = u64;

/// An id that was not in its text form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {1}")]
pub struct BadId(String, &'static str);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                parse(text).map(Self).ok_or_else(|| BadId(text.chars().take(80).collect(), $what))
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde_bytes::ByteArray::<16>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
            }
        }
    };
}

id!(
    /// A node: its Reticulum identity hash. Written as 32 hexadecimal digits.
    NodeId,
    "a node id: 32 hexadecimal digits"
);
id!(
    /// A cluster: a hash of its name, founder and a nonce, so that two clusters of one name differ.
    ClusterId,
    "a cluster id: 32 hexadecimal digits"
);
id!(
    /// A task: a UUID, version 7 when a node mints it, so that ids sort by time. Written with hyphens.
    TaskId,
    "a task id, such as 01890a5d-ac96-774b-bcce-b302099a8057"
);

id!(
    /// Stands for a cluster key in the log, the ledger and what people are shown: a hash of it.
    KeyMark,
    "a key's fingerprint: 32 hexadecimal digits"
);

/// Which API key a task was submitted with: a short hash of the key, so that operators can name keys without showing
/// them. Written as `key:` and 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrint(pub [u8; 8]);

impl KeyPrint {
    /// What stands before the digits.
    pub const PREFIX: &str = "key:";

    /// The fingerprint of a key.
    pub fn of(key: &str) -> KeyPrint {
        let hash = blake3::derive_key("akita api key fingerprint v1", key.as_bytes());
        KeyPrint(std::array::from_fn(|at| hash[at]))
    }
}

impl fmt::Display for KeyPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KeyPrint::PREFIX)?;
        hex(&self.0, f)
    }
}

impl fmt::Debug for KeyPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyPrint {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let digits = text.strip_prefix(KeyPrint::PREFIX).filter(|digits| digits.len() == 16);
        let bad = || BadId(text.chars().take(80).collect(), "a key's fingerprint, such as key:1a2b3c4d5e6f7081");
        digits.and_then(parse).map(KeyPrint).ok_or_else(bad)
    }
}

impl Serialize for KeyPrint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyPrint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::ByteArray::<8>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
    }
}

impl TaskId {
    /// The id of a task's child of that number: the same on every attempt. It keeps the time in front, by which ids
    /// ascend; the rest is a hash, so that children of different tasks do not meet.
    #[must_use]
    pub fn child(self, number: u32) -> TaskId {
        let mut hasher = blake3::Hasher::new_derive_key("akita child task v1");
        hasher.update(&self.0).update(&number.to_be_bytes());
        let hash = hasher.finalize();
        let mut id = self.0;
        id[6..].copy_from_slice(&hash.as_bytes()[..10]);
        // As a UUID of version 7 says what it is.
        id[6] = 0x70 | (id[6] & 0x0f);
        id[8] = 0x80 | (id[8] & 0x3f);
        TaskId(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for KeyMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in [&self.0[..4], &self.0[4..6], &self.0[6..8], &self.0[8..10], &self.0[10..]].iter().enumerate()
        {
            if at > 0 {
                f.write_str("-")?;
            }
            hex(part, f)?;
        }
        Ok(())
    }
}

impl ClusterId {
    /// The id of the cluster that `founder` founds under `name`. `nonce` is 16 random bytes.
    pub fn found(name: &str, founder: NodeId, nonce: [u8; 16]) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("akita cluster id v1");
        hash.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(&founder.0).update(&nonce);
        let mut id = [0; 16];
        hash.finalize_xof().fill(&mut id);
        Self(id)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut out {
        let high = char::from(digits.next()?).to_digit(16)?;
        let low = char::from(digits.next()?).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let id = TaskId(*b"0123456789abcdef");
        assert_eq!(id.to_string(), "30313233-3435-3637-3839-616263646566");
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        let node = NodeId([0xab; 16]);
        assert_eq!(node.to_string().parse::<NodeId>().unwrap(), node);
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "x", "30313233", "zz313233-3435-3637-3839-616263646566", "é0313233343536373839616263646566"] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_known_by_its_fingerprint_and_not_shown() {
        let print = KeyPrint::of("a key");
        assert_eq!(print.to_string().parse::<KeyPrint>().unwrap(), print);
        assert_eq!(print.to_string().len(), 20);
        assert_ne!(print, KeyPrint::of("another key"));
        for text in ["", "key:", "key:1a2b", "1a2b3c4d5e6f7081", "key:1a2b3c4d5e6f70812", "key:1a2b3c4d5e6f708x"] {
            assert!(text.parse::<KeyPrint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_child_is_the_same_on_every_attempt_and_nobody_elses() {
        let parent = TaskId([7; 16]);
        let mut all: Vec<TaskId> = (0..1_000).map(|number| parent.child(number)).collect();
        assert_eq!(all[3], parent.child(3));
        all.extend((0..1_000).map(|number| TaskId([8; 16]).child(number)));
        all.push(parent);
        all.push(parent.child(0).child(0));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(parent.child(0).to_string().parse::<TaskId>().unwrap(), parent.child(0));
    }

    #[test]
    fn clusters_of_one_name_differ_by_founder_and_nonce() {
        let one = ClusterId::found("akita", NodeId([1; 16]), [0; 16]);
        assert_ne!(one, ClusterId::found("akita", NodeId([2; 16]), [0; 16]));
        assert_ne!(one, ClusterId::found("akita", NodeId([1; 16]), [1; 16]));
        assert_eq!(one, ClusterId::found("akita", NodeId([1; 16]), [0; 16]));
    }
}
