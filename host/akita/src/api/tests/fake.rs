//! A node that remembers what it was asked and answers what the test told it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use akita_core::{ClusterId, KeyPrint, NodeId, Status, TaskId, wire::Wish};
use tokio::sync::Notify;
use tracing::Level;

use crate::api::{Backend, LedgerFilter};
use crate::blobs::BlobId;
use crate::proof::{HeadView, KeyList, RangeProof, RowProof, RowsPage};
use crate::reading::Reading;
use crate::telemetry::LogLine;
use crate::view::{
    BlobList, BlobPut, ClusterView, GovernedView, IslandView, JournalView, KeyView, LedgerPage, MembersView, NewTask,
    NodeError, OutputView, PluginList, StatusView, SubmittedView, SwitchedView, TaskList, TaskView, VerifyView,
};

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Inner>>);

#[derive(Default)]
pub struct Inner {
    /// What every question is answered with, if set.
    pub fault: Option<NodeError>,
    /// The tasks that were submitted.
    pub submitted: Vec<NewTask>,
    /// The other questions, as text.
    pub asked: Vec<String>,
    /// Whether `task` panics.
    pub panics: bool,
    /// Whether a task with a wait never ends; told when such a wait begins.
    pub endless: Option<Arc<Notify>>,
    /// Whether it was told to stop.
    pub stopped: bool,
}

impl Fake {
    pub fn failing(error: NodeError) -> Self {
        let fake = Self::default();
        fake.set(|inner| inner.fault = Some(error));
        fake
    }

    pub fn set<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().expect("not poisoned"))
    }

    pub fn asked(&self) -> Vec<String> {
        self.set(|inner| std::mem::take(&mut inner.asked))
    }

    fn ask(&self, question: String) -> Result<(), NodeError> {
        self.set(|inner| {
            inner.asked.push(question);
            inner.fault.clone().map_or(Ok(()), Err)
        })
    }
}

pub fn task_view(id: TaskId) -> TaskView {
    TaskView {
        task_id: id.to_string(),
        action: "basics/echo".into(),
        status: "pending".into(),
        priority: 10,
        attempts: 0,
        worker_id: None,
        result: None,
        result_base64: None,
        content_type: None,
        output_hash: None,
        error: None,
        progress: None,
        required_capabilities: vec![],
        submitted_at: None,
        started_at: None,
        finished_at: None,
        reason: None,
        parent_id: None,
        deterministic: false,
        origin_id: String::new(),
        key: None,
        stale: false,
        as_of_index: None,
        recorded: None,
    }
}

impl Backend for Fake {
    async fn submit(&self, tasks: Vec<NewTask>, key: Option<KeyPrint>) -> Result<Vec<SubmittedView>, NodeError> {
        let key = key.map(|key| format!(" with {key}")).unwrap_or_default();
        self.ask(format!("submit {}{key}", tasks.len()))?;
        self.set(|inner| {
            let first = inner.submitted.len();
            inner.submitted.extend(tasks);
            let ids = first..inner.submitted.len();
            Ok(ids
                .map(|id| SubmittedView {
                    task_id: id.to_string(),
                    status: "pending".into(),
                    index: None,
                    recorded: None,
                })
                .collect())
        })
    }

    async fn task(&self, id: TaskId, wait: Duration, reading: Reading) -> Result<Option<TaskView>, NodeError> {
        self.ask(format!("task {id} {}{reading}", wait.as_secs_f64()))?;
        assert!(!self.set(|inner| inner.panics), "told to panic");
        if let Some(begun) = self.set(|inner| inner.endless.clone()).filter(|_| !wait.is_zero()) {
            begun.notify_one();
            std::future::pending::<()>().await;
        }
        Ok((id.to_string() == super::ID).then(|| task_view(id)))
    }

    async fn output(
        &self,
        id: TaskId,
        attempt: u32,
        offset: u64,
        wait: Duration,
    ) -> Result<Option<OutputView>, NodeError> {
        self.ask(format!("output {id} {attempt} {offset} {}", wait.as_secs_f64()))?;
        Ok((id.to_string() == super::ID).then(|| OutputView {
            task_id: id.to_string(),
            status: "running".into(),
            attempt: 1,
            offset,
            total: offset + 3,
            piece_base64: "YWJj".into(),
            progress: None,
        }))
    }

    async fn tasks(&self, status: Option<Status>, limit: u32, reading: Reading) -> Result<TaskList, NodeError> {
        self.ask(format!("tasks {} {limit}{reading}", status.map_or("any", Status::as_str)))?;
        Ok(TaskList { tasks: vec![task_view(TaskId::default())], stale: false, as_of_index: None })
    }

    async fn ledger(&self, filter: LedgerFilter, reading: Reading) -> Result<LedgerPage, NodeError> {
        self.ask(format!("{filter:?}{reading}"))?;
        Ok(LedgerPage { rows: vec![], total: 7, stale: false, as_of_index: None })
    }

    async fn verify(&self, local: bool) -> Result<VerifyView, NodeError> {
        self.ask(format!("verify {local}"))?;
        let (root, signers) = ("00".into(), vec!["ab".into()]);
        Ok(VerifyView {
            ok: true,
            rows: 7,
            root,
            checkpoints: 1,
            signed_rows: 7,
            problem: None,
            signers,
            unchecked: vec![],
            voters: 1,
        })
    }

    async fn ledger_head(&self, local: bool) -> Result<HeadView, NodeError> {
        self.ask(format!("head {local}"))?;
        Ok(HeadView {
            size: 7,
            root: "00".into(),
            checkpoint: "akita/ab\n7\n".into(),
            keys: vec![],
            signers: vec![],
            voters: 1,
        })
    }

    async fn ledger_rows(&self, from: u64, limit: u32, local: bool) -> Result<RowsPage, NodeError> {
        self.ask(format!("rows {from} {limit} {local}"))?;
        Ok(RowsPage { rows: vec![], total: 7 })
    }

    async fn prove_row(&self, index: u64, local: bool) -> Result<RowProof, NodeError> {
        self.ask(format!("prove {index} {local}"))?;
        Err(NodeError::NoSuchRow { index })
    }

    async fn prove_range(&self, from: u64, to: u64, local: bool) -> Result<RangeProof, NodeError> {
        self.ask(format!("range {from} {to} {local}"))?;
        let format = RangeProof::FORMAT.to_owned();
        let (before, consistency, keys) = (vec![], vec![], vec![]);
        Ok(RangeProof { format, from, to, before, consistency, checkpoint: String::new(), keys })
    }

    async fn journal(&self, limit: u32) -> Result<JournalView, NodeError> {
        self.ask(format!("journal {limit}"))?;
        let counts = IslandView { waiting: 0, running: 0, to_import: 0, refused: 0, imported: 0 };
        let (tasks, steps) = (Vec::new(), Vec::new());
        Ok(JournalView { node_id: super::ID.into(), ok: true, problem: None, signed: 0, counts, tasks, steps })
    }

    fn ledger_keys(&self) -> KeyList {
        self.set(|inner| inner.asked.push("keys".into()));
        KeyList { keys: vec![] }
    }

    async fn cluster(&self, reading: Reading) -> Result<ClusterView, NodeError> {
        self.ask(format!("cluster{reading}"))?;
        Ok(ClusterView {
            cluster_name: "akita".into(),
            cluster_id: None,
            leader_id: None,
            term: 1,
            open: true,
            fresh: true,
            nodes: vec![],
            rivals: vec![],
            merging_into: None,
            key_rotation: None,
            problems: vec![],
            stale: false,
            as_of_index: None,
            island: None,
        })
    }

    async fn members(&self, reading: Reading) -> Result<MembersView, NodeError> {
        self.ask(format!("members{reading}"))?;
        Ok(MembersView {
            cluster_id: "ab".into(),
            leader_id: None,
            term: 1,
            voters: 1,
            timing: None,
            fresh: true,
            members: vec![],
            problems: vec![],
            stale: false,
            as_of_index: None,
        })
    }

    async fn govern(&self, wish: Wish, node: NodeId) -> Result<GovernedView, NodeError> {
        self.ask(format!("govern {wish:?} {node}"))?;
        Ok(GovernedView { node_id: node.to_string(), detail: "done".into() })
    }

    async fn leave(&self) -> Result<GovernedView, NodeError> {
        self.ask("leave".into())?;
        Ok(GovernedView { node_id: "ab".into(), detail: "done".into() })
    }

    async fn force_new(&self) -> Result<GovernedView, NodeError> {
        self.ask("force new".into())?;
        Ok(GovernedView { node_id: "ab".into(), detail: "done".into() })
    }

    async fn cluster_key(&self) -> Result<KeyView, NodeError> {
        self.ask("cluster key".into())?;
        Ok(KeyView {
            protected: true,
            generation: Some(2),
            fingerprint: None,
            rotating: false,
            old_key_left_s: None,
            confirmed: vec![],
            waiting: vec![],
        })
    }

    async fn rotate_key(&self, grace: Duration) -> Result<GovernedView, NodeError> {
        self.ask(format!("rotate key {}", grace.as_secs_f64()))?;
        Ok(GovernedView { node_id: super::ID.into(), detail: "done".into() })
    }

    async fn merge(&self, into: ClusterId) -> Result<GovernedView, NodeError> {
        self.ask(format!("merge {into}"))?;
        Ok(GovernedView { node_id: super::ID.into(), detail: "done".into() })
    }

    async fn plugins(&self) -> Result<PluginList, NodeError> {
        self.ask("plugins".into())?;
        Ok(PluginList { plugins: vec![], problem: None })
    }

    async fn switch_plugin(&self, name: String, on: bool) -> Result<SwitchedView, NodeError> {
        self.ask(format!("switch {name} {on}"))?;
        let status = if on { "ready" } else { "disabled" };
        Ok(SwitchedView { name, status: status.into(), reason: None, hint: None })
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobPut, NodeError> {
        self.ask(format!("put {} bytes", bytes.len()))?;
        Ok(BlobPut { id: BlobId::of(&bytes).to_string(), size: bytes.len() as u64 })
    }

    async fn blob_size(&self, id: BlobId, wait: Duration) -> Result<u64, NodeError> {
        self.ask(format!("size {} {}", &id.to_string()[..4], wait.as_secs_f64()))?;
        Ok(9)
    }

    async fn blob_piece(&self, _: BlobId, offset: u64, _: usize) -> Result<Vec<u8>, NodeError> {
        // Two pieces of a blob of nine bytes.
        Ok(if offset == 0 { b"hello".to_vec() } else { b"blob".to_vec() })
    }

    async fn blobs(&self, limit: u32) -> Result<BlobList, NodeError> {
        self.ask(format!("blobs {limit}"))?;
        Ok(BlobList { blobs: vec![], used_bytes: 0, limit_bytes: 1 })
    }

    async fn remove_blob(&self, id: BlobId) -> Result<(), NodeError> {
        self.ask(format!("remove {}", &id.to_string()[..4]))
    }

    async fn status(&self) -> Result<StatusView, NodeError> {
        self.ask("status".into())?;
        Ok(StatusView {
            node_id: "ab".into(),
            node_name: "ridge <1>".into(),
            cluster_name: "akita".into(),
            cluster_id: None,
            role: "leader".into(),
            leader_id: None,
            version: "0.1.0".into(),
            uptime_s: 1,
            capabilities: vec![],
            actions: vec![],
            slots: 2,
            resources: Default::default(),
            sensors: vec![],
            mesh: "alone".into(),
            tasks: BTreeMap::new(),
        })
    }

    fn logs(&self, limit: usize, min_level: Level, after: Option<u64>) -> (Vec<LogLine>, u64) {
        self.set(|inner| inner.asked.push(format!("logs {limit} {min_level} {after:?}")));
        let line = LogLine {
            seq: 3,
            time: "2026-03-01T12:00:01Z".into(),
            level: "info".into(),
            target: "akita".into(),
            message: "hello".into(),
            fields: Default::default(),
        };
        (vec![line], 4)
    }

    fn shutdown(&self) {
        self.set(|inner| inner.stopped = true);
    }

    fn healthy(&self) -> bool {
        !self.set(|inner| inner.stopped)
    }
}
