//! Takes bodies in: by type, size and time, and only a few large ones at once. It never looks at what they say.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};

/// A body must have arrived after this time, its wait for [`LARGE_AT_ONCE`] included: enough for a full one over a
/// slow Wi-Fi link, and short enough that stalled senders are gone soon.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Up to this size a body is simply read: all connections together hold 128 MiB of them at worst.
const LARGE_BYTES: usize = 256 << 10;

/// Larger bodies in memory at once. Each holds its bytes, and its tasks while they are parsed.
const LARGE_AT_ONCE: usize = 4;

/// A refused body is read and dropped up to this size, for this long: a client that is still sending would otherwise
/// see a broken connection in place of the refusal.
const DRAIN_BYTES: usize = 64 << 20;
/// See [`DRAIN_BYTES`].
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Reads bodies within bounds.
pub struct Intake {
    limit: usize,
    max_input_bytes: usize,
    large: Arc<Semaphore>,
}

/// A body, and its right to be in memory if it is a large one.
#[derive(Debug)]
pub struct Held {
    /// The body.
    pub bytes: Bytes,
    /// Its right to be in memory, if it is a large one; to be dropped after what was made of it.
    pub right: Option<OwnedSemaphorePermit>,
}

impl Intake {
    /// Takes bodies up to `limit` bytes. `max_input_bytes` is only for the words of a refusal.
    pub fn new(limit: usize, max_input_bytes: usize) -> Self {
        Self { limit, max_input_bytes, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }

    /// The body of a request, which must be JSON by its headers.
    ///
    /// # Errors
    /// When it is of another type, too large, or not there in time.
    pub async fn json(&self, request: Request) -> Result<Held, Problem> {
        check_type(request.headers())?;
        self.take(request, self.limit, || self.too_large()).await
    }

    /// The body of a request, whatever it is, up to `limit` bytes.
    ///
    /// # Errors
    /// When it is too large, or not there in time.
    pub async fn raw(&self, request: Request, limit: usize, too_large: impl Fn() -> Problem) -> Result<Held, Problem> {
        self.take(request, limit, too_large).await
    }

    async fn take(&self, request: Request, limit: usize, too_large: impl Fn() -> Problem) -> Result<Held, Problem> {
        let (parts, body) = request.into_parts();
        let stated = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if stated.is_some_and(|stated| stated > limit as u64) {
            // Who asks first has not sent anything yet.
            if !parts.headers.contains_key(EXPECT) {
                drain(body).await;
            }
            return Err(too_large());
        }
        match tokio::time::timeout(BODY_TIMEOUT, self.read(body, limit, too_large)).await {
            Ok(read) => read,
            Err(_elapsed) => {
                let detail = format!("the body had not arrived after {} s", BODY_TIMEOUT.as_secs());
                Err(Problem::new(Kind::BodyTimeout, detail).hint("send smaller batches, or over a faster link"))
            }
        }
    }

    async fn read(&self, body: Body, limit: usize, too_large: impl Fn() -> Problem) -> Result<Held, Problem> {
        let mut stream = body.into_data_stream();
        let mut right = None;
        let mut held = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| {
                Problem::new(Kind::BadRequest, format!("the body broke off: {error}")).hint("send the request again")
            })?;
            let size = held.len() + chunk.len();
            if size > limit {
                drain(Body::from_stream(stream)).await;
                return Err(too_large());
            }
            if size > LARGE_BYTES && right.is_none() {
                right = Some(Arc::clone(&self.large).acquire_owned().await.expect("it is never closed"));
            }
            held.extend_from_slice(&chunk);
        }
        Ok(Held { bytes: held.freeze(), right })
    }

    fn too_large(&self) -> Problem {
        let (limit, input) = (self.limit, self.max_input_bytes);
        let detail =
            format!("the body is larger than {limit} bytes, the most that goes with MAX_INPUT_BYTES = {input}");
        Problem::new(Kind::TooLarge, detail)
            .hint("send smaller batches, or raise MAX_INPUT_BYTES on every node (AKITA_MAX_INPUT_BYTES)")
    }
}

async fn drain(body: Body) {
    let mut stream = body.into_data_stream();
    let mut left = DRAIN_BYTES;
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            let Some(less) = left.checked_sub(chunk.len()) else { return };
            left = less;
        }
    };
    // Whether it all came does not matter: the refusal is sent either way.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// JSON, or nothing stated.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(stated) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let stated = stated.to_str().unwrap_or("?");
    let media = stated.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let media: String = media.chars().take(64).collect();
    Err(Problem::new(Kind::NotJson, format!("the body is sent as `{media}`"))
        .hint("send JSON with the header content-type: application/json"))
}
