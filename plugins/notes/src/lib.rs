//! Short notes between nodes, as messages of the mesh. This file is the component's edge and the whole of it.
#![cfg_attr(target_family = "wasm", no_std)]

use akita_plugin::mesh::{self, Node, Peer};
use akita_plugin::prelude::*;
use serde::{Deserialize, Serialize};

akita_plugin::no_std_runtime!();

/// Notes that one `read` gives at most; more than a node keeps.
const MAX_NOTES: u32 = 1_000;

akita_plugin::plugin! {
    name: "notes",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "nodes" => nodes { summary: "This node and the others that it knows", idempotent: true, typical_ms: 1 },
        "send" => send { summary: "Sends a note to one node" },
        "broadcast" => broadcast { summary: "Sends a note to every other node, or to those with a capability" },
        "read" => read { summary: "Takes the notes out of this node's box" },
    },
}

#[derive(Deserialize, Schema)]
struct Nothing {}

#[derive(Schema, Serialize)]
struct Nodes {
    here: Named,
    peers: Vec<Known>,
}

#[derive(Schema, Serialize)]
struct Named {
    /// 32 hexadecimal digits.
    id: String,
    name: String,
}

#[derive(Schema, Serialize)]
struct Known {
    id: String,
    name: String,
    /// Links between the two.
    hops: Option<u8>,
    /// There and back.
    rtt_ms: Option<u32>,
    capabilities: Vec<String>,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Send {
    /// A node's name or id.
    to: String,
    #[schema(minLength = 1)]
    text: String,
}

#[derive(Schema, Serialize)]
struct Sent {
    to: Named,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Broadcast {
    #[schema(minLength = 1)]
    text: String,
    /// Only to nodes that have it.
    capability: Option<String>,
}

#[derive(Schema, Serialize)]
struct Reached {
    sent: Vec<Named>,
    failed: Vec<Missed>,
}

#[derive(Schema, Serialize)]
struct Missed {
    id: String,
    name: String,
    /// Why the note did not get there.
    reason: String,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// How long to wait for the first one.
    #[serde(default)]
    #[schema(default = 0)]
    wait_ms: u32,
    /// At most so many; the rest stays in the box.
    #[serde(default = "most")]
    #[schema(default = 1000, minimum = 1, maximum = 1000)]
    max: u32,
}

#[derive(Schema, Serialize)]
struct Notes {
    notes: Vec<Note>,
}

#[derive(Schema, Serialize)]
struct Note {
    /// The id of the node that sent it.
    from: String,
    text: String,
    age_ms: u64,
}

fn most() -> u32 {
    MAX_NOTES
}

impl From<Node> for Named {
    fn from(Node { id, name }: Node) -> Self {
        Self { id, name }
    }
}

fn nodes(_: Nothing) -> Result<Nodes, TaskError> {
    let known = |Peer { node, hops, rtt_ms, capabilities }: Peer| Known {
        id: node.id,
        name: node.name,
        hops,
        rtt_ms,
        capabilities,
    };
    Ok(Nodes { here: mesh::this_node().into(), peers: mesh::peers().into_iter().map(known).collect() })
}

fn send(input: Send) -> Result<Sent, TaskError> {
    check(&input.text)?;
    let to = find(&input.to)?;
    mesh::send(&to.id, input.text.as_bytes())?;
    Ok(Sent { to: to.into() })
}

fn broadcast(input: Broadcast) -> Result<Reached, TaskError> {
    check(&input.text)?;
    let peers = match &input.capability {
        Some(capability) => mesh::peers_with(capability),
        None => mesh::peers(),
    };
    let mut reached = Reached { sent: Vec::new(), failed: Vec::new() };
    let total = peers.len() as u64;
    for (done, peer) in peers.into_iter().enumerate() {
        task::check()?;
        task::progress(done as u64, total, &peer.node.name);
        match mesh::send(&peer.node.id, input.text.as_bytes()) {
            Ok(()) => reached.sent.push(peer.node.into()),
            Err(error) => {
                let reason = TaskError::from(error).failure().map(|failure| failure.message.clone());
                let Node { id, name } = peer.node;
                reached.failed.push(Missed { id, name, reason: reason.unwrap_or_default() });
            }
        }
    }
    Ok(reached)
}

fn read(input: Read) -> Result<Notes, TaskError> {
    if !(1..=MAX_NOTES).contains(&input.max) {
        let error = TaskError::invalid(format!("`max` must be a whole number from 1 to {MAX_NOTES}"));
        return Err(error.code("out-of-range").pointer("/max"));
    }
    let mut notes = Vec::new();
    let mut wait_ms = input.wait_ms;
    while notes.len() < input.max as usize
        && let Some(message) = mesh::receive(wait_ms)
    {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        notes.push(Note { from: message.sender, text, age_ms: message.age_ms });
        wait_ms = 0;
    }
    Ok(Notes { notes })
}

fn check(text: &str) -> Result<(), TaskError> {
    let most = mesh::MAX_MESSAGE_BYTES;
    match text.len() {
        0 => Err(TaskError::invalid("`text` must not be empty").code("no-text").pointer("/text")),
        length if length > most => {
            let message = format!("`text` has {length} bytes; a note has at most {most}");
            Err(TaskError::invalid(message).code("too-long").pointer("/text"))
        }
        _ => Ok(()),
    }
}

/// A node by its id, or by a name that only one has.
fn find(word: &str) -> Result<Node, TaskError> {
    let mut nodes = vec![mesh::this_node()];
    nodes.extend(mesh::peers().into_iter().map(|peer| peer.node));
    if let Some(node) = nodes.iter().find(|node| node.id == word) {
        return Ok(node.clone());
    }
    let mut named = nodes.into_iter().filter(|node| node.name == word);
    match (named.next(), named.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => {
            let message = format!("several nodes are called `{word}`: give an id, as `notes/nodes` lists them");
            Err(TaskError::invalid(message).code("ambiguous").pointer("/to"))
        }
        (None, _) => {
            let message = format!("no node is called `{word}`: `notes/nodes` lists those that are");
            Err(TaskError::invalid(message).code("no-such-node").pointer("/to"))
        }
    }
}

#[cfg(test)]
mod tests {
    use akita_plugin::testing::Harness;
    use serde_json::{Value, json};

    fn cluster() -> Harness {
        Harness::new(&super::PLUGIN).peer("ridge", &["gps"]).peer("lake", &[]).peer("lake", &["gps"])
    }

    #[test]
    fn nodes_see_each_other() {
        let seen = cluster().at("ridge").json("nodes", "{}").value::<Value>();
        assert_eq!((&seen["here"]["name"], seen["peers"].as_array().map(Vec::len)), (&json!("ridge"), Some(3)));
        assert_eq!(cluster().describe().actions.len(), 4);
    }

    #[test]
    fn a_note_is_read_once_where_it_was_sent_to() {
        let here = cluster();
        let ridge = here.clone().at("ridge");
        let by_name = here.json("send", r#"{"to":"ridge","text":"dinner"}"#);
        let by_id = here.json("send", &json!({ "to": here.id_of("ridge"), "text": "is ready" }).to_string());
        assert_eq!((by_name.sent.len(), by_id.sent.len()), (1, 1));
        let first = ridge.json("read", r#"{"max":1}"#).value::<Value>();
        assert_eq!(first["notes"], json!([{ "from": here.id_of("here"), "text": "dinner", "age_ms": 0 }]));
        let second = ridge.json("read", "{}").value::<Value>();
        assert_eq!(second["notes"][0]["text"], "is ready");
        assert_eq!(ridge.json("read", "{}").value::<Value>()["notes"], json!([]));
        assert_eq!(here.json("read", "{}").value::<Value>()["notes"], json!([]));
    }

    #[test]
    fn a_broadcast_goes_to_those_with_the_capability() {
        let here = cluster();
        let all = here.json("broadcast", r#"{"text":"hi"}"#);
        assert_eq!((all.sent.len(), all.progress.len()), (3, 3));
        let some = here.json("broadcast", r#"{"text":"hi","capability":"gps"}"#);
        assert_eq!(
            some.sent.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(),
            [here.id_of("ridge"), format!("{:032x}", 4)]
        );
        let none = here.unavailable("mesh").json("broadcast", r#"{"text":"hi"}"#).value::<Value>();
        assert_eq!((none["sent"].clone(), none["failed"].as_array().map(Vec::len)), (json!([]), Some(3)));
    }

    #[test]
    fn faults_say_where() {
        for (action, input, code, pointer) in [
            ("send", json!({ "to": "sea", "text": "x" }), "no-such-node", "/to"),
            ("send", json!({ "to": "lake", "text": "x" }), "ambiguous", "/to"),
            ("send", json!({ "to": "ridge", "text": "" }), "no-text", "/text"),
            ("broadcast", json!({ "text": "x".repeat(1025) }), "too-long", "/text"),
            ("read", json!({ "max": 0 }), "out-of-range", "/max"),
        ] {
            let outcome = cluster().json(action, &input.to_string());
            let failure = outcome.failure();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), Some(pointer)), "{input}");
        }
    }
}
