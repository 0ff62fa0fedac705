//! Options of commands that work on a node's data directory: the same places as `akita start` would use.

use std::path::PathBuf;

use clap::Args;

use super::Globals;
use super::session::Session;
use crate::config::{self, Overrides, Settings, Sources};
use crate::exit::ExitError;

/// Which data directory.
#[derive(Debug, Args)]
pub struct Place {
    /// The node's data folder [default: that of `akita start` with the same settings]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The node's name, of which the data folder's place is made [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
}

impl Place {
    /// The settings of the node there.
    pub fn settings(&self, session: &Session<'_>, globals: &Globals) -> Result<Settings, ExitError> {
        let mut flags = Overrides::default();
        if let Some(dir) = &self.data_dir {
            flags.set("DATA_DIR", "--data-dir", dir.to_string_lossy());
        }
        if let Some(name) = &self.node_name {
            flags.set("DEFAULT_NODE_NAME", "--node-name", name.as_str());
        }
        let sources =
            Sources { flags, file: globals.config.clone(), cwd: session.cwd.clone(), env: session.env.clone() };
        let resolved = config::load(&sources);
        resolved
            .map(|resolved| resolved.settings)
            .map_err(|error| ExitError::config(error.to_string()).hint(error.hint()))
    }
}
