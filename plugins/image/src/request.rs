//! What the submitter asks for: the picture's bytes and what has to hold for the result. It does not look into the
//! picture.

use std::fmt::Display;

use akita_plugin::TaskError;
use data_encoding::BASE64;
use serde_json::{Map, Value};

use crate::fit::Goal;

/// What `fit` takes, if the input is JSON. A JPEG or PNG itself is taken too, with every other value at its default.
pub const FIT_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["image_base64"],"additionalProperties":false,
"properties":{
"image_base64":{"type":"string","contentEncoding":"base64","description":"A JPEG or PNG, with padding"},
"max_bytes":{"type":"integer","minimum":400,"maximum":1000000,"default":2000},
"max_width":{"type":"integer","minimum":1,"description":"Pixels"},
"max_height":{"type":"integer","minimum":1,"description":"Pixels"},
"min_quality":{"type":"integer","minimum":1,"maximum":95,"default":10,"description":"JPEG quality; smaller pictures are preferred to worse ones"},
"grayscale":{"type":"boolean","default":false},
"format":{"enum":["jpeg"],"default":"jpeg"}}}"#;

/// What `info` takes, if the input is JSON.
pub const INFO_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["image_base64"],
"properties":{"image_base64":{"type":"string","contentEncoding":"base64","description":"A JPEG or PNG, with padding"}}}"#;

/// What `info` gives.
pub const INFO_OUTPUT_SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["format","width","height","bytes"],
"properties":{"format":{"enum":["jpeg","png"]},"width":{"type":"integer"},"height":{"type":"integer"},
"bytes":{"type":"integer"},"progressive":{"type":"boolean","description":"Progressive JPEG or interlaced PNG"}}}"#;

/// What links of a few hundred bits a second carry in a quarter of a minute.
const DEFAULT_MAX_BYTES: u64 = 2000;

/// Under this, a JPEG is little more than its own tables; over it, no result is taken by a node.
const MAX_BYTES_RANGE: (u64, u64) = (400, 1_000_000);

/// Under this, blocks are all that is left; a smaller picture shows more.
const DEFAULT_MIN_QUALITY: u64 = 10;

/// Above this, a JPEG grows without looking any better.
pub const TOP_QUALITY: u8 = 95;

/// A picture file and what to make of it.
#[derive(Debug)]
pub struct Job {
    pub file: Vec<u8>,
    pub goal: Goal,
    from_json: bool,
}

impl Job {
    /// Reads a JSON input, or takes the body itself as the picture.
    pub fn parse(content_type: &str, body: Vec<u8>) -> Result<Self, TaskError> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" => Self::from_json(&body),
            "image/jpeg" | "image/png" | "application/octet-stream" => {
                Ok(Self { file: body, goal: goal_of(&Map::new())?, from_json: false })
            }
            other => {
                let message = format!(
                    "`{other}` is no input for this action: send JSON with `image_base64`, or image/jpeg or image/png itself"
                );
                Err(TaskError::invalid(message).code("bad-content-type"))
            }
        }
    }

    fn from_json(body: &[u8]) -> Result<Self, TaskError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| TaskError::invalid(format!("the input is not JSON: {error}")).code("not-json"))?;
        let Value::Object(input) = value else {
            return Err(TaskError::invalid("the input must be a JSON object with `image_base64`").code("not-an-object"));
        };
        let Some(Value::String(text)) = input.get("image_base64") else {
            return Err(TaskError::invalid("`image_base64` must be there and be text")
                .code("no-image")
                .pointer("/image_base64"));
        };
        let decoded = BASE64.decode(text.as_bytes());
        let file = decoded.map_err(|error| {
            TaskError::invalid(format!("`image_base64` does not decode: {error}"))
                .code("bad-base64")
                .pointer("/image_base64")
        })?;
        let goal = goal_of(&input)?;
        Ok(Self { file, goal, from_json: true })
    }

    /// The picture is the fault, for the reason given.
    pub fn bad_file(&self, reason: &dyn Display) -> TaskError {
        let error = TaskError::invalid(reason.to_string()).code("bad-image");
        if self.from_json { error.pointer("/image_base64") } else { error }
    }
}

fn goal_of(input: &Map<String, Value>) -> Result<Goal, TaskError> {
    let bytes = number(input, "max_bytes", "/max_bytes", MAX_BYTES_RANGE)?.unwrap_or(DEFAULT_MAX_BYTES);
    let side = |key, pointer| number(input, key, pointer, (1, u64::from(u32::MAX)));
    let quality = number(input, "min_quality", "/min_quality", (1, u64::from(TOP_QUALITY)))?;
    let grayscale = match input.get("grayscale") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(grayscale)) => *grayscale,
        Some(_) => {
            return Err(TaskError::invalid("`grayscale` must be true or false")
                .code("bad-grayscale")
                .pointer("/grayscale"));
        }
    };
    match input.get("format") {
        None | Some(Value::Null) => {}
        Some(Value::String(format)) if format == "jpeg" => {}
        Some(_) => {
            return Err(TaskError::invalid("`format` can only be \"jpeg\"").code("bad-format").pointer("/format"));
        }
    }
    Ok(Goal {
        max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        max_width: side("max_width", "/max_width")?.and_then(|side| u32::try_from(side).ok()),
        max_height: side("max_height", "/max_height")?.and_then(|side| u32::try_from(side).ok()),
        min_quality: u8::try_from(quality.unwrap_or(DEFAULT_MIN_QUALITY)).unwrap_or(TOP_QUALITY),
        grayscale,
    })
}

fn number(
    input: &Map<String, Value>,
    key: &str,
    pointer: &'static str,
    (least, most): (u64, u64),
) -> Result<Option<u64>, TaskError> {
    match input.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().filter(|number| (least..=most).contains(number));
            let message = || format!("`{key}` must be a whole number from {least} to {most}");
            number.map(Some).ok_or_else(|| TaskError::invalid(message()).code("out-of-range").pointer(pointer))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_picture_has_the_default_goal() {
        let job = Job::parse("image/png", b"file".to_vec()).unwrap();
        assert_eq!((job.file.as_slice(), job.goal.max_bytes, job.goal.min_quality), (&b"file"[..], 2000, 10));
    }

    #[test]
    fn json_sets_the_goal() {
        let body = br#"{"image_base64":"AAEC","max_bytes":500,"max_width":64,"grayscale":true,"format":"jpeg"}"#;
        let job = Job::parse("application/json", body.to_vec()).unwrap();
        assert_eq!(job.file, [0, 1, 2]);
        assert_eq!(
            (job.goal.max_bytes, job.goal.max_width, job.goal.max_height, job.goal.grayscale),
            (500, Some(64), None, true)
        );
    }

    #[test]
    fn faults_say_where() {
        for (input, code, pointer) in [
            ("nonsense", "not-json", None),
            ("3", "not-an-object", None),
            ("{}", "no-image", Some("/image_base64")),
            (r#"{"image_base64":"A"}"#, "bad-base64", Some("/image_base64")),
            (r#"{"image_base64":"","max_bytes":10}"#, "out-of-range", Some("/max_bytes")),
            (r#"{"image_base64":"","max_bytes":"2k"}"#, "out-of-range", Some("/max_bytes")),
            (r#"{"image_base64":"","max_width":0}"#, "out-of-range", Some("/max_width")),
            (r#"{"image_base64":"","min_quality":99}"#, "out-of-range", Some("/min_quality")),
            (r#"{"image_base64":"","grayscale":1}"#, "bad-grayscale", Some("/grayscale")),
            (r#"{"image_base64":"","format":"webp"}"#, "bad-format", Some("/format")),
        ] {
            let error = Job::parse("application/json", input.as_bytes().to_vec()).unwrap_err();
            let failure = error.failure().unwrap();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), pointer), "{error:?}");
        }
        let error = Job::parse("text/csv", Vec::new()).unwrap_err();
        assert_eq!(error.failure().unwrap().code.as_deref(), Some("bad-content-type"));
    }

    #[test]
    fn schemas_are_json() {
        for schema in [FIT_SCHEMA, INFO_SCHEMA, INFO_OUTPUT_SCHEMA] {
            assert!(serde_json::from_str::<Value>(schema).unwrap().is_object());
        }
    }
}
