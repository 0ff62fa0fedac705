//! Refusals: one type, written as `application/problem+json` (RFC 9457) with a hint. It decides the HTTP status of
//! every error and nothing else.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::task_json::{MAX_BATCH, SubmitError};
use crate::view::NodeError;

/// Seconds after which to ask again a node that could not reach another: an election or a reconnect later.
const RETRY_UNAVAILABLE_S: u64 = 5;

/// The kinds of refusal. The word of each stays; programs may depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The path or the query is wrong.
    BadRequest,
    /// The body is not JSON.
    BadJson,
    /// A key is needed, or the key is wrong.
    KeyRequired,
    /// The request comes by a way that is closed.
    Forbidden,
    /// No such path.
    NotFound,
    /// No such task.
    NoSuchTask,
    /// No such plugin.
    NoSuchPlugin,
    /// No such blob.
    NoSuchBlob,
    /// No such row of the ledger.
    NoSuchRow,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body, an input or a batch is larger than what is taken.
    TooLarge,
    /// The body is said to be something other than JSON.
    NotJson,
    /// What was asked makes no sense.
    Invalid,
    /// The queue is full.
    QueueFull,
    /// Blobs take all that they may take.
    NoRoom,
    /// A fault of the node.
    Internal,
    /// Another node has to be asked and does not answer, or this one is too busy.
    Unavailable,
    /// The node has not applied the log as far as it was asked to have.
    Behind,
    /// The node is shutting down.
    Stopping,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::BadJson,
        Self::KeyRequired,
        Self::Forbidden,
        Self::NotFound,
        Self::NoSuchTask,
        Self::NoSuchPlugin,
        Self::NoSuchBlob,
        Self::NoSuchRow,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::TooLarge,
        Self::NotJson,
        Self::Invalid,
        Self::QueueFull,
        Self::NoRoom,
        Self::Internal,
        Self::Unavailable,
        Self::Behind,
        Self::Stopping,
    ];

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadJson => StatusCode::BAD_REQUEST,
            Self::KeyRequired => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoSuchTask | Self::NoSuchPlugin | Self::NoSuchBlob | Self::NoSuchRow => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::Behind | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `type`: a stable name, not an address.
    pub fn urn(self) -> &'static str {
        match self {
            Self::BadRequest => "urn:akita:problem:bad-request",
            Self::BadJson => "urn:akita:problem:bad-json",
            Self::KeyRequired => "urn:akita:problem:key-required",
            Self::Forbidden => "urn:akita:problem:forbidden",
            Self::NotFound => "urn:akita:problem:not-found",
            Self::NoSuchTask => "urn:akita:problem:no-such-task",
            Self::NoSuchPlugin => "urn:akita:problem:no-such-plugin",
            Self::NoSuchBlob => "urn:akita:problem:no-such-blob",
            Self::NoSuchRow => "urn:akita:problem:no-such-row",
            Self::MethodNotAllowed => "urn:akita:problem:method-not-allowed",
            Self::BodyTimeout => "urn:akita:problem:body-timeout",
            Self::TooLarge => "urn:akita:problem:too-large",
            Self::NotJson => "urn:akita:problem:not-json",
            Self::Invalid => "urn:akita:problem:invalid",
            Self::QueueFull => "urn:akita:problem:queue-full",
            Self::NoRoom => "urn:akita:problem:no-room",
            Self::Internal => "urn:akita:problem:internal",
            Self::Unavailable => "urn:akita:problem:unavailable",
            Self::Behind => "urn:akita:problem:behind",
            Self::Stopping => "urn:akita:problem:stopping",
        }
    }

    /// The `title`: the same words for every problem of the kind.
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is wrong",
            Self::BadJson => "The body is not JSON",
            Self::KeyRequired => "A valid key is needed",
            Self::Forbidden => "The request is not allowed",
            Self::NotFound => "No such path",
            Self::NoSuchTask => "No such task",
            Self::NoSuchPlugin => "No such plugin",
            Self::NoSuchBlob => "No such blob",
            Self::NoSuchRow => "No such row of the ledger",
            Self::MethodNotAllowed => "The method does not fit the path",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::TooLarge => "The request is too large",
            Self::NotJson => "The body must be JSON",
            Self::Invalid => "The request makes no sense",
            Self::QueueFull => "The queue is full",
            Self::NoRoom => "There is no room",
            Self::Internal => "The node failed",
            Self::Unavailable => "The node cannot do it now",
            Self::Behind => "The node lags behind",
            Self::Stopping => "The node is shutting down",
        }
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which kind.
    pub kind: Kind,
    /// What is wrong, for people.
    pub detail: String,
    /// The next step, for people.
    pub hint: Option<String>,
    /// Where in the body the fault lies (RFC 6901).
    pub pointer: Option<String>,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u64>,
}

/// The body of a refusal.
#[derive(Serialize)]
struct Written<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    request_id: &'a str,
}

impl Problem {
    /// A refusal of that kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), hint: None, pointer: None, retry_after_s: None }
    }

    /// Adds the next step to take.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Writes the body into `response`, which [`IntoResponse`] made of this problem. It is done last, because only
    /// the outermost layer knows the request's id.
    pub(super) fn write(&self, response: &mut Response, request_id: &str) {
        let written = Written {
            r#type: self.kind.urn(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            hint: self.hint.as_deref(),
            pointer: self.pointer.as_deref(),
            request_id,
        };
        let json = serde_json::to_vec(&written).expect("text and numbers are JSON");
        *response.body_mut() = Body::from(json);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.kind == Kind::KeyRequired {
            // RFC 9110 wants a challenge with every 401.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<NodeError> for Problem {
    fn from(error: NodeError) -> Self {
        let detail = error.to_string();
        match error {
            NodeError::Invalid { hint, .. } | NodeError::NoSuchAction { hint, .. } => {
                Self::new(Kind::Invalid, detail).hint(hint)
            }
            NodeError::Forbidden { hint, .. } => Self::new(Kind::Forbidden, detail).hint(hint),
            NodeError::Misfit { pointer, .. } => Self {
                pointer: Some(pointer),
                ..Self::new(Kind::Invalid, detail)
                    .hint("`akita plugin list -o json` shows each action's `input_schema`: what it takes")
            },
            NodeError::QueueFull { retry_after_s, .. } => Self::new(Kind::QueueFull, detail)
                .hint(format!(
                    "try again in {retry_after_s} s, or raise MAX_TASK_QUEUE_SIZE (AKITA_MAX_TASK_QUEUE_SIZE)"
                ))
                .retry_after(retry_after_s),
            NodeError::NoSuchPlugin { near, .. } => Self::new(Kind::NoSuchPlugin, detail).hint(match near {
                Some(near) => format!("did you mean {near}?"),
                None => "`akita plugin list` shows those that are there".to_owned(),
            }),
            NodeError::NoSuchBlob { .. } => Self::new(Kind::NoSuchBlob, detail)
                .hint("see those of this node with: akita blob list; a node that is away may have it"),
            NodeError::NoSuchRow { .. } => Self::new(Kind::NoSuchRow, detail)
                .hint("`akita ledger head` says how many rows there are; the first one is row 0"),
            NodeError::BlobTooLarge { .. } => Self::new(Kind::TooLarge, detail)
                .hint("put it in pieces, or raise BLOB_MAX_BYTES on every node (AKITA_BLOB_MAX_BYTES)"),
            NodeError::NoRoom { .. } => Self::new(Kind::NoRoom, detail)
                .hint("remove some with: akita blob remove ID; or raise BLOB_STORE_BYTES (AKITA_BLOB_STORE_BYTES)"),
            NodeError::Unavailable { hint, .. } => {
                Self::new(Kind::Unavailable, detail).hint(hint).retry_after(RETRY_UNAVAILABLE_S)
            }
            NodeError::Behind { .. } => Self::new(Kind::Behind, detail)
                .hint("ask again, or ask the leader; an index belongs to the cluster whose leader gave it out")
                .retry_after(RETRY_UNAVAILABLE_S),
            NodeError::Stopping => Self::new(Kind::Stopping, detail).hint("ask another node, or start this one again"),
            NodeError::Internal(_) => {
                Self::new(Kind::Internal, detail).hint("look for the request's id in: akita logs --level error")
            }
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let (kind, hint) = match &error {
            SubmitError::Syntax { .. } => (Kind::BadJson, "check the quotes, commas and brackets there".to_owned()),
            SubmitError::TooManyTasks { .. } => {
                (Kind::TooLarge, format!("send batches of at most {MAX_BATCH} tasks, one after the other"))
            }
            SubmitError::InputTooLarge { .. } => {
                (Kind::TooLarge, "send less, or raise MAX_INPUT_BYTES on every node (AKITA_MAX_INPUT_BYTES)".to_owned())
            }
            SubmitError::Unexpected { hint, .. } => (Kind::Invalid, (*hint).to_owned()),
            SubmitError::Missing { .. }
            | SubmitError::Wrong { .. }
            | SubmitError::Priorities { .. }
            | SubmitError::Spec { .. } => (
                Kind::Invalid,
                r#"a task looks like {"task_data":{"action":"echo","input":{"message":"hello"}},"priority":10}"#
                    .to_owned(),
            ),
        };
        let pointer = error.pointer().map(str::to_owned);
        Self { kind, detail: error.to_string(), hint: Some(hint), pointer, retry_after_s: None }
    }
}
