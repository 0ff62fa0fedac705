//! Geohashes (G. Niemeyer, 2008): longitude and latitude halved in turns, five halvings a letter, so that a shorter hash is
//! an area around the place.

use akita_plugin::prelude::*;

use crate::place::{Cell, Place};

/// 60 halvings: some centimetres.
pub const MAX_LENGTH: u8 = 12;

const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// The area that is halved.
struct Bounds {
    south: f64,
    west: f64,
    height: f64,
    width: f64,
    /// Longitude comes first.
    east_next: bool,
}

impl Bounds {
    fn world() -> Self {
        Self { south: -90.0, west: -180.0, height: 180.0, width: 360.0, east_next: true }
    }

    fn middle(&self) -> f64 {
        if self.east_next { self.west + self.width / 2.0 } else { self.south + self.height / 2.0 }
    }

    fn halve(&mut self, upper: bool) {
        let (start, size) =
            if self.east_next { (&mut self.west, &mut self.width) } else { (&mut self.south, &mut self.height) };
        *size /= 2.0;
        if upper {
            *start += *size;
        }
        self.east_next = !self.east_next;
    }
}

/// The geohash of a place.
pub fn encode(place: Place, length: u8) -> String {
    let mut bounds = Bounds::world();
    let mut letter = || {
        let mut value = 0;
        for _ in 0..5 {
            let upper = if bounds.east_next { place.lon } else { place.lat } >= bounds.middle();
            value = value << 1 | usize::from(upper);
            bounds.halve(upper);
        }
        char::from(LETTERS[value])
    };
    (0..length).map(|_| letter()).collect()
}

/// The area of a geohash; `None` if it is none.
pub fn decode(geohash: &str) -> Option<Cell> {
    if geohash.is_empty() || geohash.len() > usize::from(MAX_LENGTH) {
        return None;
    }
    let mut bounds = Bounds::world();
    for letter in geohash.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter.to_ascii_lowercase())?;
        for bit in (0..5).rev() {
            bounds.halve(value >> bit & 1 == 1);
        }
    }
    Some(Cell::new(bounds.south, bounds.west, bounds.height, bounds.width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_places_have_their_known_hashes() {
        for (lat, lon, geohash) in
            [(57.64911, 10.40744, "u4pruydqqvj"), (42.605, -5.603, "ezs42"), (-25.382708, -49.265506, "6gkzwgjzn820")]
        {
            assert_eq!(encode(Place { lat, lon }, geohash.len() as u8), geohash);
            let cell = decode(&geohash.to_uppercase()).unwrap();
            assert!((cell.south - 1e-7..=cell.north + 1e-7).contains(&lat), "{cell:?}");
            assert!((cell.west - 1e-7..=cell.east + 1e-7).contains(&lon), "{cell:?}");
        }
    }

    #[test]
    fn the_ends_of_the_world_have_hashes() {
        assert_eq!(encode(Place { lat: 90.0, lon: 180.0 }, 3), "zzz");
        assert_eq!(encode(Place { lat: -90.0, lon: -180.0 }, 3), "000");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for wrong in ["", "a", "ezs4i", "0123456789bcd", "é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
