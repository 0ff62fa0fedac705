//! What there is to say about each column by itself.

use akita_plugin::TaskError;
use serde_json::{Map, Value, json};

use crate::request;
use crate::table::{Column, Table};

/// What `summary` takes, if the input is JSON, and what it gives.
pub const SCHEMAS: (&str, &str) = (
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["csv"],
"properties":{"csv":{"type":"string","description":"With a header line; separated by commas, semicolons or tabs"}}}"#,
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["rows","columns","text_columns"],
"properties":{"rows":{"type":"integer"},"text_columns":{"type":"array","items":{"type":"string"}},
"columns":{"type":"object","additionalProperties":{"type":"object",
"required":["count","missing","mean","stddev","min","q1","median","q3","max"],
"properties":{"count":{"type":"integer"},"missing":{"type":"integer"},
"stddev":{"type":["number","null"],"description":"Of a sample; null for a single value"}}}}}}"#,
);

/// Summarises `csv`.
pub fn run(input: &Value) -> Result<Value, TaskError> {
    let table = Table::parse(request::text(input, "csv")?)?;
    let mut columns = Map::new();
    let mut texts = Vec::new();
    for column in &table.columns {
        if column.is_numeric() {
            columns.insert(column.name.clone(), summarise(column));
        } else {
            texts.push(column.name.clone());
        }
    }
    Ok(json!({ "rows": table.rows, "columns": columns, "text_columns": texts }))
}

fn summarise(column: &Column) -> Value {
    let mut values: Vec<f64> = column.values.iter().flatten().copied().collect();
    values.sort_by(f64::total_cmp);
    let mean = mean(&values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let stddev = (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt());
    json!({
        "count": values.len(),
        "missing": column.values.len() - values.len(),
        "mean": mean,
        "stddev": stddev,
        "min": values.first(),
        "q1": quantile(&values, 0.25),
        "median": quantile(&values, 0.5),
        "q3": quantile(&values, 0.75),
        "max": values.last(),
    })
}

/// The mean; zero of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Interpolated between neighbours, as spreadsheets, R and NumPy do by default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = share * sorted.len().checked_sub(1)? as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_textbook() {
        let output = run(&json!({ "csv": "x,who\n2,a\n4,b\n4,c\n4,d\n5,e\n5,f\n7,g\n9,h\n,i\n" })).unwrap();
        let x = &output["columns"]["x"];
        assert_eq!((&x["count"], &x["missing"], &output["rows"]), (&json!(8), &json!(1), &json!(9)));
        assert_eq!((&x["mean"], &x["min"], &x["max"]), (&json!(5.0), &json!(2.0), &json!(9.0)));
        assert_eq!((&x["q1"], &x["median"], &x["q3"]), (&json!(4.0), &json!(4.5), &json!(5.5)));
        assert!((x["stddev"].as_f64().unwrap() - 2.138_089_935_299_395).abs() < 1e-12);
        assert_eq!(output["text_columns"], json!(["who"]));
    }

    #[test]
    fn a_single_value_has_no_spread() {
        let output = run(&json!({ "csv": "x\n3\n" })).unwrap();
        assert_eq!((&output["columns"]["x"]["stddev"], &output["columns"]["x"]["median"]), (&Value::Null, &json!(3.0)));
    }

    #[test]
    fn schemas_are_json() {
        for (input, output) in [SCHEMAS, crate::train::SCHEMAS, crate::predict::SCHEMAS] {
            for schema in [input, output] {
                assert!(serde_json::from_str::<Value>(schema).unwrap().is_object());
            }
        }
    }
}
