//! Fits a picture into a number of bytes. This file is the component's edge: it translates between the contract and the
//! modules, and touches no pixel.

mod bindings;
mod decode;
mod encode;
mod fit;
mod orientation;
mod picture;
mod request;

use bindings::akita::plugin::types::{ActionInfo, Content, Failure, PluginInfo, Request, TaskError};
use bindings::akita::plugin::{log, task};
use bindings::exports::akita::plugin::actions::Guest;
use fit::{Fitted, Watch};
use request::{Fault, Job};

struct Image;

impl Guest for Image {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "image".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            actions: vec![
                action(
                    "fit",
                    "The best JPEG of a JPEG or PNG that fits into `max_bytes`",
                    request::FIT_SCHEMA,
                    None,
                    500,
                ),
                action(
                    "info",
                    "Format and size of a JPEG or PNG, without decoding it",
                    request::INFO_SCHEMA,
                    Some(request::INFO_OUTPUT_SCHEMA),
                    5,
                ),
            ],
            provides: Vec::new(),
            annotations: Vec::new(),
        }
    }

    fn run(request: Request) -> Result<Content, TaskError> {
        let Request { action, input, .. } = request;
        match action.as_str() {
            "fit" => fit_picture(&input.content_type, input.body),
            "info" => describe_picture(&input.content_type, input.body),
            _ => Err(TaskError::UnknownAction),
        }
    }
}

fn action(name: &str, summary: &str, input: &str, output: Option<&str>, typical_ms: u32) -> ActionInfo {
    ActionInfo {
        name: name.into(),
        summary: summary.into(),
        input_schema: Some(input.into()),
        output_schema: output.map(Into::into),
        idempotent: true,
        deterministic: true,
        typical_ms: Some(typical_ms),
        requires: Vec::new(),
        annotations: Vec::new(),
    }
}

fn fit_picture(content_type: &str, body: Vec<u8>) -> Result<Content, TaskError> {
    let job = Job::parse(content_type, body).map_err(invalid)?;
    task::progress(0, None, "decoding");
    let picture = decode::decode(&job.file, fit::WORKING_SIDE).map_err(|error| invalid(job.bad_file(&error)))?;
    let fitted = fit::fit(&picture, &job.goal, &Attempt).map_err(|error| match error {
        fit::Error::Cancelled => TaskError::Cancelled,
        fit::Error::CannotFit { .. } => TaskError::Permanent(failure(error.to_string(), "cannot-fit", None)),
        fit::Error::Encode(_) => TaskError::Permanent(failure(error.to_string(), "cannot-encode", None)),
    })?;
    report(&fitted);
    Ok(Content { content_type: "image/jpeg".into(), body: fitted.jpeg })
}

fn describe_picture(content_type: &str, body: Vec<u8>) -> Result<Content, TaskError> {
    let job = Job::parse(content_type, body).map_err(invalid)?;
    let header = decode::header(&job.file).map_err(|error| invalid(job.bad_file(&error)))?;
    Ok(Content { content_type: "application/json".into(), body: header.to_json(job.file.len()).into_bytes() })
}

fn report(fitted: &Fitted) {
    let fields = [
        ("width".into(), fitted.width.to_string()),
        ("height".into(), fitted.height.to_string()),
        ("quality".into(), fitted.quality.to_string()),
        ("bytes".into(), fitted.jpeg.len().to_string()),
    ];
    log::write(log::Level::Info, "picture fitted", &fields);
}

/// What the search tells the node, and asks it.
struct Attempt;

impl Watch for Attempt {
    fn is_cancelled(&self) -> bool {
        task::is_cancelled()
    }

    fn tried(&self, step: u64, of: u64, note: &str) {
        task::progress(step, Some(of), note);
    }
}

fn invalid(fault: Fault) -> TaskError {
    TaskError::InvalidInput(failure(fault.message, fault.code, fault.pointer))
}

fn failure(message: String, code: &str, pointer: Option<&str>) -> Failure {
    Failure { message, code: Some(code.into()), pointer: pointer.map(Into::into) }
}
