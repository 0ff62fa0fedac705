//! What the keeper is asked for: plugins set aside and taken back, by the operator or after too many crashes.

use std::sync::Arc;

use akita_sandbox::Candidate;

use super::{Keeper, Listeners};
use crate::{
    config::nearest,
    plugins::{Request, reading::Entry, shelf::hex},
    view::NodeError,
};

impl Keeper {
    pub(super) async fn request(&mut self, request: Request, listeners: &Listeners) -> bool {
        match request {
            Request::Quarantine { hash, reason } => {
                tracing::warn!(hash = hex(&hash), reason, "a plugin is quarantined");
                self.notes.quarantined.insert(hex(&hash), reason).is_none()
            }
            Request::Switch { name, on, reply } => {
                let done = self.switch(&name, on).await;
                if done.is_ok() {
                    // Answered when it is so: whoever asked looks at once.
                    self.arrange().await;
                    self.tell(listeners).await;
                }
                let _ = reply.send(done);
                false
            }
        }
    }

    async fn switch(&mut self, name: &str, on: bool) -> Result<(), NodeError> {
        let plugins: Vec<&Arc<Candidate>> = self.files.values().filter_map(Entry::plugin).collect();
        let meant = |plugin: &Candidate| plugin.name() == name || plugin.full_name() == name;
        // One whose file is gone can still be enabled, so that it is when it comes back.
        let is_known = plugins.iter().any(|plugin| meant(plugin)) || on && self.notes.disabled.contains(name);
        if !is_known {
            let names = plugins.iter().flat_map(|plugin| [plugin.name().to_owned(), plugin.full_name()]);
            return Err(NodeError::NoSuchPlugin { name: name.to_owned(), near: nearest(name, names) });
        }
        let before = self.notes.clone();
        if on {
            // A name without a version stands for all of them.
            let of_it = |one: &String| one == name || one.split('@').next() == Some(name);
            self.notes.disabled.retain(|one| !of_it(one));
            for plugin in plugins.iter().filter(|plugin| meant(plugin)) {
                self.notes.quarantined.remove(&hex(plugin.hash()));
            }
        } else {
            self.notes.disabled.insert(name.to_owned());
        }
        if let Err(error) = self.notes.keep(&self.store).await {
            self.notes = before;
            return Err(NodeError::Internal(format!("the database cannot be written: {error}")));
        }
        Ok(())
    }
}
