//! Archives and compressed payloads. This file is the component's edge: the shape of inputs and outputs, and which module
//! answers them.

mod codec;
mod fault;
mod zip;

use akita_plugin::SchemaWriter;
use akita_plugin::json;
use akita_plugin::prelude::*;
use codec::Format;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

akita_plugin::plugin! {
    name: "archive",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "list" => list {
            summary: "What is in a zip archive",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
            input_schema: (SchemaWriter::document::<Archive>()),
        },
        "unpack" => unpack {
            summary: "The files of a zip archive",
            idempotent: true,
            deterministic: true,
            typical_ms: 10,
            input_schema: (SchemaWriter::document::<Unpack>()),
        },
        "pack" => pack {
            summary: "A zip archive of files",
            idempotent: true,
            deterministic: true,
            typical_ms: 20,
        },
        "compress" => compress {
            summary: "A payload made smaller with zstd or deflate",
            idempotent: true,
            deterministic: true,
            typical_ms: 20,
            input_schema: (SchemaWriter::document::<Compress>()),
        },
        "decompress" => decompress {
            summary: "What zstd or deflate made smaller, within a limit of bytes",
            idempotent: true,
            deterministic: true,
            typical_ms: 10,
            input_schema: (SchemaWriter::document::<Decompress>()),
        },
    },
}

/// A node takes outputs of 1 MiB by default, and base64 is a third longer than its bytes.
const UNPACK_BYTES: usize = 750_000;
/// Bytes as they are fit in whole.
const DECOMPRESS_BYTES: usize = 1_000_000;

/// A zip archive, if the input is JSON. Any other content type is taken as the archive itself.
#[derive(Default, Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Archive {
    data_base64: Base64,
}

/// A zip archive and what to take out of it.
#[derive(Default, Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Unpack {
    data_base64: Base64,
    /// Names of files; all of them if absent.
    files: Option<Vec<String>>,
    /// More than this is refused, counted before base64.
    #[schema(minimum = 1, default = 750_000)]
    max_bytes: Option<usize>,
}

#[derive(Schema, Serialize)]
struct Listing {
    files: Vec<Listed>,
    /// Of all files, unpacked.
    bytes: u64,
}

#[derive(Schema, Serialize)]
struct Listed {
    name: String,
    bytes: u32,
    packed_bytes: u32,
    /// `stored`, `deflate` or the number of another method.
    method: String,
    encrypted: bool,
    directory: bool,
}

#[derive(Schema, Serialize)]
struct Unpacked {
    files: Vec<UnpackedFile>,
}

#[derive(Schema, Serialize)]
struct UnpackedFile {
    name: String,
    bytes: usize,
    data_base64: Base64,
}

/// Files for an archive.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Pack {
    #[schema(minItems = 1, maxItems = 1000)]
    files: Vec<PackFile>,
}

/// A file: give `data_base64` or `text`.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct PackFile {
    /// A relative path with `/`.
    #[schema(minLength = 1, maxLength = 255)]
    name: String,
    data_base64: Option<Base64>,
    /// Its UTF-8 bytes.
    text: Option<String>,
}

/// A payload: give `data_base64` or `text`. Any other content type is taken as the payload itself.
#[derive(Default, Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Compress {
    data_base64: Option<Base64>,
    /// Its UTF-8 bytes.
    text: Option<String>,
    #[serde(default)]
    format: Format,
}

/// A compressed payload, if the input is JSON. Any other content type is taken as the payload itself.
#[derive(Default, Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Decompress {
    data_base64: Base64,
    /// Told from the first bytes if absent; bare `deflate` cannot be told.
    format: Option<Format>,
    /// More than this is refused.
    #[schema(minimum = 1, default = 1_000_000)]
    max_bytes: Option<usize>,
}

/// An input that can also be sent as bare bytes.
trait Bare: DeserializeOwned {
    fn bare(bytes: Vec<u8>) -> Self;

    fn of(input: Content) -> Result<Self, TaskError> {
        if input.is_json() { Ok(json::from_slice(&input.body)?) } else { Ok(Self::bare(input.body)) }
    }
}

impl Bare for Archive {
    fn bare(bytes: Vec<u8>) -> Self {
        Self { data_base64: Base64(bytes) }
    }
}

impl Bare for Unpack {
    fn bare(bytes: Vec<u8>) -> Self {
        Self { data_base64: Base64(bytes), ..Self::default() }
    }
}

impl Bare for Compress {
    fn bare(bytes: Vec<u8>) -> Self {
        Self { data_base64: Some(Base64(bytes)), ..Self::default() }
    }
}

impl Bare for Decompress {
    fn bare(bytes: Vec<u8>) -> Self {
        Self { data_base64: Base64(bytes), ..Self::default() }
    }
}

fn list(input: Content) -> Result<Listing, TaskError> {
    let archive = Archive::of(input)?.data_base64.0;
    let entries = zip::entries(&archive)?;
    let bytes = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
    let files = entries.into_iter().map(|entry| Listed {
        method: match entry.method {
            zip::STORED => "stored".into(),
            zip::DEFLATED => "deflate".into(),
            other => other.to_string(),
        },
        encrypted: entry.encrypted,
        directory: entry.is_directory(),
        bytes: entry.bytes,
        packed_bytes: entry.packed_bytes,
        name: entry.name,
    });
    Ok(Listing { files: files.collect(), bytes })
}

fn unpack(input: Content) -> Result<Unpacked, TaskError> {
    let Unpack { data_base64: Base64(archive), files: wanted, max_bytes } = Unpack::of(input)?;
    let mut left = max_bytes.unwrap_or(UNPACK_BYTES);
    let entries = zip::entries(&archive)?;
    if let Some(missing) = wanted.iter().flatten().find(|name| !entries.iter().any(|entry| entry.name == **name)) {
        let error = TaskError::invalid(format!("there is no file `{missing}` in the archive"));
        return Err(error.code("no-such-file").pointer("/files"));
    }
    let chosen = |entry: &&zip::Entry| {
        !entry.is_directory() && wanted.as_ref().is_none_or(|wanted| wanted.contains(&entry.name))
    };
    let mut files = Vec::new();
    let count = entries.iter().filter(chosen).count() as u64;
    for entry in entries.iter().filter(chosen) {
        task::check()?;
        let data = zip::extract(&archive, entry, left)?;
        left -= data.len();
        files.push(UnpackedFile { name: entry.name.clone(), bytes: data.len(), data_base64: Base64(data) });
        task::progress(files.len() as u64, count, &entry.name);
    }
    Ok(Unpacked { files })
}

fn pack(input: Pack) -> Result<Content, TaskError> {
    let mut archive = zip::Writer::default();
    let mut names: Vec<String> = Vec::new();
    let count = input.files.len() as u64;
    for (index, file) in input.files.into_iter().enumerate() {
        task::check()?;
        let pointer = format!("/files/{index}");
        let data = one_of(file.data_base64, file.text, &pointer)?;
        if names.contains(&file.name) {
            let error = TaskError::invalid(format!("two files are called `{}`", file.name));
            return Err(error.code("twice").pointer(format!("{pointer}/name")));
        }
        archive.add(&file.name, &data).map_err(|error| error.pointer(format!("{pointer}/name")))?;
        task::progress(index as u64 + 1, count, &file.name);
        names.push(file.name);
    }
    if names.is_empty() {
        return Err(TaskError::invalid("`files` must hold at least one file").code("no-files").pointer("/files"));
    }
    Ok(Content::new("application/zip", archive.finish()))
}

fn compress(input: Content) -> Result<Content, TaskError> {
    let Compress { data_base64, text, format } = Compress::of(input)?;
    let data = one_of(data_base64, text, "")?;
    Ok(Content::new(format.media_type(), codec::compress(&data, format)))
}

fn decompress(input: Content) -> Result<Content, TaskError> {
    let Decompress { data_base64: Base64(data), format, max_bytes } = Decompress::of(input)?;
    let format = format.or_else(|| Format::told_from(&data)).ok_or_else(|| {
        let message = "the payload is neither zstd nor zlib: give its `format` if it is bare deflate";
        TaskError::invalid(message).code("unknown-format").pointer("/format")
    })?;
    let data = codec::decompress(&data, format, max_bytes.unwrap_or(DECOMPRESS_BYTES))?;
    Ok(Content::new("application/octet-stream", data))
}

fn one_of(data: Option<Base64>, text: Option<String>, pointer: &str) -> Result<Vec<u8>, TaskError> {
    match (data, text) {
        (Some(Base64(data)), None) => Ok(data),
        (None, Some(text)) => Ok(text.into_bytes()),
        _ => {
            let error = TaskError::invalid("give exactly one of `data_base64` and `text`");
            Err(error.code("unclear-data").pointer(pointer))
        }
    }
}

#[cfg(test)]
mod tests;
