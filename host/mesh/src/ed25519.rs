//! Ed25519 by itself, without an identity: for signatures that outlive a link. It reads no file and keeps no key.

use rns_crypto::ed25519::{Ed25519PrivateKey, Ed25519PublicKey};

/// The public key of the secret `seed`.
pub fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    Ed25519PrivateKey::from_bytes(seed).public_key().public_bytes()
}

/// Signature of `message` by the holder of the secret `seed`.
pub fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    Ed25519PrivateKey::from_bytes(seed).sign(message)
}

/// True if `signature` over `message` was made by the holder of `public_key`.
pub fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    Ed25519PublicKey::from_bytes(public_key).is_ok_and(|key| key.verify(signature, message))
}

/// Whether these bytes are a public key at all.
pub fn is_public_key(bytes: &[u8; 32]) -> bool {
    Ed25519PublicKey::from_bytes(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn a_signature_holds_for_its_key_and_message_only() {
        let (seed, other) = ([7; 32], [8; 32]);
        let signature = sign(&seed, b"message");
        assert!(verify(&public_key(&seed), b"message", &signature));
        assert!(!verify(&public_key(&seed), b"massage", &signature));
        assert!(!verify(&public_key(&other), b"message", &signature));
        assert!(!verify(&public_key(&seed), b"message", &[0; 64]));
    }

    #[test]
    fn an_identity_signs_with_the_second_half_of_its_public_key() {
        let identity = Identity::generate();
        let key = identity.signing_key();
        assert!(is_public_key(&key) && verify(&key, b"message", &identity.sign(b"message")));
    }
}
