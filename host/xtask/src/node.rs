//! A node of our own as a process: started, waited for, and stopped whatever happens.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::http::Api;
use crate::interrupt::Interrupt;
use crate::paths::Paths;
use crate::step::Step;
use crate::toolchain::current_cargo;

/// A node that does not end by itself within this time is killed: its own grace period is 30 s, for running tasks.
const STOP_LIMIT: Duration = Duration::from_secs(35);

/// From start to the first answer, with every plugin still to be compiled by a debug build.
const START_LIMIT: Duration = Duration::from_secs(120);

/// In which /proc counts processor time; Linux shows the same to every program, whatever its own clock does.
const TICKS_A_SECOND: u64 = 100;

/// Lines of a node's log that are shown when it fails.
const LOG_TAIL: usize = 30;

/// How a node is to be started.
pub struct Spec<'a> {
    pub binary: &'a Path,
    pub name: &'a str,
    /// Holds the node's data folder and its log.
    pub folder: &'a Path,
    pub plugins: &'a Path,
    /// More options of `akita start`.
    pub options: Vec<String>,
}

/// A running node, which ends with this value.
pub struct Node {
    pub api: Api,
    child: Child,
    log: PathBuf,
}

impl Node {
    /// Starts the process and returns at once.
    pub fn spawn(spec: &Spec) -> Result<Self> {
        let port = free_port()?;
        let log = spec.folder.join(format!("{}.log", spec.name));
        fs::create_dir_all(spec.folder).with_context(|| format!("could not create {}", spec.folder.display()))?;
        let output = File::create(&log).with_context(|| format!("could not create {}", log.display()))?;
        let mut command = Command::new(spec.binary);
        without_settings(&mut command);
        command.current_dir(spec.folder).args(["start", "--node-name", spec.name]);
        command.arg("--api-port").arg(port.to_string()).arg("--plugins").arg(spec.plugins);
        command.arg("--data-dir").arg(spec.folder.join(spec.name)).args(&spec.options);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A group of its own: Ctrl-C is for us, and we stop the node in an orderly way.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("could not start {}", spec.binary.display()))?;
        Ok(Self { api: Api::new(port), child, log })
    }

    /// Waits until the API answers.
    pub fn ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let api = self.api.clone();
        let started = interrupt.until("the first answer of the node", START_LIMIT, || {
            self.check()?;
            Ok(api.get("/health").ok())
        });
        started.map(drop).with_context(|| self.last_words())
    }

    /// An error if the process has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the node ended with {status}\n{}", self.last_words()),
        }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
        format!("the end of {}:\n    {}", self.log.display(), tail.join("\n    "))
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Time that it has used a processor, all threads together.
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The program's name, in brackets, may hold spaces; user and system time are the 12th and 13th after it.
        let mut after = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let ticks: u64 = after.next()?.parse::<u64>().ok()? + after.next()?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("could not kill the node")?;
        self.child.wait().map(drop).context("the killed node did not end")
    }

    /// Asks it to end and waits; kills it only if it does not.
    pub fn stop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // The process is ours and not reaped yet, so its id cannot mean another one.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + STOP_LIMIT;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Builds the `akita` program and says where it is.
pub fn build(paths: &Paths, release: bool) -> Result<PathBuf> {
    let mut build = current_cargo();
    build.current_dir(&paths.root).args(["build", "--package", "akita", "--bin", "akita", "--locked"]);
    if release {
        build.arg("--release");
    }
    let name = if release {
        "build akita, optimised (10 minutes the first time)"
    } else {
        "build akita (4 minutes the first time)"
    };
    Step::new(name, "mend what is named above; `cargo xtask setup` installs what a machine lacks").quiet(build)?;
    Ok(paths.target.join(if release { "release" } else { "debug" }).join("akita"))
}

/// Takes away settings of the person's own nodes.
pub fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AKITA_")) {
        command.env_remove(name);
    }
}

/// A port that nobody listens on now. Somebody may take it before we do; then the node says so and we fail.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("could not find a free port")?;
    Ok(listener.local_addr()?.port())
}
