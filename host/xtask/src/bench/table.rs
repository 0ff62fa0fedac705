//! The result as lines for people and as JSON for programs.

use serde_json::{Value, json};

struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    goal: &'static str,
}

/// Rows in the order in which they were measured.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A measured number. `goal` may be empty.
    pub fn row(&mut self, name: impl Into<String>, value: f64, unit: &'static str, goal: &'static str) {
        let name = name.into();
        eprintln!("        {name}: {} {unit}", shown(value));
        self.rows.push(Row { name, value, unit, goal });
    }

    /// A number that was measured earlier in this run.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.value)
    }

    /// One number as a multiple of another of this run, if both are there.
    pub fn ratio(&mut self, name: &str, over: &str) {
        if let (Some(value), Some(base)) = (self.value(name), self.value(over).filter(|base| *base > 0.0)) {
            self.row(format!("    over `{over}`"), value / base, "x", "");
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("\n{:<60} {:>12} {:<8} goal\n", "", "measured", "");
        for Row { name, value, unit, goal } in &self.rows {
            let line = format!("{name:<60} {:>12} {unit:<8} {goal}", shown(*value));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        self.rows
            .iter()
            .map(|row| json!({ "name": row.name, "value": row.value, "unit": row.unit, "goal": row.goal }))
            .collect()
    }
}

/// Three digits are what such measurements are good for.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
