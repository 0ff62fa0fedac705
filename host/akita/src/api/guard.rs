//! Who may ask: keys, and without keys only programs of this machine. It also gives each request its id, and is the
//! net below every handler: a panic or a hang becomes an answer. It never reads a body.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use akita_core::KeyPrint;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use subtle::{Choice, ConstantTimeEq as _};

use super::problem::{Kind, Problem};
use super::{ApiConfig, REQUEST_TIMEOUT};

/// The header with the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wrong keys are told at most this often: whoever guesses keys must not fill the log.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The path that is open to everybody, for supervisors and load balancers.
const HEALTH: &str = "/health";

/// Where a request comes from; [`serve`](fn@super::serve) adds it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Which key a request came with; the guard adds it.
#[derive(Debug, Clone, Copy)]
pub struct GivenKey(pub KeyPrint);

/// What the guard holds.
pub struct Guard {
    keys: Vec<([u8; 32], KeyPrint)>,
    header: HeaderName,
    started: u32,
    count: AtomicU64,
    reports: Mutex<Reports>,
}

/// Wrong keys not told yet, and when some were told last.
#[derive(Default)]
struct Reports {
    told: Option<Instant>,
    untold: u64,
}

impl Guard {
    /// A guard with the keys of `config`.
    pub fn new(config: &ApiConfig) -> Self {
        // Hashed, so that all comparisons are of one length and no length is given away.
        let hashed = |key: &str| (*blake3::hash(key.as_bytes()).as_bytes(), KeyPrint::of(key));
        let keys = config.keys.iter().map(|key| hashed(key.expose())).collect();
        // Only to tell the ids of two runs apart: any number will do.
        let started = getrandom::u32().unwrap_or_default();
        let header = config.key_header.clone();
        Self { keys, header, started, count: AtomicU64::new(0), reports: Mutex::default() }
    }

    fn request_id(&self) -> String {
        format!("{:08x}-{}", self.started, self.count.fetch_add(1, Relaxed) + 1)
    }

    /// The fingerprint of the key that the request has, where keys are asked for.
    fn check(&self, request: &Request) -> Result<Option<KeyPrint>, Problem> {
        if request.uri().path() == HEALTH {
            return Ok(None);
        }
        if self.keys.is_empty() {
            return local_only(request).map(|()| None);
        }
        let Some(given) = request.headers().get(&self.header) else {
            return Err(self.refuse(request, "this node asks for a key"));
        };
        let hash = blake3::hash(given.as_bytes());
        // All are compared, so that the time tells nothing; which one it was may be known afterwards.
        let matches = self.keys.iter().map(|(key, print)| (key.ct_eq(hash.as_bytes()), *print));
        let matches: Vec<(Choice, KeyPrint)> = matches.collect();
        let known = matches.into_iter().find(|(same, _)| bool::from(*same));
        known.map(|(_, print)| Some(print)).ok_or_else(|| self.refuse(request, "this node does not know the given key"))
    }

    fn refuse(&self, request: &Request, detail: &str) -> Problem {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        self.report(peer, request.uri().path());
        let hint = format!(
            "send a key of VALID_API_KEYS in the header {}; the command line takes it as --api-key or AKITA_API_KEY",
            self.header
        );
        Problem::new(Kind::KeyRequired, detail).hint(hint)
    }

    fn report(&self, peer: Option<IpAddr>, path: &str) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.untold += 1;
        if reports.told.is_some_and(|told| told.elapsed() < REPORT_EVERY) {
            return;
        }
        let requests = std::mem::take(&mut reports.untold);
        reports.told = Some(Instant::now());
        drop(reports);
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        tracing::warn!(target: "akita::security", peer, path, requests, "refused requests without a valid API key");
    }
}

/// The outermost layer.
pub async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let id = guard.request_id();
    let mut response = match guard.check(&request) {
        Err(problem) => problem.into_response(),
        Ok(key) => {
            if let Some(key) = key {
                request.extensions_mut().insert(GivenKey(key));
            }
            run(request, next, &id).await
        }
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if problem.kind == Kind::Internal {
            tracing::error!(request_id = id, detail = problem.detail, "a request failed");
        }
        problem.write(&mut response, &id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Answers are of this moment, and some hold results that are nobody else's business.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Runs the handler; whatever it does, there is an answer.
async fn run(request: Request, next: Next, id: &str) -> Response {
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(REQUEST_TIMEOUT, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            let detail = "the node failed while it answered this request";
            Problem::new(Kind::Internal, detail)
                .hint(format!("please report it with the log around {id}"))
                .into_response()
        }
        Err(_elapsed) => {
            let detail = format!("the node had no answer within {} s", REQUEST_TIMEOUT.as_secs());
            Problem::new(Kind::Unavailable, detail).hint("see how it is doing with: akita logs").into_response()
        }
    }
}

/// Without keys anybody who reaches the port is served, so the port is on loopback. A web page must not get through
/// all the same: not by a name that it makes point here (DNS rebinding), and not from another site (CSRF).
fn local_only(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let named = request.uri().authority().map(|authority| authority.as_str());
    let mut hosts = named.into_iter().chain(texts(headers, &HOST));
    if let Some(host) = hosts.find(|host| !is_loopback(host)) {
        let host: String = host.chars().take(64).collect();
        return Err(Problem::new(
            Kind::Forbidden,
            format!("without keys this node answers only to localhost, not to `{host}`"),
        )
        .hint("ask for it as http://127.0.0.1, or set VALID_API_KEYS (AKITA_VALID_API_KEYS)"));
    }
    let host = texts(headers, &HOST).next();
    let same = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, site)| host.is_some_and(|host| site.eq_ignore_ascii_case(host)))
    };
    if texts(headers, &ORIGIN).any(|origin| !same(origin)) {
        return Err(Problem::new(
            Kind::Forbidden,
            "without keys this node takes no requests from pages of other sites",
        )
        .hint("set VALID_API_KEYS (AKITA_VALID_API_KEYS), or send the request from a program"));
    }
    Ok(())
}

/// The values of a header; one that is no text counts as one that matches nothing.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"))
}

/// Whether `host`, with or without a port, is this machine by its loopback name or address.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.9.9.9", "[::1]:8000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8000",
            "evil.example",
            "10.0.0.1",
            "[::2]:1",
            "[::1",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
