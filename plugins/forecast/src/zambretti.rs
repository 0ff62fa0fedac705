//! Negretti and Zambra's forecaster (patented 1915): a disc that turns pressure, trend, wind and season into one of 26
//! forecasts for the temperate zones. The tables are those of the formula by which weather stations have replaced the disc,
//! made for the British Isles and mirrored for the south.

use akita_plugin::prelude::*;
use serde::{Deserialize, Serialize};

/// The disc's scale, in hPa.
const LOWEST: f64 = 950.0;
const HIGHEST: f64 = 1050.0;
/// Into how many steps the scale is divided.
const STEPS: usize = 22;
/// What a summer adds to a rise and takes from a fall, in hundredths of the scale.
const SUMMER: f64 = 7.0;
/// A change over three hours that is more than a daily swing, in hPa (Met Office: "rising" rather than "rising slowly").
const CHANGE_HPA: f64 = 1.6;

/// From A to Z.
const WORDS: [&str; 26] = [
    "Settled fine",
    "Fine weather",
    "Becoming fine",
    "Fine, becoming less settled",
    "Fine, possible showers",
    "Fairly fine, improving",
    "Fairly fine, possible showers early",
    "Fairly fine, showery later",
    "Showery early, improving",
    "Changeable, mending",
    "Fairly fine, showers likely",
    "Rather unsettled, clearing later",
    "Unsettled, probably improving",
    "Showery, bright intervals",
    "Showery, becoming less settled",
    "Changeable, some rain",
    "Unsettled, short fine intervals",
    "Unsettled, rain later",
    "Unsettled, some rain",
    "Mostly very unsettled",
    "Occasional rain, worsening",
    "Rain at times, very unsettled",
    "Rain at frequent intervals",
    "Rain, very unsettled",
    "Stormy, may improve",
    "Stormy, much rain",
];

/// For each step of the scale, from the lowest, an index into the words.
const RISING: [usize; STEPS] = [25, 25, 25, 24, 24, 19, 16, 12, 11, 9, 8, 6, 5, 2, 1, 1, 0, 0, 0, 0, 0, 0];
const STEADY: [usize; STEPS] = [25, 25, 25, 25, 25, 25, 23, 23, 22, 18, 15, 13, 10, 4, 1, 1, 0, 0, 0, 0, 0, 0];
const FALLING: [usize; STEPS] = [25, 25, 25, 25, 25, 25, 25, 25, 23, 23, 21, 20, 17, 14, 7, 3, 1, 1, 1, 0, 0, 0];

/// What the pressure does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Schema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    Rising,
    Steady,
    Falling,
}

impl Trend {
    /// Of a change over three hours, in hPa.
    pub fn of_change(hpa: f64) -> Self {
        if hpa >= CHANGE_HPA {
            Self::Rising
        } else if hpa <= -CHANGE_HPA {
            Self::Falling
        } else {
            Self::Steady
        }
    }
}

/// Where the wind comes from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Schema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Wind {
    N,
    Nne,
    Ne,
    Ene,
    E,
    Ese,
    Se,
    Sse,
    S,
    Ssw,
    Sw,
    Wsw,
    W,
    Wnw,
    Nw,
    Nnw,
}

/// What each wind adds in the northern hemisphere, in hundredths of the scale.
const WINDS: [f64; 16] = [6.0, 5.0, 5.0, 2.0, -0.5, -2.0, -5.0, -8.5, -12.0, -10.0, -6.0, -4.5, -3.0, -0.5, 1.5, 3.0];

/// On which half of the Earth.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Hemisphere {
    North,
    South,
}

/// What is known of the weather.
#[derive(Clone, Copy, Debug)]
pub struct Sky {
    /// At sea level, in hPa.
    pub pressure: f64,
    pub trend: Trend,
    /// 1 to 12.
    pub month: u8,
    pub wind: Option<Wind>,
    pub hemisphere: Hemisphere,
}

/// A forecast.
#[derive(Debug, PartialEq, Eq)]
pub struct Outlook {
    pub letter: char,
    pub words: &'static str,
    /// The pressure is off the scale.
    pub exceptional: bool,
}

/// What the disc says.
pub fn outlook(sky: &Sky) -> Outlook {
    let north = sky.hemisphere == Hemisphere::North;
    let summer = (4..=9).contains(&sky.month) == north;
    let wind = sky.wind.map_or(0.0, |wind| {
        // A wind from the pole is a wind from the pole: south of the equator the compass turns around.
        let point = if north { wind as usize } else { (wind as usize + 8) % WINDS.len() };
        WINDS[point]
    });
    let (table, season) = match sky.trend {
        Trend::Rising => (&RISING, SUMMER),
        Trend::Steady => (&STEADY, 0.0),
        Trend::Falling => (&FALLING, -SUMMER),
    };
    let share = (sky.pressure - LOWEST) / (HIGHEST - LOWEST) + (wind + if summer { season } else { 0.0 }) / 100.0;
    let step = libm::floor(share * STEPS as f64);
    let exceptional = !(0.0..=STEPS as f64).contains(&step) || step == STEPS as f64 && sky.pressure > HIGHEST;
    let index = table[(step.max(0.0) as usize).min(STEPS - 1)];
    Outlook { letter: char::from(b'A' + index as u8), words: WORDS[index], exceptional }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sky(pressure: f64, trend: Trend) -> Sky {
        Sky { pressure, trend, month: 1, wind: None, hemisphere: Hemisphere::North }
    }

    #[test]
    fn high_is_fine_and_low_is_stormy() {
        assert_eq!(outlook(&sky(1040.0, Trend::Steady)).words, "Settled fine");
        assert_eq!(outlook(&sky(955.0, Trend::Falling)).words, "Stormy, much rain");
        // (1013 - 950) / 100 * 22 is 13.86: the fourteenth step of each table.
        let letters = [Trend::Rising, Trend::Steady, Trend::Falling].map(|trend| outlook(&sky(1013.0, trend)).letter);
        assert_eq!(letters, ['C', 'E', 'O']);
    }

    #[test]
    fn more_pressure_is_never_worse() {
        for trend in [Trend::Rising, Trend::Steady, Trend::Falling] {
            let letters: Vec<char> = (940..1060).map(|hpa| outlook(&sky(f64::from(hpa), trend)).letter).collect();
            assert!(letters.is_sorted_by(|low, high| low >= high), "{letters:?}");
        }
    }

    #[test]
    fn summers_and_winds_are_mirrored_in_the_south() {
        for month in 1..=12 {
            for (here, there) in [(Wind::N, Wind::S), (Wind::Sw, Wind::Ne), (Wind::E, Wind::W)] {
                let north = Sky { month, wind: Some(here), ..sky(1005.0, Trend::Rising) };
                let opposite = (month + 5) % 12 + 1;
                let south = Sky { month: opposite, wind: Some(there), hemisphere: Hemisphere::South, ..north };
                assert_eq!(outlook(&north), outlook(&south), "{month}");
            }
        }
        let winter = outlook(&sky(1000.0, Trend::Falling));
        let summer = outlook(&Sky { month: 7, ..sky(1000.0, Trend::Falling) });
        assert!(summer.letter > winter.letter);
    }

    #[test]
    fn off_the_scale_is_exceptional() {
        assert!(outlook(&sky(949.0, Trend::Falling)).exceptional);
        assert!(outlook(&sky(1051.0, Trend::Rising)).exceptional);
        assert!(!outlook(&sky(1050.0, Trend::Steady)).exceptional);
        assert!(!outlook(&sky(950.0, Trend::Steady)).exceptional);
    }

    #[test]
    fn changes_are_judged_by_their_size() {
        assert_eq!([2.0, 1.6, 1.5, -1.5, -1.6].map(Trend::of_change), {
            use Trend::*;
            [Rising, Rising, Steady, Steady, Falling]
        });
    }
}
