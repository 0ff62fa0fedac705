//! The node's plugins while it runs: the folder is watched, grants are read, what is ready is offered. It runs no plugin
//! and decides nothing about a task.

mod callers;
mod check;
mod folder;
mod grants;
pub mod hosts;
mod http;
mod keeper;
mod notes;
mod post;
mod quarantine;
mod queue;
mod reading;
mod sensors;
mod shelf;
pub mod signature;
mod trust;
mod wake;
mod workshop;

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use akita_core::{NodeId, wire::Took};
use akita_sandbox::{Candidate, Interface, Outcome, Plugin};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use callers::Caller;
pub use grants::{FILE_NAME as GRANTS_FILE, GrantsFile};
pub use keeper::{Keeper, Listeners, Start};
pub use post::Carrier;
pub use reading::Work;
pub use shelf::{Found, Item, NotAllowed, Seat, Shelf, Status, Verdict, hex};

use notes::Notes;
use post::Post;
use quarantine::{Sign, Tally};
use sensors::OperatorSensors;

use crate::view::NodeError;

/// Requests that wait for the keeper: it is asked by people.
const BACKLOG: usize = 16;

enum Request {
    /// Disables or enables a plugin; answered once that is kept and shown.
    Switch { name: String, on: bool, reply: oneshot::Sender<Result<(), NodeError>> },
    /// It crashed too often.
    Quarantine { hash: quarantine::Hash, reason: String },
}

/// What becomes of a plugin on a node that grants nothing.
pub fn judge_alone(plugin: &Candidate) -> Verdict {
    let (grants, notes) = (GrantsFile::default(), Notes::default());
    shelf::judge(shelf::Subject::of("", plugin, &trust::Seal::Missing), &grants, &notes)
}

/// A handle; clones are the same plugins.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    shelf: watch::Sender<Arc<Shelf>>,
    /// What is not on the shelf yet.
    work: Mutex<Vec<Work>>,
    requests: mpsc::Sender<Request>,
    tally: Mutex<Tally>,
    post: Arc<Post>,
    /// Checks of inputs that take long.
    checks: Arc<Semaphore>,
    sensors: Arc<OperatorSensors>,
}

impl Plugins {
    /// No plugin at all.
    #[cfg(test)]
    pub(crate) fn none() -> Plugins {
        Plugins::new(Shelf::default()).0
    }

    fn new(shelf: Shelf) -> (Plugins, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(BACKLOG);
        let shelf = watch::Sender::new(Arc::new(shelf));
        let (work, tally, post, sensors) = (Mutex::default(), Mutex::default(), Arc::default(), Arc::default());
        let checks = Arc::new(Semaphore::new(check::CHECKS_AT_ONCE));
        (Plugins(Arc::new(Inner { shelf, work, requests, tally, post, checks, sensors })), receiver)
    }

    /// The boxes of messages.
    fn post(&self) -> Arc<Post> {
        Arc::clone(&self.0.post)
    }

    /// Who brings plugins' messages to other nodes.
    pub fn set_carrier(&self, carrier: Weak<dyn Carrier>) {
        self.0.post.set_carrier(carrier);
    }

    /// Takes a message of another node for the plugin of that name, if it is ready and may have any.
    pub fn take_message(&self, sender: NodeId, plugin: &str, body: Vec<u8>) -> Took {
        if !self.shelf().is_granted(plugin, Interface::Mesh) {
            return Took::NoPlugin;
        }
        if self.0.post.put(plugin, sender, body, Instant::now()) { Took::Delivered } else { Took::Full }
    }

    /// The plugins as they stand.
    pub fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.0.shelf.borrow())
    }

    /// The files that are being compiled or wait for it, in their order.
    pub fn work(&self) -> Vec<Work> {
        self.0.work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show_work(&self, work: Vec<Work>) {
        *self.0.work.lock().unwrap_or_else(PoisonError::into_inner) = work;
    }

    /// What the operator exposes to plugins.
    pub fn sensors(&self) -> &Arc<OperatorSensors> {
        &self.0.sensors
    }

    fn replace(&self, shelf: Shelf) {
        self.tally().keep(|hash| shelf.catalog.plugins().iter().any(|plugin| plugin.hash() == hash));
        self.0.shelf.send_replace(Arc::new(shelf));
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a run of a plugin ended: one that crashes again and again is set aside.
    pub fn ran(&self, plugin: &Plugin, outcome: &Outcome) {
        if self.tally().note(plugin.hash(), Sign::of(outcome)) {
            let last = outcome.as_ref().err().map(|failure| failure.message.clone()).unwrap_or_default();
            let reason = format!("crashed {} times in a row; the last time: {last}", quarantine::MAX_CRASHES);
            // When the keeper is this far behind, the next five crashes ask again.
            let _ = self.0.requests.try_send(Request::Quarantine { hash: *plugin.hash(), reason });
        }
    }

    /// Enables or disables the plugin of that name; kept over restarts.
    ///
    /// # Errors
    /// There is no plugin of that name, or the node is stopping.
    pub async fn switch(&self, name: String, on: bool) -> Result<(), NodeError> {
        let (reply, answer) = oneshot::channel();
        let asked = self.0.requests.send(Request::Switch { name, on, reply }).await;
        asked.map_err(|_| NodeError::Stopping)?;
        answer.await.unwrap_or(Err(NodeError::Stopping))
    }
}
