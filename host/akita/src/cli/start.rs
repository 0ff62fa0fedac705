//! `akita start`: turns options into settings and runs a node until it is told to stop.

use std::path::PathBuf;

use clap::Args;

use super::Globals;
use super::session::Session;
use crate::config::{self, Overrides, Resolved, Sources};
use crate::exit::ExitError;

/// Start a node and run it until Ctrl-C or `akita shutdown`
#[derive(Debug, Args)]
#[command(after_help = "Every option is also a setting: AKITA_* in the environment, or a line of akita.toml.
See docs/config.md.

Examples:
  akita start --plugins ./plugins
  akita start --node-name ridge-1 --cluster-name hills --capabilities gpu,camera --api-port 8001
  akita start --mesh-listen 0.0.0.0:4242 --cluster-key-file ./cluster.key
  akita start --mesh-peer 10.0.0.7:4242 --cluster-key-file ./cluster.key")]
pub struct Start {
    #[command(flatten)]
    flags: SettingsFlags,
}

/// The options that are settings, as text: their meaning and bounds are those of the table of settings.
#[derive(Debug, Args)]
pub struct SettingsFlags {
    /// The node's name [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The cluster to found or to join [default: akita]
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Only nodes that hold the key in this file are admitted
    #[arg(long, value_name = "FILE")]
    cluster_key_file: Option<PathBuf>,
    /// What tasks may require of this node, such as gpu,camera; repeatable
    #[arg(long, value_name = "TAGS")]
    capabilities: Vec<String>,
    /// The folder with the plugins [default: plugins in the data folder]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The folder for the database, the identity and caches
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file with the node's Reticulum identity
    #[arg(long, value_name = "FILE")]
    identity_path: Option<PathBuf>,
    /// A Reticulum configuration folder
    #[arg(long, value_name = "DIR")]
    rns_config: Option<PathBuf>,
    /// Listen here for other nodes over TCP
    #[arg(long, value_name = "HOST:PORT")]
    mesh_listen: Option<String>,
    /// Connect to another node over TCP; repeatable
    #[arg(long, value_name = "HOST:PORT")]
    mesh_peer: Vec<String>,
    /// The address of the HTTP API [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    api_host: Option<String>,
    /// The port of the HTTP API [default: 8000]
    #[arg(long, value_name = "PORT")]
    api_port: Option<String>,
    /// Run without the HTTP API
    #[arg(long)]
    no_api_server: bool,
    /// How much to say: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log lines as text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingsFlags {
    fn overrides(&self, debug: bool) -> Overrides {
        let mut set = Overrides::default();
        if debug {
            set.set("LOG_LEVEL", "--debug", "debug");
        }
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let list = |items: &[String]| Some(items.join(",")).filter(|text| !text.is_empty());
        let given = [
            ("DEFAULT_NODE_NAME", "--node-name", self.node_name.clone()),
            ("DEFAULT_CLUSTER_NAME", "--cluster-name", self.cluster_name.clone()),
            ("CLUSTER_KEY_FILE", "--cluster-key-file", path(&self.cluster_key_file)),
            ("CAPABILITIES", "--capabilities", list(&self.capabilities)),
            ("PLUGINS_DIR", "--plugins", path(&self.plugins)),
            ("DATA_DIR", "--data-dir", path(&self.data_dir)),
            ("IDENTITY_PATH", "--identity-path", path(&self.identity_path)),
            ("RNS_CONFIG", "--rns-config", path(&self.rns_config)),
            ("MESH_LISTEN", "--mesh-listen", self.mesh_listen.clone()),
            ("MESH_PEER", "--mesh-peer", list(&self.mesh_peer)),
            ("DEFAULT_API_HOST", "--api-host", self.api_host.clone()),
            ("DEFAULT_API_PORT", "--api-port", self.api_port.clone()),
            ("NO_API_SERVER", "--no-api-server", self.no_api_server.then(|| "true".to_owned())),
            ("LOG_LEVEL", "--log-level", self.log_level.clone()),
            ("LOG_FORMAT", "--log-format", self.log_format.clone()),
        ];
        for (name, flag, value) in given {
            if let Some(value) = value {
                set.set(name, flag, value);
            }
        }
        set
    }
}

/// The settings that a start with these options would have.
pub fn load(session: &Session<'_>, globals: &Globals, flags: &SettingsFlags) -> Result<Resolved, ExitError> {
    let sources = Sources {
        flags: flags.overrides(globals.debug),
        file: globals.config.clone(),
        cwd: session.cwd.clone(),
        env: session.env.clone(),
    };
    config::load(&sources).map_err(|error| ExitError::config(error.to_string()).hint(error.hint()))
}

pub fn run(session: &Session<'_>, globals: &Globals, args: &Start) -> Result<(), ExitError> {
    let settings = load(session, globals, &args.flags)?.settings;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("akita").build();
    let runtime = runtime.map_err(|error| ExitError::internal(format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(crate::daemon::run(settings));
    // The daemon has waited for all that matters; a thread that hangs in a system call must not hold the exit up.
    runtime.shutdown_background();
    done.map_err(ExitError::from_report)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_option_of_the_table_of_settings_is_one_of_start() {
        let command = super::super::Cli::command();
        let start = command.find_subcommand("start").expect("there is one");
        for spec in crate::config::SETTINGS {
            let Some(flag) = spec.flag else { continue };
            let known = start.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(known, "{} names {flag}, which start does not take", spec.name);
        }
    }
}
