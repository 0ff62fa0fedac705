//! Pressures at different heights. It forecasts nothing.

/// What is assumed where no temperature was measured (ISO 2533, the standard atmosphere).
pub const STANDARD_CELSIUS: f64 = 15.0;

/// By how much it gets colder with height, in kelvins a metre (ISO 2533).
const LAPSE: f64 = 0.0065;

/// Gravity times the molar mass of air, by the gas constant and the lapse rate (ISO 2533).
const EXPONENT: f64 = 5.255_88;

/// The pressure at sea level, in that of the one measured, below a station at `altitude` metres where it is `celsius`
/// degrees warm.
pub fn sea_level(pressure: f64, altitude: f64, celsius: f64) -> f64 {
    let below = LAPSE * altitude;
    pressure * libm::pow(1.0 + below / (celsius + 273.15), EXPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard atmosphere: 898.76 hPa and 8.5 degrees at 1,000 m, 1013.25 hPa and 15 degrees at sea level.
    #[test]
    fn the_standard_atmosphere_comes_out() {
        assert!((sea_level(898.76, 1000.0, 8.5) - 1013.25).abs() < 0.1);
        assert!((sea_level(1013.25, 0.0, 15.0) - 1013.25).abs() < 1e-9);
        assert!(sea_level(1013.25, -100.0, 15.0) < 1013.25);
    }
}
