//! Maidenhead locators, by which radio amateurs say where they are: pairs of a letter or digit for the longitude and one
//! for the latitude, each dividing the field before (IARU Region 1, 1980).

use akita_plugin::prelude::*;

use crate::place::{Cell, Place};

/// More would be finer than a metre.
pub const MAX_PAIRS: u8 = 5;

/// Into how many parts each pair divides, and its first sign.
const PAIRS: [(f64, char); MAX_PAIRS as usize] = [(18.0, 'A'), (10.0, '0'), (24.0, 'a'), (10.0, '0'), (24.0, 'a')];

/// The locator of a place.
pub fn encode(place: Place, pairs: u8) -> String {
    let mut locator = String::new();
    // 0 to 1 of the way around and up.
    let (mut x, mut y) = ((place.lon + 180.0) / 360.0, (place.lat + 90.0) / 180.0);
    for (parts, first) in PAIRS.into_iter().take(usize::from(pairs)) {
        for value in [&mut x, &mut y] {
            // The last one where the value is 1: the pole and the date line belong to the field before.
            let index = libm::floor((*value * parts).min(parts - 1.0));
            *value = *value * parts - index;
            locator.extend(char::from_u32(u32::from(first) + index as u32));
        }
    }
    locator
}

/// The area of a locator; `None` if it is none.
pub fn decode(locator: &str) -> Option<Cell> {
    let signs = locator.as_bytes();
    let pairs = signs.chunks(2);
    if signs.is_empty() || !signs.len().is_multiple_of(2) || pairs.len() > PAIRS.len() {
        return None;
    }
    let (mut west, mut south, mut width, mut height) = (-180.0, -90.0, 360.0, 180.0);
    for (pair, (parts, first)) in pairs.zip(PAIRS) {
        let index = |sign: u8| {
            let index = char::from(sign).to_ascii_lowercase() as u32;
            index.checked_sub(u32::from(first.to_ascii_lowercase())).map(f64::from).filter(|index| *index < parts)
        };
        width /= parts;
        height /= parts;
        west += width * index(pair[0])?;
        south += height * index(pair[1])?;
    }
    Some(Cell::new(south, west, height, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_places_have_their_known_locators() {
        for (lat, lon, locator) in [
            (48.14666, 11.60833, "JN58td"),
            (-34.91, -56.21166, "GF15vc"),
            (38.92, -77.065, "FM18lw"),
            (-41.28333, 174.745, "RE78ir"),
        ] {
            assert_eq!(encode(Place { lat, lon }, 3), locator);
            let cell = decode(locator).unwrap();
            assert!((cell.south..cell.north).contains(&lat) && (cell.west..cell.east).contains(&lon), "{cell:?}");
        }
    }

    #[test]
    fn the_ends_of_the_world_have_locators() {
        assert_eq!(encode(Place { lat: 90.0, lon: 180.0 }, 5), "RR99xx99xx");
        assert_eq!(encode(Place { lat: -90.0, lon: -180.0 }, 5), "AA00aa00aa");
        assert_eq!(decode("RR99XX").unwrap().north, 90.0);
    }

    #[test]
    fn what_is_no_locator_is_refused() {
        for wrong in ["", "J", "SA", "JN5", "JN5x", "JNAA", "JN58ty", "JN58td1", "JN58td12ab34", "ÄÖ"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
