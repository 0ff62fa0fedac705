//! What is there before a run and after it: nodes with their values, sensors and boxes, blobs, and children with their
//! results. Only state: `granted` says how a node behaves.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::kv::Entry;
use crate::mesh::{Message, Node, Peer};
use crate::sensors::Reading;
use crate::{Content, TaskError};

/// What answers a child task.
pub(crate) type Answer = Rc<dyn Fn(&Content) -> Result<Content, TaskError>>;

/// The nodes of a pretended cluster, and what they share.
pub(crate) struct World {
    pub nodes: Vec<FakeNode>,
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// By action.
    pub answers: BTreeMap<String, Answer>,
    /// Of the present task, in the order of their making.
    pub results: Vec<Result<Content, TaskError>>,
    /// How many of them this attempt has asked for.
    pub asked: usize,
    pub version: u64,
    /// What answers requests by HTTP.
    #[cfg(feature = "http")]
    pub server: Option<Server>,
}

/// What answers requests by HTTP.
#[cfg(feature = "http")]
pub(crate) type Server = Rc<dyn Fn(&crate::http::Request) -> Result<crate::http::Response, crate::http::Error>>;

/// One node.
pub(crate) struct FakeNode {
    pub node: Node,
    pub capabilities: Vec<String>,
    pub values: BTreeMap<String, Entry>,
    pub sensors: BTreeMap<String, Reading>,
    pub inbox: VecDeque<Message>,
}

impl World {
    /// Adds a node. Ids are given in order, so that tests can tell them.
    pub fn add(&mut self, name: &str, capabilities: &[&str]) {
        let capabilities = capabilities.iter().map(|capability| (*capability).into()).collect();
        let node = FakeNode::new(self.nodes.len() + 1, name, capabilities);
        self.nodes.push(node);
    }

    /// The place of a node by its name or id.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|other| other.node.name == name || other.node.id == name)
    }

    /// All nodes but one, as that one sees them.
    pub fn peers(&self, here: usize) -> Vec<Peer> {
        let others = self.nodes.iter().enumerate().filter(|(place, _)| *place != here);
        let peer = |other: &FakeNode| Peer {
            node: other.node.clone(),
            hops: Some(1),
            rtt_ms: Some(10),
            capabilities: other.capabilities.clone(),
        };
        others.map(|(_, other)| peer(other)).collect()
    }
}

impl FakeNode {
    fn new(number: usize, name: &str, capabilities: Vec<String>) -> Self {
        Self {
            node: Node { id: format!("{number:032x}"), name: name.into() },
            capabilities,
            values: BTreeMap::new(),
            sensors: BTreeMap::new(),
            inbox: VecDeque::new(),
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            nodes: vec![FakeNode::new(1, "here", Vec::new())],
            blobs: BTreeMap::new(),
            answers: BTreeMap::new(),
            results: Vec::new(),
            asked: 0,
            version: 0,
            #[cfg(feature = "http")]
            server: None,
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.node.name.as_str()).collect();
        f.debug_struct("World").field("nodes", &names).field("blobs", &self.blobs.len()).finish_non_exhaustive()
    }
}
