//! Where things are. This file is the component's edge: the shape of inputs and outputs, and which function answers them.
#![cfg_attr(target_family = "wasm", no_std)]

mod geodesic;
mod geohash;
mod maidenhead;
mod place;

use akita_plugin::prelude::*;
use place::{Cell, Place};
use serde::{Deserialize, Serialize};

akita_plugin::no_std_runtime!();

akita_plugin::plugin! {
    name: "geo",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "distance" => distance {
            summary: "How far and in which direction it is from one place to another, on the WGS 84 ellipsoid",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "destination" => destination {
            summary: "Where one comes to from a place by a bearing and a distance, on the WGS 84 ellipsoid",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "to-maidenhead" => to_maidenhead {
            summary: "The Maidenhead locator of a place",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "from-maidenhead" => from_maidenhead {
            summary: "The middle and the bounds of a Maidenhead locator",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "to-geohash" => to_geohash {
            summary: "The geohash of a place",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "from-geohash" => from_geohash {
            summary: "The middle and the bounds of a geohash",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
    },
}

/// Two places.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Journey {
    from: Place,
    to: Place,
}

#[derive(Schema, Serialize)]
struct Distance {
    /// Along the ellipsoid.
    distance_m: f64,
    /// At the start, in degrees clockwise from true north.
    initial_bearing: f64,
    /// On arrival, in degrees clockwise from true north.
    final_bearing: f64,
}

fn distance(input: Journey) -> Result<Distance, TaskError> {
    let from = input.from.checked("/from")?;
    let to = input.to.checked("/to")?;
    let way = geodesic::inverse(from, to).ok_or_else(|| {
        TaskError::permanent("the places are all but opposite to each other, where no way is clearly the shortest")
            .code("antipodal")
    })?;
    Ok(Distance {
        distance_m: place::rounded(way.distance_m, place::MILLIMETRES),
        initial_bearing: place::rounded(way.initial_bearing, place::DEGREES),
        final_bearing: place::rounded(way.final_bearing, place::DEGREES),
    })
}

/// A start and a way.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Course {
    from: Place,
    /// In degrees clockwise from true north.
    #[schema(minimum = -360, maximum = 360)]
    bearing: f64,
    /// Along the ellipsoid.
    #[schema(minimum = 0, maximum = 20_000_000)]
    distance_m: f64,
}

#[derive(Schema, Serialize)]
struct Destination {
    lat: f64,
    lon: f64,
    /// On arrival, in degrees clockwise from true north.
    final_bearing: f64,
}

/// A little less than half the way around.
const MAX_DISTANCE_M: f64 = 20_000_000.0;

fn destination(input: Course) -> Result<Destination, TaskError> {
    let from = input.from.checked("/from")?;
    if !(-360.0..=360.0).contains(&input.bearing) {
        let error = TaskError::invalid("`bearing` must be from -360 to 360 degrees");
        return Err(error.code("out-of-range").pointer("/bearing"));
    }
    if !(0.0..=MAX_DISTANCE_M).contains(&input.distance_m) {
        let error = TaskError::invalid("`distance_m` must be from 0 to 20000000");
        return Err(error.code("out-of-range").pointer("/distance_m"));
    }
    let (to, final_bearing) = geodesic::direct(from, input.bearing, input.distance_m);
    Ok(Destination {
        lat: place::rounded(to.lat, place::DEGREES),
        lon: place::rounded(to.lon, place::DEGREES),
        final_bearing: place::rounded(final_bearing, place::DEGREES),
    })
}

/// A place and how exactly to write it.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct ToMaidenhead {
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
    /// Pairs of letters or digits; 3 is what contacts on short wave use.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 5, default = 3)]
    pairs: Option<u8>,
}

#[derive(Schema, Serialize)]
struct Locator {
    locator: String,
}

fn to_maidenhead(input: ToMaidenhead) -> Result<Locator, TaskError> {
    let place = Place { lat: input.lat, lon: input.lon }.checked("")?;
    let pairs = within(input.pairs, 3, maidenhead::MAX_PAIRS, "pairs")?;
    Ok(Locator { locator: maidenhead::encode(place, pairs) })
}

/// A Maidenhead locator.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct FromMaidenhead {
    /// In capitals or not.
    #[schema(pattern = "^[A-Ra-r]{2}([0-9]{2}([A-Xa-x]{2}([0-9]{2}([A-Xa-x]{2})?)?)?)?$")]
    locator: String,
}

fn from_maidenhead(input: FromMaidenhead) -> Result<Cell, TaskError> {
    maidenhead::decode(&input.locator).ok_or_else(|| {
        let message =
            "`locator` must be pairs such as `JN58td`: two letters A to R, two digits, two letters A to X, ...";
        TaskError::invalid(message).code("bad-locator").pointer("/locator")
    })
}

/// A place and how exactly to write it.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct ToGeohash {
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
    /// Letters; 9 is within some 5 metres.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 12, default = 9)]
    length: Option<u8>,
}

#[derive(Schema, Serialize)]
struct Geohash {
    geohash: String,
}

fn to_geohash(input: ToGeohash) -> Result<Geohash, TaskError> {
    let place = Place { lat: input.lat, lon: input.lon }.checked("")?;
    let length = within(input.length, 9, geohash::MAX_LENGTH, "length")?;
    Ok(Geohash { geohash: geohash::encode(place, length) })
}

/// A geohash.
#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct FromGeohash {
    #[schema(pattern = "^[0-9b-hjkmnp-zB-HJKMNP-Z]{1,12}$")]
    geohash: String,
}

fn from_geohash(input: FromGeohash) -> Result<Cell, TaskError> {
    geohash::decode(&input.geohash).ok_or_else(|| {
        let message = "`geohash` must be 1 to 12 digits and letters, without a, i, l and o";
        TaskError::invalid(message).code("bad-geohash").pointer("/geohash")
    })
}

fn within(given: Option<u8>, default: u8, most: u8, name: &str) -> Result<u8, TaskError> {
    let value = given.unwrap_or(default);
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    let error = TaskError::invalid(format!("`{name}` must be from 1 to {most}"));
    Err(error.code("out-of-range").pointer(format!("/{name}")))
}

#[cfg(test)]
mod tests {
    use akita_plugin::testing::Harness;
    use serde_json::{Value, json};

    fn run(action: &str, input: Value) -> Value {
        Harness::new(&super::PLUGIN).json(action, &input.to_string()).value()
    }

    #[test]
    fn the_plugin_describes_itself() {
        assert_eq!(Harness::new(&super::PLUGIN).describe().actions.len(), 6);
    }

    #[test]
    fn a_journey_and_its_way_back() {
        let munich = json!({ "lat": 48.137, "lon": 11.575 });
        let way = run("distance", json!({ "from": munich, "to": { "lat": 52.52, "lon": 13.405 } }));
        let (bearing, distance) = (way["initial_bearing"].clone(), way["distance_m"].clone());
        let there = run("destination", json!({ "from": munich, "bearing": bearing, "distance_m": distance }));
        assert!((there["lat"].as_f64().unwrap() - 52.52).abs() < 1e-6, "{there}");
        assert!((there["lon"].as_f64().unwrap() - 13.405).abs() < 1e-6, "{there}");
    }

    #[test]
    fn locators_and_hashes() {
        assert_eq!(run("to-maidenhead", json!({ "lat": 48.14666, "lon": 11.60833 })), json!({ "locator": "JN58td" }));
        assert_eq!(
            run("to-geohash", json!({ "lat": 57.64911, "lon": 10.40744, "length": 11 })),
            json!({ "geohash": "u4pruydqqvj" })
        );
        let cell = run("from-geohash", json!({ "geohash": "ezs42" }));
        assert_eq!((cell["lat"].as_f64(), cell["lon"].as_f64()), (Some(42.6049805), Some(-5.6030273)));
    }

    #[test]
    fn faults_say_where() {
        let geo = Harness::new(&super::PLUGIN);
        for (action, input, code, pointer) in [
            ("distance", r#"{"from":{"lat":91,"lon":0},"to":{"lat":0,"lon":0}}"#, "out-of-range", "/from/lat"),
            ("distance", r#"{"from":{"lat":1,"lon":0},"to":{"lat":0,"lon":-181}}"#, "out-of-range", "/to/lon"),
            ("distance", r#"{"from":{"lat":1,"lon":0}}"#, "bad-input", "/to"),
            ("destination", r#"{"from":{"lat":1,"lon":0},"bearing":400,"distance_m":1}"#, "out-of-range", "/bearing"),
            ("destination", r#"{"from":{"lat":1,"lon":0},"bearing":0,"distance_m":-1}"#, "out-of-range", "/distance_m"),
            ("to-maidenhead", r#"{"lat":0,"lon":0,"pairs":6}"#, "out-of-range", "/pairs"),
            ("to-geohash", r#"{"lat":0,"lon":"0"}"#, "bad-input", "/lon"),
            ("to-geohash", r#"{"lat":-90.5,"lon":0}"#, "out-of-range", "/lat"),
            ("from-maidenhead", r#"{"locator":"ZZ00"}"#, "bad-locator", "/locator"),
            ("from-geohash", r#"{"geohash":"ail"}"#, "bad-geohash", "/geohash"),
        ] {
            let outcome = geo.json(action, input);
            let failure = outcome.failure();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), Some(pointer)), "{input}");
        }
        let antipodal = geo.json("distance", r#"{"from":{"lat":0,"lon":0},"to":{"lat":0.5,"lon":179.7}}"#);
        assert_eq!(antipodal.failure().code.as_deref(), Some("antipodal"));
    }
}
