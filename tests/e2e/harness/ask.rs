//! A node as its users see it: the command line and the HTTP API.

use std::{collections::BTreeSet, io::Write, process::Stdio, thread, time::Instant};

use serde_json::Value;

use super::{LOOK, PATIENCE, TestNode, text};

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Out {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Out {
    /// Checks the exit code; shows everything where it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Out {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl TestNode {
    /// Runs a command against this node.
    pub fn cli(&self, args: &[&str]) -> Out {
        self.cli_with(args, "")
    }

    /// Runs a command against this node, with something on its standard input.
    pub fn cli_with(&self, args: &[&str], input: &str) -> Out {
        let mut command = self.command(self.enter());
        command.env("AKITA_TARGET_NODE_API", &self.api).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it was piped");
        // A command that needs none may have ended already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Out { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// A command of a node in a namespace runs there too.
    fn enter(&self) -> &[String] {
        if self.spec.launcher.first().is_some_and(|first| first == "nsenter") { &self.spec.launcher } else { &[] }
    }

    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        config.timeout_global(Some(PATIENCE)).build().new_agent()
    }

    /// `GET`: status and body; nothing if the node does not answer.
    pub fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        Self::get_from(&self.api, path)
    }

    /// The same, from whoever has that address now.
    pub fn get_from(api: &str, path: &str) -> Option<(u16, Value)> {
        Self::read(Self::agent().get(format!("{api}{path}")).call())
    }

    /// `POST` of JSON: status and body; nothing if the node does not answer.
    pub fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        Self::post_to(&self.api, path, body)
    }

    /// The same, to whoever has that address now.
    pub fn post_to(api: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        Self::read(Self::agent().post(format!("{api}{path}")).send_json(body))
    }

    /// `POST` of bytes: status and body; nothing if the node does not answer.
    pub fn try_send(&self, path: &str, body: &[u8]) -> Option<(u16, Value)> {
        Self::read(Self::agent().post(format!("{}{path}", self.api)).send(body))
    }

    /// The address of its API, until the next start.
    pub fn api(&self) -> &str {
        &self.api
    }

    fn read(answer: Result<http::Response<ureq::Body>, ureq::Error>) -> Option<(u16, Value)> {
        let mut answer = answer.ok()?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// `GET` that must be answered with 200.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        match self.try_get(path) {
            Some((200, body)) => body,
            other => panic!("{} answered GET {path} with {other:?}", self.spec.name),
        }
    }

    /// Its id.
    pub fn id(&self) -> String {
        text(&self.get("/status")["node_id"])
    }

    /// Submits one task, which must be accepted; its id.
    #[track_caller]
    pub fn submit(&self, task: &Value) -> String {
        match self.try_post("/tasks/submit", task) {
            Some((202, body)) => text(&body["task_id"]),
            other => panic!("{} answered a submission with {other:?}", self.spec.name),
        }
    }

    /// Submits a batch, which must be accepted; the ids.
    #[track_caller]
    pub fn submit_all(&self, tasks: Vec<Value>) -> Vec<String> {
        match self.try_post("/tasks/submit", &Value::Array(tasks)) {
            Some((202, Value::Array(all))) => all.iter().map(|one| text(&one["task_id"])).collect(),
            other => panic!("{} answered a batch with {other:?}", self.spec.name),
        }
    }

    /// A task, as this node shows it.
    #[track_caller]
    pub fn task(&self, id: &str) -> Value {
        self.get(&format!("/tasks/{id}"))
    }

    /// Waits until a task has ended, as this node sees it.
    #[track_caller]
    pub fn ended(&self, id: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_get(&format!("/tasks/{id}?wait=5"));
            let word = answer.as_ref().and_then(|(_, task)| task["status"].as_str());
            match answer {
                Some((200, task)) if matches!(word, Some("completed" | "failed" | "cancelled")) => return task,
                other if Instant::now() >= end => {
                    panic!("waited {} s for the end of {id} on {}: {other:#?}", PATIENCE.as_secs(), self.spec.name);
                }
                _ => thread::sleep(LOOK),
            }
        }
    }

    /// Waits until a task has completed.
    #[track_caller]
    pub fn completed(&self, id: &str) -> Value {
        let task = self.ended(id);
        assert_eq!(task["status"], "completed", "{task:#}");
        task
    }

    /// All rows of the ledger with that event, the newest first.
    #[track_caller]
    pub fn ledger(&self, event: &str) -> Vec<Value> {
        let (mut rows, mut seen, mut offset) = (Vec::new(), BTreeSet::new(), 0);
        loop {
            let page = self.get(&format!("/ledger?event_type={event}&limit=1000&offset={offset}"));
            let some = page["rows"].as_array().expect("rows").clone();
            if some.is_empty() {
                return rows;
            }
            offset += some.len();
            // The newest come first: one that is written between two pages moves the others on by one.
            rows.extend(some.into_iter().filter(|row| seen.insert(row["index"].as_u64())));
        }
    }

    /// The ledger must verify.
    #[track_caller]
    pub fn verify_ledger(&self) {
        let verdict = self.get("/ledger/verify");
        assert_eq!(verdict["ok"], true, "{verdict:#}");
    }
}
