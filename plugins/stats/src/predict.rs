//! What a trained model says for other rows.

use akita_plugin::TaskError;
use serde_json::{Value, json};

use crate::fault;
use crate::request;
use crate::table::{Column, Table};

/// What `predict` takes and what it gives.
pub const SCHEMAS: (&str, &str) = (
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["csv","model"],"properties":{
"csv":{"type":"string","description":"With a header line and a column for each of the model's features"},
"model":{"type":"object","description":"What `train` gave","required":["intercept","coefficients"],"properties":{
"intercept":{"type":"number"},"coefficients":{"type":"object","additionalProperties":{"type":"number"}}}}}}"#,
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["predictions","n","missing"],"properties":{
"predictions":{"type":"array","items":{"type":["number","null"]},"description":"One for each row; null where a feature is missing"},
"n":{"type":"integer"},"missing":{"type":"integer"}}}"#,
);

/// Applies `model` to each row of `csv`.
pub fn run(input: &Value) -> Result<Value, TaskError> {
    let table = Table::parse(request::text(input, "csv")?)?;
    let model = input.get("model").filter(|model| model.is_object());
    let model = model.ok_or_else(|| fault::input("missing", "/model", "`model` must be there: what `train` gave"))?;
    let intercept = model.get("intercept").and_then(Value::as_f64);
    let intercept =
        intercept.ok_or_else(|| fault::input("bad-model", "/model/intercept", "`intercept` must be a number"))?;
    let terms = terms_of(model, &table)?;
    let say = |row: usize| {
        let parts = terms.iter().map(|(column, weight)| Some(column.values[row]? * weight));
        parts.sum::<Option<f64>>().map(|sum| intercept + sum)
    };
    let predictions: Vec<Option<f64>> = (0..table.rows).map(say).collect();
    let missing = predictions.iter().filter(|prediction| prediction.is_none()).count();
    Ok(json!({ "predictions": predictions, "n": table.rows - missing, "missing": missing }))
}

fn terms_of<'a>(model: &Value, table: &'a Table) -> Result<Vec<(&'a Column, f64)>, TaskError> {
    let pointer = "/model/coefficients";
    let coefficients = model.get("coefficients").and_then(Value::as_object);
    let coefficients = coefficients
        .ok_or_else(|| fault::input("bad-model", pointer, "`coefficients` must be an object of numbers"))?;
    let term = |(name, weight): (&String, &Value)| {
        let weight = weight.as_f64();
        let weight = weight
            .ok_or_else(|| fault::input("bad-model", pointer, format!("the coefficient of `{name}` is no number")))?;
        Ok((table.numbers(name, "/csv")?, weight))
    };
    coefficients.iter().map(term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_says_what_it_was_trained_on() {
        let model = crate::train::run(&json!({ "csv": "x,y\n1,3\n2,5\n3,7\n", "target": "y" })).unwrap();
        let output = run(&json!({ "csv": "x\n10\nNA\n", "model": model })).unwrap();
        assert!((output["predictions"][0].as_f64().unwrap() - 21.0).abs() < 1e-9);
        assert_eq!((&output["predictions"][1], &output["n"], &output["missing"]), (&Value::Null, &json!(1), &json!(1)));
    }

    #[test]
    fn a_bad_model_is_refused() {
        for (model, pointer) in [
            (json!(null), "/model"),
            (json!({}), "/model/intercept"),
            (json!({ "intercept": 1 }), "/model/coefficients"),
            (json!({ "intercept": 1, "coefficients": { "x": "big" } }), "/model/coefficients"),
            (json!({ "intercept": 1, "coefficients": { "z": 1 } }), "/csv"),
        ] {
            let error = run(&json!({ "csv": "x\n1\n", "model": model })).unwrap_err();
            assert_eq!(fault::told(&error).1, Some(pointer));
        }
    }
}
