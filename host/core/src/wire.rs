//! What nodes say to each other, byte by byte: one version byte, one kind byte, then a MessagePack array. These types
//! are the wire's own; conversions to the domain's sit here, at the edge. It never sends anything, and a decoder
//! answers nonsense with an error and nothing else. docs/protocol.md gives each message's size; a test here holds it.

mod ask;
mod greeting;
mod island;
mod keys;
mod lenient;
mod plugin;
mod refusal;
mod report;
mod voters;
mod work;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use ask::{Answer, Ask, Emitted, LedgerAsk, NodeView, Since, TurnView, View};
pub use greeting::{Admitted, Hello, MAX_PROGRAM, Prove, Standing, Welcome};
pub use island::{Import, Imported, MAX_IMPORTED, RunInIsland, SignedEntry};
pub use keys::{Merge, Merging, TakeKey, TookKey};
pub use plugin::{BlobPiece, GetBlob, Tell, Told, Took};
pub use refusal::{Misfit, Refusal, Refused};
pub use report::{Catalog, GetCatalog, KnownVoters, MAX_VOTERS, Report, Reported, voters_digest};
use voters::MAX_DETAIL_LEN;
pub use voters::{
    Cosign, Cosigned, Govern, Governed, Piece, Raft, Rafted, Recruit, Recruited, Release, Released, Remark, Remarked,
    Wish,
};
pub use work::{
    Assign, Assigned, Job, JobExtras, Noted, Outcomes, Progress, Ran, Sent, Submit, Submitted, Taken, pack_type,
    unpack_type,
};

/// Version of every message; another one is refused, never guessed at.
pub const VERSION: u8 = 1;
/// Tasks in one message at most: a decoder must not be made to allocate without end.
pub const MAX_ITEMS: usize = 10_240;
/// Longest first words, in bytes: a hello with the longest name has 108.
const MAX_GREETING: usize = 256;
/// Actions that a node offers at most, and capabilities: each worker's are kept, looked through and shown.
pub const MAX_OFFERED: usize = 1_024;
/// Content type that travels as an empty string.
const COMMON_TYPE: &str = "application/json";

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer than two bytes.
    #[error("the message is cut short")]
    Short,
    /// Another version.
    #[error("the message is of protocol version {0}; this node speaks {VERSION}: update the older node")]
    Version(u8),
    /// A kind that does not belong here.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// Bytes that are no such message.
    #[error("the message does not parse: {0}")]
    Parse(String),
    /// More items than allowed.
    #[error("the message holds {0} items, over the limit of {MAX_ITEMS}")]
    TooMany(usize),
}

/// A message: its kind byte ties the type to the wire.
pub trait Message: Serialize + DeserializeOwned {
    /// Second byte on the wire.
    const KIND: u8;

    /// The bytes.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, Self::KIND];
        rmp_serde::encode::write(&mut bytes, self).expect("plain data always encodes into memory");
        bytes
    }

    /// The message.
    ///
    /// # Errors
    /// The bytes are not exactly one message of this kind and version.
    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match kind(bytes)? {
            found if found == Self::KIND => body(bytes),
            other => Err(WireError::Kind(other)),
        }
    }
}

fn kind(bytes: &[u8]) -> Result<u8, WireError> {
    match bytes {
        [VERSION, kind, ..] => Ok(*kind),
        [version, _, ..] => Err(WireError::Version(*version)),
        _ => Err(WireError::Short),
    }
}

/// Whether `bytes` may be the first words of a node that has proved nothing: [`Hello`] or [`Prove`], and short.
pub fn is_greeting(bytes: &[u8]) -> bool {
    matches!(bytes, [VERSION, Hello::KIND | Prove::KIND, ..]) && bytes.len() <= MAX_GREETING
}

/// A list of at most `MOST`: refused while it is read, because an empty string takes one byte of a message and many of
/// the memory.
fn few<'de, const MOST: usize, T: Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct Few<const MOST: usize, T>(std::marker::PhantomData<T>);

    impl<'de, const MOST: usize, T: Deserialize<'de>> serde::de::Visitor<'de> for Few<MOST, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == MOST {
                    return Err(serde::de::Error::custom(format_args!("a list of more than {MOST}")));
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    from.deserialize_seq(Few::<MOST, T>(std::marker::PhantomData))
}

fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    read(&bytes[2..])
}

/// What another node has written as MessagePack, whole. What a newer one has added at the end of anything is passed over.
///
/// # Errors
/// The bytes are not that.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let mut rest = bytes;
    let mut from = rmp_serde::Deserializer::new(&mut rest);
    let value = T::deserialize(lenient::Lenient(&mut from)).map_err(|error| WireError::Parse(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::Parse(format!("{} bytes too many", rest.len()))) }
}

macro_rules! messages {
    ($(#[$doc:meta])* $enum:ident { $($name:ident = $kind:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $enum { $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name)),* }

        impl $enum {
            /// The request in `bytes`.
            ///
            /// # Errors
            /// They are none.
            pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
                match kind(bytes)? {
                    $($kind => body(bytes).map($enum::$name),)*
                    other => Err(WireError::Kind(other)),
                }
            }
        }

        $(impl Message for $name { const KIND: u8 = $kind; })*
    };
}

messages!(
    /// Everything that a node may ask of another.
    Request {
        Hello = 1,
        Prove = 3,
        Report = 5,
        GetCatalog = 7,
        Assign = 9,
        Outcomes = 11,
        Progress = 13,
        Submit = 15,
        Ask = 17,
        Tell = 20,
        GetBlob = 22,
        Raft = 24,
        Recruit = 26,
        Release = 28,
        Govern = 30,
        Remark = 32,
        Cosign = 34,
        TakeKey = 40,
        Merge = 42,
        Import = 50,
        RunInIsland = 52,
    }
);

macro_rules! answers {
    ($($name:ident = $kind:literal),* $(,)?) => { $(impl Message for $name { const KIND: u8 = $kind; })* };
}

answers!(
    Welcome = 2,
    Admitted = 4,
    Reported = 6,
    Catalog = 8,
    Assigned = 10,
    Taken = 12,
    Noted = 14,
    Submitted = 16,
    Answer = 18,
    Refused = 19,
    Told = 21,
    BlobPiece = 23,
    Rafted = 25,
    Recruited = 27,
    Released = 29,
    Governed = 31,
    Remarked = 33,
    Cosigned = 35,
    TookKey = 41,
    Merging = 43,
    Imported = 51
);

/// Checks bounds that the types cannot express.
///
/// # Errors
/// Too many items.
pub fn check(request: &Request) -> Result<(), WireError> {
    if let Request::Remark(remark) = request
        && remark.details.iter().any(|(key, value)| key.len() > MAX_DETAIL_LEN || value.len() > MAX_DETAIL_LEN)
    {
        return Err(WireError::Parse(format!("a detail of more than {MAX_DETAIL_LEN} bytes")));
    }
    let items = match request {
        Request::Assign(assign) => assign.jobs.len(),
        Request::Outcomes(outcomes) => outcomes.ran.len(),
        Request::Submit(submit) => submit.tasks.len(),
        Request::RunInIsland(run) => run.jobs.len().saturating_add(run.held.len()),
        _ => 0,
    };
    if items > MAX_ITEMS { Err(WireError::TooMany(items)) } else { Ok(()) }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
