//! TCP interfaces of our own: frames between HDLC flags over a socket, as every Reticulum TCP interface has them.
//!
//! The library reads nothing here and only writes; a thread per connection reads. Never closes a socket before the
//! library was told that the interface is gone.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rns_net::InterfaceId;
use rns_net::event::{Event, EventSender};
use rns_net::hdlc;
use rns_net::interface::Writer;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{InterfaceShape, interface_info};

/// Largest frame that is sent, the library's default for TCP.
const MTU: u32 = 65_535;
/// Largest frame that is taken, Reticulum's limit for TCP.
const MAX_FRAME: usize = 262_144;
/// Bytes read at once; a thread per connection has one such buffer.
const READ_BUFFER: usize = 64 * 1024;
/// Connections accepted at once, over all listeners; each has a thread.
const MAX_ACCEPTED: usize = 512;
/// An attempt to connect is given up after this long.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// First wait before another attempt to connect.
const RETRY: Duration = Duration::from_millis(100);
/// A broken listener (out of file descriptors) is left alone for this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A connection whose other end is gone without a word is noticed after 10 + 3 * 5 s, or when what was sent has not
/// been confirmed for 20 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// The connections of a node, each an interface of the library.
pub(super) struct Connections {
    node: EventSender,
    next: AtomicU64,
    accepted: AtomicUsize,
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl Connections {
    pub fn new(node: EventSender) -> Arc<Self> {
        let (next, accepted, open) = (AtomicU64::new(1), AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { node, next, accepted, open })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn close(&self, id: u64) {
        if let Some(stream) = self.lock().remove(&id) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn close_all(&self) {
        for (_, stream) in self.lock().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Makes an interface of a connected socket. The receiver resolves when it is gone.
    pub fn serve(self: &Arc<Self>, stream: tokio::net::TcpStream, name: String) -> io::Result<oneshot::Receiver<()>> {
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;

        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (mut reader, writer) = (stream.try_clone()?, stream.try_clone()?);
        self.lock().insert(id, stream);
        let shape = InterfaceShape { bitrate: None, mtu: MTU };
        // Two connections may share an address, and the library wants its names unique.
        let info = interface_info(InterfaceId(id), format!("{name}/{id}"), shape);
        let up = Event::InterfaceUp(InterfaceId(id), Some(Box::new(HdlcWriter(writer))), Some(Box::new(info)));
        let (gone, wait) = oneshot::channel();
        let connections = self.clone();
        let read = move || {
            // Before the first frame, which would be dropped otherwise.
            if connections.node.send(up).is_ok() {
                read_frames(&mut reader, InterfaceId(id), &connections.node);
                let _ = connections.node.send(Event::InterfaceDown(InterfaceId(id)));
            }
            connections.close(id);
            drop(gone);
        };
        if let Err(error) = thread::Builder::new().name(format!("mesh-tcp-{id}")).spawn(read) {
            self.close(id);
            return Err(error);
        }
        Ok(wait)
    }
}

fn read_frames(stream: &mut TcpStream, id: InterfaceId, node: &EventSender) {
    let mut decoder = hdlc::Decoder::reticulum(MAX_FRAME, 0);
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let frames = decoder.feed(&buffer[..read]).into_iter();
        let events = frames.map(|data| Event::Frame { interface_id: id, data, rssi: None, snr: None });
        if node.send_batch(events).is_err() {
            return;
        }
    }
}

/// The library's end for writing: it writes to the socket itself, from its own loop.
struct HdlcWriter(TcpStream);

impl Writer for HdlcWriter {
    fn send_frame(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.write_all(&hdlc::frame(data))
    }

    fn loop_socket(&self) -> Option<RawFd> {
        Some(self.0.as_raw_fd())
    }
}

/// Accepts connections for ever.
pub(super) async fn listen(listener: TcpListener, connections: Arc<Connections>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting a mesh connection failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if connections.accepted.fetch_add(1, Ordering::Relaxed) >= MAX_ACCEPTED {
            connections.accepted.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%from, "a mesh connection is refused: there are {MAX_ACCEPTED} already");
            continue;
        }
        let served = connections.serve(stream, format!("tcp from {from}"));
        let connections = connections.clone();
        tokio::spawn(async move {
            if let Ok(gone) = served {
                let _ = gone.await;
            }
            connections.accepted.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Connects to `address`, for ever, waiting longer from attempt to attempt.
pub(super) async fn keep_connected(address: String, longest: Duration, connections: Arc<Connections>) {
    let mut wait = RETRY;
    let mut told = false;
    loop {
        match connect(&address).await.and_then(|stream| connections.serve(stream, format!("tcp to {address}"))) {
            Ok(gone) => {
                tracing::info!(%address, "connected to a mesh peer");
                (wait, told) = (RETRY, false);
                let _ = gone.await;
                tracing::info!(%address, "lost the connection to a mesh peer; connecting again");
            }
            Err(error) if !told => {
                told = true;
                tracing::info!(%address, %error, "a mesh peer does not answer yet; trying until it does");
            }
            Err(_) => {}
        }
        sleep(wait.mul_f64(0.75 + 0.5 * rand::random::<f64>())).await;
        wait = (wait * 2).min(longest);
    }
}

/// Connects once.
pub(super) async fn connect(address: &str) -> io::Result<tokio::net::TcpStream> {
    timeout(CONNECT_TIME, tokio::net::TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
