//! A snapshot's file as it travels: compressed, and unpacked only as far as a state can be large. It knows nothing of what
//! is in it.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// A state at most: some ten million tasks with results of the usual size. Whoever sends more means harm, or needs a
/// shorter RESULT_RETENTION_S.
pub(super) const MAX_STATE_BYTES: u64 = 16 << 30;
/// Bytes of the disk that a snapshot leaves free, so that the node can go on to write its log.
const LEFT_FREE: u64 = 64 << 20;
/// Bytes between two looks at how much of the disk is free.
const LOOK_EVERY: usize = 8 << 20;
/// zstd's own default: a third of the size, at some 200 MB/s.
const LEVEL: i32 = 3;

/// Compresses the file `from` into the file `to`; says how large the one was and the other is.
pub(super) fn pack(from: &Path, to: &Path) -> io::Result<(u64, u64)> {
    let mut out = zstd::Encoder::new(File::create(to)?, LEVEL)?;
    out.include_checksum(true)?;
    let size = io::copy(&mut File::open(from)?, &mut out)?;
    Ok((size, out.finish()?.metadata()?.len()))
}

/// Undoes [`pack`].
///
/// # Errors
/// It is damaged, is not what `pack` makes, holds more than a state can, or the disk has no room for it.
pub(super) fn unpack(from: &Path, to: &Path) -> io::Result<()> {
    unpack_at_most(from, to, MAX_STATE_BYTES)
}

fn unpack_at_most(from: &Path, to: &Path, most: u64) -> io::Result<()> {
    let mut packed = zstd::Decoder::new(File::open(from)?)?;
    let mut out = File::create(to)?;
    let (mut piece, mut size) = (vec![0; LOOK_EVERY], 0);
    loop {
        let read = fill(&mut packed, &mut piece)?;
        if read == 0 {
            return Ok(());
        }
        size += read as u64;
        if size > most {
            let text = format!("a snapshot that unpacks to more than {most} bytes is refused");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        make_sure_of_room(to)?;
        out.write_all(&piece[..read])?;
    }
}

/// Reads until the piece is full or all is read.
fn fill(from: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < piece.len() {
        match from.read(&mut piece[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

fn make_sure_of_room(place: &Path) -> io::Result<()> {
    if fs4::available_space(place)? > LEFT_FREE + LOOK_EVERY as u64 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::StorageFull, "the disk has no room for a snapshot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_as_it_was_and_travels_smaller() {
        let dir = tempfile::tempdir().unwrap();
        let [from, packed, to] = ["from", "packed", "to"].map(|name| dir.path().join(name));
        let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|n| (n / 1_000).to_be_bytes()).collect();
        std::fs::write(&from, &bytes).unwrap();
        let (size, travels) = pack(&from, &packed).unwrap();
        assert_eq!(size, bytes.len() as u64);
        assert!(travels < size / 10 && travels == packed.metadata().unwrap().len(), "{travels} of {size}");
        unpack(&packed, &to).unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes);
        std::fs::write(&from, []).unwrap();
        pack(&from, &packed).unwrap();
        unpack(&packed, &to).unwrap();
        assert!(std::fs::read(&to).unwrap().is_empty());
    }

    #[test]
    fn what_is_damaged_or_unpacks_to_too_much_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [from, packed, to] = ["from", "packed", "to"].map(|name| dir.path().join(name));
        std::fs::write(&from, vec![0; 64 << 20]).unwrap();
        let (_, travels) = pack(&from, &packed).unwrap();
        assert!(travels < 64 << 10, "a bomb of {travels} bytes");
        let refused = unpack_at_most(&packed, &to, 20 << 20).unwrap_err();
        assert!(refused.to_string().contains("more than 20971520 bytes"), "{refused}");
        assert!(to.metadata().unwrap().len() <= 20 << 20, "and not before the disk is full");
        let whole = std::fs::read(&packed).unwrap();
        std::fs::write(&packed, &whole[..whole.len() - 1]).unwrap();
        assert!(unpack(&packed, &to).is_err(), "cut short");
        std::fs::write(&packed, "SQLite format 3, and no zstd").unwrap();
        assert!(unpack(&packed, &to).is_err());
    }
}
