//! The fingerprints and how they are written. It does not know where the bytes come from.

use akita_plugin::prelude::*;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// What `sha256` and `blake3` give.
pub const ONE_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["algorithm","hex","bytes"],
"properties":{"algorithm":{"enum":["sha256","blake3"]},"hex":{"type":"string","pattern":"^[0-9a-f]{64}$"},
"bytes":{"type":"integer","minimum":0,"description":"How many bytes were read"}}}"#;

/// What `all` gives.
pub const ALL_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["sha256","blake3","bytes"],
"properties":{"sha256":{"type":"string"},"blake3":{"type":"string"},"bytes":{"type":"integer","minimum":0}}}"#;

/// How to make a fingerprint.
#[derive(Clone, Copy)]
pub enum Algorithm {
    Sha256,
    Blake3,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }

    fn hex(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha256 => HEXLOWER.encode(&Sha256::digest(bytes)),
            Self::Blake3 => HEXLOWER.encode(blake3::hash(bytes).as_bytes()),
        }
    }
}

/// One fingerprint as JSON. No part of it can need escaping.
pub fn render_one(algorithm: Algorithm, bytes: &[u8]) -> String {
    let (name, hex, count) = (algorithm.name(), algorithm.hex(bytes), bytes.len());
    format!(r#"{{"algorithm":"{name}","hex":"{hex}","bytes":{count}}}"#)
}

/// Both fingerprints as JSON.
pub fn render_all(bytes: &[u8]) -> String {
    let (sha256, blake3) = (Algorithm::Sha256.hex(bytes), Algorithm::Blake3.hex(bytes));
    format!(r#"{{"sha256":"{sha256}","blake3":"{blake3}","bytes":{}}}"#, bytes.len())
}

/// Both fingerprints of bytes that come piece by piece.
#[derive(Default)]
pub struct Both {
    sha256: Sha256,
    blake3: blake3::Hasher,
    bytes: u64,
}

impl Both {
    /// Takes the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.blake3.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// Both as JSON.
    pub fn render(self) -> String {
        let (sha256, blake3) = (HEXLOWER.encode(&self.sha256.finalize()), self.blake3.finalize());
        format!(r#"{{"sha256":"{sha256}","blake3":"{blake3}","bytes":{}}}"#, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-2 and from BLAKE3's own test vectors.
    #[test]
    fn fingerprints_are_the_published_ones() {
        assert_eq!(Algorithm::Sha256.hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Algorithm::Blake3.hex(b""), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn what_is_given_is_json() {
        for text in [render_one(Algorithm::Sha256, b"abc"), render_one(Algorithm::Blake3, b"abc"), render_all(b"abc")] {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["bytes"], 3);
        }
    }

    #[test]
    fn pieces_have_the_fingerprints_of_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let mut both = Both::default();
        bytes.chunks(77).for_each(|piece| both.add(piece));
        assert_eq!(both.render(), render_all(&bytes));
    }

    #[test]
    fn schemas_are_json() {
        for schema in [ONE_SCHEMA, ALL_SCHEMA, crate::input::SCHEMA] {
            assert!(serde_json::from_str::<serde_json::Value>(schema).unwrap().is_object());
        }
    }
}
