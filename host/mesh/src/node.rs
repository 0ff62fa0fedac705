//! The Reticulum library, behind two types: `Node` to ask it, `Happening` to hear from it.
//!
//! Never decides anything. A callback runs on the library's driver thread, where asking the node would block it for
//! ever, so each does one non-blocking send and returns.

use std::collections::HashSet;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rns_core::destination::destination_hash;
use rns_core::transport::types::{IngressControlConfig, PacketHashlistAllocation};
use rns_net::event::EventSender;
use rns_net::resource::{ResourceReceiveMode, ResourceTransferError, ResourceTransferId};
use rns_net::{
    AnnouncedIdentity, Callbacks, DestHash, Destination, IdentityHash, InterfaceId, NodeConfig, PacketHash,
    QueryRequest, QueryResponse, RnsNode, RuntimeConfigValue, SendError, TeardownReason,
};

use crate::engine::Input;
use crate::frame;
use crate::link::LinkId;
use crate::{Identity, MAX_BODY, PeerId, WireBytes};

/// Name of the Reticulum destination of every Akita node: `akita.node`.
const APP: &str = "akita";
const ASPECTS: [&str; 1] = ["node"];

/// Path of all requests; what they mean is in the frame.
const PATH: &str = "a";

/// Largest request that the library takes as one packet: the largest link packet, and room for its envelope.
const MAX_PACKET_REQUEST: usize = 96 * 1024;

/// Room for the frame around a largest body.
const MAX_RESOURCE: u64 = MAX_BODY as u64 + 64;

/// The library's number for "ask the callback before taking a resource".
const ASK_BEFORE_RESOURCES: u8 = 2;

/// The driver's turns are shorter than a millisecond.
const FLUSH: Duration = Duration::from_millis(20);

/// Time between two turns of the library's clock, which passes announces on. Its default of a second would be most of
/// the time that nodes behind a relay need to find each other.
const TICK_MS: u64 = 250;

/// A transfer of a large frame.
pub(crate) type Transfer = ResourceTransferId;

/// What the library reports.
#[derive(Debug)]
pub(crate) enum Happening {
    Announced { peer: PeerId, public_key: [u8; 64], app_data: Vec<u8>, hops: u8, interface: u64 },
    InterfaceUp(u64),
    InterfaceDown(u64),
    LinkUp { link: LinkId, rtt: Duration, ours: bool },
    LinkDown { link: LinkId, closed_by_peer: bool },
    Identified { link: LinkId, peer: PeerId, public_key: [u8; 64] },
    Request { link: LinkId, request: [u8; 16], data: Vec<u8> },
    Response { link: LinkId, data: Vec<u8> },
    Bulk { link: LinkId, data: Vec<u8> },
    BulkProgress { link: LinkId, transfer: Transfer },
    BulkSent { link: LinkId, transfer: Transfer },
    BulkFailed { link: LinkId, transfer: Transfer },
}

/// Links whose other end is known, for the one decision that has to be made on the driver thread.
type Known = Arc<Mutex<HashSet<LinkId>>>;

/// How the library is to be started.
pub(crate) enum Start {
    /// No interfaces of the library's own; ours are plugged in.
    Bare {
        /// Pass on what others send to each other.
        relay: bool,
    },
    /// As a client of the Reticulum instance that runs on this machine and uses this folder's settings.
    Shared(Option<PathBuf>),
    /// With the interfaces in this folder's configuration.
    Folder(PathBuf),
}

pub(crate) struct Node {
    rns: RnsNode,
    identity: Identity,
    destination: Destination,
    known: Known,
}

/// The destination of a peer: what announces name and links are opened to.
pub(crate) fn destination_of(peer: PeerId) -> [u8; 16] {
    destination_hash(APP, &ASPECTS, Some(&peer.0))
}

impl Node {
    pub fn start(how: Start, identity: Identity, state: &Path, to: Sender<Input>) -> io::Result<Self> {
        let known = Known::default();
        let destination = Destination::single_in(APP, &ASPECTS, IdentityHash(identity.id().0));
        let callbacks = Box::new(Reporter { to: to.clone(), known: known.clone() });
        let rns = match how {
            Start::Bare { relay } => RnsNode::start(bare(&identity, relay, state), callbacks)?,
            Start::Shared(folder) => RnsNode::connect_shared_from_config(folder.as_deref(), callbacks)?,
            Start::Folder(folder) => RnsNode::from_config(Some(&folder), callbacks)?,
        };
        rns.set_tick_interval(TICK_MS);
        let node = Self { rns, identity, destination, known };
        node.listen(to).map_err(|_| io::Error::other("its driver stopped at once"))?;
        Ok(node)
    }

    fn listen(&self, to: Sender<Input>) -> Result<(), SendError> {
        let (hash, private, public) =
            (self.destination.hash.0, self.identity.private_key(), self.identity.public_key());
        let half = |key: [u8; 64]| -> [u8; 32] { key[32..].try_into().expect("64 - 32 = 32") };
        self.rns.register_destination(hash, rns_core::constants::DESTINATION_SINGLE)?;
        self.rns.register_link_destination_with_max_request_size(
            hash,
            half(private),
            half(public),
            ASK_BEFORE_RESOURCES,
            Some(MAX_PACKET_REQUEST),
        )?;
        self.rns.register_deferred_request_handler(PATH, None, move |link, _, request, data, _| {
            if let Some(data) = frame::unwrap(data) {
                let _ = to.send(Input::Happening(Happening::Request { link, request, data: data.to_vec() }));
            }
        })
    }

    /// Where interfaces of ours report.
    pub fn events(&self) -> EventSender {
        self.rns.event_sender().clone()
    }

    pub fn announce(&self, app_data: &[u8]) -> Result<(), SendError> {
        self.rns.announce_queued(&self.destination, self.identity.keys(), Some(app_data))
    }

    pub fn request_path(&self, peer: PeerId) -> Result<(), SendError> {
        self.rns.request_path(&DestHash(destination_of(peer)))
    }

    /// Forgets the way to a peer, so that the next one heard of is taken even if it is longer.
    pub fn forget_path(&self, peer: PeerId) {
        let _ = self.rns.query(QueryRequest::DropPath { dest_hash: destination_of(peer) });
    }

    pub fn has_path(&self, peer: PeerId) -> bool {
        self.rns.has_path(&DestHash(destination_of(peer))).unwrap_or(false)
    }

    /// A peer's public keys from announces of earlier runs.
    pub fn recall(&self, peer: PeerId) -> Option<[u8; 64]> {
        let known = self.rns.recall_identity(&DestHash(destination_of(peer))).ok().flatten()?;
        (known.identity_hash.0 == peer.0).then_some(known.public_key)
    }

    /// Begins a link to a peer that a path leads to. Reports `LinkUp` or `LinkDown`.
    pub fn open(&self, peer: PeerId, public_key: &[u8; 64]) -> Result<LinkId, SendError> {
        let signing = public_key[32..].try_into().expect("64 - 32 = 32");
        self.rns.create_link(destination_of(peer), signing)
    }

    /// Lets the other end of a link know who this is.
    pub fn identify(&self, link: LinkId) {
        let _ = self.rns.identify_on_link(link, self.identity.private_key());
    }

    /// Takes large frames on this link, whose other end is known.
    pub fn trust(&self, link: LinkId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(link);
        let _ = self.rns.set_resource_strategy(link, ASK_BEFORE_RESOURCES);
        let _ = self.rns.set_resource_receive_mode(link, ResourceReceiveMode::Memory { max_bytes: MAX_RESOURCE });
    }

    /// Forgets a link that is down.
    pub fn forget(&self, link: LinkId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&link);
    }

    pub fn close(&self, link: LinkId) {
        let _ = self.rns.teardown_link(link);
    }

    /// Largest request in bytes that fits one packet of the link.
    pub fn packet_limit(&self, link: LinkId) -> Option<usize> {
        self.rns.query_link(link).ok().flatten().map(|info| info.mdu)
    }

    /// Sends a frame as one packet.
    pub fn send(&self, link: LinkId, frame: &[u8]) {
        let _ = self.rns.send_request(link, PATH, &frame::wrap(frame));
    }

    /// Sends a frame as the response to a request, which is a few bytes shorter.
    pub fn respond(&self, link: LinkId, request: [u8; 16], frame: &[u8]) {
        let _ = self.rns.send_deferred_response(link, request, frame::wrap(frame));
    }

    /// Sends a frame of any size. Reports `BulkSent` or `BulkFailed`.
    pub fn send_bulk(&self, link: LinkId, frame: Vec<u8>, compress: bool) -> Result<Transfer, SendError> {
        let length = frame.len() as u64;
        self.rns.send_resource_reader(link, Cursor::new(frame), length, None, compress)
    }

    /// Bit rate of the interface that leads to a peer, where it has one.
    pub fn bitrate_to(&self, peer: PeerId) -> Option<u64> {
        let next = QueryRequest::NextHop { dest_hash: destination_of(peer) };
        let Ok(QueryResponse::NextHop(Some(next))) = self.rns.query(next) else { return None };
        let stats = self.interfaces()?;
        stats.interfaces.iter().find(|interface| interface.id == next.interface.0)?.bitrate
    }

    /// Bit rate of the slowest interface.
    pub fn lowest_bitrate(&self) -> Option<u64> {
        self.rns.lowest_interface_bitrate().ok().flatten()
    }

    /// Names of the interfaces that are registered.
    pub fn interface_names(&self) -> Vec<String> {
        self.interfaces().map_or_else(Vec::new, |stats| stats.interfaces.into_iter().map(|i| i.name).collect())
    }

    pub fn wire_bytes(&self) -> Option<WireBytes> {
        self.interfaces().map(|stats| WireBytes { sent: stats.total_txb, received: stats.total_rxb })
    }

    fn interfaces(&self) -> Option<rns_net::InterfaceStatsResponse> {
        match self.rns.query(QueryRequest::InterfaceStats) {
            Ok(QueryResponse::InterfaceStats(stats)) => Some(stats),
            _ => None,
        }
    }

    /// Starts an interface of the configuration that was left out at the start.
    pub fn attach(&self, interface: &str) -> bool {
        matches!(self.rns.attach_interface(interface), Ok(Some(true)))
    }

    /// Switches an interface's holding back of announces off.
    pub fn allow_announces(&self, interface: &str) {
        let _ = self.rns.query(QueryRequest::SetRuntimeConfig {
            key: format!("interface.{interface}.ingress_control"),
            value: RuntimeConfigValue::Bool(false),
        });
    }

    /// Lets the last frames out and stops.
    pub fn stop(self) {
        // An answer means that everything before it was handled; the driver writes to sockets before it next waits,
        // but not between its last event and its end.
        let _ = self.interfaces();
        std::thread::sleep(FLUSH);
        self.rns.shutdown();
    }
}

fn bare(identity: &Identity, relay: bool, state: &Path) -> NodeConfig {
    NodeConfig {
        transport_enabled: relay,
        identity: Some(rns_crypto::identity::Identity::from_private_key(&identity.private_key())),
        cache_dir: Some(state.join("cache")),
        // A megabyte or less where it is not full, instead of eight.
        packet_hashlist_allocation: PacketHashlistAllocation::Lazy,
        // Holding announces back would keep nodes that start together from finding each other for a minute.
        ingress_control_defaults: IngressControlConfig::disabled(),
        ..NodeConfig::default()
    }
}

struct Reporter {
    to: Sender<Input>,
    known: Known,
}

impl Reporter {
    fn tell(&self, happening: Happening) {
        let _ = self.to.send(Input::Happening(happening));
    }
}

impl Callbacks for Reporter {
    fn on_announce(&mut self, announced: AnnouncedIdentity) {
        let peer = PeerId(announced.identity_hash.0);
        // The library reports the announces of all applications.
        if announced.dest_hash.0 == destination_of(peer) {
            self.tell(Happening::Announced {
                peer,
                public_key: announced.public_key,
                app_data: announced.app_data.unwrap_or_default(),
                hops: announced.hops,
                interface: announced.receiving_interface.0,
            });
        }
    }

    fn on_path_updated(&mut self, _: DestHash, _: u8) {}

    fn on_local_delivery(&mut self, _: DestHash, _: Vec<u8>, _: PacketHash) {}

    fn on_interface_up(&mut self, id: InterfaceId) {
        self.tell(Happening::InterfaceUp(id.0));
    }

    fn on_interface_down(&mut self, id: InterfaceId) {
        self.tell(Happening::InterfaceDown(id.0));
    }

    fn on_link_established(&mut self, link: rns_net::LinkId, _: DestHash, rtt: f64, ours: bool) {
        let rtt = Duration::try_from_secs_f64(rtt).unwrap_or_default();
        self.tell(Happening::LinkUp { link: link.0, rtt, ours });
    }

    fn on_link_closed(&mut self, link: rns_net::LinkId, reason: Option<TeardownReason>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&link.0);
        let closed_by_peer = !matches!(reason, None | Some(TeardownReason::Timeout));
        self.tell(Happening::LinkDown { link: link.0, closed_by_peer });
    }

    fn on_remote_identified(&mut self, link: rns_net::LinkId, peer: IdentityHash, public_key: [u8; 64]) {
        self.tell(Happening::Identified { link: link.0, peer: PeerId(peer.0), public_key });
    }

    fn on_response(&mut self, link: rns_net::LinkId, _: [u8; 16], data: Vec<u8>) {
        if let Some(data) = frame::unwrap(&data) {
            self.tell(Happening::Response { link: link.0, data: data.to_vec() });
        }
    }

    fn on_resource_accept_query(&mut self, link: rns_net::LinkId, _: Vec<u8>, size: u64, _: bool) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The size on the wire; encryption adds less than a thousandth and a compressed one is smaller.
        size <= MAX_RESOURCE + MAX_RESOURCE / 64 && known.contains(&link.0)
    }

    fn on_resource_received(&mut self, link: rns_net::LinkId, data: Vec<u8>, _: Option<Vec<u8>>) {
        self.tell(Happening::Bulk { link: link.0, data });
    }

    fn on_resource_stream_progress(&mut self, link: rns_net::LinkId, transfer: Transfer, _: u64, _: u64) {
        self.tell(Happening::BulkProgress { link: link.0, transfer });
    }

    fn on_resource_stream_completed(&mut self, link: rns_net::LinkId, transfer: Transfer) {
        self.tell(Happening::BulkSent { link: link.0, transfer });
    }

    fn on_resource_stream_failed(&mut self, link: rns_net::LinkId, transfer: Transfer, _: ResourceTransferError) {
        self.tell(Happening::BulkFailed { link: link.0, transfer });
    }
}
