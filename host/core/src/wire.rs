//! What nodes say to each other, byte by byte: one version byte, one kind byte, then a MessagePack array. These types
//! are the wire's own; conversions to the domain's sit here, at the edge. It never sends anything, and a decoder
//! answers nonsense with an error and nothing else. docs/protocol.md gives each message's size; a test here holds it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    event::EventType,
    id::{ClusterId, KeyPrint, Millis, NodeId, TaskId},
    task::{Content, DEFAULT_PRIORITY, Extras, Failure, Outcome, Task, TaskSpec},
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
    let mut rest = &bytes[2..];
    let value = rmp_serde::decode::from_read(&mut rest).map_err(|error| WireError::Parse(error.to_string()))?;
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
    Request { Hello = 1, Prove = 3, Report = 5, GetCatalog = 7, Assign = 9, Outcomes = 11, Progress = 13, Submit = 15, Ask = 17, Tell = 20, GetBlob = 22, Raft = 24, Recruit = 26, Release = 28, Govern = 30, Remark = 32, Cosign = 34, TakeKey = 40, Merge = 42, Import = 50, RunInIsland = 52 }
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

/// Where a node stands: enough for another to know who leads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Who leads it; the node itself when it does.
    pub leader: NodeId,
}

/// First words over a new link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Of the cluster's name, see [`crate::membership::cluster_tag`].
    #[serde(with = "serde_bytes")]
    pub tag: [u8; 8],
    /// Where the caller stands.
    pub standing: Standing,
    /// Its name, for people.
    pub name: String,
    /// Differs each time that its process starts.
    pub incarnation: u32,
    /// Whether it asks for proof of a cluster key.
    pub protected: bool,
    /// What the other's proof must cover.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
    /// Several nodes vote in its cluster: it does not give way to another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub established: bool,
}

/// Answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The same of the node that was called.
    pub hello: Hello,
    /// Its proof over both nonces, when both are protected.
    #[serde(with = "serde_bytes")]
    pub proof: Option<Vec<u8>>,
}

/// The caller's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Over both nonces.
    #[serde(with = "serde_bytes")]
    pub proof: Vec<u8>,
}

/// Answer to [`Prove`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Where the called node stands.
    pub standing: Standing,
}

/// From a worker to its leader, now and then: it is alive, and this is how busy it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where it stands.
    pub standing: Standing,
    /// Of its process.
    pub incarnation: u32,
    /// Of its catalogue: the leader asks for what it does not know.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 8],
    /// Tasks that it runs at once.
    pub slots: u16,
    /// Tasks that it holds.
    pub running: u16,
    /// CPU in use, percent.
    pub cpu: u8,
    /// Memory in use, percent.
    pub memory: u8,
    /// Round trip to the leader as the worker measured it, milliseconds.
    pub rtt_ms: u32,
    /// It is about to stop and takes nothing more.
    pub leaving: bool,
    /// Of the tasks that it holds, those that take no slot.
    #[serde(default)]
    pub parked: u16,
    /// Where it knows several voters, or is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<KnownVoters>,
}

/// What a worker knows of the voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownVoters {
    /// Stands for all of them, see [`voters_digest`].
    pub digest: u64,
    /// Its own number, where it votes or waits for the log; or 0.
    pub number: u64,
}

/// Answer to [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Where the leader stands: another leader's name in it means that it gave way.
    pub standing: Standing,
    /// Changes with the leader's view of the cluster.
    pub view: u32,
    /// Who votes, where there are several and the worker knows others: one of them leads when this one is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<Vec<NodeId>>,
}

/// Voters that a report's answer names at most.
pub const MAX_VOTERS: usize = 32;

/// Stands for a list of voters in a report; 0 for an empty one.
pub fn voters_digest(voters: &[NodeId]) -> u64 {
    if voters.is_empty() {
        return 0;
    }
    let mut hash = blake3::Hasher::new_derive_key("akita voters v1");
    for node in voters {
        hash.update(&node.0);
    }
    let mut digest = [0; 8];
    hash.finalize_xof().fill(&mut digest);
    // As few bytes as do: it says that something changed, and proves nothing.
    u64::from_be_bytes(digest) >> 48 | 1
}

/// Asks a node what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCatalog {}

/// What a node offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Of what follows.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 8],
    /// Capabilities.
    #[serde(deserialize_with = "few::<MAX_OFFERED, _, _>")]
    pub capabilities: Vec<String>,
    /// Actions.
    #[serde(deserialize_with = "few::<MAX_OFFERED, _, _>")]
    pub actions: Vec<String>,
    /// Tasks at once, of plugins that are held to fewer than the slots.
    #[serde(default)]
    pub caps: Vec<(String, u16)>,
    /// The versions of each plugin, as [`crate::versions::Versions::pack`] writes them.
    #[serde(default, deserialize_with = "few::<MAX_OFFERED, _, _>")]
    pub versions: Vec<String>,
    /// Tasks at once; 0 from a node that does not say.
    #[serde(default)]
    pub slots: u16,
}

impl Catalog {
    /// Without what is no name: it comes from another node, and is compared and shown.
    #[must_use]
    pub fn cleaned(mut self) -> Catalog {
        self.capabilities.retain(|one| crate::task::is_capability(one));
        self.actions.retain(|one| crate::task::is_action(one));
        self
    }
}

/// What few jobs say. What is as usual costs no byte: the node that assigns is who submitted, without a key, at the
/// usual priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobExtras {
    /// See [`Extras::deterministic`].
    pub deterministic: bool,
    /// The node that took the task from its submitter, unless it is the one that assigns.
    #[serde(default)]
    pub origin: Option<NodeId>,
    /// See [`Extras::key`].
    #[serde(default)]
    pub key: Option<KeyPrint>,
    /// Generations above.
    #[serde(default)]
    pub depth: u8,
    /// Unless it is the usual one.
    #[serde(default)]
    pub priority: Option<u8>,
}

impl JobExtras {
    /// What the node `assigner` says of a task.
    pub fn of(task: &Task, assigner: NodeId) -> JobExtras {
        JobExtras {
            deterministic: task.extras.deterministic,
            origin: Some(task.origin).filter(|origin| *origin != assigner),
            key: task.extras.key,
            depth: task.extras.depth(),
            priority: Some(task.priority).filter(|priority| *priority != DEFAULT_PRIORITY),
        }
    }

    /// Whether everything is as usual.
    pub fn is_none(&self) -> bool {
        *self == JobExtras::default()
    }
}

/// One task for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The task.
    pub task: TaskId,
    /// Of the assignment.
    pub fence: u64,
    /// From 1.
    pub attempt: u32,
    /// `plugin/action`.
    pub action: String,
    /// Time limit of the attempt, milliseconds; 0: the worker's own.
    pub timeout_ms: u32,
    /// Media type; empty for JSON.
    pub content_type: String,
    /// The input.
    #[serde(with = "serde_bytes")]
    pub input: Vec<u8>,
    /// What few jobs say.
    #[serde(default, skip_serializing_if = "JobExtras::is_none")]
    pub extras: JobExtras,
}

/// From the leader to a worker: run these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// The tasks.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub jobs: Vec<Job>,
}

/// Answer to [`Assign`]: what is not named is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Tasks that the worker does not take.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub refused: Vec<TaskId>,
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The task.
    pub task: TaskId,
    /// Of the assignment.
    pub fence: u64,
    /// Time in the sandbox, microseconds.
    pub run_us: u64,
    /// Media type of the output; empty for JSON.
    pub content_type: String,
    /// The output; empty when it failed.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Why there is none.
    pub failure: Option<Failure>,
}

/// From a worker to the node that assigned: outcomes. Repeated until answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The outcomes.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub ran: Vec<Ran>,
}

/// Answer to [`Outcomes`], after the commit: the worker may forget them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {}

/// How far a task is; may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The task.
    pub task: TaskId,
    /// Of the assignment.
    pub fence: u64,
    /// Units done.
    pub done: u64,
    /// Of how many, where known.
    pub total: Option<u64>,
    /// For people.
    pub note: String,
}

/// Answer to [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {}

/// A task on its way to the leader: from a submitter's node, from an outbox, or from a cluster that gave way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Minted where it was submitted.
    pub task: TaskId,
    /// There.
    pub origin: NodeId,
    /// Attempts that another cluster has begun.
    pub attempts: u32,
    /// What to run.
    pub action: String,
    /// Capabilities.
    #[serde(deserialize_with = "few::<{ crate::task::MAX_REQUIRED }, _, _>")]
    pub required: Vec<String>,
    /// Lower is more urgent.
    pub priority: u8,
    /// Time limit of an attempt, milliseconds.
    pub timeout_ms: Option<u32>,
    /// Media type; empty for JSON.
    pub content_type: String,
    /// The input.
    #[serde(with = "serde_bytes")]
    pub input: Vec<u8>,
    /// What few tasks have.
    #[serde(default, skip_serializing_if = "Extras::is_none")]
    pub extras: Extras,
}

/// Accept these, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The tasks.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub tasks: Vec<Sent>,
    /// They were accepted already, by a cluster that gave way: an action unknown here is no reason to refuse them.
    pub imported: bool,
}

/// Answer to [`Submit`]: accepted durably. One word of [`crate::Status`] for each task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// In order.
    pub statuses: Vec<u8>,
    /// The log's entry that has them: whoever has applied it shows them. 0: an older leader, which does not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A question whose answer is made for people and programs, not for the protocol: MessagePack of the node's own types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// One task, as the asked node or, unless `here`, its cluster knows it. `wait_ms`: until it has ended.
    Task {
        /// Which.
        task: TaskId,
        /// Do not ask further.
        here: bool,
        /// At most this long.
        wait_ms: u32,
    },
    /// Tasks, newest first.
    List {
        /// A status's word.
        status: Option<String>,
        /// At most.
        limit: u32,
    },
    /// Rows of the ledger, newest first.
    Ledger {
        /// An event's word.
        event: Option<String>,
        /// About that task.
        task: Option<TaskId>,
        /// Rows to pass over.
        offset: u64,
        /// At most.
        limit: u32,
    },
    /// Verify the ledger.
    Verify,
    /// The cluster as the leader sees it.
    View,
    /// Who holds the log and elects the leader.
    Members,
    /// What a task has emitted so far: the body of the answer is an [`Emitted`].
    Emitted {
        /// Which.
        task: TaskId,
        /// Do not ask further: the asked node runs it.
        here: bool,
        /// What was seen before.
        since: Since,
    },
    /// A piece of the ledger that can be checked against a signed head.
    Proof(LedgerAsk),
    /// Which cluster key counts, and who has it; never the key.
    Key,
    /// How far the leader's state has come: all that was accepted before the question is in it.
    Index,
}

/// Which piece of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerAsk {
    /// The newest signed head.
    Head,
    /// Rows in their order.
    Rows {
        /// The first.
        from: u64,
        /// At most.
        limit: u32,
    },
    /// The proof of a row.
    Row {
        /// Its place.
        index: u64,
    },
    /// The proof of a stretch of rows.
    Range {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
}

/// From where on partial output is asked for. The other end of the output is kept where the task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The attempt that was seen, from 1; 0: none. Of another one all is asked for.
    pub attempt: u32,
    /// Bytes of it that were seen.
    pub offset: u64,
    /// Bytes of the answer at most.
    pub max: u32,
}

/// Partial output of a task, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// A word of [`crate::Status`]; empty where the node that answers only runs it.
    pub status: String,
    /// The attempt that emitted, from 1; 0 where none has.
    pub attempt: u32,
    /// Where the piece begins.
    pub offset: u64,
    /// Bytes that the attempt emitted so far.
    pub total: u64,
    /// The piece.
    #[serde(with = "serde_bytes")]
    pub piece: Vec<u8>,
    /// Units done, of how many, and words for people, where the task has told.
    pub progress: Option<(u64, Option<u64>, String)>,
}

/// Answer to [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// MessagePack; nothing if there is no such thing.
    #[serde(with = "serde_bytes")]
    pub body: Option<Vec<u8>>,
}

/// A small message of a plugin to the plugin of the same name on another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// The plugin's name.
    pub plugin: String,
    /// What it says.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What became of a [`Tell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It is in the plugin's box.
    Delivered = 0,
    /// The plugin is not there, or may not.
    NoPlugin = 1,
    /// The box is full.
    Full = 2,
}

/// Answer to [`Tell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    took: u8,
}

impl Told {
    /// That answer.
    pub fn new(took: Took) -> Told {
        Told { took: took as u8 }
    }

    /// What it says; nothing where a later version says more.
    pub fn took(self) -> Option<Took> {
        [Took::Delivered, Took::NoPlugin, Took::Full].into_iter().find(|took| *took as u8 == self.took)
    }
}

/// Asks a node for a piece of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBlob {
    /// BLAKE3 of its bytes.
    #[serde(with = "serde_bytes")]
    pub id: [u8; 32],
    /// Where the piece begins.
    pub offset: u64,
    /// Its bytes at most; 0: only whether the node has it.
    pub max: u32,
}

/// Answer to [`GetBlob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPiece {
    /// Bytes of the whole blob; nothing if the node does not have it.
    pub size: Option<u64>,
    /// The piece.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// From one voter to another: what the consensus engine says, which alone understands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raft {
    /// The cluster whose log it is about; of another one nothing is looked at.
    pub cluster: ClusterId,
    /// The caller's number among the voters.
    pub from: u64,
    /// The number of who is called.
    pub to: u64,
    /// Which call it is.
    pub what: u8,
    /// Of the engine.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Which piece this is, where the body of the call is larger than a message should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
}

/// A piece of something that is cut in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Differs between two things that are cut.
    pub of: u32,
    /// Where the piece begins.
    pub offset: u64,
    /// Bytes of the whole.
    pub total: u64,
}

/// Answer to [`Raft`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rafted {
    /// Of the engine; empty for a piece that is not the last.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// From the leader to a node that is to vote: begin with an empty log under this number; what was so far is kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recruit {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's number among the voters.
    pub number: u64,
    /// The timing that all voters share, see [`crate::autopilot::Profile`].
    pub profile: u8,
}

/// Answer to [`Recruit`]: the node waits for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recruited {}

/// From the leader to a node that votes no more: it begins with a log of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The cluster.
    pub cluster: ClusterId,
    /// The number that it had.
    pub number: u64,
}

/// Answer to [`Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {}

/// What an operator asks of a cluster's leader about its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// The node may vote, and does as soon as it is fit to.
    Promote,
    /// It does not vote.
    Demote,
    /// It does not vote until it comes again.
    Leave,
    /// It is not let in again.
    Remove,
    /// One that was removed is let in again.
    Admit,
    /// It leads.
    Lead,
    /// The cluster gets a new key; the present one is accepted for so long.
    RotateKey {
        /// At most.
        grace_ms: Millis,
    },
    /// The cluster gives way to that one, in which several vote too.
    Merge {
        /// The one that goes on.
        into: ClusterId,
    },
}

/// From any node to the leader: an operator's wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Govern {
    /// What.
    pub wish: Wish,
    /// About which node.
    pub node: NodeId,
}

/// Answer to [`Govern`]: it is done, or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governed {
    /// For people.
    pub detail: String,
}

/// From a voter to the leader: something that the ledger should say. A worker writes it into its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What happened.
    pub event: EventType,
    /// To which node.
    pub node: NodeId,
    /// Details for people.
    #[serde(deserialize_with = "few::<MAX_DETAILS, _, _>")]
    pub details: Vec<(String, String)>,
}

/// Details of a remark at most, and bytes of one.
const MAX_DETAILS: usize = 8;
const MAX_DETAIL_LEN: usize = 512;

/// Answer to [`Remark`], after the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarked {}

/// Between the leader and an admitted node: which cluster key the sender holds, and the key where the other lacks it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeKey {
    /// Its number.
    pub generation: u64,
    /// Of the leader: for how long those before it still count, milliseconds; nothing: that is not agreed on yet.
    pub left_ms: Option<Millis>,
    /// The key.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for TakeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TakeKey(generation {})", self.generation)
    }
}

/// Answer to [`TakeKey`], once the key is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TookKey {
    /// Of the newest key that the answering node holds.
    pub generation: u64,
}

/// From the leader of a cluster that is to give way, by its operator's hand, to the leader of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The cluster that gives way.
    pub from: ClusterId,
}

/// Answer to [`Merge`]: come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merging {}

/// From the leader to another voter: its signed checkpoint of the ledger, to be signed by that one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosign {
    /// Rows that it covers.
    pub size: u64,
    /// Root of the tree over them.
    #[serde(with = "serde_bytes")]
    pub root: [u8; 32],
    /// The leader's Ed25519 signature over the checkpoint's text, which follows from the leader's id, size and root.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Answer to [`Cosign`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigned {
    /// The voter's own signature over the same text; none where it has not so many rows yet, or does not sign.
    #[serde(with = "serde_bytes")]
    pub signature: Option<Vec<u8>>,
    /// It does not sign: its own rows are others, or the leader's signature is false.
    pub differs: bool,
}

/// A task's end in an island, and the signature of the node that took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEntry {
    /// Of a [`crate::island::IslandEntry`].
    #[serde(with = "serde_bytes")]
    pub entry: Vec<u8>,
    /// Ed25519, over what [`crate::island::IslandEntry::signed`] makes of it.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Entries in one [`Import`] at most: one entry of the log, which others wait behind.
pub const MAX_IMPORTED: usize = 256;

/// To the leader: what ended in an island, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The caller's public keys as Reticulum writes them; its id is their hash.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 64],
    /// The ends.
    #[serde(deserialize_with = "few::<MAX_IMPORTED, _, _>")]
    pub entries: Vec<SignedEntry>,
}

/// Answer to [`Import`], after the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Which of the entries are not taken, from 0, and why; all others are in the cluster's books.
    #[serde(deserialize_with = "few::<MAX_IMPORTED, _, _>")]
    pub refused: Vec<(u32, String)>,
}

/// From a node that reaches no leader to another of its cluster: run these for it. Answered with [`Assigned`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInIsland {
    /// The cluster that both belong to; a node of another one refuses.
    pub cluster: ClusterId,
    /// To run.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub jobs: Vec<Job>,
    /// What it was given before, with the fences: it says which of them it does not have any more.
    #[serde(deserialize_with = "few::<MAX_ITEMS, _, _>")]
    pub held: Vec<(TaskId, u64)>,
}

/// Answer to anything that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// For people.
    pub detail: String,
    /// Where the refusing node stands, if the caller may know.
    pub standing: Option<Standing>,
    /// Which input does not fit its action, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misfit: Option<Misfit>,
}

/// An input that does not fit what its action takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// Which of the tasks that came together, from 0.
    pub task: u32,
    /// Where in its input the fault lies (RFC 6901).
    pub pointer: String,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Say [`Hello`] and prove first.
    NotAdmitted,
    /// Another cluster name.
    OtherCluster,
    /// The proof of the cluster key is wrong or missing.
    BadProof,
    /// Ask the leader named in `standing`.
    NotLeader,
    /// The queue is full.
    QueueFull,
    /// What was asked makes no sense: an unknown action, a bad value.
    Invalid,
    /// Not a message that this node understands.
    Malformed,
    /// Something failed inside.
    Internal,
    /// The operator removed the node from the cluster.
    Removed,
    /// The voter lacks entries of the log that it had: its disk was put back to an earlier time.
    Older,
}

/// A node as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub online: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Capabilities.
    pub capabilities: Vec<String>,
    /// Actions.
    pub actions: Vec<String>,
    /// Tasks at once.
    pub slots: u16,
    /// Tasks held.
    pub running: u16,
    /// CPU, percent.
    pub cpu: u8,
    /// Memory, percent.
    pub memory: u8,
    /// Since it was last heard.
    pub silent_ms: Millis,
    /// Hops from the leader.
    pub hops: Option<u8>,
    /// Round trip from the leader.
    pub rtt_ms: Option<u32>,
}

/// The cluster as its leader sees it: the body of an [`Answer`] to [`Ask::View`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The leader's standing.
    pub standing: Standing,
    /// Elections under this log.
    pub term: u64,
    /// Whether anybody may join.
    pub open: bool,
    /// Every node that was ever admitted and not forgotten.
    pub nodes: Vec<NodeView>,
    /// Other clusters of this name in which several vote, with a node of each.
    #[serde(default)]
    pub rivals: Vec<(ClusterId, NodeId, String)>,
    /// A rotation of the cluster key that runs.
    #[serde(default)]
    pub turn: Option<TurnView>,
    /// The cluster that this one is giving way to.
    #[serde(default)]
    pub merging_into: Option<ClusterId>,
}

/// A rotation of the cluster key that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// Of the new key.
    pub generation: u64,
    /// Nodes that have it.
    pub held: u32,
    /// Nodes that it waits for.
    pub waiting: u32,
    /// Until the old one is refused, milliseconds.
    pub left_ms: Millis,
}

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

/// A content type as it travels.
pub fn pack_type(content_type: &str) -> String {
    if content_type == COMMON_TYPE { String::new() } else { content_type.to_owned() }
}

/// A content type as it arrived.
pub fn unpack_type(content_type: String) -> String {
    if content_type.is_empty() { COMMON_TYPE.to_owned() } else { content_type }
}

impl Sent {
    /// From the domain.
    pub fn new(task: TaskId, origin: NodeId, attempts: u32, spec: TaskSpec) -> Sent {
        Sent {
            task,
            origin,
            attempts,
            action: spec.action,
            required: spec.required,
            priority: spec.priority,
            timeout_ms: spec.timeout_ms,
            content_type: pack_type(&spec.input.content_type),
            input: spec.input.body,
            extras: spec.extras,
        }
    }

    /// Into the domain.
    pub fn spec(self) -> TaskSpec {
        TaskSpec {
            action: self.action,
            required: self.required,
            priority: self.priority,
            timeout_ms: self.timeout_ms,
            input: Content { content_type: unpack_type(self.content_type), body: self.input },
            extras: self.extras,
        }
    }
}

impl Ran {
    /// From the domain.
    pub fn new(task: TaskId, fence: u64, run_us: u64, outcome: Outcome) -> Ran {
        let (content_type, body, failure) = match outcome {
            Outcome::Completed(output) => (pack_type(&output.content_type), output.body, None),
            Outcome::Failed(failure) => (String::new(), Vec::new(), Some(failure)),
        };
        Ran { task, fence, run_us, content_type, body, failure }
    }

    /// Into the domain.
    pub fn outcome(self) -> Outcome {
        match self.failure {
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::Completed(Content { content_type: unpack_type(self.content_type), body: self.body }),
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
