//! Blobs by hand: keeps bytes and gives them back by their hash. This file is the component's edge and the whole of it.
#![cfg_attr(target_family = "wasm", no_std)]

use akita_plugin::blobs::{self, Error};
use akita_plugin::prelude::*;
use serde::{Deserialize, Serialize};

akita_plugin::no_std_runtime!();

/// Bytes that `get` gives if nothing else is asked: with base64 around them they still fit into a node's limit of a
/// megabyte of output.
const DEFAULT_MAX_BYTES: u64 = 750_000;

akita_plugin::plugin! {
    name: "shelf",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "put" => put { summary: "Keeps bytes on this node and gives their hash", idempotent: true },
        "get" => get { summary: "Gives a blob, or a part of it", idempotent: true },
        "size" => size { summary: "How many bytes a blob has", idempotent: true },
    },
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Put {
    data_base64: Option<Base64>,
    /// Instead: its UTF-8 bytes.
    text: Option<String>,
}

#[derive(Schema, Serialize)]
struct Kept {
    /// BLAKE3 of the bytes, by which they are asked for.
    id: String,
    bytes: u64,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Get {
    #[schema(pattern = "^[0-9a-f]{64}$")]
    id: String,
    /// Where to start.
    #[serde(default)]
    #[schema(default = 0)]
    offset: u64,
    /// With `length` it gives that part; without, it fails if more than `max_bytes` are left.
    length: Option<u64>,
    #[schema(default = 750_000)]
    max_bytes: Option<u64>,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Which {
    #[schema(pattern = "^[0-9a-f]{64}$")]
    id: String,
}

#[derive(Schema, Serialize)]
struct Size {
    bytes: u64,
}

fn put(input: Content) -> Result<Kept, TaskError> {
    let bytes = if input.is_json() { bytes_of(input)? } else { input.body };
    let id = blobs::put(&bytes)?;
    Ok(Kept { id, bytes: bytes.len() as u64 })
}

fn bytes_of(input: Content) -> Result<Vec<u8>, TaskError> {
    match <Put as akita_plugin::Input>::read(input)? {
        Put { data_base64: Some(Base64(data)), text: None } => Ok(data),
        Put { data_base64: None, text: Some(text) } => Ok(text.into_bytes()),
        _ => Err(TaskError::invalid("give exactly one of `data_base64` and `text`").code("unclear-data").pointer("")),
    }
}

fn get(input: Get) -> Result<Content, TaskError> {
    let size = blobs::size(&input.id).map_err(told)?;
    let left = size.checked_sub(input.offset).ok_or_else(|| {
        let message = format!("the blob has {size} bytes and nothing at {}", input.offset);
        TaskError::invalid(message).code("out-of-range").pointer("/offset")
    })?;
    let (most, wanted) = (input.max_bytes.unwrap_or(DEFAULT_MAX_BYTES), input.length.unwrap_or(left).min(left));
    if wanted > most {
        let message =
            format!("{wanted} bytes would be more than `max_bytes`, which is {most}: ask for parts by `length`");
        return Err(TaskError::invalid(message).code("too-large").pointer("/max_bytes"));
    }
    let mut bytes = Vec::new();
    let end = input.offset + wanted;
    while input.offset + (bytes.len() as u64) < end {
        task::check()?;
        let at = input.offset + bytes.len() as u64;
        let piece = blobs::read(&input.id, at, u32::try_from(end - at).unwrap_or(u32::MAX)).map_err(told)?;
        if piece.is_empty() {
            return Err(TaskError::retryable("the blob ended before its size").code("unavailable"));
        }
        bytes.extend_from_slice(&piece);
        task::progress(bytes.len() as u64, wanted, "bytes read");
    }
    Ok(Content::new("application/octet-stream", bytes))
}

fn size(input: Which) -> Result<Size, TaskError> {
    Ok(Size { bytes: blobs::size(&input.id).map_err(told)? })
}

/// The id is the submitter's word: what is wrong with it is a fault of the input.
fn told(error: Error) -> TaskError {
    match error {
        Error::BadId => {
            let message = "`id` must be a blob's hash: 64 lower-case hexadecimal digits";
            TaskError::invalid(message).code("bad-blob-id").pointer("/id")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;
    use serde_json::{Value, json};

    fn shelf() -> Harness {
        Harness::new(&super::PLUGIN).peer("lake", &[])
    }

    #[test]
    fn bytes_come_back_by_their_hash_on_any_node() {
        let here = shelf();
        let kept = here.run("put", Content::new("image/png", vec![7; 2_000_000])).value::<Value>();
        assert_eq!(kept["bytes"], 2_000_000);
        let lake = here.clone().at("lake");
        assert_eq!(lake.json("size", &json!({ "id": kept["id"] }).to_string()).text(), r#"{"bytes":2000000}"#);
        let whole = lake.json("get", &json!({ "id": kept["id"], "max_bytes": 2_000_000 }).to_string());
        assert_eq!((whole.output().body.len(), whole.progress.len()), (2_000_000, 2));
        let part = lake.json("get", &json!({ "id": kept["id"], "offset": 1_999_998, "length": 9 }).to_string());
        assert_eq!(part.output().body, [7, 7]);
    }

    #[test]
    fn text_and_base64_are_the_same_bytes() {
        // The BLAKE3 of `abc`, by its reference implementation.
        let id = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        for input in [r#"{"text":"abc"}"#, r#"{"data_base64":"YWJj"}"#] {
            assert_eq!(shelf().json("put", input).value::<Value>(), json!({ "id": id, "bytes": 3 }));
        }
        assert_eq!(shelf().describe().actions.len(), 3);
    }

    #[test]
    fn faults_say_where() {
        let here = shelf();
        let kept = here.json("put", r#"{"text":"abc"}"#).value::<Value>()["id"].clone();
        for (action, input, code, pointer) in [
            ("put", json!({}), "unclear-data", Some("")),
            ("size", json!({ "id": "abc" }), "bad-blob-id", Some("/id")),
            ("get", json!({ "id": "0".repeat(64) }), "no-such-blob", None),
            ("get", json!({ "id": kept, "offset": 4 }), "out-of-range", Some("/offset")),
            ("get", json!({ "id": kept, "max_bytes": 2 }), "too-large", Some("/max_bytes")),
        ] {
            let outcome = here.json(action, &input.to_string());
            let failure = outcome.failure();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), pointer), "{input}");
        }
        let full = here.blob_quota(4).json("put", r#"{"text":"de"}"#);
        assert_eq!((full.failure().code.as_deref(), full.children.len()), (Some("over-quota"), 0));
    }
}
