//! The weather of the next hours. This file is the component's edge: the shape of input and output.
#![cfg_attr(target_family = "wasm", no_std)]

mod barometer;
mod zambretti;

use akita_plugin::prelude::*;
use serde::{Deserialize, Serialize};
use zambretti::{Hemisphere, Sky, Trend, Wind};

akita_plugin::no_std_runtime!();

akita_plugin::plugin! {
    name: "forecast",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "zambretti" => forecast {
            summary: "What a barometer says of the next twelve hours",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "sea-level" => sea_level {
            summary: "A pressure reduced to sea level",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
    },
}

/// A reading. Give `trend` or `change_3h_hpa`.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Reading {
    /// As measured, in hPa.
    #[schema(minimum = 300, maximum = 1100)]
    pressure_hpa: f64,
    /// Height of the barometer; 0 for a pressure that is reduced to sea level already.
    #[serde(default)]
    #[schema(minimum = -500, maximum = 9000, default = 0)]
    altitude_m: f64,
    /// Outside, to reduce the pressure with; 15 if absent.
    #[schema(minimum = -80, maximum = 60, default = 15)]
    temperature_c: Option<f64>,
    /// What the pressure has done in the last three hours.
    trend: Option<Trend>,
    /// The same as a number: from 1.6 hPa up it counts as rising or falling.
    #[schema(minimum = -100, maximum = 100)]
    change_3h_hpa: Option<f64>,
    #[schema(minimum = 1, maximum = 12)]
    month: u8,
    /// Where it comes from; absent if it is calm or not known.
    wind: Option<Wind>,
    hemisphere: Hemisphere,
}

#[derive(Schema, Serialize)]
struct Forecast {
    forecast: &'static str,
    /// A for settled fine to Z for stormy, as on the instrument.
    letter: char,
    /// The pressure is outside the instrument's scale: expect the extreme.
    exceptional: bool,
    sea_level_hpa: f64,
    trend: Trend,
}

fn forecast(input: Reading) -> Result<Forecast, TaskError> {
    if !(1..=12).contains(&input.month) {
        return Err(out_of_range("month", "from 1 to 12"));
    }
    let trend = match (input.trend, input.change_3h_hpa) {
        (Some(trend), None) => trend,
        (None, Some(change)) => Trend::of_change(change),
        _ => {
            let error = TaskError::invalid("give exactly one of `trend` and `change_3h_hpa`");
            return Err(error.code("unclear-trend").pointer("/trend"));
        }
    };
    let pressure = reduced(input.pressure_hpa, input.altitude_m, input.temperature_c)?;
    let sky = Sky { pressure, trend, month: input.month, wind: input.wind, hemisphere: input.hemisphere };
    let outlook = zambretti::outlook(&sky);
    Ok(Forecast {
        forecast: outlook.words,
        letter: outlook.letter,
        exceptional: outlook.exceptional,
        sea_level_hpa: pressure,
        trend,
    })
}

/// A pressure and where it was measured.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Measured {
    /// In hPa.
    #[schema(minimum = 300, maximum = 1100)]
    pressure_hpa: f64,
    #[schema(minimum = -500, maximum = 9000)]
    altitude_m: f64,
    /// Outside; 15 if absent.
    #[schema(minimum = -80, maximum = 60, default = 15)]
    temperature_c: Option<f64>,
}

#[derive(Schema, Serialize)]
struct SeaLevel {
    sea_level_hpa: f64,
}

fn sea_level(input: Measured) -> Result<SeaLevel, TaskError> {
    reduced(input.pressure_hpa, input.altitude_m, input.temperature_c).map(|sea_level_hpa| SeaLevel { sea_level_hpa })
}

/// To a tenth of a hPa, which is what barometers can tell.
fn reduced(pressure: f64, altitude: f64, temperature: Option<f64>) -> Result<f64, TaskError> {
    let temperature = temperature.unwrap_or(barometer::STANDARD_CELSIUS);
    if !(300.0..=1100.0).contains(&pressure) {
        return Err(out_of_range("pressure_hpa", "from 300 to 1100"));
    }
    if !(-500.0..=9000.0).contains(&altitude) {
        return Err(out_of_range("altitude_m", "from -500 to 9000"));
    }
    if !(-80.0..=60.0).contains(&temperature) {
        return Err(out_of_range("temperature_c", "from -80 to 60"));
    }
    Ok(libm::round(barometer::sea_level(pressure, altitude, temperature) * 10.0) / 10.0)
}

fn out_of_range(name: &str, range: &str) -> TaskError {
    TaskError::invalid(format!("`{name}` must be {range}")).code("out-of-range").pointer(format!("/{name}"))
}

#[cfg(test)]
mod tests {
    use akita_plugin::testing::Harness;
    use serde_json::{Value, json};

    #[test]
    fn a_reading_becomes_a_forecast() {
        let forecast = Harness::new(&super::PLUGIN);
        assert_eq!(forecast.describe().actions.len(), 2);
        let input = json!({
            "pressure_hpa": 966.2, "altitude_m": 520, "temperature_c": 12.5, "change_3h_hpa": -2.1, "month": 10,
            "wind": "SW", "hemisphere": "north",
        });
        let output: Value = forecast.json("zambretti", &input.to_string()).value();
        let expected = json!({
            "forecast": "Fine, becoming less settled", "letter": "D", "exceptional": false, "sea_level_hpa": 1027.8,
            "trend": "falling",
        });
        assert_eq!(output, expected);
        let reduced: Value =
            forecast.json("sea-level", r#"{"pressure_hpa":898.8,"altitude_m":1000,"temperature_c":8.5}"#).value();
        assert_eq!(reduced, json!({ "sea_level_hpa": 1013.3 }));
    }

    #[test]
    fn faults_say_where() {
        let forecast = Harness::new(&super::PLUGIN);
        let good = json!({ "pressure_hpa": 1013, "trend": "steady", "month": 5, "hemisphere": "south" });
        assert!(forecast.json("zambretti", &good.to_string()).result.is_ok());
        for (key, value, code) in [
            ("pressure_hpa", json!(1101), "out-of-range"),
            ("altitude_m", json!(-501), "out-of-range"),
            ("temperature_c", json!(99), "out-of-range"),
            ("month", json!(13), "out-of-range"),
            ("month", json!("May"), "bad-input"),
            ("trend", json!(null), "unclear-trend"),
            ("trend", json!("up"), "bad-input"),
            ("wind", json!("NNNE"), "bad-input"),
            ("hemisphere", json!(null), "bad-input"),
            ("weather", json!("nice"), "bad-input"),
        ] {
            let mut input = good.clone();
            input[key] = value;
            let outcome = forecast.json("zambretti", &input.to_string());
            let failure = outcome.failure();
            let pointer = format!("/{key}");
            assert_eq!(
                (failure.code.as_deref(), failure.pointer.as_deref()),
                (Some(code), Some(pointer.as_str())),
                "{input}"
            );
        }
    }
}
