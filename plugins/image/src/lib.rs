//! Fits a picture into a number of bytes. This file is the component's edge: it translates between the contract and the
//! modules, and touches no pixel.

mod decode;
mod encode;
mod fit;
mod orientation;
mod picture;
mod request;

use akita_plugin::prelude::*;
use fit::{Fitted, Watch};
use request::Job;

akita_plugin::plugin! {
    name: "image",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "fit" => fit_picture {
            summary: "The best JPEG of a JPEG or PNG that fits into `max_bytes`",
            idempotent: true,
            deterministic: true,
            typical_ms: 500,
            input_schema: (request::FIT_SCHEMA),
        },
        "info" => describe_picture {
            summary: "Format and size of a JPEG or PNG, without decoding it",
            idempotent: true,
            deterministic: true,
            typical_ms: 5,
            input_schema: (request::INFO_SCHEMA),
            output_schema: (request::INFO_OUTPUT_SCHEMA),
        },
    },
}

fn fit_picture(input: Content) -> Result<Content, TaskError> {
    let job = Job::parse(&input.content_type, input.body)?;
    task::progress(0, None, "decoding");
    let picture = decode::decode(&job.file, fit::WORKING_SIDE).map_err(|error| job.bad_file(&error))?;
    let fitted = fit::fit(&picture, &job.goal, &Attempt)?;
    report(&fitted);
    Ok(Content::new("image/jpeg", fitted.jpeg))
}

fn describe_picture(input: Content) -> Result<Content, TaskError> {
    let job = Job::parse(&input.content_type, input.body)?;
    let header = decode::header(&job.file).map_err(|error| job.bad_file(&error))?;
    Ok(Content::json(header.to_json(job.file.len())))
}

fn report(fitted: &Fitted) {
    log::info(
        "picture fitted",
        &[
            ("width", &fitted.width),
            ("height", &fitted.height),
            ("quality", &fitted.quality),
            ("bytes", &fitted.jpeg.len()),
        ],
    );
}

/// What the search tells the node, and asks it.
struct Attempt;

impl Watch for Attempt {
    fn is_cancelled(&self) -> bool {
        task::is_cancelled()
    }

    fn tried(&self, step: u64, of: u64, note: &str) {
        task::progress(step, of, note);
    }
}

impl From<fit::Error> for TaskError {
    fn from(error: fit::Error) -> Self {
        let code = match error {
            fit::Error::Cancelled => return Self::Cancelled,
            fit::Error::CannotFit { .. } => "cannot-fit",
            fit::Error::Encode(_) => "cannot-encode",
        };
        Self::permanent(error.to_string()).code(code)
    }
}

#[cfg(test)]
mod tests {
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;

    const LAKE: &[u8] = include_bytes!("../testdata/lake.jpg");

    #[test]
    fn a_picture_is_described_and_fitted() {
        let image = Harness::new(&super::PLUGIN);
        assert_eq!(image.describe().actions.len(), 2);
        let info = image.run("info", Content::new("image/jpeg", LAKE));
        assert!(info.text().contains(r#""width":800"#), "{}", info.text());
        let input = format!(r#"{{"max_bytes":2000,"image_base64":"{}"}}"#, Base64::encode(LAKE));
        let fitted = image.json("fit", &input);
        let output = fitted.output();
        assert!(output.content_type == "image/jpeg" && output.body.len() <= 2000, "{}", output.body.len());
        assert!(!fitted.progress.is_empty());
        assert_eq!(fitted.lines[0].message, "picture fitted");
    }

    #[test]
    fn a_cancelled_search_stops() {
        let image = Harness::new(&super::PLUGIN).cancel_after(2);
        assert_eq!(image.run("fit", Content::new("image/jpeg", LAKE)).error(), &TaskError::Cancelled);
    }

    #[test]
    fn what_is_no_picture_is_the_inputs_fault() {
        let image = Harness::new(&super::PLUGIN);
        let failure = image.json("info", r#"{"image_base64":"AAEC"}"#).failure().clone();
        assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some("bad-image"), Some("/image_base64")));
    }
}
