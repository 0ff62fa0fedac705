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

    /// The checkpoint that the first `size` rows have `root`, as the node signed it.
    ///
    /// # Errors
    /// The signature is not this key's over that text.
    pub fn signed(&self, size: u64, root: [u8; 32], signature: &[u8]) -> Result<String, Fault> {
        let text = checkpoint_text(&self.origin(), size, Hash(root));
        let text = String::from_utf8(text).expect("a checkpoint is text");
        self.under(&format!("{text}\n"), signature)
    }

    /// The note with this key's signature below those that it has.
    ///
    /// # Errors
    /// It is no signed checkpoint, carries this key's signature already, or the signature is not over its text.
    pub fn sign_too(&self, note: &str, signature: &[u8]) -> Result<String, Fault> {
        if Head::read(note)?.names().contains(&self.origin()) {
            return Err(Fault::new("the checkpoint carries this node's signature already"));
        }
        self.under(note, signature)
    }

    fn under(&self, note: &str, signature: &[u8]) -> Result<String, Fault> {
        let line = Signature::new(self.origin(), self.id(), signature.to_vec());
        let line = line.map_err(|_| Fault::new("that is no signature"))?.to_bytes();
        let line = String::from_utf8(line).expect("a signature's line is text");
        let note = format!("{}{}\n", end_line(note), line.trim_end_matches('\n'));
        Head::read(&note)?.check(std::slice::from_ref(self)).map(|_| note)
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
        let text = checkpoint_text(&self.key.origin(), size, root);
        let note = Note::new(&text, &[self.signature(&text)]).expect("a checkpoint is text").to_bytes();
        String::from_utf8(note).expect("a note is text")
    }

    /// The signature of this node below those that the note has. Whoever calls it has seen that the signed rows are its
    /// own too.
    ///
    /// # Errors
    /// It is no signed checkpoint, or carries this node's signature already.
    pub fn cosign(&self, note: &str) -> Result<[u8; 64], Fault> {
        let head = Head::read(note)?;
        if head.names().contains(&self.key.origin()) {
            return Err(Fault::new("the checkpoint carries this node's signature already"));
        }
        Ok((self.sign)(head.text()))
    }

    fn signature(&self, text: &[u8]) -> Signature {
        let signature = Signature::new(self.key.origin(), self.key.id(), (self.sign)(text).to_vec());
        signature.expect("the origin has neither spaces nor plus signs")
    }
}

fn checkpoint_text(origin: &str, size: u64, root: Hash) -> Vec<u8> {
    Checkpoint::new(origin, size, root, "").expect("the origin is not empty").to_bytes()
}

/// The text ends with exactly the line ends that it is to have before a signature: none more after one, an empty line
/// after what is signed.
fn end_line(note: &str) -> String {
    let signed = note.lines().any(|line| line.starts_with('\u{2014}'));
    format!("{}{}", note.trim_end_matches('\n'), if signed { "\n" } else { "\n\n" })
}

/// Who signed a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signers {
    /// Whose signatures were checked.
    pub checked: Vec<NodeId>,
    /// The others that it names: their keys were not given.
    pub unchecked: Vec<String>,
}

/// Whether `note` is of `size` rows with `root`, and signed by the first of `keys`, if there is one; the signatures of the
/// others, where it carries them, must hold too.
pub(in crate::store) fn check(note: &str, keys: &[LedgerKey], size: u64, root: Hash) -> Result<Signers, String> {
    let head = Head::read(note).map_err(|_| "is no signed checkpoint")?;
    let mut signers = Signers { checked: Vec::new(), unchecked: head.names().to_vec() };
    if let Some(own) = keys.first() {
        head.check(std::slice::from_ref(own)).map_err(|_| "is not signed by this node's key")?;
        let proven = head.check(keys).map_err(|fault| format!("does not hold: {fault}"))?;
        signers = Signers { checked: proven.signers, unchecked: proven.unchecked };
    }
    if keys.first().is_some_and(|key| head.origin != key.origin()) || head.size != size {
        return Err("is one of another ledger or size".into());
    }
    if head.root != root { Err("was signed over other rows".into()) } else { Ok(signers) }
}
