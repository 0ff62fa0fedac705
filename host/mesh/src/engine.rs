//! The one thread that owns a node's links, calls and announces, and asks the Reticulum library.
//!
//! Commands of the handle and reports of the library arrive in one queue. Never called by the library's own thread, so
//! it may ask and wait; never awaits.

mod bulk;
mod calls;
mod links;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use self::links::Opening;
use crate::announce::{self, Announcer};
use crate::call::{Call, Calls, Reply, Stage};
use crate::dedupe::Dedupe;
use crate::frame::{CallId, Frame, Kind};
use crate::interfaces::{self, Bound, Plugged};
use crate::link::{Link, LinkId};
use crate::memory::Port;
use crate::node::{Happening, Node};
use crate::peer::Table;
use crate::{CallError, Event, Identity, MeshConfig, MeshError, PeerId, WireBytes};

/// Longest deadline of a call: far beyond any use, near enough for arithmetic on instants.
pub(crate) const MAX_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Time between two looks at everything that is not urgent: idle links, doomed links, counters.
const SWEEP: Duration = Duration::from_secs(1);

/// Inputs handled before timers are looked at again.
const BATCH: usize = 256;

/// Longest wait before a node that has heard a newcomer announces itself to it, so that many do not speak at once.
const WELCOME: Duration = Duration::from_millis(300);

/// What the engine's thread is told.
pub(crate) enum Input {
    Command(Command),
    Happening(Happening),
    /// An interface of the configuration can be reached now; start it.
    Attach(String),
}

/// What the handle asks for.
pub(crate) enum Command {
    Announce(Vec<u8>),
    Call { peer: PeerId, body: Vec<u8>, deadline: Instant, reply: Reply },
    Respond { peer: PeerId, id: CallId, body: Option<Vec<u8>> },
    Disconnect(PeerId),
    Shutdown(Option<oneshot::Sender<()>>),
}

/// The way from a request back to its caller. Dropped unused, it tells the engine that there is no answer.
pub(crate) struct ReplyTo {
    engine: Sender<Input>,
    peer: PeerId,
    id: CallId,
    used: bool,
}

impl std::fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.id.fmt(f)
    }
}

impl ReplyTo {
    pub fn send(mut self, peer: PeerId, body: Vec<u8>) {
        self.used = true;
        let _ = self.engine.send(Input::Command(Command::Respond { peer, id: self.id, body: Some(body) }));
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if !self.used {
            let _ = self.engine.send(Input::Command(Command::Respond { peer: self.peer, id: self.id, body: None }));
        }
    }
}

/// What the handle may look at without asking.
#[derive(Default)]
pub(crate) struct Shared {
    pub peers: Table,
    memory: Option<Port>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Shared {
    pub fn wire_bytes(&self) -> WireBytes {
        match &self.memory {
            Some(port) => port.wire_bytes(),
            None => {
                WireBytes { sent: self.sent.load(Ordering::Relaxed), received: self.received.load(Ordering::Relaxed) }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Call(u32, u32),
    Open(PeerId),
}

#[derive(Default)]
struct Peer {
    /// The life that its last request came from.
    life: Option<u32>,
    opening: Option<Opening>,
    /// The link that is used, of perhaps several.
    used: Option<LinkId>,
    /// The interface that its last announce came in on.
    via: Option<u64>,
}

struct Engine {
    node: Node,
    me: Identity,
    to_self: Sender<Input>,
    events: UnboundedSender<Event>,
    shared: Arc<Shared>,
    plugged: Plugged,
    announcer: Announcer,
    links: HashMap<LinkId, Link>,
    peers: HashMap<PeerId, Peer>,
    calls: Calls,
    dedupe: Dedupe,
    timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    interfaces_up: HashSet<u64>,
    swept: Instant,
}

/// Binds the interfaces, starts the library and the engine's thread.
pub(crate) async fn start(
    config: MeshConfig,
    events: UnboundedSender<Event>,
) -> Result<(Sender<Input>, Arc<Shared>, Bound), MeshError> {
    let mut prepared = interfaces::prepare(config.interfaces, &config.tuning).await?;
    let shared = Arc::new(Shared { memory: prepared.memory(), ..Shared::default() });
    let (sender, inputs) = mpsc::channel();
    let (ready, started) = oneshot::channel();
    let (to_self, shared_with) = (sender.clone(), shared.clone());
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        let folder = config.state_dir.display().to_string();
        let node = prepared.start_node(config.identity.clone(), &config.state_dir, to_self.clone());
        let node = match node {
            Ok(node) => node,
            Err(error) => {
                let _ = ready.send(Err(MeshError::Node(error.to_string(), folder)));
                return;
            }
        };
        let (plugged, bound) = prepared.plug_in(&node, &to_self, &runtime);
        let mut announcer = Announcer::new(config.announce_interval);
        announcer.set_gap(announce::gap(node.lowest_bitrate()));
        announcer.hold(plugged.reports_all());
        let engine = Engine {
            node,
            me: config.identity,
            to_self,
            events,
            shared: shared_with,
            plugged,
            announcer,
            links: HashMap::new(),
            peers: HashMap::new(),
            calls: Calls::new(),
            dedupe: Dedupe::default(),
            timers: BinaryHeap::new(),
            interfaces_up: HashSet::new(),
            swept: Instant::now(),
        };
        let _ = ready.send(Ok(bound));
        engine.run(&inputs);
    };
    thread::Builder::new()
        .name("akita-mesh".into())
        .spawn(run)
        .map_err(|error| MeshError::Node(error.to_string(), "the system's limit of threads".into()))?;
    let bound = started.await.map_err(|_| MeshError::Closed)??;
    Ok((sender, shared, bound))
}

impl Engine {
    fn run(mut self, inputs: &Receiver<Input>) {
        loop {
            let wait = self.next_timer().saturating_duration_since(Instant::now());
            let mut next = match inputs.recv_timeout(wait) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for _ in 0..BATCH {
                match next.take() {
                    Some(Input::Command(Command::Shutdown(done))) => return self.stop(done),
                    Some(input) => self.handle(input),
                    None => break,
                }
                next = inputs.try_recv().ok();
            }
            if let Some(Input::Command(Command::Shutdown(done))) = next {
                return self.stop(done);
            }
            if let Some(input) = next {
                self.handle(input);
            }
            self.run_timers();
        }
    }

    fn stop(self, done: Option<oneshot::Sender<()>>) {
        for (_, call) in self.calls.waiting {
            let _ = call.reply.send(Err(CallError::Closed));
        }
        for link in self.links.keys() {
            self.node.close(*link);
        }
        // The library waits for the last frames; only then may the sockets go.
        self.node.stop();
        self.plugged.close();
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    fn next_timer(&self) -> Instant {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let sweep = self.swept + SWEEP;
        [timer, self.announcer.next()].into_iter().flatten().fold(sweep, Instant::min)
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            match self.timers.pop() {
                Some(Reverse((_, Timer::Call(life, number)))) => self.call_due(CallId { life, number }, now),
                Some(Reverse((_, Timer::Open(peer)))) => self.opening_due(peer, now),
                None => {}
            }
        }
        if let Some(app_data) = self.announcer.take(now, rand::random()) {
            let _ = self.node.announce(app_data);
        }
        if now >= self.swept + SWEEP {
            self.swept = now;
            self.sweep(now);
        }
    }

    fn timer(&mut self, at: Instant, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Command(Command::Announce(app_data)) => self.announcer.set(app_data, now),
            Input::Command(Command::Call { peer, body, deadline, reply }) => {
                self.call(peer, &body, deadline, reply, now)
            }
            Input::Command(Command::Respond { peer, id, body }) => self.respond(peer, id, body, now),
            Input::Command(Command::Disconnect(peer)) => self.disconnect(peer),
            Input::Command(Command::Shutdown(_)) => {}
            Input::Attach(interface) => {
                if self.node.attach(&interface) {
                    self.plugged.attached(&self.node, &interface);
                }
            }
            Input::Happening(happening) => self.happened(happening, now),
        }
    }

    fn happened(&mut self, happening: Happening, now: Instant) {
        match happening {
            Happening::Announced { peer, public_key, app_data, hops, interface } => {
                self.announced(peer, public_key, app_data, hops, interface, now);
            }
            Happening::InterfaceUp(id) => self.interface_up(id, now),
            Happening::InterfaceDown(id) => self.interface_down(id, now),
            Happening::LinkUp { link, rtt, ours } => self.link_up(link, rtt, ours, now),
            Happening::LinkDown { link, closed_by_peer } => self.link_down(link, closed_by_peer, now),
            Happening::Identified { link, peer, public_key } => self.identified(link, peer, public_key, now),
            Happening::Request { link, request, data } => self.receive(link, Some(request), &data, false, now),
            Happening::Response { link, data } => self.receive(link, None, &data, false, now),
            Happening::Bulk { link, data } => self.receive(link, None, &data, true, now),
            Happening::BulkProgress { link, transfer } => self.bulk_progress(link, transfer, now),
            Happening::BulkSent { link, transfer } => self.bulk_over(link, transfer, true, now),
            Happening::BulkFailed { link, transfer } => self.bulk_over(link, transfer, false, now),
        }
    }

    fn announced(
        &mut self,
        peer: PeerId,
        public_key: [u8; 64],
        app_data: Vec<u8>,
        hops: u8,
        interface: u64,
        now: Instant,
    ) {
        // Through a shared instance a node hears itself.
        if peer == self.me.id() {
            return;
        }
        let new = self.shared.peers.update(peer, |record| {
            let new = record.app_data.is_none();
            record.public_key = Some(public_key);
            record.app_data = Some(app_data.clone());
            record.hops = Some(hops);
            record.heard = Some(now);
            new
        });
        self.peers.entry(peer).or_default().via = Some(interface);
        if new {
            // The newcomer has not heard this node: its interface was not up when the last announce was sent.
            self.announcer.want(now + WELCOME.mul_f64(rand::random()));
        }
        let _ = self.events.send(Event::Announced { peer, app_data, hops });
        self.path_found(peer, now);
    }

    fn interface_up(&mut self, id: u64, now: Instant) {
        self.interfaces_up.insert(id);
        self.announcer.hold(false);
        self.announcer.set_gap(announce::gap(self.node.lowest_bitrate()));
        self.announcer.want(now);
    }

    fn sweep(&mut self, now: Instant) {
        self.sweep_links(now);
        self.dedupe.forget_old(now);
        let (links, opening) = (&self.links, |peer: &Peer| peer.opening.is_some());
        let linked: HashSet<_> = links.values().filter_map(|link| link.peer).collect();
        let peers = &self.shared.peers;
        self.peers.retain(|id, peer| linked.contains(id) || opening(peer) || peers.read(*id, |_| ()).is_some());
        if let Some(bytes) = self.shared.memory.is_none().then(|| self.node.wire_bytes()).flatten() {
            self.shared.sent.store(bytes.sent, Ordering::Relaxed);
            self.shared.received.store(bytes.received, Ordering::Relaxed);
        }
    }
}
