//! The cluster as this node lives it: whom it has met, whom it admits, whom it follows or leads. It carries words
//! between nodes and the driver; which of two leaders gives way is decided in [`akita_core::membership`].

mod announce;
mod autopilot;
mod blobs;
mod books;
mod call;
mod cosign;
mod follow;
mod govern;
mod handover;
mod handshake;
mod island;
mod keyring;
mod keys;
mod lead;
mod merge;
mod results;
mod rotation;
mod serve;
mod tell;
mod voters;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak},
    time::{Duration, Instant},
};

use akita_core::{
    ClusterId, Command, EventType, NodeId,
    autopilot::Profile,
    membership::{self, Announcement},
    schedule::{Load, Offer},
    tuning::Tuning,
    wire::{Catalog, Remark, Standing},
};
use akita_mesh::{Event, Mesh, PeerId};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use books::{Books, Word};
pub use call::CallFailed;
pub use cosign::Contradiction;
pub use handover::MAX_OUTBOX;
pub use island::MAX_JOURNAL;
pub use keyring::{KEY_FILE, KeyFileError, Keyring, read as read_keys, write as write_keys};

use crate::{
    blobs::BlobShelf,
    consensus::Consensus,
    driver::Driver,
    executor::Executor,
    plugins::Plugins,
    resources::Resources,
    store::{Store, StoreError},
    view::NodeError,
};
use books::Known;

/// Requests from other nodes that are looked at at once: a flood waits on the mesh and not in memory.
const MAX_REQUESTS: usize = 256;

/// Questions for a task's end that wait for it: they cost little, and must not keep requests from being looked at.
const MAX_POLLS: usize = 4_096;

/// In the place of a leader where nobody leads, or nobody is known to.
pub const NOBODY: NodeId = NodeId([0; 16]);

/// What a cluster needs to start.
pub struct Start {
    /// This node.
    pub me: NodeId,
    /// Its name.
    pub name: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// Only holders of its keys are admitted.
    pub keys: Keyring,
    /// Patience.
    pub tuning: Tuning,
    /// Silence of the leader after which this node founds a cluster of its own.
    pub election_timeout: Duration,
    /// How often it announces itself while it knows nobody.
    pub discovery_interval: Duration,
    /// What this node offers.
    pub offer: Offer,
    /// Where it stands, from its own log.
    pub standing: Standing,
    /// Elections under its own log.
    pub term: u64,
    /// The mesh.
    pub mesh: Mesh,
    /// The loop.
    pub driver: Driver,
    /// Its log.
    pub consensus: Consensus,
    /// The timing of voters, where the operator chose one.
    pub profile: Option<Profile>,
    /// Most voters that this node takes when it leads; 1: it stays the only one.
    pub max_voters: usize,
    /// Silence after which another node takes a voter's place.
    pub voter_dead_after: Duration,
    /// Its books.
    pub store: Store,
    /// Its blobs.
    pub blobs: BlobShelf,
    /// Its slots.
    pub executor: Executor,
    /// Its plugins, for messages to them.
    pub plugins: Plugins,
    /// How busy the machine is.
    pub resources: watch::Receiver<Resources>,
    /// Differs each time that the process starts.
    pub incarnation: u32,
}

/// What this node offers, and what stands for it in announces and reports.
struct Offered {
    offer: Offer,
    digest: [u8; 8],
}

impl Offered {
    fn new(offer: Offer) -> Offered {
        let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let (capabilities, mut actions) = (words(&offer.capabilities), words(&offer.actions));
        actions.extend(offer.caps.iter().map(|(plugin, most)| format!("{plugin} at most {most}")));
        actions.extend(offer.versions.words());
        let digest =
            membership::catalog_digest(capabilities.iter().map(String::as_str), actions.iter().map(String::as_str));
        Offered { offer, digest }
    }
}

/// A handle; clones are the same cluster.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    me: NodeId,
    name: String,
    cluster_name: String,
    tag: [u8; 8],
    keys: Keyring,
    tuning: Tuning,
    election_timeout: Duration,
    discovery_interval: Duration,
    offered: RwLock<Arc<Offered>>,
    incarnation: u32,
    mesh: Mesh,
    driver: Driver,
    consensus: Consensus,
    profile: Option<Profile>,
    max_voters: usize,
    voter_dead_after: Duration,
    /// Nodes that are not to come back, as the state here says.
    banned: RwLock<BTreeSet<NodeId>>,
    store: Store,
    blobs: BlobShelf,
    executor: Executor,
    plugins: Plugins,
    resources: watch::Receiver<Resources>,
    books: OnceLock<Weak<dyn Books>>,
    standing: watch::Sender<Standing>,
    /// The leader did not answer lately, or its link was lost: submissions need not wait to find that out again.
    leader_silent: watch::Sender<bool>,
    known: Mutex<Known>,
    /// One change of sides at a time.
    moving: tokio::sync::Mutex<()>,
    /// One change of the voters at a time.
    governing: tokio::sync::Mutex<()>,
    /// One step of a change of the key at a time.
    keying: tokio::sync::Mutex<()>,
    /// One round of signatures at a time.
    cosigning: tokio::sync::Mutex<()>,
    /// Something that the leader should hear of soon.
    report_now: Notify,
    /// The leader answers: what waits here may be brought to it.
    deliver_now: Notify,
    /// Tasks that run here without a leader.
    island: island::Gate,
    requests: Arc<Semaphore>,
    polls: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Outcomes on their way to other nodes.
    deliveries: TaskTracker,
    stop: CancellationToken,
}

impl Cluster {
    /// The cluster of a node that has just started; [`Cluster::run`] makes it live.
    pub fn new(start: Start) -> Cluster {
        let mut known = Known { term: start.term, ..Known::default() };
        known.remember_led(start.standing);
        Cluster(Arc::new(Inner {
            me: start.me,
            name: start.name,
            tag: membership::cluster_tag(&start.cluster_name),
            cluster_name: start.cluster_name,
            keys: start.keys,
            tuning: start.tuning,
            election_timeout: start.election_timeout,
            discovery_interval: start.discovery_interval,
            offered: RwLock::new(Arc::new(Offered::new(start.offer))),
            incarnation: start.incarnation,
            mesh: start.mesh,
            driver: start.driver,
            consensus: start.consensus,
            profile: start.profile,
            max_voters: start.max_voters,
            voter_dead_after: start.voter_dead_after,
            banned: RwLock::default(),
            store: start.store,
            blobs: start.blobs,
            executor: start.executor,
            plugins: start.plugins,
            resources: start.resources,
            books: OnceLock::new(),
            standing: watch::Sender::new(start.standing),
            leader_silent: watch::Sender::new(false),
            known: Mutex::new(known),
            moving: tokio::sync::Mutex::new(()),
            governing: tokio::sync::Mutex::new(()),
            keying: tokio::sync::Mutex::new(()),
            cosigning: tokio::sync::Mutex::new(()),
            report_now: Notify::new(),
            deliver_now: Notify::new(),
            island: island::Gate::new(),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            polls: Arc::new(Semaphore::new(MAX_POLLS)),
            tasks: TaskTracker::new(),
            deliveries: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Who answers other nodes' questions about this node's books. Weak, because the books know the cluster.
    pub fn set_books(&self, books: Weak<dyn Books>) {
        let _ = self.0.books.set(books);
    }

    /// Has the scheduler know this node's own slots: from now on it can be asked for what it offers.
    pub async fn begin(&self) {
        self.recall_voters().await;
        self.offer_own_slots().await;
    }

    /// Announces, listens, follows and leads until stopped; after [`Cluster::begin`].
    pub async fn run(&self, mut events: mpsc::UnboundedReceiver<Event>) {
        self.announce();
        self.keep(|cluster| async move { cluster.follow().await });
        self.keep(|cluster| async move { cluster.carry().await });
        self.keep(|cluster| async move { cluster.lead().await });
        self.keep(|cluster| async move { cluster.keep_standing().await });
        self.keep(|cluster| async move { cluster.pilot().await });
        self.keep(|cluster| async move { cluster.keep_keys().await });
        self.keep(|cluster| async move { cluster.keep_merging().await });
        self.keep(|cluster| async move { cluster.gather_signatures().await });
        self.keep(|cluster| async move { cluster.tend_island().await });
        self.keep(|cluster| async move { cluster.tell_of_room().await });
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => break,
                event = events.recv() => match event {
                    Some(event) => self.event(event).await,
                    None => break,
                },
            }
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Runs one of the loops, which end with the cluster.
    fn keep<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Cluster) -> F) {
        self.0.tasks.spawn(work(self.clone()));
    }

    /// Tells the leader, if it is another, that this node takes nothing more.
    pub async fn leave(&self) {
        if !self.leads() {
            let _ = self.report(true).await;
        }
    }

    /// This node's slots.
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// Ends [`Cluster::run`].
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Where this node stands.
    pub fn standing(&self) -> Standing {
        *self.0.standing.borrow()
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.standing().leader == self.0.me
    }

    /// The cluster's name.
    pub fn cluster_name(&self) -> &str {
        &self.0.cluster_name
    }

    /// Whether anybody may join.
    pub fn is_open(&self) -> bool {
        !self.0.keys.is_set()
    }

    /// What this node offers.
    pub fn offer(&self) -> Offer {
        self.offered().offer.clone()
    }

    /// Offers something else from now on, and tells everybody: the scheduler of this node, its leader, the mesh.
    pub async fn set_offer(&self, offer: Offer) {
        if self.offered().offer == offer {
            return;
        }
        // Before it is shown, so that who sees an action can submit it; and again below, should this node have founded
        // a cluster in between.
        self.0.driver.worker_up(self.0.me, offer.clone(), self.own_load()).await;
        *self.0.offered.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Offered::new(offer));
        {
            let mut known = self.known();
            known.version = known.version.wrapping_add(1);
        }
        self.offer_own_slots().await;
        self.announce();
        self.0.report_now.notify_one();
    }

    fn offered(&self) -> Arc<Offered> {
        Arc::clone(&self.0.offered.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn catalog(&self) -> Catalog {
        let Offered { offer, digest } = &*self.offered();
        Catalog {
            digest: *digest,
            capabilities: offer.capabilities.iter().cloned().collect(),
            actions: offer.actions.iter().cloned().collect(),
            caps: offer.caps.iter().map(|(plugin, most)| (plugin.clone(), *most)).collect(),
            versions: offer.versions.pack(&offer.actions),
            slots: offer.slots,
        }
    }

    fn own_load(&self) -> Load {
        let resources = self.0.resources.borrow();
        let total = resources.memory_total.max(1);
        let memory_percent = u8::try_from(resources.memory_used.saturating_mul(100) / total).unwrap_or(100).min(100);
        // A float between 0 and 100; the cast saturates.
        let parked = u16::try_from(self.0.executor.parked()).unwrap_or(u16::MAX);
        Load { cpu_percent: resources.cpu_percent.round() as u8, memory_percent, rtt_ms: 0, parked }
    }

    /// Tells whoever leads at once that tasks here wait for others and take no slot: it may be their children that wait.
    async fn tell_of_room(&self) {
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = self.0.executor.parks() => {}
            }
            self.0.driver.worker_load(self.0.me, self.own_load()).await;
            self.0.report_now.notify_one();
        }
    }

    async fn offer_own_slots(&self) {
        self.0.driver.worker_up(self.0.me, self.offer(), self.own_load()).await;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        let announcement = Announcement {
            tag: self.0.tag,
            standing: self.standing(),
            established: self.is_established(),
            digest: self.offered().digest,
            name: self.0.name.clone(),
        };
        if let Err(error) = self.0.mesh.announce(announcement.encode()) {
            tracing::warn!(%error, "the node could not announce itself");
        }
    }

    /// Takes a new stand and tells everybody.
    fn stand(&self, standing: Standing) {
        let changed = self.0.standing.send_if_modified(|old| std::mem::replace(old, standing) != standing);
        if changed {
            if standing.leader != NOBODY {
                self.known().remember_led(standing);
            }
            self.0.leader_silent.send_replace(false);
            tracing::info!(leader = %standing.leader, cluster = %standing.cluster, leads = self.leads(), "the cluster has a leader");
            self.announce();
            self.0.report_now.notify_one();
        }
    }

    /// Founds a cluster that this node leads.
    async fn found(&self, why: &str) {
        let _one = self.0.moving.lock().await;
        if self.leads() || !self.may_found() {
            return;
        }
        tracing::info!(why, "this node founds a cluster of its own");
        let Ok(id) = new_cluster_id(&self.0.cluster_name, self.0.me) else { return };
        let command = Command::Found { id, name: self.0.cluster_name.clone(), founder: self.0.me };
        if self.0.driver.commit(vec![command]).await.is_ok() {
            self.known().term += 1;
            self.offer_own_slots().await;
            self.stand(Standing { cluster: id, leader: self.0.me });
        }
    }

    /// Writes a row of the ledger: the voters' where this node is one of them, else its own.
    pub async fn record(&self, event: EventType, node: NodeId, details: Vec<(String, String)>) {
        if self.role().is_voter() && !self.leads() {
            // Who is just being greeted may have to greet the leader for it, and does not wait for that.
            self.0.tasks.spawn(self.clone().remark(Remark { event, node, details }));
            return;
        }
        let _ = self.0.driver.commit(vec![Command::Record { event, node, details }]).await;
    }

    async fn event(&self, event: Event) {
        match event {
            Event::Announced { peer, app_data, hops } => self.heard(node_of(peer), &app_data, hops),
            Event::Connected { peer } => tracing::debug!(%peer, "a link is up"),
            Event::Disconnected { peer } => self.disconnected(node_of(peer)),
            Event::Request(request) => {
                let Ok(permit) = Arc::clone(&self.0.requests).acquire_owned().await else { return };
                let cluster = self.clone();
                self.0.tasks.spawn(async move {
                    let answer = cluster.serve(node_of(request.peer), &request.body, permit).await;
                    request.respond(crate::program::shaped(answer));
                });
            }
        }
    }

    fn disconnected(&self, node: NodeId) {
        if let Some(peer) = self.known().peers.get_mut(&node) {
            peer.lost_link = Some(Instant::now());
        }
        if self.standing().leader == node {
            self.0.leader_silent.send_replace(true);
            self.0.report_now.notify_one();
        }
    }

    /// The nodes that work for this leader and answer.
    pub fn members(&self) -> BTreeSet<NodeId> {
        let online = |peer: &books::Peer| peer.member.as_ref().is_some_and(|member| member.online);
        self.known().peers.iter().filter(|(_, peer)| online(peer)).map(|(node, _)| *node).collect()
    }
}

/// A fresh id for a cluster that `founder` founds.
///
/// # Errors
/// The system has no randomness.
pub fn new_cluster_id(name: &str, founder: NodeId) -> Result<ClusterId, getrandom::Error> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(ClusterId::found(name, founder, nonce))
}

/// The store's failure where a caller is told of it.
fn internal(error: StoreError) -> NodeError {
    NodeError::Internal(error.to_string())
}

/// A node's id from its mesh identity: the same sixteen bytes.
pub fn node_of(peer: PeerId) -> NodeId {
    NodeId(peer.0)
}

/// The other way.
pub fn peer_of(node: NodeId) -> PeerId {
    PeerId(node.0)
}
