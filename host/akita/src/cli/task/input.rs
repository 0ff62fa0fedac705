//! Builds the tasks to submit from the argument, standard input or a file, and from `--require` and `--file`.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::cli::session::Session;
use crate::exit::ExitError;

/// Keys of a task that are not its input. The node reserves the same.
const RESERVED: [&str; 5] = ["action", "required_capabilities", "input", "deterministic", "where"];

/// One task, or several that are accepted together or not at all.
#[derive(Debug, PartialEq)]
pub enum Tasks {
    /// A JSON object.
    One(Value),
    /// A JSON array.
    Batch(Vec<Value>),
}

impl Tasks {
    /// All of them, each a JSON object.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        match self {
            Tasks::One(task) => std::slice::from_mut(task).iter_mut(),
            Tasks::Batch(tasks) => tasks.iter_mut(),
        }
    }
}

/// Reads the tasks named by `source`: JSON, `-` for standard input, or `@` and a file.
pub fn read(session: &mut Session<'_>, source: &str, require: &[String], files: &[String]) -> Result<Tasks, ExitError> {
    let (text, place) = match (source, source.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            let done = session.input.read_to_string(&mut text);
            done.map_err(|error| ExitError::usage(format!("cannot read standard input: {error}")))?;
            (text, "standard input".to_owned())
        }
        (_, Some(path)) => {
            let done = fs::read_to_string(session.cwd.join(path));
            (done.map_err(|error| ExitError::usage(format!("cannot read {path}: {error}")))?, path.to_owned())
        }
        (json, None) => (json.to_owned(), "the task".to_owned()),
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        ExitError::usage(format!("{place} is not JSON: {error}"))
            .hint("a task looks like '{\"action\":\"echo\",\"message\":\"hello\"}'; mind the quotes of your shell")
    })?;
    let mut task = match value {
        Value::Object(task) => task,
        Value::Array(items) if !files.is_empty() => {
            let message = format!("--file needs one task, and {place} is a list of {}", items.len());
            return Err(ExitError::usage(message).hint("put base64 into the tasks, or submit them one by one"));
        }
        Value::Array(items) if items.is_empty() => return Err(ExitError::usage(format!("{place} is an empty list"))),
        Value::Array(items) => {
            let mut tasks = items.into_iter().map(|item| object(item, &place)).collect::<Result<Vec<_>, _>>()?;
            tasks.iter_mut().for_each(|task| add_requirements(task, require));
            return Ok(Tasks::Batch(tasks.into_iter().map(Value::Object).collect()));
        }
        other => return Err(object(other, &place).expect_err("it is no object")),
    };
    add_requirements(&mut task, require);
    for file in files {
        add_file(&mut task, file, &session.cwd)?;
    }
    Ok(Tasks::One(Value::Object(task)))
}

fn object(value: Value, place: &str) -> Result<Map<String, Value>, ExitError> {
    let kind = match value {
        Value::Object(task) => return Ok(task),
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) | Value::Null => "a single value",
    };
    Err(ExitError::usage(format!("a task is a JSON object, and {place} has {kind} instead")))
}

/// Adds `--require` to what the task itself requires. What is no list is left for the node to refuse.
fn add_requirements(task: &mut Map<String, Value>, require: &[String]) {
    if require.is_empty() {
        return;
    }
    let list = task.entry("required_capabilities").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        for capability in require {
            let capability = Value::String(capability.clone());
            if !list.contains(&capability) {
                list.push(capability);
            }
        }
    }
}

/// Puts the bytes of `FIELD=PATH` as base64 into the task's input.
fn add_file(task: &mut Map<String, Value>, pair: &str, cwd: &Path) -> Result<(), ExitError> {
    let wrong = || ExitError::usage(format!("`{pair}` is not FIELD=PATH, such as image_base64=photo.jpg"));
    let parts = pair.split_once('=').filter(|(field, path)| !field.is_empty() && !path.is_empty());
    let (field, path) = parts.ok_or_else(wrong)?;
    let bytes = fs::read(cwd.join(path)).map_err(|error| ExitError::usage(format!("cannot read {path}: {error}")))?;
    let text = Value::String(STANDARD.encode(bytes));
    match task.get_mut("input") {
        Some(Value::Object(input)) => input.insert(field.to_owned(), text),
        Some(_) => return Err(ExitError::usage(format!("--file {field} needs an `input` that is a JSON object"))),
        None if RESERVED.contains(&field) => {
            return Err(ExitError::usage(format!("`{field}` is no name for an input field here")));
        }
        None => task.insert(field.to_owned(), text),
    };
    Ok(())
}
