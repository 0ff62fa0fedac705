//! Domain and wire types into what the API shows. Pure.

use akita_core::{
    ClusterId, Content, EventType, LedgerRow, Millis, NodeId, TaskId,
    task::Status,
    wire::{NodeView, Sent, View},
};
use akita_sandbox::{Candidate, Grants, Reading, TypedExport};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    cluster::NOBODY,
    plugins::{self, Item, Shelf, Work},
    store::{BlobRow, TaskMeta},
    view::{
        ActionView, BlobView, ClusterView, CompilingView, LedgerRowView, LoadView, NodeStatus, PluginList, PluginView,
        RivalView, RotationView, SensorView, SwitchedView, TaskError, TaskView, TypedExportView,
    },
};

/// RFC 3339 in UTC, with milliseconds.
pub(super) fn time(millis: Millis) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map_or_else(|_| "out of range".into(), |time| format!("{time:.3}"))
}

pub(super) fn task(meta: &TaskMeta, result: Option<Content>) -> TaskView {
    let task = &meta.task;
    let failed = task.status == Status::Failed;
    let error = failed.then(|| TaskError {
        message: task.reason.clone().unwrap_or_default(),
        code: meta.code.clone(),
        pointer: meta.pointer.clone(),
    });
    let content_type = result.as_ref().map(|result| result.content_type.clone());
    let output_hash = result.as_ref().map(output_hash);
    let (json, base64) = match result {
        Some(result) => match as_json(&result) {
            Some(json) => (Some(json), None),
            None => (None, Some(STANDARD.encode(&result.body))),
        },
        None => (None, None),
    };
    TaskView {
        task_id: task.id.to_string(),
        action: task.action.clone(),
        status: task.status.as_str().to_owned(),
        priority: task.priority,
        attempts: task.attempts,
        worker_id: task.worker.map(|worker| worker.to_string()),
        result: json,
        result_base64: base64,
        content_type,
        output_hash,
        error,
        progress: None,
        required_capabilities: task.required.clone(),
        submitted_at: Some(time(task.submitted_at)),
        started_at: task.started_at.map(time),
        finished_at: task.finished_at.map(time),
        reason: task.reason.clone(),
        parent_id: task.extras.parent.map(|parent| parent.task.to_string()),
        deterministic: task.extras.deterministic,
        origin_id: task.origin.to_string(),
        key: task.extras.key.map(|key| key.to_string()),
        stale: false,
        as_of_index: None,
        recorded: None,
    }
}

/// BLAKE3 of the media type, a line feed and the bytes: two outputs with one hash are the same, bit for bit. A media type
/// has no line feed, so that no two outputs are hashed alike.
fn output_hash(output: &Content) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(output.content_type.as_bytes()).update(b"\n").update(&output.body);
    hasher.finalize().to_hex().to_string()
}

/// The output as JSON, if it says that it is and is.
fn as_json(output: &Content) -> Option<Value> {
    let media = output.content_type.split(';').next().unwrap_or_default().trim();
    let says_so = media.eq_ignore_ascii_case("application/json") || media.ends_with("+json");
    says_so.then(|| serde_json::from_slice(&output.body).ok()).flatten()
}

/// A task in the outbox.
pub(super) fn outbox(sent: &Sent, since: Millis) -> TaskView {
    TaskView {
        task_id: sent.task.to_string(),
        action: sent.action.clone(),
        status: Status::QueuedLocally.as_str().to_owned(),
        priority: sent.priority,
        attempts: 0,
        worker_id: None,
        result: None,
        result_base64: None,
        content_type: None,
        output_hash: None,
        error: None,
        progress: None,
        required_capabilities: sent.required.clone(),
        submitted_at: Some(time(since)),
        started_at: None,
        finished_at: None,
        reason: Some("no leader can be reached; this node keeps the task and sends it later".into()),
        parent_id: sent.extras.parent.map(|parent| parent.task.to_string()),
        deterministic: sent.extras.deterministic,
        origin_id: sent.origin.to_string(),
        key: sent.extras.key.map(|key| key.to_string()),
        stale: false,
        as_of_index: None,
        recorded: None,
    }
}

pub(super) fn ledger_row(row: LedgerRow) -> LedgerRowView {
    LedgerRowView {
        index: row.index,
        time: time(row.time),
        event_type: EventType::as_str(row.event).to_owned(),
        node_id: row.node.to_string(),
        task_id: row.task.as_ref().map(TaskId::to_string),
        details: row.details.into_iter().map(|(key, value)| (key.into_owned(), value)).collect(),
    }
}

/// A view of the cluster as the node `me` shows it.
pub(super) fn cluster(name: &str, me: NodeId, view: View, fresh: bool) -> ClusterView {
    ClusterView {
        cluster_name: name.to_owned(),
        cluster_id: Some(view.standing.cluster.to_string()),
        leader_id: leader(view.standing.leader),
        term: view.term,
        open: view.open,
        fresh,
        nodes: view.nodes.into_iter().map(|one| node(me, one, fresh)).collect(),
        rivals: view.rivals.into_iter().take(MAX_RIVALS_SHOWN).map(rival).collect(),
        merging_into: view.merging_into.map(|into| into.to_string()),
        key_rotation: view.turn.map(|turn| RotationView {
            generation: turn.generation,
            confirmed: turn.held,
            waiting: turn.waiting,
            old_key_left_s: turn.left_ms / 1_000,
        }),
        problems: Vec::new(),
        stale: false,
        as_of_index: None,
        island: None,
    }
}

/// Other clusters that are shown: as many as a leader remembers.
const MAX_RIVALS_SHOWN: usize = 16;

pub(super) fn rival((cluster, node, name): (ClusterId, NodeId, String)) -> RivalView {
    RivalView { cluster_id: cluster.to_string(), node_id: node.to_string(), node_name: name }
}

/// Whether a task whose status has this word has ended.
pub(super) fn is_end(status: &str) -> bool {
    Status::parse(status).is_some_and(Status::is_end)
}

/// Who leads, if anybody does.
pub(super) fn leader(leader: NodeId) -> Option<String> {
    (leader != NOBODY).then(|| leader.to_string())
}

/// Of a view that is not fresh, whoever was there then may be gone by now: also the leader that it came from.
fn node(me: NodeId, view: NodeView, fresh: bool) -> NodeStatus {
    NodeStatus {
        node_id: view.node.to_string(),
        node_name: view.name,
        status: match view.online {
            _ if view.node == me => "online",
            true if fresh => "online",
            true => "unknown",
            false => "offline",
        }
        .into(),
        role: role(view.leads).into(),
        capabilities: view.capabilities,
        actions: view.actions,
        load: LoadView { cpu_percent: view.cpu, memory_percent: view.memory, running: view.running, slots: view.slots },
        last_seen_s: view.silent_ms / 1000,
        hops: view.hops,
        rtt_ms: view.rtt_ms,
    }
}

pub(super) fn role(leads: bool) -> &'static str {
    if leads { "leader" } else { "worker" }
}

pub(super) fn blob(row: BlobRow) -> BlobView {
    let BlobRow { id, size, used_at, owners } = row;
    BlobView { id: plugins::hex(&id), size, owners, used_at: time(used_at) }
}

pub(super) fn sensor(reading: Reading) -> SensorView {
    let Reading { name, value, unit, age_ms } = reading;
    let (value, problem) = match value {
        Ok(value) => (Some(value), None),
        Err(why) => (None, Some(why)),
    };
    SensorView { name, value, unit, age_ms, problem }
}

pub(super) fn plugins(shelf: &Shelf, work: &[Work]) -> PluginList {
    let mut plugins: Vec<PluginView> = shelf.items.iter().map(item).collect();
    for one in work {
        let compiling = Some(CompilingView {
            ahead: one.ahead as u64,
            elapsed_ms: one.since.map(|since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)),
        });
        match plugins.iter_mut().find(|plugin| plugin.file == one.file) {
            // It is what it was until its new content is compiled.
            Some(plugin) => plugin.compiling = compiling,
            None => {
                let status = "compiling".to_owned();
                plugins.push(PluginView { status, compiling, ..unknown(one.file.clone()) });
            }
        }
    }
    plugins.sort_by(|a, b| a.file.cmp(&b.file));
    PluginList { plugins, problem: shelf.problem.clone() }
}

/// What became of a plugin that was switched.
pub(super) fn switched(name: String, shelf: &Shelf) -> SwitchedView {
    // Of several versions the one that was switched, or, of a name without a version, the first that is not ready.
    let of_it = |item: &&Item| item.candidate.as_ref().is_some_and(|one| one.name() == name || one.full_name() == name);
    let is_ready = |item: &&Item| item.verdict.status == plugins::Status::Ready;
    let found = shelf.items.iter().filter(of_it).min_by_key(is_ready);
    let Some(Item { verdict, .. }) = found else {
        return SwitchedView { name, status: "absent".into(), reason: None, hint: None };
    };
    let (reason, hint) = (verdict.reason.clone(), verdict.hint.clone());
    SwitchedView { name, status: verdict.status.as_str().into(), reason, hint }
}

fn item(item: &Item) -> PluginView {
    let mut view = match &item.candidate {
        Some(one) => candidate(item.file.clone(), one),
        None => {
            let hash = item.hash.as_ref().map(plugins::hex).unwrap_or_default();
            PluginView { hash, size: item.size, ..unknown(item.file.clone()) }
        }
    };
    view.signed_by = item.seal.proved().map(|signature| signature.key.to_string());
    view.status = item.verdict.status.as_str().to_owned();
    view.reason.clone_from(&item.verdict.reason);
    view.hint.clone_from(&item.verdict.hint);
    view.granted = names(item.terms.granted());
    view
}

fn names(grants: Grants) -> Vec<String> {
    grants.iter().map(|one| one.as_str().to_owned()).collect()
}

/// A file that says nothing of itself.
fn unknown(file: String) -> PluginView {
    PluginView {
        name: std::path::Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        version: String::new(),
        summary: String::new(),
        hash: String::new(),
        size: 0,
        file,
        status: String::new(),
        reason: None,
        hint: None,
        actions: Vec::new(),
        provides: Vec::new(),
        imports: Vec::new(),
        needs: Vec::new(),
        granted: Vec::new(),
        typed_exports: Vec::new(),
        signed_by: None,
        compiling: None,
    }
}

fn typed_export(export: &TypedExport) -> TypedExportView {
    let TypedExport { interface, function, action, left_out } = export.clone();
    TypedExportView { interface, function, action, left_out }
}

/// A component by itself: ready on any node that grants what it needs.
pub fn candidate(file: String, plugin: &Candidate) -> PluginView {
    let info = plugin.info();
    let schema = |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let actions = info.actions.iter().map(|action| ActionView {
        name: action.name.clone(),
        summary: action.summary.clone(),
        idempotent: action.idempotent,
        typical_ms: action.typical_ms,
        requires: action.requires.clone(),
        input_schema: schema(&action.input_schema),
        output_schema: schema(&action.output_schema),
    });
    let verdict = plugins::judge_alone(plugin);
    PluginView {
        name: info.name.clone(),
        version: info.version.clone(),
        summary: info.summary.clone(),
        hash: plugins::hex(plugin.hash()),
        size: plugin.size(),
        file,
        status: verdict.status.as_str().to_owned(),
        reason: verdict.reason,
        hint: verdict.hint,
        actions: actions.collect(),
        provides: info.provides.clone(),
        imports: plugin.imports().to_vec(),
        needs: names(plugin.needs()),
        granted: Vec::new(),
        typed_exports: plugin.typed_exports().iter().map(typed_export).collect(),
        signed_by: None,
        compiling: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_json_only_if_it_says_so_and_is() {
        let output = |content_type: &str, body: &[u8]| Content { content_type: content_type.into(), body: body.into() };
        assert!(as_json(&output("application/json", b"{}")).is_some());
        assert!(as_json(&output("application/json; charset=utf-8", b"[1]")).is_some());
        assert!(as_json(&output("application/problem+json", b"1")).is_some());
        assert!(as_json(&output("application/json", b"{")).is_none());
        assert!(as_json(&output("image/jpeg", b"{}")).is_none());
    }

    #[test]
    fn the_hash_of_an_output_is_that_of_its_media_type_and_its_bytes() {
        let hash = |content_type: &str, body: &[u8]| {
            output_hash(&Content { content_type: content_type.into(), body: body.into() })
        };
        assert_eq!(hash("text/plain", b"hello"), blake3::hash(b"text/plain\nhello").to_hex().as_str());
        assert_ne!(hash("text/plain", b"hello"), hash("text/html", b"hello"));
        assert_ne!(hash("text/plain", b"hello"), hash("text/plain", b"hello "));
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(time(1_000_000_000_123), "2001-09-09T01:46:40.123Z");
    }
}
