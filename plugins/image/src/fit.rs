//! The search: among all sizes, and for each the best quality that fits, the JPEG that looks most like the picture. It
//! tells a watcher how far it is and stops when that says so.

use std::fmt;

use jpeg_encoder::EncodingError;

use crate::decode;
use crate::encode::jpeg;
use crate::picture::Picture;
use crate::request::TOP_QUALITY;

/// Longer side that the search starts from: no budget of a radio link pays for more.
pub const WORKING_SIDE: u32 = 1600;

/// Longer side at which candidates are compared with the original: the size of a picture on a small screen.
const COMPARISON_SIDE: u32 = 400;

/// Longer side below which nothing can be made out.
const SMALLEST_SIDE: u32 = 16;

/// Between two sizes. Finer steps find pictures that nobody can tell apart.
const SIZE_STEP: f64 = 0.84;

/// After so many sizes in a row that look worse than the best one, smaller ones do not look better.
const PATIENCE: u32 = 2;

/// What has to hold for the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    pub max_bytes: usize,
    /// Pixels.
    pub max_width: Option<u32>,
    pub max_height: Option<u32>,
    /// JPEG quality, 1 to 95.
    pub min_quality: u8,
    pub grayscale: bool,
}

/// What came out.
pub struct Fitted {
    pub jpeg: Vec<u8>,
    pub width: u32,
    pub height: u32,
    pub quality: u8,
    /// Mean squared difference to the original, at the size of comparison.
    difference: f64,
}

/// Why nothing came out.
#[derive(Debug)]
pub enum Error {
    /// Even the smallest candidate, of this many bytes, is too large.
    CannotFit {
        smallest: usize,
        max_bytes: usize,
    },
    /// The watcher said stop.
    Cancelled,
    Encode(EncodingError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotFit { smallest, max_bytes } => write!(
                f,
                "the picture does not fit into {max_bytes} bytes: the smallest form has {smallest}; raise max_bytes, lower min_quality or set grayscale"
            ),
            Self::Cancelled => write!(f, "cancelled"),
            Self::Encode(error) => write!(f, "the picture cannot be encoded: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Somebody who waits for the result.
pub trait Watch {
    /// Whether the search should stop.
    fn is_cancelled(&self) -> bool;
    /// A size has been tried.
    fn tried(&self, step: u64, of: u64, note: &str);
}

/// The best JPEG within the goal.
pub fn fit(picture: &Picture, goal: &Goal, watch: &dyn Watch) -> Result<Fitted, Error> {
    let start = bounded(picture, goal);
    let start = if goal.grayscale { start.to_gray() } else { start };
    let (width, height) = start.size_for_side(start.long_side().min(COMPARISON_SIDE));
    let original = start.resized(width, height);
    let sides = sides(start.long_side());
    let mut best: Option<Fitted> = None;
    let mut smallest = usize::MAX;
    let mut worse = 0;
    for (step, side) in (1_u64..).zip(&sides) {
        if watch.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let (width, height) = start.size_for_side(*side);
        let candidate = start.resized(width, height);
        match best_quality(&candidate, &original, goal)? {
            Tried::TooLarge(bytes) => smallest = smallest.min(bytes),
            Tried::Fits(fitted) if best.as_ref().is_none_or(|best| fitted.difference < best.difference) => {
                worse = 0;
                best = Some(fitted);
            }
            Tried::Fits(_) => worse += 1,
        }
        watch.tried(step, sides.len() as u64, &format!("{width} x {height}"));
        if worse >= PATIENCE {
            break;
        }
    }
    best.ok_or(Error::CannotFit { smallest, max_bytes: goal.max_bytes })
}

enum Tried {
    Fits(Fitted),
    /// Even at the lowest quality it has this many bytes.
    TooLarge(usize),
}

/// The picture within the largest width and height that are wanted, and never larger than the search needs.
fn bounded(picture: &Picture, goal: &Goal) -> Picture {
    let width = goal.max_width.unwrap_or(u32::MAX).min(WORKING_SIDE).min(picture.width);
    let height = goal.max_height.unwrap_or(u32::MAX).min(WORKING_SIDE).min(picture.height);
    let by_width = picture.size_for_side(scale(picture.long_side(), width, picture.width));
    let by_height = picture.size_for_side(scale(picture.long_side(), height, picture.height));
    let (width, height) = by_width.min(by_height);
    picture.resized(width, height)
}

fn scale(length: u32, numerator: u32, denominator: u32) -> u32 {
    let scaled = u64::from(length) * u64::from(numerator) / u64::from(denominator);
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

/// Longer sides to try, largest first.
fn sides(largest: u32) -> Vec<u32> {
    let steps = (0..).map(|step| (f64::from(largest) * SIZE_STEP.powi(step)).round() as u32);
    let mut sides: Vec<u32> = steps.take_while(|side| *side >= SMALLEST_SIDE).collect();
    if sides.is_empty() {
        sides.push(largest);
    }
    sides.dedup();
    sides
}

/// The highest quality that fits, by halving: a JPEG grows with its quality, near enough.
fn best_quality(candidate: &Picture, original: &Picture, goal: &Goal) -> Result<Tried, Error> {
    let encode = |quality| jpeg(candidate, quality, goal.grayscale).map_err(Error::Encode);
    let mut kept = (goal.min_quality, encode(goal.min_quality)?);
    if kept.1.len() > goal.max_bytes {
        return Ok(Tried::TooLarge(kept.1.len()));
    }
    let (mut low, mut high) = (goal.min_quality, TOP_QUALITY.max(goal.min_quality));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let file = encode(middle)?;
        if file.len() <= goal.max_bytes {
            low = middle;
            kept = (middle, file);
        } else {
            high = middle - 1;
        }
    }
    let (quality, jpeg) = kept;
    let seen = decode::decode(&jpeg, WORKING_SIDE)
        .map_or(f64::MAX, |seen| seen.resized(original.width, original.height).difference(original));
    Ok(Tried::Fits(Fitted { jpeg, width: candidate.width, height: candidate.height, quality, difference: seen }))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Patient;

    impl Watch for Patient {
        fn is_cancelled(&self) -> bool {
            false
        }
        fn tried(&self, _: u64, _: u64, _: &str) {}
    }

    /// Gives up after a number of looks.
    struct Impatient(Cell<u32>);

    impl Watch for Impatient {
        fn is_cancelled(&self) -> bool {
            self.0.set(self.0.get().saturating_sub(1));
            self.0.get() == 0
        }
        fn tried(&self, _: u64, _: u64, _: &str) {}
    }

    /// Smooth areas, an edge and some texture, without randomness.
    fn scene(width: u32, height: u32) -> Picture {
        let pixel = |x: u32, y: u32| {
            let texture = if y * 2 > height { ((x * 31 + y * 17) ^ (x * y)) % 40 } else { 0 };
            let sky = 255 * y / height;
            [(x * 200 / width + texture) as u8, (sky / 2 + texture) as u8, (255 - sky) as u8]
        };
        Picture { width, height, pixels: (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect() }
    }

    fn goal(max_bytes: usize) -> Goal {
        Goal { max_bytes, max_width: None, max_height: None, min_quality: 10, grayscale: false }
    }

    #[test]
    fn the_result_fits_and_is_a_jpeg_of_the_same_shape() {
        for max_bytes in [600, 2000, 10_000] {
            let fitted = fit(&scene(640, 480), &goal(max_bytes), &Patient).unwrap();
            assert!(fitted.jpeg.len() <= max_bytes);
            assert!(fitted.jpeg.len() * 2 > max_bytes, "{} of {max_bytes} bytes used", fitted.jpeg.len());
            let header = decode::header(&fitted.jpeg).unwrap();
            assert_eq!((header.format, header.width, header.height), ("jpeg", fitted.width, fitted.height));
            assert!((f64::from(fitted.width) / f64::from(fitted.height) - 640.0 / 480.0).abs() < 0.1);
        }
    }

    #[test]
    fn more_bytes_never_look_worse() {
        let differences: Vec<f64> =
            [800, 2000, 8000].map(|bytes| fit(&scene(320, 240), &goal(bytes), &Patient).unwrap().difference).into();
        assert!(differences.is_sorted_by(|small, large| large <= small), "{differences:?}");
    }

    #[test]
    fn width_height_and_quality_are_kept_to() {
        let wanted = Goal { max_width: Some(100), max_height: Some(40), min_quality: 60, ..goal(3000) };
        let fitted = fit(&scene(640, 480), &wanted, &Patient).unwrap();
        assert!(
            fitted.width <= 100 && fitted.height <= 40 && fitted.quality >= 60,
            "{} x {}",
            fitted.width,
            fitted.height
        );
    }

    #[test]
    fn grayscale_has_no_colour() {
        let fitted = fit(&scene(320, 240), &Goal { grayscale: true, ..goal(1000) }, &Patient).unwrap();
        let seen = decode::decode(&fitted.jpeg, WORKING_SIDE).unwrap();
        assert_eq!(seen, seen.to_gray());
    }

    #[test]
    fn what_cannot_fit_says_how_much_it_needs() {
        let error = fit(&scene(640, 480), &Goal { min_quality: 95, ..goal(400) }, &Patient).err();
        assert!(matches!(error, Some(Error::CannotFit { smallest, .. }) if smallest > 400));
    }

    #[test]
    fn a_tiny_picture_is_no_trouble() {
        assert!(fit(&scene(1, 1), &goal(2000), &Patient).is_ok());
        assert!(fit(&scene(1000, 1), &goal(2000), &Patient).is_ok());
    }

    #[test]
    fn it_stops_when_told() {
        assert!(matches!(fit(&scene(64, 64), &goal(2000), &Impatient(Cell::new(3))), Err(Error::Cancelled)));
    }

    /// A picture as a camera makes them, into what a slow link carries.
    #[test]
    fn a_photo_fits_into_two_thousand_bytes() {
        let picture = decode::decode(include_bytes!("../testdata/lake.jpg"), WORKING_SIDE).unwrap();
        let fitted = fit(&picture, &goal(2000), &Patient).unwrap();
        assert!(fitted.jpeg.len() <= 2000 && fitted.jpeg.len() > 1500, "{} bytes", fitted.jpeg.len());
        assert!(fitted.width >= 100, "{} x {} at quality {}", fitted.width, fitted.height, fitted.quality);
        assert!(fitted.difference < 200.0, "{}", fitted.difference);
    }
}
