//! Figures from CSV. This file is the component's edge: it translates between the contract and the modules, and computes
//! nothing.

mod fault;
mod predict;
mod qr;
mod request;
mod summary;
mod table;
mod train;

use akita_plugin::prelude::*;
use serde_json::Value;

akita_plugin::plugin! {
    name: "stats",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "summary" => summarise {
            summary: "Count, mean, spread and quartiles of every column of numbers",
            idempotent: true,
            deterministic: true,
            typical_ms: 10,
            input_schema: (summary::SCHEMAS.0),
            output_schema: (summary::SCHEMAS.1),
        },
        "train" => train_model {
            summary: "Linear regression: least squares of one column on others",
            idempotent: true,
            deterministic: true,
            typical_ms: 10,
            input_schema: (train::SCHEMAS.0),
            output_schema: (train::SCHEMAS.1),
        },
        "predict" => apply_model {
            summary: "What a trained model says for other rows",
            idempotent: true,
            deterministic: true,
            typical_ms: 10,
            input_schema: (predict::SCHEMAS.0),
            output_schema: (predict::SCHEMAS.1),
        },
    },
}

fn summarise(input: Content) -> Result<Content, TaskError> {
    run(input, summary::run)
}

fn train_model(input: Content) -> Result<Content, TaskError> {
    run(input, train::run)
}

fn apply_model(input: Content) -> Result<Content, TaskError> {
    run(input, predict::run)
}

fn run(input: Content, compute: fn(&Value) -> Result<Value, TaskError>) -> Result<Content, TaskError> {
    let input = request::parse(&input.content_type, input.body)?;
    task::progress(1, 2, "input read");
    Ok(Content::json(compute(&input)?.to_string()))
}

#[cfg(test)]
mod tests {
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;

    #[test]
    fn the_actions_work_from_end_to_end() {
        let stats = Harness::new(&super::PLUGIN);
        assert_eq!(stats.describe().actions.len(), 3);
        let summary = stats.run("summary", Content::new("text/csv", "x\n1\n3\n"));
        assert!(summary.text().contains(r#""mean":2.0"#), "{}", summary.text());
        assert_eq!(summary.progress.len(), 1);
        let model = stats.json("train", r#"{"csv":"x,y\n1,2\n2,4\n3,6","target":"y"}"#);
        let said = stats.json("predict", &format!(r#"{{"csv":"x\n5\n","model":{}}}"#, model.text()));
        assert!(said.text().contains(r#""n":1"#), "{}", said.text());
    }

    #[test]
    fn faults_of_input_and_data_are_told_apart() {
        let stats = Harness::new(&super::PLUGIN);
        let missing = stats.json("train", r#"{"csv":"x\n1\n"}"#);
        assert!(matches!(missing.error(), TaskError::InvalidInput(_)), "{:?}", missing.error());
        let singular = stats.json("train", r#"{"csv":"x,y\n1,2\n1,4\n1,6\n1,7","target":"y"}"#);
        assert!(matches!(singular.error(), TaskError::Permanent(_)), "{:?}", singular.error());
        assert_eq!(singular.failure().code.as_deref(), Some("singular"));
    }
}
