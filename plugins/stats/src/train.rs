//! Linear regression: least squares of one column on others, optionally with a ridge penalty.

use akita_plugin::TaskError;
use serde_json::{Map, Value, json};

use crate::fault;
use crate::qr::{self, Dependent};
use crate::request;
use crate::summary::mean;
use crate::table::{Column, Table};

/// What `train` takes and what it gives.
pub const SCHEMAS: (&str, &str) = (
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["csv","target"],"properties":{
"csv":{"type":"string","description":"With a header line; rows with a missing value are skipped and counted"},
"target":{"type":"string","description":"The column to explain"},
"features":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":64,"description":"The columns to explain it by; every other column of numbers if absent"},
"ridge":{"type":"number","minimum":0,"default":0,"description":"Penalty on the squares of the coefficients, of standardised features"}}}"#,
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
"required":["target","intercept","coefficients","r2","rmse","n","skipped"],"properties":{
"target":{"type":"string"},"intercept":{"type":"number"},
"coefficients":{"type":"object","additionalProperties":{"type":"number"}},
"r2":{"type":["number","null"],"description":"Share of the variance that is explained; null if the target does not vary"},
"rmse":{"type":"number","description":"In the target's unit"},
"n":{"type":"integer"},"skipped":{"type":"integer"}}}"#,
);

/// The work grows with the square of this number.
const MAX_FEATURES: usize = 64;

/// Fits the model that the input asks for.
pub fn run(input: &Value) -> Result<Value, TaskError> {
    let table = Table::parse(request::text(input, "csv")?)?;
    let target = table.numbers(request::text(input, "target")?, "/target")?;
    let features = features_of(input, &table, target)?;
    let ridge = ridge_of(input)?;
    let (columns, wanted) = complete_rows(&features, target);
    let needed = features.len() + 1;
    if wanted.len() < needed {
        let message = format!(
            "{} rows without a missing value are too few for {} features: {needed} are needed",
            wanted.len(),
            features.len()
        );
        return Err(fault::data("too-few-rows", message));
    }
    let model = fit(&columns, &wanted, ridge).map_err(|dependent| singular(&features, &dependent))?;
    let (r2, rmse) = model.quality(&columns, &wanted);
    let names = features.iter().map(|column| column.name.clone());
    let coefficients: Map<String, Value> = names.zip(model.weights.iter().map(|weight| json!(weight))).collect();
    Ok(json!({
        "target": target.name,
        "intercept": model.intercept,
        "coefficients": coefficients,
        "r2": r2,
        "rmse": rmse,
        "n": wanted.len(),
        "skipped": table.rows - wanted.len(),
    }))
}

fn features_of<'a>(input: &Value, table: &'a Table, target: &Column) -> Result<Vec<&'a Column>, TaskError> {
    let features: Vec<&Column> = match input.get("features") {
        None | Some(Value::Null) => {
            table.columns.iter().filter(|column| column.is_numeric() && column.name != target.name).collect()
        }
        Some(Value::Array(names)) => {
            let named = names.iter().enumerate().map(|(index, name)| {
                let pointer = format!("/features/{index}");
                let name = name
                    .as_str()
                    .ok_or_else(|| fault::input("bad-feature", &pointer, "a feature is a column's name"))?;
                if name == target.name {
                    return Err(fault::input("target-as-feature", &pointer, "the target cannot explain itself"));
                }
                table.numbers(name, &pointer)
            });
            named.collect::<Result<_, _>>()?
        }
        Some(_) => {
            return Err(fault::input("bad-features", "/features", "`features` must be an array of column names"));
        }
    };
    match features.len() {
        0 => Err(fault::input("no-features", "/features", "there is no column of numbers besides the target")),
        1..=MAX_FEATURES => Ok(features),
        many => Err(fault::input(
            "too-many-features",
            "/features",
            format!("{many} features are over the limit of {MAX_FEATURES}"),
        )),
    }
}

fn ridge_of(input: &Value) -> Result<f64, TaskError> {
    match input.get("ridge") {
        None | Some(Value::Null) => Ok(0.0),
        Some(value) => {
            let ridge = value.as_f64().filter(|ridge| *ridge >= 0.0 && ridge.is_finite());
            ridge.ok_or_else(|| fault::input("bad-ridge", "/ridge", "`ridge` must be a number that is not negative"))
        }
    }
}

/// The features' columns and the target's, without the rows where one of them is missing.
fn complete_rows(features: &[&Column], target: &Column) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut columns = vec![Vec::new(); features.len()];
    let mut wanted = Vec::new();
    for (row, value) in target.values.iter().enumerate() {
        let values: Option<Vec<f64>> = features.iter().map(|feature| feature.values[row]).collect();
        if let (Some(values), Some(value)) = (values, value) {
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            wanted.push(*value);
        }
    }
    (columns, wanted)
}

struct Model {
    intercept: f64,
    weights: Vec<f64>,
}

impl Model {
    /// The explained share of the variance, and the typical error.
    fn quality(&self, columns: &[Vec<f64>], wanted: &[f64]) -> (Option<f64>, f64) {
        let centre = mean(wanted);
        let (mut errors, mut total) = (0.0, 0.0);
        for (row, value) in wanted.iter().enumerate() {
            let said: f64 = self.weights.iter().zip(columns).map(|(weight, column)| weight * column[row]).sum();
            errors += (value - self.intercept - said).powi(2);
            total += (value - centre).powi(2);
        }
        ((total > 0.0).then(|| 1.0 - errors / total), (errors / wanted.len() as f64).sqrt())
    }
}

/// Works on standardised columns, so that the units of the features do not decide what counts as dependent.
fn fit(columns: &[Vec<f64>], wanted: &[f64], ridge: f64) -> Result<Model, Dependent> {
    let centres: Vec<f64> = columns.iter().map(|column| mean(column)).collect();
    let spreads: Vec<f64> = columns.iter().zip(&centres).map(|(column, centre)| spread(column, *centre)).collect();
    let constant: Vec<usize> = (0..columns.len()).filter(|index| spreads[*index] == 0.0).collect();
    if !constant.is_empty() {
        return Err(Dependent(constant));
    }
    let middle = mean(wanted);
    let mut target: Vec<f64> = wanted.iter().map(|value| value - middle).collect();
    let mut scaled: Vec<Vec<f64>> = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let mut column: Vec<f64> = column.iter().map(|value| (value - centres[index]) / spreads[index]).collect();
        if ridge > 0.0 {
            // A penalty is the same as one more row for each feature, which wants its weight to be nought.
            column.extend((0..columns.len()).map(|row| if row == index { ridge.sqrt() } else { 0.0 }));
        }
        scaled.push(column);
    }
    target.resize(scaled.first().map_or(target.len(), Vec::len), 0.0);
    let weights = qr::least_squares(scaled, target)?;
    let weights: Vec<f64> = weights.iter().zip(&spreads).map(|(weight, spread)| weight / spread).collect();
    let offset: f64 = weights.iter().zip(&centres).map(|(weight, centre)| weight * centre).sum();
    Ok(Model { intercept: middle - offset, weights })
}

/// The standard deviation, or zero if it is nothing but rounding.
fn spread(column: &[f64], centre: f64) -> f64 {
    let square = column.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / column.len() as f64;
    let spread = square.sqrt();
    if spread <= centre.abs() * 1e-14 { 0.0 } else { spread }
}

fn singular(features: &[&Column], Dependent(columns): &Dependent) -> TaskError {
    let names: Vec<String> = columns.iter().map(|index| format!("`{}`", features[*index].name)).collect();
    let message = format!(
        "{} does not vary or is a combination of the other features, so no single model fits best; leave it out or set `ridge`",
        names.join(", ")
    );
    fault::data("singular", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: &Value, expected: f64) -> bool {
        value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn an_exact_plane_is_found() {
        let output =
            run(&json!({ "csv": "a,b,y\n1,0,5\n0,1,1\n2,2,6\n3,1,10\n5,9,8\n,1,1\n", "target": "y" })).unwrap();
        assert!(close(&output["intercept"], 2.0) && close(&output["coefficients"]["a"], 3.0), "{output}");
        assert!(close(&output["coefficients"]["b"], -1.0) && close(&output["r2"], 1.0), "{output}");
        assert_eq!((&output["n"], &output["skipped"]), (&json!(5), &json!(1)));
    }

    /// Anscombe's first quartet: y = 3.00 + 0.500 x, r2 = 0.67.
    #[test]
    fn the_published_line_is_found() {
        let csv = "x,y\n10,8.04\n8,6.95\n13,7.58\n9,8.81\n11,8.33\n14,9.96\n6,7.24\n4,4.26\n12,10.84\n7,4.82\n5,5.68\n";
        let output = run(&json!({ "csv": csv, "target": "y", "features": ["x"] })).unwrap();
        assert!((output["intercept"].as_f64().unwrap() - 3.000_090_909).abs() < 1e-6, "{output}");
        assert!((output["coefficients"]["x"].as_f64().unwrap() - 0.500_090_909).abs() < 1e-6);
        assert!((output["r2"].as_f64().unwrap() - 0.666_542_459).abs() < 1e-6);
    }

    #[test]
    fn a_combination_is_reported_by_name_and_a_ridge_decides() {
        let csv = "a,double,y\n1,2,1\n2,4,2\n3,6,3.5\n4,8,4\n";
        let error = run(&json!({ "csv": csv, "target": "y" })).unwrap_err();
        assert_eq!(fault::told(&error).0, Some("singular"));
        let message = &error.failure().unwrap().message;
        assert!(message.contains("`a`") || message.contains("`double`"));
        let output = run(&json!({ "csv": csv, "target": "y", "ridge": 0.1 })).unwrap();
        assert!(output["r2"].as_f64().unwrap() > 0.95, "{output}");
    }

    #[test]
    fn faults_have_codes_and_places() {
        for (input, code, pointer) in [
            (json!({}), "missing", Some("/csv")),
            (json!({ "csv": "a,b\n1,2\n" }), "missing", Some("/target")),
            (json!({ "csv": "a,b\n1,2\n", "target": "z" }), "no-such-column", Some("/target")),
            (
                json!({ "csv": "a,b\n1,2\n", "target": "b", "features": ["a", "z"] }),
                "no-such-column",
                Some("/features/1"),
            ),
            (
                json!({ "csv": "a,b\n1,2\n", "target": "b", "features": ["b"] }),
                "target-as-feature",
                Some("/features/0"),
            ),
            (json!({ "csv": "a,b\n1,2\n", "target": "b", "features": "a" }), "bad-features", Some("/features")),
            (json!({ "csv": "b\n2\n", "target": "b" }), "no-features", Some("/features")),
            (json!({ "csv": "a,b\n1,2\n", "target": "b", "ridge": -1 }), "bad-ridge", Some("/ridge")),
            (json!({ "csv": "a,b\n1,2\n", "target": "b" }), "too-few-rows", None),
            (json!({ "csv": "a,b\n1,2\n1,3\n", "target": "b" }), "singular", None),
        ] {
            let error = run(&input).unwrap_err();
            assert_eq!(fault::told(&error), (Some(code), pointer), "{input}");
        }
    }
}
