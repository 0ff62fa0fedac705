//! A node as a process: started, signalled, waited for, and ended with the test.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{LOOK, Out, PATIENCE, Spec, find, wait_until};
use crate::prepare::{copy_entries, seed_compiled};

/// Lines of a log that are shown after a failure.
const LOG_TAIL: usize = 60;

/// A node.
pub struct TestNode {
    pub(super) spec: Spec,
    dir: TempDir,
    process: Option<Child>,
    pub(super) api: String,
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

    /// Where it listens for others.
    pub fn mesh_listen(&self) -> Option<&str> {
        let at = self.spec.args.iter().position(|arg| arg == "--mesh-listen")?;
        self.spec.args.get(at + 1).map(String::as_str)
    }

    /// How it is started from now on.
    pub fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    pub(super) fn command(&self, launcher: &[String]) -> Command {
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
        command.args(["start", "--node-name", &self.spec.name, "--api-port", &self.spec.api_port, "--log-level"]);
        command.arg(std::env::var("AKITA_TEST_LOG").unwrap_or_else(|_| "debug".into()));
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
        if self.spec.compile {
            // Large plugins are compiled while the node runs; what is tested needs them.
            let compiling = |list: &Value| {
                list["plugins"].as_array().is_some_and(|all| all.iter().any(|plugin| plugin["status"] == "compiling"))
            };
            wait_until(
                "its plugins to be compiled",
                || !matches!(self.try_get("/plugins"), Some((200, list)) if compiling(&list)),
            );
        }
    }

    /// Waits until the process that was spawned runs.
    pub fn wait_until_running(&mut self) {
        self.api = find(&format!("{} to run", self.spec.name), || {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains("the node is running")) {
                let api = line.split("api=").nth(1).expect("the line says where the API is");
                return Some(api.trim_start_matches('"').split(['"', ' ']).next().unwrap_or_default().to_owned());
            }
            assert!(self.is_alive(), "{} ended before it ran:\n{}", self.spec.name, self.log());
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

    /// Memory of its process in KiB, by its name in `/proc/PID/status`: all of it is `VmRSS`, what is no file's `RssAnon`.
    pub fn memory_kib(&self, kind: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is there");
        let size = status.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(':')).expect("its memory");
        size.trim().trim_end_matches(" kB").parse().expect("a number")
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
