//! A sandbox of the author's own: it looks at components and runs them without any node. Compiled code is kept in the
//! user's cache folder, so that the second time is fast.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use akita_sandbox::{
    Candidate, Grants, Hosts, Interface, Job, JobEvent, Limits, Outcome, Plugin, Sandbox, SandboxConfig,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::memory::MemoryKv;
use crate::exit::ExitError;
use crate::plugins::hosts::PluginSensors;
use crate::resources;

/// Events that wait to be shown; more are dropped and counted by the sandbox.
const EVENT_BACKLOG: usize = 256;
/// How often the machine is measured while a run may read its sensors.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How long the first measurement may take before a run begins without it.
const MEASURE_WAIT: Duration = Duration::from_secs(2);

/// What one run may use: the defaults of a node.
#[must_use]
pub fn node_limits() -> Limits {
    Limits { timeout: Duration::from_secs(60), memory_bytes: 128 << 20, output_bytes: 1 << 20, ..Limits::default() }
}

/// A run to be made.
pub struct Trial {
    /// The action, with or without the plugin's name before it.
    pub action: String,
    /// The input's media type.
    pub content_type: String,
    /// The input.
    pub input: Vec<u8>,
    /// What it may use.
    pub limits: Limits,
    /// Values of `kv` that are there before.
    pub kv: Vec<(String, Vec<u8>)>,
}

/// A sandbox without a node.
pub struct Testbed {
    sandbox: Sandbox,
    runtime: Runtime,
    /// Ends what measures the machine.
    measuring: CancellationToken,
    /// Compiled code goes here where the user has no cache folder; gone afterwards.
    _scratch: Option<TempDir>,
}

impl Testbed {
    /// Starts the sandbox.
    ///
    /// # Errors
    /// When it does not start on this machine, or others can write to the cache folder.
    pub fn start(env: &BTreeMap<String, String>) -> Result<Testbed, ExitError> {
        let (cache_dir, scratch) = match cache_folder(env) {
            Some(folder) => (folder, None),
            None => {
                let made = tempfile::tempdir();
                let made = made.map_err(|e| ExitError::config(format!("cannot make a temporary folder: {e}")))?;
                (made.path().to_owned(), Some(made))
            }
        };
        let config = SandboxConfig { slots: 1, guest_threads: 1, cache_dir, ..SandboxConfig::default() };
        let sandbox = Sandbox::new(config).map_err(|error| ExitError::config(error.to_string()))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ExitError::config(format!("cannot start a runtime: {error}")))?;
        Ok(Testbed { sandbox, runtime, measuring: CancellationToken::new(), _scratch: scratch })
    }

    /// Looks at a component and asks it what it is.
    ///
    /// # Errors
    /// Why it is no plugin, in words for its author.
    pub fn examine(&self, bytes: &[u8]) -> Result<Arc<Candidate>, String> {
        self.sandbox.examine(bytes).map_err(|error| error.to_string())
    }

    /// The same for a file.
    ///
    /// # Errors
    /// The same, and why it cannot be read.
    pub fn examine_file(&self, path: &Path) -> Result<Arc<Candidate>, String> {
        self.sandbox.examine_file(path).map_err(|error| error.to_string())
    }

    /// Links a component with what it is granted.
    ///
    /// # Errors
    /// What it needs beyond that, with the option that gives it.
    pub fn link(&self, candidate: &Arc<Candidate>, grants: Grants) -> Result<Arc<Plugin>, ExitError> {
        let missing = candidate.needs().without(grants);
        self.sandbox.link(candidate, grants).map_err(|error| {
            let error = ExitError::config(format!("{} does not run: {error}", candidate.name()));
            if missing.is_empty() {
                error
            } else {
                error.hint(format!("grant it: --grant {}", words(candidate.needs())))
            }
        })
    }

    /// Runs an action to its end, or until `cancel`, and hands over what the run tells. The answer comes with the time that
    /// it took.
    pub fn run(
        &self,
        plugin: &Arc<Plugin>,
        trial: Trial,
        cancel: &CancellationToken,
        mut tell: impl FnMut(JobEvent),
    ) -> (Outcome, Duration) {
        let (sender, mut events) = mpsc::channel(EVENT_BACKLOG);
        let action = trial.action.strip_prefix(plugin.name()).and_then(|rest| rest.strip_prefix('/'));
        let action = action.unwrap_or(&trial.action).to_owned();
        let hosts = self.hosts(plugin.grants(), trial.kv);
        let job = Job {
            task_id: "a-run-without-a-node".to_owned(),
            limits: trial.limits,
            cancel: cancel.clone(),
            events: Some(sender),
            hosts,
            ..Job::new(action, trial.content_type, trial.input)
        };
        let started = Instant::now();
        let outcome = self.runtime.block_on(async {
            let run = self.sandbox.run(Arc::clone(plugin), job);
            let telling = async {
                while let Some(event) = events.recv().await {
                    tell(event);
                }
            };
            tokio::join!(run, telling).0
        });
        (outcome, started.elapsed())
    }

    /// Waits for an interrupt from the terminal, and then cancels.
    pub fn cancel_on_interrupt(&self, cancel: &CancellationToken) {
        let cancel = cancel.clone();
        // Polled while a run goes on, which is when there is something to cancel.
        self.runtime.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        });
    }

    /// What is behind the interfaces: values in memory, this machine. Others are there and say that they are unavailable.
    fn hosts(&self, grants: Grants, kv: Vec<(String, Vec<u8>)>) -> Hosts {
        let mut hosts = Hosts::default();
        if grants.has(Interface::Kv) {
            hosts.kv = Some(Arc::new(MemoryKv::with(kv)));
        }
        if grants.has(Interface::Sensors) {
            let mut latest = resources::spawn(MEASURE_EVERY, Path::new("/").to_owned(), self.measuring.child_token());
            let first = async { tokio::time::timeout(MEASURE_WAIT, latest.changed()).await };
            // Late or not: a sensor that was not measured yet says so.
            let _ = self.runtime.block_on(first);
            hosts.sensors = Some(Arc::new(PluginSensors { machine: latest, operator: Arc::default(), only: None }));
        }
        hosts
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        self.measuring.cancel();
        self.sandbox.shutdown();
    }
}

/// The interfaces that a run without a node has something behind.
#[must_use]
pub fn has_something_behind(interface: Interface) -> bool {
    matches!(interface, Interface::Kv | Interface::Sensors)
}

/// Reads the interfaces of a list such as `kv,sensors`.
///
/// # Errors
/// The word that names none.
pub fn parse_grants<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Grants, String> {
    let mut grants = Grants::NONE;
    for word in list {
        let Some(interface) = Interface::parse(word.trim()) else {
            let known: Vec<_> = Interface::ALL.iter().map(|one| one.as_str()).collect();
            return Err(format!("`{}` is no interface that is granted; there are {}", word.trim(), known.join(", ")));
        };
        grants = grants.with(interface);
    }
    Ok(grants)
}

/// `kv,sensors`.
fn words(grants: Grants) -> String {
    grants.iter().map(Interface::as_str).collect::<Vec<_>>().join(",")
}

/// `$XDG_CACHE_HOME/akita/compiled`, or the same below `~/.cache`.
fn cache_folder(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("akita/compiled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_code_is_kept_where_the_user_keeps_caches() {
        let folder = |env: &[(&str, &str)]| {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            cache_folder(&env).map(|path| path.display().to_string())
        };
        assert_eq!(folder(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]).as_deref(), Some("/c/akita/compiled"));
        assert_eq!(folder(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]).as_deref(), Some("/h/.cache/akita/compiled"));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn a_list_of_grants_is_read_and_a_wrong_word_named() {
        let grants = parse_grants(["kv", " sensors"]).expect("both are known");
        assert_eq!(words(grants), "kv,sensors");
        assert!(parse_grants(["kv", "disk"]).expect_err("no such interface").contains("`disk` is no interface"));
    }
}
