//! Signed heads of the ledger, in the formats of C2SP `tlog-checkpoint` and `signed-note`. The key stays with the
//! node's identity; here it is a closure.

use akita_core::NodeId;
use base64::{Engine, prelude::BASE64_STANDARD};
use signed_note::{Note, Signature, key_id};
use tlog_tiles::{Checkpoint, Hash};

use crate::proof::{Fault, Head};

/// Marks an Ed25519 key in C2SP `signed-note`.
const ALG_ED25519: u8 = 1;

/// Signs bytes with the node's Ed25519 key.
pub type SignFn = Box<dyn Fn(&[u8]) -> [u8; 64] + Send>;

/// Whose ledger it is: what a verifier needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerKey {
    /// The node.
    pub node: NodeId,
    /// Its public keys as Reticulum writes them: X25519, then Ed25519. The latter signs; the node's id is their hash.
    pub public_key: [u8; 64],
}

impl LedgerKey {
    /// The origin line of its checkpoints, and the name of its key.
    pub fn origin(&self) -> String {
        format!("akita/{}", self.node)
    }

    /// The key as C2SP `signed-note` writes it for verifiers.
    pub fn verifier_key(&self) -> String {
        format!("{}+{:08x}+{}", self.origin(), self.id(), BASE64_STANDARD.encode(self.typed()))
    }

    fn typed(&self) -> Vec<u8> {
        [&[ALG_ED25519], &self.public_key[32..]].concat()
    }

    fn id(&self) -> u32 {
        key_id(&self.origin(), &self.typed())
    }
}

/// The node's key, for signing.
pub struct Signer {
    /// Whose key it is.
    pub key: LedgerKey,
    /// Signs with it.
    pub sign: SignFn,
}

impl Signer {
    /// The signed note that the first `size` rows have `root`.
    pub(crate) fn note(&self, size: u64, root: Hash) -> String {
        let text = Checkpoint::new(&self.key.origin(), size, root, "").expect("the origin is not empty").to_bytes();
        let note = Note::new(&text, &[self.signature(&text)]).expect("a checkpoint is text").to_bytes();
        String::from_utf8(note).expect("a note is text")
    }

    /// The note with this node's signature below those that it has. Whoever calls it has seen that the signed rows are
    /// its own too.
    ///
    /// # Errors
    /// It is no signed checkpoint, or carries this node's signature already.
    pub fn cosign(&self, note: &str) -> Result<String, Fault> {
        let head = Head::read(note)?;
        if head.names().contains(&self.key.origin()) {
            return Err(Fault::new("the checkpoint carries this node's signature already"));
        }
        let text = head.text().to_vec();
        let line = String::from_utf8(self.signature(&text).to_bytes()).expect("a signature's line is text");
        Ok(format!("{}\n{}\n", note.trim_end_matches('\n'), line.trim_end_matches('\n')))
    }

    fn signature(&self, text: &[u8]) -> Signature {
        let signature = Signature::new(self.key.origin(), self.key.id(), (self.sign)(text).to_vec());
        signature.expect("the origin has neither spaces nor plus signs")
    }
}

/// Whether `note` is of `size` rows with `root`, and signed by `key`, if one is given. Who signed it: others may too, and
/// their keys are not looked for here.
pub(in crate::store) fn check(
    note: &str,
    key: Option<&LedgerKey>,
    size: u64,
    root: Hash,
) -> Result<Vec<NodeId>, &'static str> {
    let head = Head::read(note).map_err(|_| "is no signed checkpoint")?;
    if let Some(key) = key {
        head.check(std::slice::from_ref(key)).map_err(|_| "is not signed by this node's key")?;
    }
    if key.is_some_and(|key| head.origin != key.origin()) || head.size != size {
        return Err("is one of another ledger or size");
    }
    if head.root != root { Err("was signed over other rows") } else { Ok(head.signers()) }
}
