//! Bytes inside JSON.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde_core::de::{self, Deserialize, Deserializer, Visitor};
use serde_core::ser::{Serialize, Serializer};

use crate::{Schema, SchemaWriter};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes that are base64 (RFC 4648 section 4, with padding) in JSON.
///
/// ```
/// use akita_plugin::{Base64, json};
/// let bytes: Base64 = json::from_slice(br#""YWJj""#)?;
/// assert_eq!(bytes.0, b"abc");
/// assert_eq!(json::to_string(&bytes)?, r#""YWJj""#);
/// # Ok::<(), json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Base64 {
    /// The text of some bytes.
    ///
    /// ```
    /// assert_eq!(akita_plugin::Base64::encode(b"hello"), "aGVsbG8=");
    /// ```
    #[must_use]
    pub fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for group in bytes.chunks(3) {
            let number = group.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= group.len() { char::from(letter) } else { '=' });
            }
        }
        text
    }

    /// The bytes of a text; `None` if it is not base64 with padding.
    ///
    /// ```
    /// use akita_plugin::Base64;
    /// assert_eq!(Base64::decode("aGVsbG8="), Some(b"hello".to_vec()));
    /// assert_eq!(Base64::decode("aGVsbG8"), None);
    /// ```
    #[must_use]
    pub fn decode(text: &str) -> Option<Vec<u8>> {
        let text = text.as_bytes();
        if !text.len().is_multiple_of(4) {
            return None;
        }
        let padding = text.iter().rev().take(2).take_while(|letter| **letter == b'=').count();
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
        for group in text[..text.len() - padding].chunks(4) {
            let mut number = 0;
            for letter in group {
                number = number << 6 | value(*letter)?;
            }
            let unused = (4 - group.len()) * 6;
            // Bits that say nothing have to be 0: otherwise several texts would mean the same bytes.
            if unused > 0 && number & ((1 << (unused / 3)) - 1) != 0 {
                return None;
            }
            bytes.extend_from_slice(&(number << unused).to_be_bytes()[1..group.len()]);
        }
        Some(bytes)
    }
}

fn value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Base64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 with padding")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
                Base64::decode(text).map(Base64).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::encode(&self.0))
    }
}

impl Schema for Base64 {
    fn write(out: &mut SchemaWriter) {
        out.raw(r#"{"type":"string","contentEncoding":"base64"}"#);
    }
}
