//! The node behind the HTTP API.

use std::time::Duration;

use akita_core::{ClusterId, KeyPrint, NodeId, Status, TaskId, wire::Wish};
use tracing::Level;

use super::{Node, convert};
use crate::{
    api::{Backend, LedgerFilter},
    blobs::BlobId,
    proof::{HeadView, KeyList, RangeProof, RowProof, RowsPage},
    reading::Reading,
    store::LedgerQuery,
    telemetry::LogLine,
    view::{
        BlobList, BlobPut, ClusterView, GovernedView, JournalView, KeyView, LedgerPage, MembersView, NewTask,
        NodeError, OutputView, PluginList, StatusView, SubmittedView, SwitchedView, TaskList, TaskView, VerifyView,
    },
};

impl Backend for Node {
    async fn submit(&self, tasks: Vec<NewTask>, key: Option<KeyPrint>) -> Result<Vec<SubmittedView>, NodeError> {
        Node::submit(self, tasks, key).await
    }

    async fn task(&self, id: TaskId, wait: Duration, reading: Reading) -> Result<Option<TaskView>, NodeError> {
        Node::task(self, id, wait, reading).await
    }

    async fn output(
        &self,
        id: TaskId,
        attempt: u32,
        offset: u64,
        wait: Duration,
    ) -> Result<Option<OutputView>, NodeError> {
        Node::output(self, id, attempt, offset, wait).await
    }

    async fn tasks(&self, status: Option<Status>, limit: u32, reading: Reading) -> Result<TaskList, NodeError> {
        self.list(status, limit, reading).await
    }

    async fn ledger(&self, filter: LedgerFilter, reading: Reading) -> Result<LedgerPage, NodeError> {
        let LedgerFilter { limit, offset, event, task, local } = filter;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Node::ledger(self, LedgerQuery { limit, offset, event, task }, local, reading).await
    }

    async fn verify(&self, local: bool) -> Result<VerifyView, NodeError> {
        Node::verify(self, local).await
    }

    async fn ledger_head(&self, local: bool) -> Result<HeadView, NodeError> {
        Node::ledger_head(self, local).await
    }

    async fn ledger_rows(&self, from: u64, limit: u32, local: bool) -> Result<RowsPage, NodeError> {
        Node::ledger_rows(self, from, limit, local).await
    }

    async fn prove_row(&self, index: u64, local: bool) -> Result<RowProof, NodeError> {
        Node::prove_row(self, index, local).await
    }

    async fn prove_range(&self, from: u64, to: u64, local: bool) -> Result<RangeProof, NodeError> {
        Node::prove_range(self, from, to, local).await
    }

    async fn journal(&self, limit: u32) -> Result<JournalView, NodeError> {
        Node::journal(self, limit).await
    }

    fn ledger_keys(&self) -> KeyList {
        Node::ledger_keys(self)
    }

    async fn cluster(&self, reading: Reading) -> Result<ClusterView, NodeError> {
        self.cluster_view(reading).await
    }

    async fn members(&self, reading: Reading) -> Result<MembersView, NodeError> {
        Node::members(self, reading).await
    }

    async fn govern(&self, wish: Wish, node: NodeId) -> Result<GovernedView, NodeError> {
        Node::govern(self, wish, node).await
    }

    async fn leave(&self) -> Result<GovernedView, NodeError> {
        Node::leave(self).await
    }

    async fn force_new(&self) -> Result<GovernedView, NodeError> {
        Node::force_new(self).await
    }

    async fn cluster_key(&self) -> Result<KeyView, NodeError> {
        Node::cluster_key(self).await
    }

    async fn rotate_key(&self, grace: Duration) -> Result<GovernedView, NodeError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        Node::govern(self, Wish::RotateKey { grace_ms }, self.me).await
    }

    async fn merge(&self, into: ClusterId) -> Result<GovernedView, NodeError> {
        Node::govern(self, Wish::Merge { into }, self.me).await
    }

    async fn plugins(&self) -> Result<PluginList, NodeError> {
        Ok(convert::plugins(&self.plugins.shelf(), &self.plugins.work()))
    }

    async fn switch_plugin(&self, name: String, on: bool) -> Result<SwitchedView, NodeError> {
        self.plugins.switch(name.clone(), on).await?;
        Ok(convert::switched(name, &self.plugins.shelf()))
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobPut, NodeError> {
        Node::put_blob(self, bytes).await
    }

    async fn blob_size(&self, id: BlobId, wait: Duration) -> Result<u64, NodeError> {
        Node::blob_size(self, id, wait).await
    }

    async fn blob_piece(&self, id: BlobId, offset: u64, max: usize) -> Result<Vec<u8>, NodeError> {
        Node::blob_piece(self, id, offset, max).await
    }

    async fn blobs(&self, limit: u32) -> Result<BlobList, NodeError> {
        self.list_blobs(limit).await
    }

    async fn remove_blob(&self, id: BlobId) -> Result<(), NodeError> {
        Node::remove_blob(self, id).await
    }

    async fn status(&self) -> Result<StatusView, NodeError> {
        let standing = self.cluster.standing();
        let counts = self.store.counts().await.map_err(super::internal)?;
        let offer = self.cluster.offer();
        Ok(StatusView {
            node_id: self.me.to_string(),
            node_name: self.name.clone(),
            cluster_name: self.cluster.cluster_name().to_owned(),
            cluster_id: Some(standing.cluster.to_string()),
            role: convert::role(self.cluster.leads()).to_owned(),
            leader_id: convert::leader(standing.leader),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.uptime().as_secs(),
            capabilities: offer.capabilities.iter().cloned().collect(),
            actions: offer.actions.iter().cloned().collect(),
            slots: offer.slots,
            resources: self.resources.borrow().clone(),
            sensors: self.plugins.sensors().readings().into_iter().map(convert::sensor).collect(),
            mesh: self.mesh.describe(),
            tasks: counts.into_iter().map(|(status, count)| (status.as_str().to_owned(), count)).collect(),
        })
    }

    fn logs(&self, limit: usize, min_level: Level, after: Option<u64>) -> (Vec<LogLine>, u64) {
        self.logs.tail(limit, min_level, after)
    }

    fn shutdown(&self) {
        tracing::info!("asked to shut down through the API");
        self.stop.cancel();
    }

    fn healthy(&self) -> bool {
        !self.stop.is_cancelled()
    }
}
