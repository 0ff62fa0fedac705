//! Looks at a file before it is compiled: is it a component at all, and if not, what is it. It trusts nothing.

use wasmtime::Engine;

use crate::load::LoadError;

/// Largest plugin file: a Python component has 18 MB, three times that is somebody's mistake.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// What every WebAssembly file starts with.
const MAGIC: &[u8; 4] = b"\0asm";
/// Then: version 13, layer 1.
const COMPONENT: &[u8; 4] = &[0x0d, 0, 1, 0];
/// Or: version 1, layer 0.
const MODULE: &[u8; 4] = &[1, 0, 0, 0];

/// How to make a component, for those who have something else.
const HOW: &str = "build it for the target `wasm32-wasip2`, or with `cargo component build --release`";

/// Refuses what is no whole component.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let size = bytes.len() as u64;
    if size > MAX_FILE_BYTES {
        return Err(LoadError::TooLarge { size });
    }
    if Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        return Err(LoadError::Precompiled);
    }
    let not = |what: &str| Err(LoadError::NotAComponent(format!("{what}: {HOW}")));
    if bytes.is_empty() {
        return not("the file is empty");
    }
    if !bytes.starts_with(MAGIC) {
        if MAGIC.starts_with(bytes) {
            return Err(LoadError::Truncated { size });
        }
        return match bytes.trim_ascii_start().first() {
            Some(b'(') => not("this is WebAssembly text, not a compiled component"),
            _ => not("this is no WebAssembly"),
        };
    }
    match bytes.get(4..8) {
        None => Err(LoadError::Truncated { size }),
        Some(version) if version == COMPONENT => whole(&bytes[8..]).ok_or(LoadError::Truncated { size }),
        Some(version) if version == MODULE => not("this is a core module, not a component"),
        Some(_) => not("this is WebAssembly of an unknown version"),
    }
}

/// Walks the sections; `None` if the last one is cut off.
fn whole(mut rest: &[u8]) -> Option<()> {
    while !rest.is_empty() {
        let (_kind, after) = rest.split_first()?;
        let (length, after) = leb128(after)?;
        rest = after.get(usize::try_from(length).ok()?..)?;
    }
    Some(())
}

/// An unsigned number of up to 32 bits. One that is malformed counts as read: the compiler says what is wrong.
fn leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    (bytes.len() >= 5).then(|| (0, &bytes[5..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(bytes: &[u8], expect: &str) {
        let error = check(bytes).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn what_is_no_component_is_called_by_its_name() {
        refused(b"", "empty");
        refused(b"hello", "no WebAssembly");
        refused(b" (component)", "text");
        refused(b"\0asm\x01\0\0\0", "core module");
        refused(b"\0asm\x09\0\x01\0", "unknown version");
        refused(b"\x7fELF\x02\x01\x01", "compiled");
    }

    #[test]
    fn a_cut_file_is_told_apart() {
        refused(b"\0as", "cut off");
        refused(b"\0asm\x0d\0", "cut off");
        refused(b"\0asm\x0d\0\x01\0\x01\x05ab", "cut off");
        refused(b"\0asm\x0d\0\x01\0\x01", "cut off");
        check(b"\0asm\x0d\0\x01\0\x00\x02\x01a").unwrap();
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 1u32;
        for length in 0..300 {
            let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
            bytes.extend((0..length).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }));
            let _ = check(&bytes);
        }
    }
}
