//! Signed heads of the ledger, in the formats of C2SP `tlog-checkpoint` and `signed-note`. The key stays with the
//! node's identity; here it is a closure.

use akita_core::NodeId;
use base64::{Engine, prelude::BASE64_STANDARD};
use signed_note::{Note, Signature, StandardVerifier, VerifierList, key_id};
use tlog_tiles::{Checkpoint, Hash};

/// Marks an Ed25519 key in C2SP `signed-note`.
const ALG_ED25519: u8 = 1;

/// Signs bytes with the node's Ed25519 key.
pub type SignFn = Box<dyn Fn(&[u8]) -> [u8; 64] + Send>;

/// Whose ledger it is: what a verifier needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerKey {
    /// The node.
    pub node: NodeId,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
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
        [&[ALG_ED25519], self.public_key.as_slice()].concat()
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
    pub(in crate::store) fn note(&self, size: u64, root: Hash) -> String {
        let origin = self.key.origin();
        let text = Checkpoint::new(&origin, size, root, "").expect("the origin is not empty").to_bytes();
        let signature = Signature::new(origin, self.key.id(), (self.sign)(&text).to_vec());
        let signature = signature.expect("the origin has neither spaces nor plus signs");
        let note = Note::new(&text, &[signature]).expect("a checkpoint is text").to_bytes();
        String::from_utf8(note).expect("a note is text")
    }
}

/// Whether `note` is signed by `key` for `size` rows with `root`.
pub(in crate::store) fn check(note: &str, key: &LedgerKey, size: u64, root: Hash) -> Result<(), &'static str> {
    let note = Note::from_bytes(note.as_bytes()).map_err(|_| "is no signed note")?;
    let verifier = StandardVerifier::new(&key.verifier_key()).map_err(|_| "cannot be checked with this node's key")?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|_| "is not signed by this node's key")?;
    let head = Checkpoint::from_bytes(note.text()).map_err(|_| "is no checkpoint")?;
    if head.origin() != key.origin() || head.size() != size {
        return Err("is one of another ledger or size");
    }
    if *head.hash() != root { Err("was signed over other rows") } else { Ok(()) }
}
