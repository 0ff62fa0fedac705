//! A node under test, and waiting for what it should do.

use std::net::SocketAddr;
use std::time::Duration;

use akita_mesh::{Event, Identity, Interfaces, Mesh, MeshConfig, MeshError, PeerId, Request, Tuning};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(40);

pub struct Node {
    pub mesh: Mesh,
    pub events: UnboundedReceiver<Event>,
    folder: TempDir,
}

impl Node {
    pub async fn start(interfaces: Interfaces) -> Self {
        Self::start_as(Identity::generate(), interfaces).await
    }

    pub async fn start_as(identity: Identity, interfaces: Interfaces) -> Self {
        Self::try_start(identity, interfaces, Tuning::default()).await.expect("the mesh starts")
    }

    pub async fn try_start(identity: Identity, interfaces: Interfaces, tuning: Tuning) -> Result<Self, MeshError> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = MeshConfig {
            identity,
            interfaces,
            state_dir: folder.path().join("mesh"),
            announce_interval: Duration::from_secs(20),
            tuning,
        };
        let (mesh, events) = Mesh::start(config).await?;
        mesh.announce(format!("I am {}", mesh.id()).into_bytes())?;
        Ok(Self { mesh, events, folder })
    }

    pub fn id(&self) -> PeerId {
        self.mesh.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.mesh.local_addrs()[0]
    }

    /// The next event that `wanted` makes something of; others are dropped.
    pub async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the mesh runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    pub async fn hears(&mut self, other: PeerId) -> Vec<u8> {
        self.until("an announce", |event| match event {
            Event::Announced { peer, app_data, .. } if peer == other => Some(app_data),
            _ => None,
        })
        .await
    }

    pub async fn connected(&mut self, other: PeerId) {
        self.until("a connection", |event| matches!(event, Event::Connected { peer } if peer == other).then_some(()))
            .await;
    }

    pub async fn disconnected(&mut self, other: PeerId) {
        self.until("a lost connection", |event| {
            matches!(event, Event::Disconnected { peer } if peer == other).then_some(())
        })
        .await;
    }

    pub async fn request(&mut self) -> Request {
        self.until("a request", |event| match event {
            Event::Request(request) => Some(request),
            _ => None,
        })
        .await
    }

    pub async fn call(&self, peer: PeerId, body: &[u8]) -> Vec<u8> {
        self.mesh.call(peer, body.to_vec(), PATIENCE).await.expect("an answer")
    }

    /// Answers every request with its body reversed, and counts them.
    pub fn serve(mut self) -> Server {
        let (mesh, folder) = (self.mesh.clone(), self.folder);
        let task = tokio::spawn(async move {
            let mut served = 0_usize;
            while let Some(event) = self.events.recv().await {
                if let Event::Request(mut request) = event {
                    served += 1;
                    let mut body = std::mem::take(&mut request.body);
                    body.reverse();
                    request.respond(body);
                }
            }
            served
        });
        Server { mesh, task, _folder: folder }
    }
}

/// A node that only answers.
pub struct Server {
    pub mesh: Mesh,
    task: tokio::task::JoinHandle<usize>,
    _folder: TempDir,
}

impl Server {
    pub fn id(&self) -> PeerId {
        self.mesh.id()
    }

    /// Stops; how many requests it ran.
    pub async fn stop(self) -> usize {
        self.mesh.shutdown().await;
        self.task.await.expect("the server ran")
    }
}

pub fn listening() -> Interfaces {
    Interfaces::Direct { listen: vec!["127.0.0.1:0".into()], peers: Vec::new() }
}

pub fn connecting(to: &[SocketAddr]) -> Interfaces {
    Interfaces::Direct { listen: Vec::new(), peers: to.iter().map(SocketAddr::to_string).collect() }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// Waits until `true`, looking every few milliseconds.
pub async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let wait = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

pub fn reversed(body: &[u8]) -> Vec<u8> {
    body.iter().rev().copied().collect()
}
