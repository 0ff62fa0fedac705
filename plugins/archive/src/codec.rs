//! One payload in another form. Nothing is unpacked past its limit, whatever the payload says of its size.

use akita_plugin::prelude::*;
use miniz_oxide::deflate;
use miniz_oxide::inflate::{self, TINFLStatus};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use ruzstd::io::Read;
use serde::Deserialize;

use crate::fault;

/// miniz's level: most of what the best one saves, in a third of its time.
const LEVEL: u8 = 6;
/// How much of a zstd frame is unpacked at a time.
const STEP: usize = 16 * 1024;
/// What a zstd frame may make its reader keep: larger ones do not fit into a task's memory beside the result.
const MAX_WINDOW: u64 = 16 << 20;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// RFC 8878.
    #[default]
    Zstd,
    /// RFC 1950.
    Zlib,
    /// RFC 1951, bare.
    Deflate,
}

impl Format {
    /// What the first bytes say.
    pub fn told_from(data: &[u8]) -> Option<Self> {
        match data {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // Method 8, and both bytes together a multiple of 31.
            [method, check, ..] if method & 15 == 8 && u16::from_be_bytes([*method, *check]).is_multiple_of(31) => {
                Some(Self::Zlib)
            }
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Zstd => "application/zstd",
            Self::Zlib => "application/zlib",
            Self::Deflate => "application/octet-stream",
        }
    }
}

/// The payload, compressed.
pub fn compress(data: &[u8], format: Format) -> Vec<u8> {
    match format {
        Format::Zstd => compress_to_vec(data, CompressionLevel::Fastest),
        Format::Zlib => deflate::compress_to_vec_zlib(data, LEVEL),
        Format::Deflate => deflate::compress_to_vec(data, LEVEL),
    }
}

/// The payload as it was, if it has no more than `limit` bytes.
pub fn decompress(data: &[u8], format: Format, limit: usize) -> Result<Vec<u8>, TaskError> {
    match format {
        Format::Zstd => unpack_zstd(data, limit),
        Format::Zlib => inflated(inflate::decompress_to_vec_zlib_with_limit(data, limit), limit),
        Format::Deflate => inflated(inflate::decompress_to_vec_with_limit(data, limit), limit),
    }
}

fn inflated(result: Result<Vec<u8>, inflate::DecompressError>, limit: usize) -> Result<Vec<u8>, TaskError> {
    result.map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => fault::too_large(limit),
        TINFLStatus::FailedCannotMakeProgress => fault::broken("the deflated data ends too early"),
        TINFLStatus::Adler32Mismatch => fault::broken("the deflated data does not match its checksum"),
        _ => fault::broken("the data is not deflated"),
    })
}

fn unpack_zstd(data: &[u8], limit: usize) -> Result<Vec<u8>, TaskError> {
    let broken = || fault::broken("the data is no whole zstd frame");
    if window(data).ok_or_else(broken)? > MAX_WINDOW {
        return Err(fault::broken("the zstd frame needs a window of more than 16 MiB"));
    }
    let mut rest = data;
    let mut decoder = StreamingDecoder::new(&mut rest).map_err(|_| broken())?;
    let mut result = Vec::new();
    loop {
        let start = result.len();
        result.resize(start + STEP, 0);
        let read = decoder.read(&mut result[start..]).map_err(|_| broken())?;
        result.truncate(start + read);
        if result.len() > limit {
            return Err(fault::too_large(limit));
        }
        if read == 0 {
            break;
        }
    }
    if rest.is_empty() { Ok(result) } else { Err(fault::broken("there is more than one zstd frame")) }
}

/// How many bytes a frame makes its reader keep (RFC 8878, section 3.1.1.1): its window, or all of it.
fn window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.get(4)?;
    if descriptor & 1 << 5 == 0 {
        let window = frame.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = frame.get(5 + dictionary..)?;
    let number = |bytes: usize| {
        let bytes = size.get(..bytes)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    match descriptor >> 6 {
        0 => number(1),
        1 => number(2).map(|number| number + 256),
        2 => number(4),
        _ => number(8),
    }
}
