//! The smallest useful actions: `echo` and `log`. This file is the component's edge: it translates between the contract
//! and `line`, and decides nothing.

mod bindings;
mod line;

use bindings::akita::plugin::log;
use bindings::akita::plugin::types::{ActionInfo, Content, Failure, PluginInfo, Request, TaskError};
use bindings::exports::akita::plugin::actions::Guest;
use line::{Level, Line};

struct Basics;

impl Guest for Basics {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "basics".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            actions: vec![
                action("echo", "Gives the input back, unchanged", None, None, true),
                action(
                    "log",
                    "Writes a line to the log of the node that runs it",
                    Some(line::INPUT_SCHEMA),
                    Some(line::OUTPUT_SCHEMA),
                    false,
                ),
            ],
            provides: Vec::new(),
            annotations: Vec::new(),
        }
    }

    fn run(request: Request) -> Result<Content, TaskError> {
        match request.action.as_str() {
            "echo" => Ok(request.input),
            "log" => write_line(&request.input),
            _ => Err(TaskError::UnknownAction),
        }
    }
}

fn action(name: &str, summary: &str, input: Option<&str>, output: Option<&str>, idempotent: bool) -> ActionInfo {
    ActionInfo {
        name: name.into(),
        summary: summary.into(),
        input_schema: input.map(Into::into),
        output_schema: output.map(Into::into),
        idempotent,
        deterministic: true,
        typical_ms: Some(1),
        requires: Vec::new(),
        annotations: Vec::new(),
    }
}

fn write_line(input: &Content) -> Result<Content, TaskError> {
    let line = Line::parse(&input.body).map_err(|fault| {
        TaskError::InvalidInput(Failure {
            message: fault.message,
            code: Some(fault.code.into()),
            pointer: fault.pointer.map(Into::into),
        })
    })?;
    let level = match line.level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, &line.message, &line.fields);
    Ok(Content { content_type: "application/json".into(), body: line.receipt().into_bytes() })
}
