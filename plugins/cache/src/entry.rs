//! A value with its times and its media type, as bytes to be kept. It keeps nothing itself.

use akita_plugin::prelude::*;

/// Two times in milliseconds, and the length of the media type.
const HEADER: usize = 8 + 8 + 1;

/// A cached value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was put, in milliseconds since 1970. It is also what tells its place in the order of age.
    pub stamp: u64,
    /// When it ends; never, if there is none.
    pub ends: Option<u64>,
    pub value: Content,
}

impl Entry {
    /// The bytes to keep.
    pub fn write(&self) -> Vec<u8> {
        let kind = self.value.content_type.as_bytes();
        let mut bytes = Vec::with_capacity(HEADER + kind.len() + self.value.body.len());
        bytes.extend(self.stamp.to_be_bytes());
        bytes.extend(self.ends.unwrap_or(u64::MAX).to_be_bytes());
        bytes.push(u8::try_from(kind.len()).unwrap_or(u8::MAX));
        bytes.extend(&kind[..kind.len().min(usize::from(u8::MAX))]);
        bytes.extend(&self.value.body);
        bytes
    }

    /// What was kept; `None` if it is nothing that this plugin wrote.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (stamp, rest) = bytes.split_first_chunk()?;
        let (ends, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (kind, body) = rest.split_at_checked(usize::from(*length))?;
        let ends = u64::from_be_bytes(*ends);
        Some(Self {
            stamp: u64::from_be_bytes(*stamp),
            ends: (ends != u64::MAX).then_some(ends),
            value: Content::new(str::from_utf8(kind).ok()?, body),
        })
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: u64) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (ends, kind, body) in [(None, "application/json", &b"{}"[..]), (Some(7), "", b""), (Some(0), "a/b", b"\0")]
        {
            let entry = Entry { stamp: 5, ends, value: Content::new(kind, body) };
            assert_eq!(Entry::read(&entry.write()), Some(entry));
        }
        let whole = Entry { stamp: 5, ends: None, value: Content::new("text/plain", "") }.write();
        for cut in 0..whole.len() {
            assert_eq!(Entry::read(&whole[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_value_ends_at_its_time() {
        let entry = Entry { stamp: 0, ends: Some(10), value: Content::json("1") };
        assert!(!entry.is_over(9) && entry.is_over(10));
        assert!(!Entry { ends: None, ..entry }.is_over(u64::MAX));
    }
}
