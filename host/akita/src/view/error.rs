//! Why the node does not do what was asked.

/// Why the node did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// What was asked makes no sense.
    #[error("{detail}")]
    Invalid {
        /// What is wrong.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// No node that has said what it offers has the action.
    #[error("{detail}")]
    NoSuchAction {
        /// Which.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// The operator does not allow it to whoever asks.
    #[error("{detail}")]
    Forbidden {
        /// What is not allowed.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// An input does not fit what its action takes.
    #[error("{detail}")]
    Misfit {
        /// What is wrong.
        detail: String,
        /// Which task of those that came together, from 0.
        task: usize,
        /// Where in its input (RFC 6901).
        pointer: String,
    },
    /// The queue holds as many tasks as it may.
    #[error("the queue is full: it holds {limit} tasks that have not ended")]
    QueueFull {
        /// MAX_TASK_QUEUE_SIZE.
        limit: usize,
        /// Seconds after which to try again.
        retry_after_s: u64,
    },
    /// No plugin is called so.
    #[error("this node has no plugin `{name}`")]
    NoSuchPlugin {
        /// The name.
        name: String,
        /// One that is like it.
        near: Option<String>,
    },
    /// The ledger has not as many rows.
    #[error("the ledger has no row {index} that is durable")]
    NoSuchRow {
        /// The row that was asked for.
        index: u64,
    },
    /// No node that was asked has the blob.
    #[error("no blob {id} on this node, nor on another that answers")]
    NoSuchBlob {
        /// Its id.
        id: String,
    },
    /// A blob is larger than the node keeps.
    #[error("a blob has at most {limit} bytes")]
    BlobTooLarge {
        /// BLOB_MAX_BYTES.
        limit: u64,
    },
    /// There is no room for a blob.
    #[error("the node's blobs take all of the {limit} bytes that they may take")]
    NoRoom {
        /// BLOB_STORE_BYTES.
        limit: u64,
    },
    /// Another node has to be asked and does not answer.
    #[error("{detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
        /// The next step.
        hint: String,
    },
    /// An answer as new as was asked for cannot be given in time.
    #[error("the log has been applied up to entry {applied} here, and not to entry {after} within {waited_s} s")]
    Behind {
        /// The entry that was asked for.
        after: u64,
        /// The last one that the node has applied.
        applied: u64,
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
    /// The node is shutting down.
    #[error("the node is shutting down and takes no new tasks")]
    Stopping,
    /// Something failed inside.
    #[error("{0}")]
    Internal(String),
}
