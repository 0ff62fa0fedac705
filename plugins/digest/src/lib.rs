//! Fingerprints of the input. This file is the component's edge: it translates between the contract and the modules, and
//! computes nothing.

mod bindings;
mod hash;
mod input;

use bindings::akita::plugin::types::{ActionInfo, Content, Failure, PluginInfo, Request, TaskError};
use bindings::exports::akita::plugin::actions::Guest;

struct Digest;

impl Guest for Digest {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "digest".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            actions: vec![
                action("sha256", "The SHA-256 of the input", hash::ONE_SCHEMA),
                action("blake3", "The BLAKE3 of the input", hash::ONE_SCHEMA),
                action("all", "Every fingerprint that this plugin knows, in one run", hash::ALL_SCHEMA),
            ],
            provides: Vec::new(),
            annotations: Vec::new(),
        }
    }

    fn run(request: Request) -> Result<Content, TaskError> {
        let render: fn(&[u8]) -> String = match request.action.as_str() {
            "sha256" => |bytes| hash::render_one(hash::Algorithm::Sha256, bytes),
            "blake3" => |bytes| hash::render_one(hash::Algorithm::Blake3, bytes),
            "all" => hash::render_all,
            _ => return Err(TaskError::UnknownAction),
        };
        let bytes = input::bytes(&request.input.content_type, request.input.body).map_err(invalid)?;
        Ok(Content { content_type: "application/json".into(), body: render(&bytes).into_bytes() })
    }
}

fn action(name: &str, summary: &str, output: &str) -> ActionInfo {
    ActionInfo {
        name: name.into(),
        summary: summary.into(),
        input_schema: Some(input::SCHEMA.into()),
        output_schema: Some(output.into()),
        idempotent: true,
        deterministic: true,
        typical_ms: Some(1),
        requires: Vec::new(),
        annotations: Vec::new(),
    }
}

fn invalid(fault: input::Fault) -> TaskError {
    TaskError::InvalidInput(Failure {
        message: fault.message,
        code: Some(fault.code.into()),
        pointer: fault.pointer.map(Into::into),
    })
}
