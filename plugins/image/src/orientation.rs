//! Which way up a photo is, by its Exif data, and turning it. Everything else in the Exif data (place, time, camera) is
//! left behind on purpose.

use crate::picture::{CHANNELS, Picture};

/// Exif's number for a photo that needs no turning.
pub const UPRIGHT: u16 = 1;

/// Exif's tag for the orientation.
const ORIENTATION_TAG: u16 = 0x0112;

/// Entries of the first directory that are looked at: cameras write a few dozen.
const MAX_ENTRIES: u16 = 512;

/// Exif's number for the orientation, 1 to 8; upright if the data does not say or makes no sense.
pub fn from_exif(exif: &[u8]) -> u16 {
    find(exif).filter(|turn| (1..=8).contains(turn)).unwrap_or(UPRIGHT)
}

fn find(exif: &[u8]) -> Option<u16> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let little = match tiff.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    for entry in 0..short(directory)?.min(MAX_ENTRIES) {
        let at = directory.checked_add(2 + 12 * usize::from(entry))?;
        if short(at)? == ORIENTATION_TAG {
            return short(at.checked_add(8)?);
        }
    }
    None
}

/// The picture as it should be seen.
pub fn turned(picture: Picture, turn: u16) -> Picture {
    if turn <= UPRIGHT {
        return picture;
    }
    let (from_width, from_height) = (picture.width as usize, picture.height as usize);
    let lies_on_its_side = turn >= 5;
    let (width, height) = if lies_on_its_side { (from_height, from_width) } else { (from_width, from_height) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..height {
        for x in 0..width {
            let (right, bottom) = (width - 1 - x, height - 1 - y);
            let (from_x, from_y) = match turn {
                2 => (right, y),
                3 => (right, bottom),
                4 => (x, bottom),
                5 => (y, x),
                6 => (y, right),
                7 => (bottom, right),
                _ => (bottom, x),
            };
            let at = (from_y * from_width + from_x) * CHANNELS;
            pixels.extend_from_slice(&picture.pixels[at..at + CHANNELS]);
        }
    }
    let (width, height) =
        if lies_on_its_side { (picture.height, picture.width) } else { (picture.width, picture.height) };
    Picture { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(turn: u8) -> Vec<u8> {
        let mut data = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        data.extend([turn, 0, 0]);
        data
    }

    #[test]
    fn the_number_is_found_or_upright() {
        assert_eq!(from_exif(&exif(6)), 6);
        assert_eq!(from_exif(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0"), 3);
        for nonsense in
            [&b""[..], b"MM", b"XX*\0\0\0\0\x08", b"MM\0*\xff\xff\xff\xff", &exif(0), &exif(99), &exif(6)[..18]]
        {
            assert_eq!(from_exif(nonsense), UPRIGHT);
        }
    }

    /// A row of two pixels, 1 and 2; each turn is checked against Exif's table of where the first row and column lie.
    #[test]
    fn every_turn() {
        let row = || Picture { width: 2, height: 1, pixels: vec![1, 1, 1, 2, 2, 2] };
        for (turn, size, first) in [
            (1, (2, 1), 1),
            (2, (2, 1), 2),
            (3, (2, 1), 2),
            (4, (2, 1), 1),
            (5, (1, 2), 1),
            (6, (1, 2), 1),
            (7, (1, 2), 2),
            (8, (1, 2), 2),
        ] {
            let picture = turned(row(), turn);
            assert_eq!(((picture.width, picture.height), picture.pixels[0]), (size, first), "turn {turn}");
        }
    }
}
