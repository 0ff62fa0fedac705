//! What is behind the interfaces that a plugin was granted, put together for this node. It decides no grant.

use std::sync::Arc;

use akita_sandbox::{Candidate, Grants, Hosts, Interface, LoadError, Plugin, Sandbox};
use tokio::sync::watch;

use super::{
    grants::{DEFAULT_BLOB_QUOTA, DEFAULT_KV_QUOTA, Terms},
    hosts::{PluginBlobs, PluginKv, PluginSensors},
    http::{DEFAULT_RESPONSE_BYTES, PluginHttp},
    post::{PluginMesh, Post},
    sensors::OperatorSensors,
    shelf::Maker,
};
use crate::{
    blobs::{Blobs, Owner},
    resources::Resources,
    store::Store,
};

/// Puts plugins together for this node.
pub(super) struct Workshop {
    pub(super) sandbox: Sandbox,
    pub(super) store: Store,
    pub(super) resources: watch::Receiver<Resources>,
    pub(super) sensors: Arc<OperatorSensors>,
    pub(super) blobs: Blobs,
    pub(super) post: Arc<Post>,
}

impl Maker for Workshop {
    fn link(&self, candidate: &Arc<Candidate>, grants: Grants) -> Result<Arc<Plugin>, LoadError> {
        self.sandbox.link(candidate, grants)
    }

    fn hosts(&self, plugin: &str, terms: &Terms) -> Hosts {
        let mut hosts = Hosts::default();
        if terms.granted().has(Interface::Kv) {
            let quota = terms.kv_quota_bytes.unwrap_or(DEFAULT_KV_QUOTA);
            hosts.kv = Some(Arc::new(PluginKv { store: self.store.clone(), plugin: plugin.to_owned(), quota }));
        }
        if terms.granted().has(Interface::Blobs) {
            let quota = Some(terms.blob_quota_bytes.unwrap_or(DEFAULT_BLOB_QUOTA));
            let owner = Owner { name: plugin.to_owned(), quota };
            hosts.blobs = Some(Arc::new(PluginBlobs { blobs: self.blobs.clone(), owner }));
        }
        if terms.granted().has(Interface::Http) {
            let named = terms.hosts.clone().unwrap_or_else(|| Arc::new([]));
            hosts.http = Some(Arc::new(PluginHttp::new(plugin.to_owned(), named, DEFAULT_RESPONSE_BYTES)));
        }
        if terms.granted().has(Interface::Sensors) {
            let (machine, operator) = (self.resources.clone(), Arc::clone(&self.sensors));
            hosts.sensors = Some(Arc::new(PluginSensors { machine, operator, only: terms.sensors.clone() }));
        }
        if terms.granted().has(Interface::Mesh) {
            hosts.mesh = Some(Arc::new(PluginMesh { post: Arc::clone(&self.post), plugin: plugin.to_owned() }));
        }
        hosts
    }
}
