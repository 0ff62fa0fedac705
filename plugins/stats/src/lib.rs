//! Figures from CSV. This file is the component's edge: it translates between the contract and the modules, and computes
//! nothing.

mod bindings;
mod fault;
mod predict;
mod qr;
mod request;
mod summary;
mod table;
mod train;

use bindings::akita::plugin::task;
use bindings::akita::plugin::types::{ActionInfo, Content, Failure, PluginInfo, Request, TaskError};
use bindings::exports::akita::plugin::actions::Guest;
use fault::{Fault, Kind};
use serde_json::Value;

struct Stats;

impl Guest for Stats {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "stats".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            actions: vec![
                action("summary", "Count, mean, spread and quartiles of every column of numbers", summary::SCHEMAS),
                action("train", "Linear regression: least squares of one column on others", train::SCHEMAS),
                action("predict", "What a trained model says for other rows", predict::SCHEMAS),
            ],
            provides: Vec::new(),
            annotations: Vec::new(),
        }
    }

    fn run(request: Request) -> Result<Content, TaskError> {
        let Request { action, input, .. } = request;
        let compute = match action.as_str() {
            "summary" => summary::run,
            "train" => train::run,
            "predict" => predict::run,
            _ => return Err(TaskError::UnknownAction),
        };
        let input = request::parse(&input.content_type, input.body).map_err(failed)?;
        task::progress(1, Some(2), "input read");
        let output: Value = compute(&input).map_err(failed)?;
        Ok(Content { content_type: "application/json".into(), body: output.to_string().into_bytes() })
    }
}

fn action(name: &str, summary: &str, (input, output): (&str, &str)) -> ActionInfo {
    ActionInfo {
        name: name.into(),
        summary: summary.into(),
        input_schema: Some(input.into()),
        output_schema: Some(output.into()),
        idempotent: true,
        deterministic: true,
        typical_ms: Some(10),
        requires: Vec::new(),
        annotations: Vec::new(),
    }
}

fn failed(fault: Fault) -> TaskError {
    let failure = Failure { message: fault.message, code: Some(fault.code.into()), pointer: fault.pointer };
    match fault.kind {
        Kind::Input => TaskError::InvalidInput(failure),
        Kind::Data => TaskError::Permanent(failure),
    }
}
