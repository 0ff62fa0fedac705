//! How a node is to be started: its options, its environment, its plugins.

use std::path::{Path, PathBuf};

use super::{Out, TestNode};
use crate::prepare::{free_address, plugins};

/// How a node is to be started.
#[derive(Clone)]
pub struct Spec {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) launcher: Vec<String>,
    pub(super) plugins: PathBuf,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) api_port: String,
    /// Compiled plugins that are put into its data folder.
    pub(super) seed: Option<PathBuf>,
    pub(super) compile: bool,
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

    /// Gives a variable of its environment another value at the next start, or none.
    pub fn set_env(&mut self, name: &str, value: Option<&str>) {
        self.env.retain(|(known, _)| known != name);
        self.env.extend(value.map(|value| (name.to_owned(), value.to_owned())));
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
