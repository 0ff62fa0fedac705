//! A cache on the node that runs the task. This file is the component's edge: it translates between the contract and the
//! modules, and keeps nothing itself.
#![cfg_attr(target_family = "wasm", no_std)]

mod entry;
mod store;

use akita_plugin::prelude::*;
use akita_plugin::{SchemaWriter, clock, json};
use entry::Entry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

akita_plugin::no_std_runtime!();

/// Keys that one `list` gives.
const MAX_LISTED: u32 = 1_000;

akita_plugin::plugin! {
    name: "cache",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "get" => get { summary: "The value of a key, if it is there and its time is not over", typical_ms: 1 },
        "put" => put { summary: "Keeps a value, for ever or for some seconds", idempotent: true, typical_ms: 5 },
        "delete" => delete { summary: "Forgets a value", idempotent: true, typical_ms: 5 },
        "list" => list { summary: "The keys that begin with a prefix, with the age and size of their values" },
    },
}

/// Any JSON.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Json(Value);

impl Schema for Json {
    fn write(out: &mut SchemaWriter) {
        out.raw("{}");
    }
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Which {
    #[schema(minLength = 1, maxLength = 230)]
    key: String,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Put {
    #[schema(minLength = 1, maxLength = 230)]
    key: String,
    /// Any JSON.
    value: Option<Json>,
    /// Instead of `value`: bytes.
    data_base64: Option<Base64>,
    /// What the bytes are.
    content_type: Option<String>,
    /// For how long; for ever if it is absent.
    #[schema(minimum = 1)]
    ttl_s: Option<u32>,
}

#[derive(Default, Schema, Serialize)]
struct Found {
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in_s: Option<u64>,
}

#[derive(Schema, Serialize)]
struct Kept {
    bytes: u64,
    /// Older values that made room.
    evicted: u64,
}

#[derive(Schema, Serialize)]
struct Deleted {
    deleted: bool,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    prefix: String,
    /// The last key of the answer before, for the next one.
    after: Option<String>,
    #[serde(default = "hundred")]
    #[schema(default = 100, minimum = 1, maximum = 1000)]
    limit: u32,
}

#[derive(Schema, Serialize)]
struct Listed {
    entries: Vec<About>,
    /// There may be more after the last one.
    more: bool,
}

#[derive(Schema, Serialize)]
struct About {
    key: String,
    bytes: u64,
    content_type: String,
    age_s: u64,
    ends_in_s: Option<u64>,
}

fn hundred() -> u32 {
    100
}

fn get(Which { key }: Which) -> Result<Found, TaskError> {
    check(&key)?;
    let now = clock::now_ms();
    let Some(entry) = store::get(&key, now)? else { return Ok(Found::default()) };
    let (age_s, ends_in_s) = (Some(age(&entry, now)), ends_in(&entry, now));
    let found = Found { found: true, age_s, ends_in_s, ..Found::default() };
    if entry.value.is_json() {
        return Ok(Found { value: Some(json::from_slice(&entry.value.body)?), ..found });
    }
    let Content { content_type, body } = entry.value;
    Ok(Found { data_base64: Some(Base64(body)), content_type: Some(content_type), ..found })
}

fn put(input: Put) -> Result<Kept, TaskError> {
    check(&input.key)?;
    let value = match (input.value, input.data_base64) {
        (Some(value), None) => Content::json(
            json::to_string(&value).map_err(|error| TaskError::permanent(error.to_string()).code("bad-value"))?,
        ),
        (None, Some(Base64(bytes))) => {
            let content_type = input.content_type.unwrap_or_else(|| "application/octet-stream".into());
            if content_type.len() > usize::from(u8::MAX) {
                let error = TaskError::invalid("`content_type` has at most 255 bytes");
                return Err(error.code("bad-content-type").pointer("/content_type"));
            }
            Content::new(content_type, bytes)
        }
        _ => {
            let message = "give exactly one of `value`, which is not null, and `data_base64`";
            return Err(TaskError::invalid(message).code("unclear-value").pointer(""));
        }
    };
    let bytes = value.body.len();
    if bytes > store::MAX_VALUE_BYTES {
        let message = format!("the value has {bytes} bytes; {} is the most", store::MAX_VALUE_BYTES);
        return Err(TaskError::invalid(message).code("too-large"));
    }
    if input.ttl_s == Some(0) {
        return Err(TaskError::invalid("`ttl_s` must be 1 or more").code("out-of-range").pointer("/ttl_s"));
    }
    let stamp = clock::now_ms();
    let ends = input.ttl_s.map(|seconds| stamp + u64::from(seconds) * 1000);
    let evicted = store::put(&input.key, &Entry { stamp, ends, value })?;
    Ok(Kept { bytes: bytes as u64, evicted })
}

fn delete(Which { key }: Which) -> Result<Deleted, TaskError> {
    check(&key)?;
    Ok(Deleted { deleted: store::delete(&key)? })
}

fn list(input: List) -> Result<Listed, TaskError> {
    if !(1..=MAX_LISTED).contains(&input.limit) {
        let error = TaskError::invalid(format!("`limit` must be a whole number from 1 to {MAX_LISTED}"));
        return Err(error.code("out-of-range").pointer("/limit"));
    }
    let now = clock::now_ms();
    let mut entries = Vec::new();
    let mut keys = store::keys(&input.prefix, input.after.as_deref());
    while entries.len() < input.limit as usize
        && let Some(key) = keys.next().transpose()?
    {
        task::check()?;
        let Some(entry) = store::get(&key, now)? else { continue };
        entries.push(About {
            key,
            bytes: entry.value.body.len() as u64,
            age_s: age(&entry, now),
            ends_in_s: ends_in(&entry, now),
            content_type: entry.value.content_type,
        });
    }
    let more = keys.next().is_some();
    Ok(Listed { entries, more })
}

fn age(entry: &Entry, now: u64) -> u64 {
    now.saturating_sub(entry.stamp) / 1000
}

fn ends_in(entry: &Entry, now: u64) -> Option<u64> {
    entry.ends.map(|ends| ends.saturating_sub(now).div_ceil(1000))
}

fn check(key: &str) -> Result<(), TaskError> {
    let most = store::MAX_KEY_BYTES;
    let message = match key.len() {
        0 => "`key` must not be empty".to_owned(),
        length if length > most => format!("`key` has {length} bytes; {most} is the most"),
        _ if key.chars().any(char::is_control) => "`key` must not have control characters".to_owned(),
        _ => return Ok(()),
    };
    Err(TaskError::invalid(message).code("bad-key").pointer("/key"))
}

#[cfg(test)]
mod tests;
