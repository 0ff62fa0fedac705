//! Talks HTTP with one node and turns every way it can fail into words, a hint and an exit code.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use super::Globals;
use super::session::Session;
use crate::config::{DEFAULT_API_KEY_HEADER, Variables};
use crate::exit::{ExitCode, ExitError};

/// The node that is asked unless told otherwise.
pub const DEFAULT_TARGET: &str = "http://127.0.0.1:8000";

/// A node that does not take a connection for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole answer. A node forwards to the leader, which may sit behind a slow link.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest answer that is read: a page of tasks with large results stays well below.
const ANSWER_BYTES: u64 = 256 << 20;

/// One node's API.
pub struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
    header: String,
    debug: bool,
}

impl Client {
    /// A client for the node that options, environment and `.env` name.
    ///
    /// # Errors
    /// When the address is none that the client can use, or `.env` does not parse.
    pub fn new(session: &Session<'_>, globals: &Globals) -> Result<Self, ExitError> {
        let variables = Variables::read(&session.cwd, &session.env)
            .map_err(|error| ExitError::config(error.to_string()).hint(error.hint()))?;
        let pick = |flag: &Option<String>, name| flag.clone().or_else(|| variables.get(name).map(str::to_owned));
        let target = pick(&globals.target_node_api, "AKITA_TARGET_NODE_API");
        let header = variables.get("AKITA_API_KEY_HEADER_NAME").unwrap_or(DEFAULT_API_KEY_HEADER).to_owned();
        // No proxy: a node is a neighbour, and a proxy could not reach 127.0.0.1 anyway.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("akita/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: base_of(target.as_deref().unwrap_or(DEFAULT_TARGET))?,
            key: pick(&globals.api_key, "AKITA_API_KEY"),
            header,
            debug: globals.debug,
        })
    }

    /// The address of the node, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET` of a path with a query; the body of the answer.
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> Result<String, ExitError> {
        self.get_waiting(path, query, Duration::ZERO)
    }

    /// `GET` of an answer that the node may hold back for `wait`.
    pub fn get_waiting(&self, path: &str, query: &[(&str, String)], wait: Duration) -> Result<String, ExitError> {
        let request = self.asking(path, query, wait);
        let shown = || query.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
        self.finish("GET", path, shown, || request.call())
    }

    /// `POST` of JSON to a path; the body of the answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<String, ExitError> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = self.ready(request, Duration::ZERO);
        self.finish("POST", path, String::new, || request.send_json(body))
    }

    /// `POST` of bytes to a path; the body of the answer.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Result<String, ExitError> {
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/octet-stream");
        let request = self.ready(request, Duration::ZERO);
        self.finish("POST", path, String::new, || request.send(body))
    }

    /// `GET` of bytes that the node may take `wait` to have.
    pub fn get_bytes(&self, path: &str, query: &[(&str, String)], wait: Duration) -> Result<Vec<u8>, ExitError> {
        let request = self.asking(path, query, wait);
        self.finish_bytes("GET", path, String::new, || request.call())
    }

    /// `DELETE` of a path.
    pub fn delete(&self, path: &str) -> Result<String, ExitError> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        let request = self.ready(request, Duration::ZERO);
        self.finish("DELETE", path, String::new, || request.call())
    }

    /// A `GET`, to be called.
    fn asking(&self, path: &str, query: &[(&str, String)], wait: Duration) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = query.iter().fold(request, |request, (name, value)| request.query(*name, value));
        self.ready(request, wait)
    }

    /// With the key, and with patience for an answer that the node may hold back for `wait`.
    fn ready<B>(&self, request: RequestBuilder<B>, wait: Duration) -> RequestBuilder<B> {
        let request = match &self.key {
            Some(key) => request.header(&self.header, key),
            None => request,
        };
        request.config().timeout_global(Some(ANSWER_TIMEOUT + wait)).build()
    }

    fn finish(
        &self,
        method: &str,
        path: &str,
        query: impl FnOnce() -> String,
        call: impl FnOnce() -> Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<String, ExitError> {
        let body = self.finish_bytes(method, path, query, call)?;
        String::from_utf8(body).map_err(|_| {
            ExitError::new(ExitCode::Unavailable, "the node's answer is no text")
                .hint("check that --target-node-api is the address of an akita node")
        })
    }

    fn finish_bytes(
        &self,
        method: &str,
        path: &str,
        query: impl FnOnce() -> String,
        call: impl FnOnce() -> Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, ExitError> {
        let begun = Instant::now();
        let answer = call().and_then(|mut answer| {
            let retry = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec()?;
            Ok((answer.status().as_u16(), retry, body))
        });
        if self.debug {
            let outcome = match &answer {
                Ok((status, _, body)) => format!("{status}, {} bytes", body.len()),
                Err(error) => error.to_string(),
            };
            let (base, query, took) = (&self.base, query(), begun.elapsed().as_millis());
            anstream::eprintln!("debug: {method} {base}{path}{query}: {outcome} ({took} ms)");
        }
        match answer {
            Ok((status, _, body)) if (200..300).contains(&status) => Ok(body),
            Ok((status, retry, body)) => Err(self.refusal(status, retry.as_deref(), &String::from_utf8_lossy(&body))),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// The node answered, and not with what was asked for.
    fn refusal(&self, status: u16, retry_after: Option<&str>, body: &str) -> ExitError {
        let problem: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let word = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = if (400..500).contains(&status) { ExitCode::Refused } else { ExitCode::Unavailable };
        let unknown = || format!("{} answered with HTTP status {status}", self.base);
        let message = word("detail").or_else(|| word("title")).unwrap_or_else(unknown);
        let hint = word("hint").or_else(|| match (status, retry_after) {
            (401 | 403, _) => Some("give a key of the node with --api-key or AKITA_API_KEY".to_owned()),
            (_, Some(seconds)) => Some(format!("try again in {seconds} s")),
            (404 | 405, _) if problem.is_null() => Some(format!("is {} an akita node?", self.base)),
            _ => None,
        });
        let error = ExitError::new(code, message);
        if let Some(hint) = hint { error.hint(hint) } else { error }
    }

    /// The node did not answer.
    fn unreachable(&self, error: &ureq::Error) -> ExitError {
        let base = &self.base;
        let fail = |why: &str, hint: &str| {
            ExitError::new(ExitCode::Unavailable, format!("cannot reach the node at {base}: {why}")).hint(hint)
        };
        let start = "is it running? start it with: akita start";
        match error {
            ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => fail("connection refused", start),
            ureq::Error::Io(io) => fail(&io.to_string(), start),
            ureq::Error::HostNotFound => fail("no such host", "check --target-node-api or AKITA_TARGET_NODE_API"),
            ureq::Error::Timeout(_) => fail("it did not answer in time", "see how it is doing with: akita logs"),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                fail("this is no usable address or key", "check --target-node-api and --api-key")
            }
            other => fail(&other.to_string(), start),
        }
    }
}

/// The JSON of an answer.
pub fn parse(reply: &str) -> Result<Value, ExitError> {
    serde_json::from_str(reply).map_err(|error| {
        ExitError::new(ExitCode::Unavailable, format!("the node's answer is not JSON: {error}"))
            .hint("check that --target-node-api is the address of an akita node")
    })
}

/// Checks that a task's id can stand in a path, so that a typing error is told as one.
pub fn task_path(id: &str) -> Result<String, ExitError> {
    let sane = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    if !sane {
        return Err(ExitError::usage(format!("`{id}` is no task id")).hint("list the tasks with: akita task list"));
    }
    Ok(format!("/tasks/{id}"))
}

fn base_of(target: &str) -> Result<String, ExitError> {
    let hint = "write it as http://HOST:PORT, such as http://127.0.0.1:8000";
    if target.starts_with("https://") {
        let message = format!("cannot use {target}: a node speaks plain HTTP");
        return Err(ExitError::usage(message).hint("reach it over http:// through an SSH tunnel or a VPN"));
    }
    let target = if target.contains("://") { target.to_owned() } else { format!("http://{target}") };
    match target.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() => Ok(target.trim_end_matches('/').to_owned()),
        _ => Err(ExitError::usage(format!("`{target}` is no address of a node")).hint(hint)),
    }
}
