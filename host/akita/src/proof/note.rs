//! Signed checkpoints (C2SP `tlog-checkpoint` in a `signed-note`) and the keys that they are checked with. A checkpoint
//! may carry the signatures of several nodes. A node's id is a hash of its public key, so whoever knows the id can tell
//! whether a key is that node's, wherever the key came from.

use akita_core::NodeId;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use signed_note::{Note, NoteError, Signature, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

use super::{Fault, Proven};
use crate::{cluster::node_of, store::LedgerKey};

/// Longer ledgers are none: the arithmetic of trees ends there, and no disk holds as many rows.
const MOST_ROWS: u64 = 1 << 48;
/// Keys that are looked at in one file: more than there are voters, few enough to be checked at once.
const MOST_KEYS: usize = 64;

/// A node's public key, for who checks its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The node.
    pub node_id: String,
    /// Its public keys as Reticulum writes them, X25519 and then Ed25519, base64. The node's id is their hash.
    pub public_key: String,
    /// The Ed25519 half as C2SP `signed-note` writes it for verifiers.
    pub verifier_key: String,
}

impl KeyView {
    /// The key for others.
    pub fn of(key: &LedgerKey) -> KeyView {
        KeyView {
            node_id: key.node.to_string(),
            public_key: BASE64_STANDARD.encode(key.public_key),
            verifier_key: key.verifier_key(),
        }
    }

    /// The key, if it is that of the node that it names.
    pub fn key(&self) -> Result<LedgerKey, Fault> {
        let wrong = || Fault::new(format!("the key of node {} is not that node's", short(&self.node_id)));
        let bytes = BASE64_STANDARD.decode(&self.public_key).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        let public_key = bytes.ok_or_else(wrong)?;
        let node = node_of(akita_mesh::peer_of(&public_key).ok_or_else(wrong)?);
        let key = LedgerKey { node, public_key };
        if node.to_string() == self.node_id && key.verifier_key() == self.verifier_key { Ok(key) } else { Err(wrong()) }
    }
}

/// The keys, each of them the key of the node that it names.
pub fn keys_of(views: &[KeyView]) -> Result<Vec<LedgerKey>, Fault> {
    if views.len() > MOST_KEYS {
        return Err(Fault::new(format!("it comes with more than {MOST_KEYS} keys")));
    }
    views.iter().map(KeyView::key).collect()
}

/// A checkpoint that was read. Nothing of it is to be believed before [`Head::check`].
#[derive(Debug)]
pub struct Head {
    /// Whose ledger it is of: `akita/` and an id.
    pub origin: String,
    /// Rows.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    note: Note,
    names: Vec<String>,
}

impl Head {
    /// Reads a checkpoint's text.
    pub fn read(text: &str) -> Result<Head, Fault> {
        let note = Note::from_bytes(text.as_bytes()).map_err(|_| Fault::new("the checkpoint is no signed note"))?;
        let head =
            Checkpoint::from_bytes(note.text()).map_err(|_| Fault::new("the signed note in it is no checkpoint"))?;
        if head.size() > MOST_ROWS {
            return Err(Fault::new("the checkpoint is of more rows than there can be"));
        }
        // Who signed stands behind the text that is signed, one name a line.
        let lines = text.lines().filter_map(|line| line.strip_prefix("\u{2014} "));
        let names = lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        Ok(Head { origin: head.origin().to_owned(), size: head.size(), root: *head.hash(), note, names })
    }

    /// Whose signatures it says that it carries.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is signed.
    pub fn text(&self) -> &[u8] {
        self.note.text()
    }

    /// The nodes among them.
    pub fn signers(&self) -> Vec<NodeId> {
        self.names.iter().filter_map(|name| node_named(name)).collect()
    }

    /// The signature of that key, as it stands there.
    pub fn signature_of(&self, key: &LedgerKey) -> Option<[u8; 64]> {
        let note = self.note.to_bytes();
        let lines = note.split(|byte| *byte == b'\n').filter_map(|line| Signature::from_bytes(line).ok());
        let mut signed = lines.filter(|one| *one.name() == key.origin());
        // After the number of the key.
        signed.next().and_then(|one| one.signature().try_into().ok())
    }

    /// Checks the signatures of those whose keys are given: all of these must hold, and there must be one.
    pub fn check(&self, keys: &[LedgerKey]) -> Result<Proven, Fault> {
        let mut mine: Vec<&LedgerKey> = keys.iter().filter(|key| self.names.contains(&key.origin())).collect();
        mine.sort_by_key(|key| key.node);
        mine.dedup_by_key(|key| key.node);
        let verifiers = mine.iter().map(|key| {
            let verifier = StandardVerifier::new(&key.verifier_key());
            verifier.map(|verifier| Box::new(verifier) as Box<dyn Verifier>)
        });
        let verifiers = verifiers.collect::<Result<_, _>>().map_err(|_| Fault::new("a key in it is no Ed25519 key"))?;
        let named = |signatures: &[Signature]| signatures.iter().map(|one| one.name().to_owned()).collect::<Vec<_>>();
        match self.note.verify(&VerifierList::new(verifiers)) {
            Ok((good, unchecked)) => Ok(Proven {
                size: self.size,
                root: self.root,
                signers: named(&good).iter().filter_map(|name| node_named(name)).collect(),
                unchecked: named(&unchecked),
            }),
            Err(NoteError::InvalidSignature { name, .. }) => {
                Err(Fault::new(format!("the signature of {name} under the checkpoint is false")))
            }
            Err(_) => Err(Fault::new(format!(
                "the checkpoint is signed by nobody whose key is known, only by {}",
                self.names.join(", ")
            ))),
        }
    }
}

fn node_named(name: &str) -> Option<NodeId> {
    name.strip_prefix("akita/")?.parse().ok()
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
