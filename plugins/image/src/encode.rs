//! Pixels into a JPEG, small first: tables made for the picture, colour at half the resolution, no metadata. It does not
//! choose the quality.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use crate::picture::Picture;

/// From here on the picture is meant to be looked at closely, and colour edges count.
const FULL_COLOUR_QUALITY: u8 = 90;

/// A JPEG of this quality (1 to 100).
pub fn jpeg(picture: &Picture, quality: u8, grayscale: bool) -> Result<Vec<u8>, EncodingError> {
    let width = u16::try_from(picture.width).unwrap_or(u16::MAX);
    let height = u16::try_from(picture.height).unwrap_or(u16::MAX);
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_optimized_huffman_tables(true);
    if quality < FULL_COLOUR_QUALITY {
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
    }
    if grayscale {
        encoder.encode(&picture.luma(), width, height, ColorType::Luma)?;
    } else {
        encoder.encode(&picture.pixels, width, height, ColorType::Rgb)?;
    }
    Ok(file)
}
