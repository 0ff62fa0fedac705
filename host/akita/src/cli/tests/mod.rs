//! Whole commands against a small fake node: words in, requests out, text and exit code back.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

mod general;
mod task;

use super::session::Session;
use crate::exit::ExitCode;

/// A request as the fake node saw it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// `GET /tasks?limit=20`
    line: String,
    key: Option<String>,
    body: Value,
}

/// A node that answers from a script and remembers what it was asked.
struct Node {
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Node {
    /// `answer` gets the request and how many came before it.
    fn new(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let handler = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let seen = Seen { line: format!("{method} {uri}"), key, body };
            let before = {
                let mut log = log.lock().expect("not poisoned");
                log.push(seen.clone());
                log.len() - 1
            };
            answer(&seen, before)
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        Self { base, seen, _runtime: runtime }
    }

    fn json(reply: Value) -> Self {
        Self::new(move |_, _| ok(reply.clone()))
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").iter().map(|seen| seen.line.clone()).collect()
    }

    fn first(&self) -> Seen {
        self.seen.lock().expect("not poisoned").first().expect("it was asked").clone()
    }

    fn run(&self, args: &[&str]) -> Ran {
        Run::new().target(&self.base).go(args)
    }
}

fn ok(reply: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], reply.to_string()).into_response()
}

fn problem(status: u16, detail: &str, hint: &str) -> Response {
    let body = json!({"type": "about:blank", "title": "No", "status": status, "detail": detail, "hint": hint});
    (StatusCode::from_u16(status).expect("a status"), body.to_string()).into_response()
}

/// What a command did.
#[derive(Debug, PartialEq)]
struct Ran {
    code: ExitCode,
    out: String,
    err: String,
}

/// How a command is run.
struct Run<'a> {
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
    input: &'a str,
    terminal: bool,
    /// The reader of standard output goes away after this many writes.
    patience: usize,
}

impl<'a> Run<'a> {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let env = [("HOME".to_owned(), dir.path().to_string_lossy().into_owned())].into();
        Self { dir, env, input: "", terminal: false, patience: usize::MAX }
    }

    fn target(self, base: &str) -> Self {
        self.env("AKITA_TARGET_NODE_API", base)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        std::fs::write(self.dir.path().join(name), bytes).expect("a file");
        self
    }

    fn go(&self, args: &[&str]) -> Ran {
        let (out, err) = (Pipe::new(self.patience), Pipe::new(usize::MAX));
        let mut session = Session {
            out: Box::new(anstream::StripStream::new(Box::new(out.clone()) as Box<dyn Write>)),
            err: Box::new(anstream::StripStream::new(Box::new(err.clone()) as Box<dyn Write>)),
            input: Box::new(self.input.as_bytes()),
            out_is_terminal: self.terminal,
            err_is_terminal: self.terminal,
            input_is_terminal: self.terminal,
            cwd: self.dir.path().to_owned(),
            env: self.env.clone(),
            now: || "2026-03-01T12:00:00Z".parse().expect("a time"),
        };
        let args = ["akita"].iter().chain(args).map(std::ffi::OsString::from);
        let code = super::run(&mut session, args);
        drop(session);
        Ran { code, out: out.text(), err: err.text() }
    }
}

/// A stream that a test reads afterwards, and that may break.
#[derive(Clone)]
struct Pipe(Arc<Mutex<(Vec<u8>, usize)>>);

impl Pipe {
    fn new(patience: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), patience))))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").0.clone()).expect("text")
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.0.lock().expect("not poisoned");
        held.1 = held.1.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        held.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
