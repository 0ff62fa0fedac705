//! The envelope of every message between two nodes, and its bytes.
//!
//! Never sees keys or addresses: the link below encrypts, authenticates and routes.
//!
//! A frame is `kind (1) | id (8, big endian) | body`. It travels as the MessagePack `bin` of a Reticulum request,
//! response or resource. Always `bin`: the library re-encodes anything else that happens to parse as MessagePack.

use std::fmt;

/// Bytes that the envelope adds to a body.
pub(crate) const OVERHEAD: usize = 9;

/// Names a call: who asked in which life of its process (upper half), and which call of that life (lower half).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId {
    /// Random for each start of the caller, so that a restarted caller's first call is not taken for an old one.
    pub life: u32,
    /// Counts the caller's calls to this peer from 1. 0 names no call: it is how a ping asks.
    pub number: u32,
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{}", self.life, self.number)
    }
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Run this and answer.
    Request,
    /// The answer to a request.
    Answer,
    /// "I have what you sent under this id; the rest takes time." Stops the sender's retries.
    Taken,
    /// "What of this call?" Instead of sending a large request again. Number 0: "are you there?"
    Query,
    /// "I know nothing of that call", or "I am here".
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub kind: Kind,
    pub id: CallId,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The bytes of a frame.
    pub fn encode(kind: Kind, id: CallId, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OVERHEAD + body.len());
        bytes.push(match kind {
            Kind::Request => 1,
            Kind::Answer => 2,
            Kind::Taken => 3,
            Kind::Query => 4,
            Kind::Unknown => 5,
        });
        bytes.extend_from_slice(&id.life.to_be_bytes());
        bytes.extend_from_slice(&id.number.to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// The frame in these bytes; `None` if they are something else.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (life, rest) = rest.split_first_chunk()?;
        let (number, body) = rest.split_first_chunk()?;
        let kind = match kind {
            1 => Kind::Request,
            2 => Kind::Answer,
            3 => Kind::Taken,
            4 => Kind::Query,
            5 => Kind::Unknown,
            _ => return None,
        };
        let id = CallId { life: u32::from_be_bytes(*life), number: u32::from_be_bytes(*number) };
        let call = matches!(kind, Kind::Request | Kind::Answer | Kind::Taken);
        (!call || id.number != 0).then_some(Self { kind, id, body })
    }
}

/// MessagePack `bin` around `bytes`.
pub(crate) fn wrap(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let mut out = Vec::with_capacity(len + 5);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) => out.extend([0xc4, len]),
        (_, Ok(len)) => {
            out.push(0xc5);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend(u32::try_from(len).expect("bodies are far below 4 GiB").to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
    out
}

/// What is inside a MessagePack `bin` that fills `bytes` exactly.
pub(crate) fn unwrap(bytes: &[u8]) -> Option<&[u8]> {
    let (&marker, rest) = bytes.split_first()?;
    let (len, content) = match marker {
        0xc4 => rest.split_first_chunk::<1>().map(|(len, content)| (u32::from(len[0]), content)),
        0xc5 => rest.split_first_chunk::<2>().map(|(len, content)| (u16::from_be_bytes(*len).into(), content)),
        0xc6 => rest.split_first_chunk::<4>().map(|(len, content)| (u32::from_be_bytes(*len), content)),
        _ => None,
    }?;
    (usize::try_from(len) == Ok(content.len())).then_some(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 5] = [Kind::Request, Kind::Answer, Kind::Taken, Kind::Query, Kind::Unknown];

    proptest! {
        #[test]
        fn frames_come_back_as_they_went(
            kind in prop::sample::select(&KINDS[..]), life: u32, number in 1u32.., body in prop::collection::vec(any::<u8>(), 0..70_000),
        ) {
            let id = CallId { life, number };
            let wrapped = wrap(&Frame::encode(kind, id, &body));
            let bytes = unwrap(&wrapped).unwrap();
            prop_assert_eq!(bytes.len(), OVERHEAD + body.len());
            prop_assert_eq!(Frame::decode(bytes), Some(Frame { kind, id, body: &body }));
        }

        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(content) = unwrap(&bytes) {
                prop_assert_eq!(wrap(content).len() <= bytes.len(), true);
            }
            if let Some(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(Frame::encode(frame.kind, frame.id, frame.body), bytes);
            }
        }

        #[test]
        fn a_truncated_frame_is_refused(body in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index) {
            let whole = wrap(&Frame::encode(Kind::Request, CallId { life: 7, number: 1 }, &body));
            prop_assert_eq!(unwrap(&whole[..cut.index(whole.len())]), None);
        }
    }

    #[test]
    fn a_call_without_a_number_is_refused() {
        for kind in KINDS {
            let bytes = Frame::encode(kind, CallId { life: 1, number: 0 }, b"");
            let allowed = matches!(kind, Kind::Query | Kind::Unknown);
            assert_eq!(Frame::decode(&bytes).is_some(), allowed, "{kind:?}");
        }
    }
}
