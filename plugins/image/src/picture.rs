//! Pixels in memory and changing how many there are. It knows no file format.

/// Red, green, blue.
pub const CHANNELS: usize = 3;

/// Rows of RGB pixels, eight bits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// `width * height * 3` bytes.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// The longer side, in pixels.
    pub fn long_side(&self) -> u32 {
        self.width.max(self.height)
    }

    /// The size with the same proportions that has this longer side.
    pub fn size_for_side(&self, side: u32) -> (u32, u32) {
        let scaled = |length: u32| {
            let exact = u64::from(length) * u64::from(side);
            let rounded = (exact + u64::from(self.long_side()) / 2) / u64::from(self.long_side());
            u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
        };
        (scaled(self.width), scaled(self.height))
    }

    /// Another size: averaged areas where it shrinks, interpolated where it grows.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let columns = taps(self.width, width);
        let rows = taps(self.height, height);
        let stride = self.width as usize * CHANNELS;
        let mut line = vec![0.0_f32; stride];
        let mut pixels = Vec::with_capacity(width as usize * height as usize * CHANNELS);
        for row in &rows {
            line.fill(0.0);
            for &(source, weight) in row {
                let source = &self.pixels[source * stride..][..stride];
                for (sum, value) in line.iter_mut().zip(source) {
                    *sum += weight * f32::from(*value);
                }
            }
            for column in &columns {
                for channel in 0..CHANNELS {
                    let sum: f32 =
                        column.iter().map(|&(source, weight)| weight * line[source * CHANNELS + channel]).sum();
                    // Saturates, which is what is wanted of a sum of weights that may be a hair over one.
                    pixels.push((sum + 0.5) as u8);
                }
            }
        }
        Self { width, height, pixels }
    }

    /// Brightness alone, one byte a pixel (ITU-R BT.601, as JPEG has it).
    pub fn luma(&self) -> Vec<u8> {
        let weigh =
            |rgb: &[u8]| (299 * u32::from(rgb[0]) + 587 * u32::from(rgb[1]) + 114 * u32::from(rgb[2]) + 500) / 1000;
        self.pixels.chunks_exact(CHANNELS).map(|rgb| u8::try_from(weigh(rgb)).unwrap_or(u8::MAX)).collect()
    }

    /// Every pixel as bright as it was, without colour.
    pub fn to_gray(&self) -> Self {
        let pixels = self.luma().into_iter().flat_map(|value| [value; CHANNELS]).collect();
        Self { pixels, ..*self }
    }

    /// The mean squared difference to a picture of the same size.
    pub fn difference(&self, other: &Self) -> f64 {
        let squares = self.pixels.iter().zip(&other.pixels).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2));
        squares.sum::<u64>() as f64 / self.pixels.len().max(1) as f64
    }
}

/// For each target position, which source positions make it up and with what weight; the weights add up to one.
fn taps(from: u32, to: u32) -> Vec<Vec<(usize, f32)>> {
    let step = f64::from(from) / f64::from(to);
    (0..to).map(|target| if step >= 1.0 { area(target, step, from) } else { between(target, step, from) }).collect()
}

fn area(target: u32, step: f64, from: u32) -> Vec<(usize, f32)> {
    let (start, end) = (f64::from(target) * step, f64::from(target + 1) * step);
    let last = (end.ceil() as u32).min(from);
    let covered = |source: u32| (f64::from(source + 1).min(end) - f64::from(source).max(start)) / step;
    (start.floor() as u32..last)
        .map(|source| (source as usize, covered(source) as f32))
        .filter(|(_, weight)| *weight > 0.0)
        .collect()
}

fn between(target: u32, step: f64, from: u32) -> Vec<(usize, f32)> {
    let centre = ((f64::from(target) + 0.5) * step - 0.5).clamp(0.0, f64::from(from - 1));
    let left = centre.floor();
    let share = (centre - left) as f32;
    let right = (left as usize + 1).min(from as usize - 1);
    vec![(left as usize, 1.0 - share), (right, share)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> Picture {
        let pixels =
            (0..height).flat_map(|y| (0..width).flat_map(move |x| [(x * 7) as u8, (y * 5) as u8, 200])).collect();
        Picture { width, height, pixels }
    }

    #[test]
    fn shrinking_averages() {
        let picture =
            Picture { width: 2, height: 2, pixels: vec![0, 0, 0, 100, 100, 100, 100, 100, 100, 200, 200, 200] };
        assert_eq!(picture.resized(1, 1).pixels, [100, 100, 100]);
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        let picture = Picture { width: 7, height: 5, pixels: vec![93; 7 * 5 * CHANNELS] };
        for (width, height) in [(1, 1), (3, 2), (7, 1), (20, 20), (8, 6)] {
            assert!(picture.resized(width, height).pixels.iter().all(|value| *value == 93), "{width}x{height}");
        }
    }

    #[test]
    fn there_and_back_is_close() {
        let picture = ramp(30, 30);
        assert!(picture.resized(60, 60).resized(30, 30).difference(&picture) < 20.0);
        assert!(picture.difference(&picture) < f64::EPSILON);
    }

    #[test]
    fn proportions_are_kept() {
        assert_eq!(ramp(400, 300).size_for_side(100), (100, 75));
        assert_eq!(ramp(1, 300).size_for_side(10), (1, 10));
    }
}
