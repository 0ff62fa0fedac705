//! The cluster's ledger as this node shows it: the leader's, or its own copy. Proofs are made by whoever has the rows and
//! passed on as they are; who gets them checks them.

use std::time::Duration;

use akita_core::{
    NodeId,
    wire::{Ask, LedgerAsk},
};

use super::{Node, ask::pack, convert, internal};
use crate::{
    proof::{ExactRow, HeadView, KeyList, KeyView, RangeProof, RowProof, RowsPage},
    reading::{Consistency, Reading},
    store::{LedgerQuery, MAX_ROWS},
    view::{LedgerPage, NodeError, VerifyView},
};

/// Longest wait for the other voters' signatures under a head that is asked for: some round trips on a LAN.
const SIGNATURES_WAIT: Duration = Duration::from_secs(2);

impl Node {
    /// Rows of the cluster's ledger as new as is asked for, or of this node's own.
    ///
    /// # Errors
    /// They cannot be told as new as that.
    pub async fn ledger(&self, query: LedgerQuery, local: bool, reading: Reading) -> Result<LedgerPage, NodeError> {
        self.caught_up(reading.after).await?;
        if local {
            return self.own_ledger(query).await;
        }
        let newest = async || self.newest_ledger(query).await;
        match reading.consistency {
            Consistency::Usual => self.usual(newest, async || self.stale_ledger(query).await).await,
            Consistency::Linearizable => self.insist(Duration::ZERO, newest, |page| page.stale).await,
            Consistency::Stale => self.stale_ledger(query).await,
        }
    }

    async fn newest_ledger(&self, query: LedgerQuery) -> Result<LedgerPage, NodeError> {
        if self.leads_for_sure().await {
            return self.own_ledger(query).await;
        }
        let event = query.event.map(|event| event.as_str().to_owned());
        let limit = u32::try_from(query.limit).unwrap_or(u32::MAX);
        self.must_ask(&Ask::Ledger { event, task: query.task, offset: query.offset, limit }).await
    }

    async fn stale_ledger(&self, query: LedgerQuery) -> Result<LedgerPage, NodeError> {
        self.must_have_copy()?;
        // Before the rows, so that they are never older than what is said of them.
        let as_of_index = Some(self.log_index().await?);
        Ok(LedgerPage { stale: true, as_of_index, ..self.own_ledger(query).await? })
    }

    pub(super) async fn own_ledger(&self, query: LedgerQuery) -> Result<LedgerPage, NodeError> {
        let page = self.store.ledger(query).await.map_err(internal)?;
        let rows = page.rows.into_iter().map(convert::ledger_row).collect();
        Ok(LedgerPage { rows, total: page.total, stale: false, as_of_index: None })
    }

    /// Verifies the cluster's ledger on the leader, or this node's own here.
    ///
    /// # Errors
    /// The leader cannot be asked.
    pub async fn verify(&self, local: bool) -> Result<VerifyView, NodeError> {
        if !local && !self.cluster.leads() {
            let asked = async || self.must_ask(&Ask::Verify).await;
            return self.insist(Duration::ZERO, asked, |_| false).await;
        }
        let voters = self.cluster.all_voters();
        let others = voters.iter().filter(|node| **node != self.me).filter_map(|node| self.cluster.key_of(*node));
        let report = self.store.verify_with(others.collect()).await.map_err(internal)?;
        Ok(VerifyView {
            ok: report.ok,
            rows: report.rows,
            root: blake3::Hash::from_bytes(report.root).to_hex().to_string(),
            checkpoints: report.checkpoints,
            signed_rows: report.signed_rows,
            problem: report.problem,
            signers: report.signers.iter().map(ToString::to_string).collect(),
            unchecked: report.unchecked,
            voters: voters.len(),
        })
    }

    /// The newest signed checkpoint, over all rows.
    ///
    /// # Errors
    /// The leader cannot be asked, or nothing is in the ledger yet.
    pub async fn ledger_head(&self, local: bool) -> Result<HeadView, NodeError> {
        if !local && !self.cluster.leads() {
            return self.ask_proof(LedgerAsk::Head, 0).await;
        }
        let mut head =
            self.store.signed_head(None).await.map_err(internal)?.ok_or(NodeError::NoSuchRow { index: 0 })?;
        let voters = self.cluster.all_voters();
        if voters.len() > 1 && self.cluster.leads() {
            // A head that is to be kept is worth a moment: those that do not sign by then sign a later one.
            self.cluster.cosign_newest(SIGNATURES_WAIT).await;
            let newest = self.store.checkpoints(1).await.map_err(internal)?;
            head = newest.into_iter().next().unwrap_or(head);
        }
        let keys = self.keys_of_signers(&head.note);
        let signers = crate::proof::Head::read(&head.note).map(|head| head.signers()).unwrap_or_default();
        let signers = signers.iter().map(ToString::to_string).collect();
        Ok(HeadView {
            size: head.size,
            root: hex(head.root),
            checkpoint: head.note,
            keys,
            signers,
            voters: voters.len(),
        })
    }

    /// Rows in their order from `from` on.
    ///
    /// # Errors
    /// The leader cannot be asked.
    pub async fn ledger_rows(&self, from: u64, limit: u32, local: bool) -> Result<RowsPage, NodeError> {
        if !local && !self.cluster.leads() {
            return self.ask_proof(LedgerAsk::Rows { from, limit }, from).await;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_ROWS);
        let (rows, total) = self.store.ledger_rows(from, limit).await.map_err(internal)?;
        Ok(RowsPage { rows: rows.iter().map(ExactRow::of).collect(), total })
    }

    /// The proof of a row.
    ///
    /// # Errors
    /// There is no such row, or the leader cannot be asked.
    pub async fn prove_row(&self, index: u64, local: bool) -> Result<RowProof, NodeError> {
        if !local && !self.cluster.leads() {
            return self.ask_proof(LedgerAsk::Row { index }, index).await;
        }
        let found = self.store.prove_row(index).await.map_err(internal)?.ok_or(NodeError::NoSuchRow { index })?;
        Ok(RowProof {
            format: RowProof::FORMAT.to_owned(),
            row: ExactRow::of(&found.row),
            audit_path: found.path.into_iter().map(hex).collect(),
            keys: self.keys_of_signers(&found.head.note),
            checkpoint: found.head.note,
        })
    }

    /// The proof of the rows from `from` to before `to`.
    ///
    /// # Errors
    /// There are not as many, or the leader cannot be asked.
    pub async fn prove_range(&self, from: u64, to: u64, local: bool) -> Result<RangeProof, NodeError> {
        let last = to.saturating_sub(1);
        if from >= to {
            return Err(NodeError::NoSuchRow { index: last });
        }
        if !local && !self.cluster.leads() {
            return self.ask_proof(LedgerAsk::Range { from, to }, last).await;
        }
        let found = self.store.prove_range(from, to).await.map_err(internal)?;
        let found = found.ok_or(NodeError::NoSuchRow { index: last })?;
        Ok(RangeProof {
            format: RangeProof::FORMAT.to_owned(),
            from,
            to,
            before: found.before.into_iter().map(hex).collect(),
            consistency: found.consistency.into_iter().map(hex).collect(),
            keys: self.keys_of_signers(&found.head.note),
            checkpoint: found.head.note,
        })
    }

    /// The keys of this node and of those that it counts to its cluster.
    pub fn ledger_keys(&self) -> KeyList {
        let view = self.cluster.last_view().into_iter().flat_map(|view| view.nodes).map(|node| node.node);
        let mut nodes: Vec<NodeId> =
            [self.cluster.standing().leader].into_iter().chain(self.cluster.members()).collect();
        nodes.extend(view);
        nodes.retain(|node| *node != self.me);
        nodes.sort_unstable();
        nodes.dedup();
        let others = nodes.into_iter().filter_map(|node| self.cluster.key_of(node));
        let keys = [self.store.ledger_key()].into_iter().chain(others).take(MAX_ROWS);
        KeyList { keys: keys.map(|key| KeyView::of(&key)).collect() }
    }

    fn keys_of_signers(&self, note: &str) -> Vec<KeyView> {
        let signers = crate::proof::Head::read(note).map(|head| head.signers()).unwrap_or_default();
        signers.into_iter().filter_map(|node| self.cluster.key_of(node)).map(|key| KeyView::of(&key)).collect()
    }

    async fn ask_proof<T: serde::de::DeserializeOwned>(&self, piece: LedgerAsk, index: u64) -> Result<T, NodeError> {
        let ask = Ask::Proof(piece);
        let asked = async || self.ask_leader(&ask, Duration::ZERO).await;
        self.insist(Duration::ZERO, asked, |_| false).await?.ok_or(NodeError::NoSuchRow { index })
    }

    /// Answers another node from this one's own copy; nothing if there are no such rows.
    pub(super) async fn prove(&self, piece: LedgerAsk) -> Result<Option<Vec<u8>>, NodeError> {
        let packed = match piece {
            LedgerAsk::Head => self.ledger_head(true).await.map(pack),
            LedgerAsk::Rows { from, limit } => self.ledger_rows(from, limit, true).await.map(pack),
            LedgerAsk::Row { index } => self.prove_row(index, true).await.map(pack),
            LedgerAsk::Range { from, to } => self.prove_range(from, to, true).await.map(pack),
        };
        match packed {
            Err(NodeError::NoSuchRow { .. }) => Ok(None),
            packed => packed.map(Some),
        }
    }
}

fn hex(hash: [u8; 32]) -> String {
    blake3::Hash::from_bytes(hash).to_hex().to_string()
}
