//! The HTTP API: what a request may look like, who may make it, and how an answer or a refusal is written. It holds
//! no task and decides nothing about one; it asks the node through [`Backend`].

mod backend;
mod blobs;
mod body;
mod guard;
mod index;
mod ledger;
mod problem;
mod query;
mod routes;
mod serve;
mod task_json;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderName;
use axum::middleware::from_fn_with_state;

use crate::config::{Secret, Settings};

pub use backend::{Backend, LedgerFilter};
pub use problem::{Kind, Problem};
pub use serve::{BindError, bind, serve};
pub use task_json::{Limits, MAX_BATCH, Submission, SubmitError, parse};

/// The longest that `GET /tasks/{id}?wait=` holds its answer back: proxies and NATs forget quiet connections soon
/// after a minute.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// After this long a request is answered with 503, whatever the node does: twice [`MAX_WAIT`], so that only a fault
/// ends here.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// What a body may hold beside one largest input: keys, priorities, and the inputs of a batch of small tasks.
const BATCH_BYTES: usize = 16 << 20;

/// What the API has to know of the node's settings.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Keys that open it. None: it is open, and serves only what names a loopback address as its host.
    pub keys: Vec<Secret>,
    /// The header that carries the key.
    pub key_header: HeaderName,
    /// MAX_INPUT_BYTES: the largest input of a task, in bytes.
    pub max_input_bytes: usize,
    /// The largest body of a request, in bytes; see [`ApiConfig::body_bytes_for`].
    pub max_body_bytes: usize,
    /// BLOB_MAX_BYTES: the largest blob, in bytes.
    pub blob_max_bytes: u64,
    /// WORKER_PROCESSING_TIMEOUT_S: the longest time limit that a task may ask for.
    pub max_timeout: Duration,
}

impl ApiConfig {
    /// The body limit that goes with an input limit: one input of that size as base64, and 16 MiB.
    pub fn body_bytes_for(max_input_bytes: usize) -> usize {
        max_input_bytes.saturating_add(max_input_bytes / 3).saturating_add(BATCH_BYTES)
    }
}

impl From<&Settings> for ApiConfig {
    fn from(settings: &Settings) -> Self {
        let name = settings.api_key_header_name.as_bytes();
        Self {
            keys: settings.valid_api_keys.clone(),
            key_header: HeaderName::from_bytes(name).expect("a setting of kind Header is a header's name"),
            max_input_bytes: settings.max_input_bytes,
            max_body_bytes: Self::body_bytes_for(settings.max_input_bytes),
            blob_max_bytes: settings.blob_max_bytes,
            max_timeout: settings.worker_processing_timeout,
        }
    }
}

/// What every handler shares.
struct Shared<B> {
    backend: B,
    intake: body::Intake,
    limits: Limits,
    blob_max_bytes: u64,
    endpoints: Vec<routes::Endpoint>,
}

type App<B> = Arc<Shared<B>>;

/// The API over `backend`. Serve it with [`serve`](fn@serve), which also ends long polls when the node stops.
pub fn router<B: Backend>(backend: B, config: ApiConfig) -> Router {
    let routes = routes::all::<B>();
    let shared = Arc::new(Shared {
        backend,
        intake: body::Intake::new(config.max_body_bytes, config.max_input_bytes),
        limits: Limits { max_input_bytes: config.max_input_bytes, max_timeout: config.max_timeout },
        blob_max_bytes: config.blob_max_bytes,
        endpoints: routes.iter().map(|(endpoint, _)| *endpoint).collect(),
    });
    let guard = Arc::new(guard::Guard::new(&config));
    routes
        .into_iter()
        .fold(Router::new(), |router, (endpoint, handler)| router.route(endpoint.path, handler))
        .fallback(routes::no_such_path)
        .method_not_allowed_fallback(routes::wrong_method)
        .with_state(shared)
        .layer(from_fn_with_state(guard, guard::guard))
}
