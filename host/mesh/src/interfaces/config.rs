//! Reticulum configuration folders: finding them, checking them, and starting what was not reachable at first.
//!
//! Never writes one.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rns_net::config::{ConfigError, ParsedInterface, RnsConfig};
use rns_net::interface::ConfigSection;
use rns_net::{InterfaceId, InterfaceRegistry, config};
use tokio::time::sleep;

use super::{InterfacesError, tcp};
use crate::engine::Input;
use crate::node::Node;

/// First wait before an interface is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// A configuration folder whose configuration parses.
pub(crate) struct Folder {
    pub path: PathBuf,
    /// Other programs of this machine share its interfaces.
    pub shares: bool,
    pub clients: Vec<Client>,
    instance: (String, u16),
    /// Interfaces that are to let all announces through.
    unguarded: Vec<String>,
}

/// A TCP client interface of the configuration.
#[derive(Clone)]
pub(crate) struct Client {
    pub name: String,
    address: String,
}

/// The first of the usual places that has a configuration, in the order of the Python reference.
pub(super) fn usual_folder() -> Option<PathBuf> {
    places().into_iter().find(|place| place.join("config").is_file())
}

/// The usual places in one line.
pub(super) fn usual_places() -> String {
    places().iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("/etc/reticulum")];
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from) {
        places.extend([home.join(".config/reticulum"), home.join(".reticulum")]);
    }
    places
}

/// True if a shared instance answers: that of a folder, or the machine's usual one.
pub(super) fn shared_instance_runs(folder: Option<&Folder>) -> bool {
    let (name, port) = folder.map_or(("default", 37_428), |folder| (folder.instance.0.as_str(), folder.instance.1));
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixStream};
        let address = SocketAddr::from_abstract_name(format!("rns/{name}"));
        if address.and_then(|address| UnixStream::connect_addr(&address)).is_ok() {
            return true;
        }
    }
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

impl Folder {
    /// Reads and checks the configuration in a folder.
    pub fn read(path: PathBuf) -> Result<Self, InterfacesError> {
        let file = path.join("config");
        let text = fs::read_to_string(&file).map_err(|source| InterfacesError::Read { path: file.clone(), source })?;
        let parsed = parse(&file, &text)?;
        let enabled = || parsed.interfaces.iter().filter(|interface| interface.enabled);
        let shares = parsed.reticulum.share_instance;
        let instance = (parsed.reticulum.instance_name.clone(), parsed.reticulum.shared_instance_port);
        let off = |interface: &&ParsedInterface| {
            let setting = interface.params.get("ingress_control").map(|value| value.to_ascii_lowercase());
            matches!(setting.as_deref(), Some("no" | "false" | "off" | "0"))
        };
        let unguarded = enabled().filter(off).map(|interface| interface.name.clone()).collect();
        let folder = Self { shares, instance, unguarded, clients: enabled().filter_map(client).collect(), path };
        // Interfaces are the shared instance's business if one runs; its ports are taken by it.
        if !(shares && shared_instance_runs(Some(&folder))) {
            enabled().try_for_each(check_port)?;
        }
        Ok(folder)
    }

    /// Applies to an interface what the library reads from the configuration and leaves undone.
    pub fn apply(&self, node: &Node, interface: &str) {
        if self.unguarded.iter().any(|name| name == interface) {
            node.allow_announces(interface);
        }
    }
}

fn client(interface: &ParsedInterface) -> Option<Client> {
    if interface.interface_type != "TCPClientInterface" {
        return None;
    }
    let (host, port) = (interface.params.get("target_host")?, interface.params.get("target_port")?);
    Some(Client { name: interface.name.clone(), address: format!("{host}:{port}") })
}

/// A server whose port is taken would be left out by the library with no more than a log line.
fn check_port(interface: &ParsedInterface) -> Result<(), InterfacesError> {
    let (Some(host), Some(port)) = (interface.params.get("listen_ip"), interface.params.get("listen_port")) else {
        return Ok(());
    };
    if interface.interface_type != "TCPServerInterface" {
        return Ok(());
    }
    let address = format!("{host}:{port}");
    TcpListener::bind(&address).map(drop).map_err(|source| InterfacesError::Listen { address, source })
}

/// Parses a configuration, more strictly than the library does, so that a typing error is an error.
fn parse(file: &Path, text: &str) -> Result<RnsConfig, InterfacesError> {
    let wrong = |line, problem| InterfacesError::Config { path: file.into(), line, problem };
    check_lines(text).map_err(|(line, problem)| wrong(Some(line), problem))?;
    let parsed = config::parse(text).map_err(|error| match error {
        ConfigError::InvalidValue { key, value } => {
            wrong(line_of(text, &key), format!("{value:?} is no value for {key}"))
        }
        ConfigError::Parse(problem) | ConfigError::Io(problem) => wrong(None, problem),
    })?;
    let registry = InterfaceRegistry::with_builtins();
    for interface in parsed.interfaces.iter().filter(|interface| interface.enabled) {
        let kind = &interface.interface_type;
        let line = line_of(text, &format!("[[{}]]", interface.name));
        let Some(factory) = registry.get(kind) else {
            return Err(wrong(line, format!("the interface {:?} has the unknown type {kind:?}", interface.name)));
        };
        let section = ConfigSection { params: &interface.params, children: &interface.subinterfaces };
        if let Err(problem) = factory.parse_config_section(&interface.name, InterfaceId(0), section) {
            return Err(wrong(line, format!("the interface {:?} is not complete: {problem}", interface.name)));
        }
    }
    Ok(parsed)
}

/// Every line is empty, a comment, a section, or a setting.
fn check_lines(text: &str) -> Result<(), (usize, String)> {
    for (index, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        let wrong = |problem: &str| Err((index + 1, problem.to_owned()));
        if content.starts_with('[') {
            let opened = content.chars().take_while(|c| *c == '[').count();
            let closed = content.chars().rev().take_while(|c| *c == ']').count();
            if opened != closed || opened > 3 || content.len() <= 2 * opened {
                return wrong("a section is written [name], an interface [[name]]");
            }
        } else if !content.is_empty() {
            match content.split_once('=') {
                Some((key, _)) if !key.trim().is_empty() => {}
                _ => return wrong("a line is a section, a comment, or key = value"),
            }
        }
    }
    Ok(())
}

fn line_of(text: &str, start: &str) -> Option<usize> {
    text.lines().position(|line| line.trim_start().starts_with(start)).map(|index| index + 1)
}

/// Waits until the other end of a client answers, then has the library start it; from there on it reconnects by itself.
pub(super) async fn attach_when_reachable(client: Client, longest: Duration, to: Sender<Input>) {
    tracing::info!(
        interface = client.name,
        address = client.address,
        "a mesh peer does not answer yet; trying until it does"
    );
    let mut wait = RETRY;
    while tcp::connect(&client.address).await.is_err() {
        sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
    let _ = to.send(Input::Attach(client.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config"), text).unwrap();
        match Folder::read(folder.path().into()) {
            Ok(_) => panic!("{text} was taken"),
            Err(error) => error.to_string().replace(&folder.path().display().to_string(), ""),
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("[reticulum\nshare_instance = No", "/config:1: a section"),
            ("[reticulum]\nshare_instance", "/config:2: a line is"),
            ("[reticulum]\n\n= No", "/config:3: a line is"),
            ("[reticulum]\nenable_transport = perhaps", "/config:2: \"perhaps\" is no value"),
            (
                "[reticulum]\nshare_instance = No\n[interfaces]\n[[x]]\ntype = Telepathy\nenabled = yes",
                "/config:4: the interface \"x\"",
            ),
        ];
        for (text, expected) in cases {
            let problem = problem(text);
            assert!(problem.starts_with(expected), "{problem} does not start with {expected}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Folder::read("/nonexistent".into()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/config"), "{error}");
    }

    #[test]
    fn an_ordinary_configuration_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# mine\n[reticulum]\nenable_transport = No # never\nshare_instance = No\n\n[logging]\nloglevel = 4\n\n[interfaces]\n  \
                    [[to there]]\n  type = TCPClientInterface\n  enabled = yes\n  target_host = 192.0.2.1\n  target_port = 4242\n  \
                    ingress_control = No\n  [[off]]\n  type = Telepathy\n  enabled = no\n";
        fs::write(folder.path().join("config"), text).unwrap();
        let folder = Folder::read(folder.path().into()).unwrap();
        assert!(!folder.shares);
        assert_eq!(folder.clients.len(), 1);
        assert_eq!(
            (folder.clients[0].name.as_str(), folder.clients[0].address.as_str()),
            ("to there", "192.0.2.1:4242")
        );
        assert_eq!(folder.unguarded, ["to there"]);
    }

    #[test]
    fn a_server_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let text = format!(
            "[reticulum]\nshare_instance = No\n[interfaces]\n[[in]]\ntype = TCPServerInterface\nenabled = yes\nlisten_ip = 127.0.0.1\nlisten_port = {port}\n"
        );
        assert!(problem(&text).contains(&format!("cannot listen on 127.0.0.1:{port}")));
    }
}
