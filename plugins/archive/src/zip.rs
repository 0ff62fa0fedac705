//! Zip archives (PKWARE's APPNOTE 6.3) of files that are stored or deflated. What the format can say beyond that, it names
//! and refuses: encryption, other methods, Zip64, archives in parts. Every number of an archive is checked before it is
//! used, because archives come from strangers.

use akita_plugin::prelude::*;
use miniz_oxide::deflate;

use crate::codec::{self, Format};
use crate::fault;

/// Methods of compression.
pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// More files are somebody's mistake, or malice.
const MAX_FILES: usize = 1000;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// Flags of an entry.
const ENCRYPTED: u16 = 1;
const UTF8_NAME: u16 = 1 << 11;
/// What it takes to read a deflated file: version 2.0.
const VERSION: u16 = 20;
/// 1980-01-01, the format's first day: the same files give the same archive.
const DATE: u16 = 0x21;

/// What the archive says of a file.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    pub method: u16,
    pub bytes: u32,
    pub packed_bytes: u32,
    pub encrypted: bool,
    crc: u32,
    start: u32,
}

impl Entry {
    pub fn is_directory(&self) -> bool {
        self.name.ends_with('/')
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// What is in an archive, by its central directory.
pub fn entries(archive: &[u8]) -> Result<Vec<Entry>, TaskError> {
    let end = find_end(archive).ok_or_else(|| fault::broken("this is no zip archive: it has no end record"))?;
    let broken = || fault::broken("the archive's directory is broken");
    let count = usize::from(u16_at(archive, end + 10).ok_or_else(broken)?);
    let start = u32_at(archive, end + 16).ok_or_else(broken)?;
    if start == u32::MAX || count == usize::from(u16::MAX) {
        return Err(unsupported("Zip64 archives are not supported"));
    }
    if u32_at(archive, end + 4) != Some(0) {
        return Err(unsupported("archives in several parts are not supported"));
    }
    if count > MAX_FILES {
        let message = format!("the archive has {count} files, and {MAX_FILES} is the limit");
        return Err(TaskError::invalid(message).code("too-many"));
    }
    let mut rest = archive.get(start as usize..end).ok_or_else(broken)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (entry, length) = entry(rest).ok_or_else(broken)?;
        entries.push(entry);
        rest = &rest[length..];
    }
    Ok(entries)
}

/// The last end record whose comment reaches to the end of the file.
fn find_end(archive: &[u8]) -> Option<usize> {
    let last = archive.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find(|at| {
        let comment = u16_at(archive, at + 20).map(usize::from);
        u32_at(archive, *at) == Some(END) && comment == Some(archive.len() - at - END_BYTES)
    })
}

/// One entry of the directory, and how long it is.
fn entry(bytes: &[u8]) -> Option<(Entry, usize)> {
    if u32_at(bytes, 0)? != CENTRAL {
        return None;
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(bytes, at).map(usize::from));
    let length = CENTRAL_BYTES + name? + extra? + comment?;
    let name = bytes.get(CENTRAL_BYTES..CENTRAL_BYTES + name?)?;
    let entry = Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        encrypted: u16_at(bytes, 8)? & ENCRYPTED != 0,
        method: u16_at(bytes, 10)?,
        crc: u32_at(bytes, 16)?,
        packed_bytes: u32_at(bytes, 20)?,
        bytes: u32_at(bytes, 24)?,
        start: u32_at(bytes, 42)?,
    };
    (bytes.len() >= length).then_some((entry, length))
}

/// The bytes of a file, if they are no more than `limit` and match their checksum.
pub fn extract(archive: &[u8], entry: &Entry, limit: usize) -> Result<Vec<u8>, TaskError> {
    let name = &entry.name;
    if !is_safe(name) {
        let message = format!("`{name}` would be put outside of the folder that it is unpacked to");
        return Err(TaskError::invalid(message).code("unsafe-name"));
    }
    if entry.encrypted {
        return Err(unsupported(&format!("`{name}` is encrypted")));
    }
    let packed =
        packed(archive, entry).ok_or_else(|| fault::broken(&format!("`{name}` is not where the archive says")))?;
    let data = match entry.method {
        STORED if packed.len() > limit => return Err(fault::too_large(limit)),
        STORED => packed.to_vec(),
        DEFLATED => codec::decompress(packed, Format::Deflate, limit)?,
        other => return Err(unsupported(&format!("`{name}` is compressed with method {other}"))),
    };
    if crc32(&data) != entry.crc || data.len() != entry.bytes as usize {
        return Err(fault::broken(&format!("`{name}` does not match its checksum")));
    }
    Ok(data)
}

fn packed<'a>(archive: &'a [u8], entry: &Entry) -> Option<&'a [u8]> {
    let local = archive.get(entry.start as usize..)?;
    if u32_at(local, 0)? != LOCAL {
        return None;
    }
    let start = LOCAL_BYTES + usize::from(u16_at(local, 26)?) + usize::from(u16_at(local, 28)?);
    local.get(start..)?.get(..entry.packed_bytes as usize)
}

/// A relative path that stays where it is put, on any system.
fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn unsupported(what: &str) -> TaskError {
    TaskError::invalid(what).code("unsupported")
}

/// An archive that is being written.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Writer {
    /// Adds a file, deflated if that makes it smaller.
    pub fn add(&mut self, name: &str, data: &[u8]) -> Result<(), TaskError> {
        if !is_safe(name) || name.len() > 255 {
            let message = format!("`{name}` is no relative path with `/` of at most 255 bytes");
            return Err(TaskError::invalid(message).code("unsafe-name"));
        }
        if usize::from(self.count) == MAX_FILES {
            return Err(TaskError::invalid(format!("{MAX_FILES} files is the limit")).code("too-many"));
        }
        let deflated = deflate::compress_to_vec(data, 6);
        let (method, packed) = if deflated.len() < data.len() { (DEFLATED, &deflated[..]) } else { (STORED, data) };
        let start = self.bytes.len() as u32;
        let mut common = Vec::new();
        for half in [VERSION, UTF8_NAME, method, 0, DATE] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc32(data), packed.len() as u32, data.len() as u32] {
            common.extend(word.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        self.bytes.extend(LOCAL.to_le_bytes());
        self.bytes.extend_from_slice(&common);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(packed);
        self.directory.extend(CENTRAL.to_le_bytes());
        self.directory.extend(VERSION.to_le_bytes());
        self.directory.extend_from_slice(&common);
        // No comment, the first part, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(start.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&self.directory);
        self.bytes.extend(END.to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend((self.directory.len() as u32).to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0; 2]);
        self.bytes
    }
}

/// The checksum of zip (ISO 3309), a bit at a time: a table would be a kilobyte of every transfer.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Python's zipfile.
    const SAMPLE: &[u8] = include_bytes!("../testdata/sample.zip");

    #[test]
    fn a_foreign_archive_is_read() {
        let entries = entries(SAMPLE).unwrap();
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["notes/", "notes/hello.txt", "raw.bin"]);
        assert!(entries[0].is_directory());
        assert_eq!((entries[1].method, entries[2].method), (DEFLATED, STORED));
        assert_eq!(extract(SAMPLE, &entries[1], 600).unwrap(), "hello ".repeat(100).as_bytes());
        assert_eq!(extract(SAMPLE, &entries[2], 256).unwrap(), (0..=255).collect::<Vec<u8>>());
        assert_eq!(fault::told(&extract(SAMPLE, &entries[1], 599).unwrap_err()).0, Some("too-large"));
        assert_eq!(fault::told(&extract(SAMPLE, &entries[2], 255).unwrap_err()).0, Some("too-large"));
    }

    /// From the catalogue of parametrised CRC algorithms.
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn every_broken_byte_is_noticed_or_harmless() {
        for at in 0..SAMPLE.len() {
            let mut broken = SAMPLE.to_vec();
            broken[at] ^= 0xff;
            for entry in entries(&broken).into_iter().flatten() {
                if let Ok(data) = extract(&broken, &entry, 10_000) {
                    assert_eq!(crc32(&data), entry.crc);
                }
            }
            let cut = &SAMPLE[..at];
            assert!(entries(cut).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../../b", "C:x", "a\\b", "", "a//b", "./a"] {
            assert!(!is_safe(name), "{name}");
            assert_eq!(fault::told(&Writer::default().add(name, b"").unwrap_err()).0, Some("unsafe-name"));
        }
        assert!(is_safe("a/b-1.txt") && is_safe("ü"));
    }
}
