//! How a node reaches others: the choice of interfaces, and keeping them up.
//!
//! Never looks into a frame. The library keeps the interfaces of a Reticulum configuration; those on TCP without one
//! are this module's own (see `tcp`), because the library drops a client whose first attempt fails.

mod config;
mod local;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rns_core::transport::types::{IngressControlConfig, InterfaceInfo};
use rns_net::{InterfaceId, MODE_FULL};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::config::Folder;
use self::tcp::Connections;
use crate::Identity;
use crate::engine::Input;
use crate::memory::Port;
use crate::mesh::Tuning;
use crate::node::{Node, Start};

/// How a node reaches others.
pub enum Interfaces {
    /// An ordinary Reticulum configuration folder; `None` for the usual places. A running shared instance of it is
    /// joined.
    Reticulum(Option<PathBuf>),
    /// TCP without a file. Nodes pass on what others send to each other.
    Direct {
        /// Addresses to listen on, `host:port`.
        listen: Vec<String>,
        /// Addresses to connect to, `host:port`, tried until they answer and again when they are lost.
        peers: Vec<String>,
    },
    /// A Reticulum configuration in one of the usual places, or a running shared instance; without either, nodes of
    /// this machine meet on a loopback port.
    Default,
    /// A wire inside the process.
    Memory(Port),
}

/// Why interfaces did not come up.
#[derive(Debug, thiserror::Error)]
pub enum InterfacesError {
    /// An address to listen on is taken, or is not this machine's.
    #[error("cannot listen on {address}: {source}; choose another port, or stop the program that uses it")]
    Listen {
        /// The address as it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// An address is not `host:port`.
    #[error("{0:?} is no address; write host:port, for example 192.0.2.1:4242")]
    Address(String),
    /// A Reticulum configuration cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A Reticulum configuration does not parse.
    #[error("{}{}: {problem}; correct it, or leave the interface out with enabled = no", path.display(), at(*line))]
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
    },
    /// No Reticulum configuration is in the usual places.
    #[error("no Reticulum configuration in {0}; name its folder, or leave it out to meet on this machine or over TCP")]
    NoConfig(String),
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

/// What the interfaces came to.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    pub description: String,
    pub addresses: Vec<SocketAddr>,
}

/// The two properties that interfaces of ours differ in.
pub(crate) struct InterfaceShape {
    /// Bits per second; `None` where it does not matter.
    pub bitrate: Option<u64>,
    /// Largest frame in bytes.
    pub mtu: u32,
}

/// How an interface of ours presents itself to the library.
pub(crate) fn interface_info(id: InterfaceId, name: String, shape: InterfaceShape) -> InterfaceInfo {
    InterfaceInfo {
        id,
        name,
        mode: MODE_FULL,
        gravity: 0,
        recursive_prs: false,
        announces_from_internal: true,
        announces_to_internal: None,
        out_capable: true,
        in_capable: true,
        bitrate: shape.bitrate,
        airtime_profile: None,
        announce_rate_target: None,
        announce_rate_grace: 0,
        announce_rate_penalty: 0.0,
        announce_cap: rns_core::constants::ANNOUNCE_CAP,
        is_local_client: false,
        wants_tunnel: false,
        tunnel_id: None,
        mtu: shape.mtu,
        ingress_control: IngressControlConfig::disabled(),
        ia_freq: 0.0,
        ip_freq: 0.0,
        op_freq: 0.0,
        op_samples: 0,
        started: 0.0,
    }
}

/// Interfaces that are bound or checked, before the library runs.
pub(crate) enum Prepared {
    Memory(Port),
    Direct {
        listeners: Vec<TcpListener>,
        peers: Vec<String>,
        tuning: Tuning,
    },
    Local {
        listener: Option<TcpListener>,
        tuning: Tuning,
    },
    Folder {
        folder: Folder,
        tuning: Tuning,
    },
    /// The library has joined a shared instance.
    Shared,
}

/// Binds what can be in use and checks what can be wrong.
pub(crate) async fn prepare(interfaces: Interfaces, tuning: &Tuning) -> Result<Prepared, InterfacesError> {
    let tuning = tuning.clone();
    match interfaces {
        Interfaces::Memory(port) => Ok(Prepared::Memory(port)),
        Interfaces::Direct { listen, peers } => {
            if let Some(wrong) = listen.iter().chain(&peers).find(|address| !is_address(address)) {
                return Err(InterfacesError::Address(wrong.clone()));
            }
            let mut listeners = Vec::new();
            for address in listen {
                let bound = TcpListener::bind(&address).await;
                listeners.push(bound.map_err(|source| InterfacesError::Listen { address, source })?);
            }
            Ok(Prepared::Direct { listeners, peers, tuning })
        }
        Interfaces::Reticulum(Some(path)) => Ok(Prepared::Folder { folder: Folder::read(path)?, tuning }),
        Interfaces::Reticulum(None) => match config::usual_folder() {
            Some(path) => Ok(Prepared::Folder { folder: Folder::read(path)?, tuning }),
            None if config::shared_instance_runs(None) => Ok(Prepared::Shared),
            None => Err(InterfacesError::NoConfig(config::usual_places())),
        },
        Interfaces::Default => match config::usual_folder() {
            Some(path) => Ok(Prepared::Folder { folder: Folder::read(path)?, tuning }),
            None if config::shared_instance_runs(None) => Ok(Prepared::Shared),
            None => Ok(Prepared::Local { listener: local::bind(tuning.local_port).await.ok(), tuning }),
        },
    }
}

/// `host:port` with a port that is a number; the host is looked up later, and again at each attempt.
fn is_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl Prepared {
    pub fn memory(&self) -> Option<Port> {
        match self {
            Self::Memory(port) => Some(port.clone()),
            _ => None,
        }
    }

    /// Starts the library. May take seconds where a configuration has interfaces that do not answer.
    pub fn start_node(&mut self, identity: Identity, state: &Path, to: Sender<Input>) -> io::Result<Node> {
        std::fs::create_dir_all(state)?;
        let how = match self {
            Self::Memory(_) => Start::Bare { relay: false },
            Self::Direct { .. } | Self::Local { .. } => Start::Bare { relay: true },
            Self::Shared => Start::Shared(None),
            Self::Folder { folder, .. } => {
                let path = folder.path.clone();
                if folder.shares && config::shared_instance_runs(Some(folder)) {
                    *self = Self::Shared;
                    Start::Shared(Some(path))
                } else {
                    Start::Folder(path)
                }
            }
        };
        Node::start(how, identity, state, to)
    }

    /// Plugs the interfaces into the library and keeps them up.
    pub fn plug_in(self, node: &Node, to: &Sender<Input>, runtime: &Handle) -> (Plugged, Bound) {
        let stop = CancellationToken::new();
        let connections = Connections::new(node.events());
        let mut plugged = Plugged {
            ours: matches!(self, Self::Memory(_) | Self::Direct { .. } | Self::Local { .. }),
            port: None,
            connections: connections.clone(),
            folder: None,
            stop: stop.clone().drop_guard(),
        };
        let bound = match self {
            Self::Shared => Bound { description: "Reticulum shared instance".into(), ..Bound::default() },
            Self::Memory(port) => {
                port.attach(&node.events());
                plugged.port = Some(port);
                Bound { description: "memory".into(), ..Bound::default() }
            }
            Self::Direct { listeners, peers, tuning } => {
                direct(listeners, peers, &tuning, &connections, &stop, runtime)
            }
            Self::Local { listener, tuning } => {
                let role = if listener.is_some() { "meeting point of this machine" } else { "joined the node there" };
                let description = format!("tcp 127.0.0.1:{} ({role})", tuning.local_port);
                let addresses = listener.iter().filter_map(|l| l.local_addr().ok()).collect();
                runtime.spawn(stop.run_until_cancelled_owned(local::run(listener, tuning, connections)));
                Bound { description, addresses }
            }
            Self::Folder { folder, tuning } => {
                let description = format!("Reticulum configuration {}", folder.path.display());
                let up = node.interface_names();
                for client in &folder.clients {
                    if !up.contains(&client.name) {
                        let supervise = config::attach_when_reachable(client.clone(), tuning.reconnect_max, to.clone());
                        runtime.spawn(stop.clone().run_until_cancelled_owned(supervise));
                    }
                    folder.apply(node, &client.name);
                }
                plugged.folder = Some(folder);
                Bound { description, ..Bound::default() }
            }
        };
        (plugged, bound)
    }
}

fn direct(
    listeners: Vec<TcpListener>,
    peers: Vec<String>,
    tuning: &Tuning,
    connections: &Arc<Connections>,
    stop: &CancellationToken,
    runtime: &Handle,
) -> Bound {
    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let mut parts: Vec<_> = addresses.iter().map(|address| format!("tcp {address}")).collect();
    match peers.len() {
        0 => {}
        1 => parts.push("1 peer".into()),
        n => parts.push(format!("{n} peers")),
    }
    for listener in listeners {
        runtime.spawn(stop.clone().run_until_cancelled_owned(tcp::listen(listener, connections.clone())));
    }
    for peer in peers {
        let keep = tcp::keep_connected(peer, tuning.reconnect_max, connections.clone());
        runtime.spawn(stop.clone().run_until_cancelled_owned(keep));
    }
    Bound { description: parts.join(", "), addresses }
}

/// Interfaces in use. Dropped, nothing new is accepted or connected.
pub(crate) struct Plugged {
    ours: bool,
    port: Option<Port>,
    connections: Arc<Connections>,
    folder: Option<Folder>,
    #[expect(dead_code, reason = "stops the tasks when it is dropped")]
    stop: DropGuard,
}

impl Plugged {
    /// Every interface that comes up is reported; true for those of this module only.
    pub fn reports_all(&self) -> bool {
        self.ours
    }

    /// The library lost an interface; what is left of it here goes too.
    pub fn gone(&self, id: u64) {
        self.connections.close(id);
    }

    /// An interface of the configuration was started late.
    pub fn attached(&self, node: &Node, interface: &str) {
        if let Some(folder) = &self.folder {
            folder.apply(node, interface);
        }
    }

    /// Closes every socket. After the library has stopped, so that its last frames are out.
    pub fn close(self) {
        if let Some(port) = self.port {
            port.detach();
        }
        self.connections.close_all();
    }
}
