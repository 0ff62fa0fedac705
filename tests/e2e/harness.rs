//! A node under test: a real process with a folder and an environment of its own, asked as its users ask it, and ended
//! whatever happens. When a test fails it shows the end of the node's log.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::prepare::{copy_entries, free_address, plugins, seed_compiled};

/// For anything that happens at once on an idle machine: the tests' machine may be busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(40);
/// Lines of a log that are shown after a failure.
const LOG_TAIL: usize = 60;

/// Waits until `look` finds something.
///
/// # Panics
/// When nothing is found within [`PATIENCE`].
pub fn find<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s for {what}", PATIENCE.as_secs());
        thread::sleep(LOOK);
    }
}

/// Waits until `holds` does.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    find(what, || holds().then_some(()));
}

/// How a node is to be started.
#[derive(Clone)]
pub struct Spec {
    name: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    launcher: Vec<String>,
    plugins: PathBuf,
    data_dir: Option<PathBuf>,
    api_port: String,
    /// Compiled plugins that are put into its data folder.
    seed: Option<PathBuf>,
    compile: bool,
}

impl Spec {
    /// A node with no mesh option at all.
    pub fn new(name: &str) -> Spec {
        Spec {
            name: name.to_owned(),
            args: Vec::new(),
            env: vec![("AKITA_SLOTS".into(), "2".into())],
            launcher: Vec::new(),
            plugins: plugins(),
            data_dir: None,
            api_port: "0".into(),
            seed: None,
            compile: false,
        }
    }

    /// A node that nobody reaches.
    pub fn alone(name: &str) -> Spec {
        Spec::new(name).arg("--mesh-listen", &free_address())
    }

    /// An option of `akita start`.
    pub fn arg(mut self, option: &str, value: &str) -> Spec {
        self.args.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Spec {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Program and arguments that start it: `sh -c '...; exec "$@"' sh`, for example.
    pub fn through(mut self, launcher: &[&str]) -> Spec {
        self.launch_through(launcher);
        self
    }

    /// The same, from the next start on.
    pub fn launch_through(&mut self, launcher: &[&str]) {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Another folder of plugins.
    pub fn plugins(mut self, dir: &Path) -> Spec {
        self.plugins = dir.to_owned();
        self
    }

    /// Another data folder than one of its own.
    pub fn data_dir(mut self, dir: &Path) -> Spec {
        self.data_dir = Some(dir.to_owned());
        self.compile = true;
        self
    }

    /// A certain port for the API.
    pub fn api_port(mut self, port: u16) -> Spec {
        self.api_port = port.to_string();
        self
    }

    /// A node that compiles its plugins itself.
    pub fn unseeded(mut self) -> Spec {
        self.compile = true;
        self
    }

    /// A node that starts with compiled plugins from there, if there are any.
    pub fn seed_from(mut self, dir: &Path) -> Spec {
        self.seed = Some(dir.to_owned());
        self
    }

    /// Gives an option of `akita start` another value at the next start.
    pub fn set_arg(&mut self, option: &str, value: &str) {
        if let Some(at) = self.args.iter().position(|arg| arg == option) {
            self.args.drain(at..at + 2);
        }
        self.args.extend([option.to_owned(), value.to_owned()]);
    }

    /// Takes another folder of plugins at the next start; the one until now.
    pub fn swap_plugins(&mut self, dir: &Path) -> PathBuf {
        std::mem::replace(&mut self.plugins, dir.to_owned())
    }

    /// Starts it and waits until it runs.
    pub fn start(self) -> TestNode {
        let mut node = TestNode::prepared(self);
        node.start();
        node
    }

    /// Starts it with its data folder where something is wrong, and waits until it has ended.
    pub fn start_in_vain(self) -> Out {
        TestNode::prepared(self).start_in_vain()
    }
}

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

/// A node.
pub struct TestNode {
    spec: Spec,
    dir: TempDir,
    process: Option<Child>,
    api: String,
    /// Where the log of the present process begins.
    log_start: u64,
}

impl TestNode {
    /// A node that is not started yet.
    pub fn prepared(spec: Spec) -> TestNode {
        let dir = tempfile::Builder::new().prefix("akita-e2e-").tempdir().expect("a folder for the node");
        let node = TestNode { spec, dir, process: None, api: String::new(), log_start: 0 };
        if let Some(seed) = node.spec.seed.as_ref().filter(|seed| seed.is_dir()) {
            copy_entries(seed, &node.data_dir().join("compiled")).expect("compiled plugins can be copied");
        } else if !node.spec.compile {
            seed_compiled(&node.data_dir());
        }
        node
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.spec.data_dir.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    /// Its own folder: working folder and home.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How it is started from now on.
    pub fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    fn command(&self, launcher: &[String]) -> Command {
        let program = env!("CARGO_BIN_EXE_akita");
        let mut command = match launcher.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        let home = self.dir.path();
        command.env_clear().current_dir(home).env("HOME", home).env("XDG_DATA_HOME", home.join("share"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    fn start_command(&self) -> Command {
        let mut command = self.command(&self.spec.launcher);
        command.args([
            "start",
            "--node-name",
            &self.spec.name,
            "--api-port",
            &self.spec.api_port,
            "--log-level",
            "debug",
        ]);
        command.arg("--plugins").arg(&self.spec.plugins).arg("--data-dir").arg(self.data_dir());
        command.args(&self.spec.args).envs(self.spec.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts the process and waits until it runs.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_until_running();
    }

    /// Waits until the process that was spawned runs.
    pub fn wait_until_running(&mut self) {
        self.api = find(&format!("{} to run", self.spec.name), || {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains("the node is running")) {
                let api = line.split("api=").nth(1).expect("the line says where the API is");
                return Some(api.trim_start_matches('"').split(['"', ' ']).next().unwrap_or_default().to_owned());
            }
            assert!(self.is_alive(), "{} ended before it ran", self.spec.name);
            None
        });
    }

    /// Starts the process.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.spec.name);
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file");
        self.log_start = log.metadata().expect("the log's length").len();
        let mut command = self.start_command();
        command.stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("the program starts"));
    }

    /// Starts the process and waits until it has ended by itself.
    pub fn start_in_vain(&mut self) -> Out {
        self.spawn();
        let status = self.wait_exit();
        Out { code: status.code().unwrap_or(-1), stdout: String::new(), stderr: self.log() }
    }

    /// Whether the process has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node was started").id()
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the node was started");
        kill_process(Pid::from_child(process), signal).expect("the process is there");
    }

    /// Ends the process as a power cut would.
    pub fn kill_9(&mut self) {
        let mut process = self.process.take().expect("the node was started");
        process.kill().expect("the process is there");
        process.wait().expect("it ends");
    }

    /// Waits until the process has ended by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the node was started");
        let name = self.spec.name.clone();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = process.try_wait().expect("it can be waited for") {
                return status;
            }
            if Instant::now() >= end {
                let _ = process.kill().and_then(|()| process.wait());
                panic!("{name} did not end by itself");
            }
            thread::sleep(LOOK);
        }
    }

    /// Asks the process to end and waits: it must end with 0.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "{} ended with {status}", self.spec.name);
    }

    /// What the present process has said.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let from = usize::try_from(self.log_start).expect("a small log").min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

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
        let answer = Self::agent().get(format!("{}{path}", self.api)).call();
        Self::read(answer)
    }

    /// `POST` of JSON: status and body; nothing if the node does not answer.
    pub fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        Self::post_to(&self.api, path, body)
    }

    /// The same, to whoever has that address now.
    pub fn post_to(api: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        Self::read(Self::agent().post(format!("{api}{path}")).send_json(body))
    }

    /// The address of its API, until the next start.
    pub fn api(&self) -> &str {
        &self.api
    }

    fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<(u16, Value)> {
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
        let mut rows = Vec::new();
        loop {
            let page = self.get(&format!("/ledger?event_type={event}&limit=1000&offset={}", rows.len()));
            let some = page["rows"].as_array().expect("rows").clone();
            if some.is_empty() {
                return rows;
            }
            rows.extend(some);
        }
    }

    /// The ledger must verify.
    #[track_caller]
    pub fn verify_ledger(&self) {
        let verdict = self.get("/ledger/verify");
        assert_eq!(verdict["ok"], true, "{verdict:#}");
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill().and_then(|()| process.wait());
        }
        if thread::panicking() {
            let log = fs::read_to_string(self.log_file()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n  ");
            eprintln!("--- the log of {} ends:\n  {tail}", self.spec.name);
            self.keep_log();
        }
    }
}

impl TestNode {
    /// Keeps the log and the database of a failed test where `AKITA_E2E_KEEP` says.
    fn keep_log(&self) {
        let Some(folder) = std::env::var_os("AKITA_E2E_KEEP").map(PathBuf::from) else { return };
        let test = thread::current().name().unwrap_or("test").replace("::", "-");
        let kept = folder.join(format!("{test}-{}.log", self.spec.name));
        let _ = fs::copy(self.log_file(), &kept).or_else(|_| File::create(&kept).map(|_| 0));
        for file in ["akita.db", "akita.db-wal"] {
            let _ = fs::copy(self.data_dir().join(file), kept.with_extension(file));
        }
    }
}

/// A JSON text's words.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
