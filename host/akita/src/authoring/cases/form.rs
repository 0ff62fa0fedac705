//! The file of cases as it is written, and its translation. Each key is looked at once, and one that is not known is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use akita_sandbox::{Content, FailureKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{Case, Expect, Wanted};
use crate::authoring::{node_limits, parse_grants};

/// Memory that a case may give a run, in MiB; as in a file of grants.
const MAX_MEMORY_MB: u64 = 4_096;
/// Time that a case may give a run, in seconds: a day, as in a file of grants.
const MAX_TIMEOUT_S: f64 = 86_400.0;
/// Largest file of an input or an output: more than a node takes.
const MAX_FILE_BYTES: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<Spanned<Form>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    action: String,
    input: Option<toml::Value>,
    input_json: Option<String>,
    input_text: Option<String>,
    input_base64: Option<String>,
    input_file: Option<String>,
    content_type: Option<String>,
    output: Option<toml::Value>,
    output_json: Option<String>,
    output_text: Option<String>,
    output_base64: Option<String>,
    output_file: Option<String>,
    output_type: Option<String>,
    contains: Option<toml::Value>,
    contains_text: Option<String>,
    tolerance: Option<f64>,
    error: Option<FailureForm>,
    timeout_s: Option<f64>,
    memory_mb: Option<u64>,
    output_bytes: Option<u64>,
    #[serde(default)]
    grants: Vec<String>,
    #[serde(default)]
    kv: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureForm {
    kind: Option<String>,
    code: Option<String>,
    pointer: Option<String>,
    message: Option<String>,
}

/// All cases of a text.
pub fn parse(text: &str, folder: &Path) -> Result<Vec<Case>, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| format!("line {}: ", line_of(text, span.start)));
        format!("{}{}", line.unwrap_or_default(), error.message())
    })?;
    let mut cases: Vec<Case> = Vec::with_capacity(file.case.len());
    for form in file.case {
        let line = line_of(text, form.span().start);
        let form = form.into_inner();
        let name = form.name.clone();
        let case = form.into_case(folder).map_err(|why| format!("line {line}: the case `{name}` {why}"))?;
        if cases.iter().any(|other| other.name == name) {
            return Err(format!("line {line}: the case `{name}` is there twice"));
        }
        cases.push(case);
    }
    Ok(cases)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

impl Form {
    fn into_case(self, folder: &Path) -> Result<Case, String> {
        let input = self.input(folder)?;
        let expect = self.expect(folder)?;
        let mut limits = node_limits();
        if let Some(seconds) = self.timeout_s {
            let fits = seconds > 0.0 && seconds <= MAX_TIMEOUT_S;
            limits.timeout = fits
                .then(|| Duration::from_secs_f64(seconds))
                .ok_or_else(|| format!("has a `timeout_s` of {seconds}: use more than 0, up to {MAX_TIMEOUT_S}"))?;
        }
        if let Some(megabytes) = self.memory_mb {
            if !(1..=MAX_MEMORY_MB).contains(&megabytes) {
                return Err(format!("has a `memory_mb` of {megabytes}: use 1 to {MAX_MEMORY_MB}"));
            }
            limits.memory_bytes = megabytes << 20;
        }
        limits.output_bytes = self.output_bytes.unwrap_or(limits.output_bytes);
        let grants =
            parse_grants(self.grants.iter().map(String::as_str)).map_err(|why| format!("has `grants`: {why}"))?;
        let kv = self.kv.into_iter().map(|(key, value)| (key, value.into_bytes())).collect();
        Ok(Case { name: self.name, action: self.action, input, expect, limits, grants, kv })
    }

    fn input(&self, folder: &Path) -> Result<Content, String> {
        let given = [
            ("input", self.input.is_some()),
            ("input_json", self.input_json.is_some()),
            ("input_text", self.input_text.is_some()),
            ("input_base64", self.input_base64.is_some()),
            ("input_file", self.input_file.is_some()),
        ];
        at_most_one(&given)?;
        let (usual, body) = if let Some(value) = &self.input {
            ("application/json", json(value, "input")?.to_string().into_bytes())
        } else if let Some(text) = &self.input_json {
            document(text, "input_json")?;
            ("application/json", text.clone().into_bytes())
        } else if let Some(text) = &self.input_text {
            ("text/plain; charset=utf-8", text.clone().into_bytes())
        } else if let Some(text) = &self.input_base64 {
            ("application/octet-stream", bytes(text, "input_base64")?)
        } else if let Some(name) = &self.input_file {
            (media_type(Path::new(name)), file(folder, name)?)
        } else {
            ("application/json", b"{}".to_vec())
        };
        Ok(Content { content_type: self.content_type.clone().unwrap_or_else(|| usual.to_owned()), body })
    }

    fn expect(&self, folder: &Path) -> Result<Expect, String> {
        let given = [
            ("output", self.output.is_some()),
            ("output_json", self.output_json.is_some()),
            ("output_text", self.output_text.is_some()),
            ("output_base64", self.output_base64.is_some()),
            ("output_file", self.output_file.is_some()),
            ("contains", self.contains.is_some()),
            ("contains_text", self.contains_text.is_some()),
            ("error", self.error.is_some()),
        ];
        at_most_one(&given)?;
        let kind = self.output_type.clone();
        let tolerance = self.tolerance.unwrap_or(0.0);
        if !(0.0..).contains(&tolerance) {
            return Err(format!("has a `tolerance` of {tolerance}: use 0 or more"));
        }
        let expect = if let Some(value) = &self.output {
            Expect::Json(json(value, "output")?, tolerance)
        } else if let Some(text) = &self.output_json {
            Expect::Json(document(text, "output_json")?, tolerance)
        } else if let Some(value) = &self.contains {
            Expect::Contains(json(value, "contains")?, tolerance)
        } else if let Some(text) = &self.output_text {
            Expect::Bytes(text.clone().into_bytes(), kind)
        } else if let Some(text) = &self.output_base64 {
            Expect::Bytes(bytes(text, "output_base64")?, kind)
        } else if let Some(name) = &self.output_file {
            Expect::Bytes(file(folder, name)?, kind)
        } else if let Some(text) = &self.contains_text {
            Expect::Text(text.clone())
        } else if let Some(failure) = &self.error {
            Expect::Failure(failure.wanted()?)
        } else {
            return Err("expects nothing: give it `output`, `contains` or `error`".to_owned());
        };
        if self.tolerance.is_some() && !matches!(expect, Expect::Json(..) | Expect::Contains(..)) {
            return Err("has a `tolerance`, which is for JSON: `output`, `output_json` or `contains`".to_owned());
        }
        if self.output_type.is_some() && !matches!(expect, Expect::Bytes(..)) {
            return Err(
                "has an `output_type`, which goes with `output_text`, `output_base64` or `output_file`".to_owned()
            );
        }
        Ok(expect)
    }
}

impl FailureForm {
    fn wanted(&self) -> Result<Wanted, String> {
        let kind = self.kind.as_ref().map(|word| {
            let known = || FailureKind::ALL.map(FailureKind::as_str).join(", ");
            FailureKind::parse(word).ok_or_else(|| format!("has `error`: `{word}` is no kind; there are {}", known()))
        });
        let Self { code, pointer, message, .. } = self;
        let wanted =
            Wanted { kind: kind.transpose()?, code: code.clone(), pointer: pointer.clone(), message: message.clone() };
        if wanted == Wanted::default() {
            return Err("has an empty `error`, so any failure would do: give it `kind`, `code` or `message`".to_owned());
        }
        Ok(wanted)
    }
}

fn at_most_one(given: &[(&str, bool)]) -> Result<(), String> {
    let given: Vec<_> = given.iter().filter(|(_, is)| *is).map(|(name, _)| format!("`{name}`")).collect();
    if given.len() > 1 { Err(format!("has {}: give it one", given.join(" and "))) } else { Ok(()) }
}

/// TOML as the JSON that it stands for. Times are texts in JSON.
fn json(value: &toml::Value, key: &str) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| format!("has `{key}`: {number} is not a number of JSON"))?,
        toml::Value::Boolean(truth) => Value::Bool(*truth),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.iter().map(|item| json(item, key)).collect::<Result<_, _>>()?,
        toml::Value::Table(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), json(value, key)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
    })
}

fn document(text: &str, key: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("has `{key}`, which is not JSON: {error}"))
}

fn bytes(text: &str, key: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("has `{key}`, which is not base64: {error}"))
}

/// A file beside the cases, or below: what belongs to the project.
fn file(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    let plain = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || name.is_empty() {
        return Err(format!("names the file `{name}`: it has to lie beside the cases or below"));
    }
    let path = folder.join(name);
    let size = path.metadata().map_err(|error| format!("names the file `{name}`: {error}"))?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("names the file `{name}`, which has {size} bytes; {MAX_FILE_BYTES} is the most"));
    }
    fs::read(&path).map_err(|error| format!("names the file `{name}`: {error}"))
}

/// What a file is, by the end of its name.
pub fn media_type(path: &Path) -> &'static str {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_ascii_lowercase();
    match kind.as_str() {
        "json" => "application/json",
        "txt" | "md" | "log" => "text/plain; charset=utf-8",
        "csv" => "text/csv",
        "xml" => "application/xml",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}
