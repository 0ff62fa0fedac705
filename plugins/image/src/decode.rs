//! JPEG and PNG files into pixels, no more of them than are needed. Sizes are judged by the header, before memory is
//! taken for them.

use std::fmt;
use std::io::Cursor;

use jpeg_decoder::{CodingProcess, Decoder as JpegDecoder, PixelFormat};
use png::{BitDepth, ColorType, Transformations};

use crate::orientation;
use crate::picture::{CHANNELS, Picture};

/// Larger pictures are refused: a few bytes of PNG can claim any size, and 64 million pixels is more than cameras have.
const MAX_PIXELS: u64 = 64_000_000;

/// For files that have to be held whole while they are decoded (progressive JPEG, interlaced PNG): up to 6 bytes a
/// pixel, which has to fit into the 128 MiB that a node gives a task.
const MAX_WHOLE_PIXELS: u64 = 16_000_000;

/// Why a file is no picture for us.
#[derive(Debug)]
pub enum Error {
    /// Neither a JPEG nor a PNG.
    UnknownFormat,
    /// More pixels than the limit, in pixels.
    TooLarge {
        pixels: u64,
        limit: u64,
    },
    /// No pixels at all.
    Empty,
    Jpeg(jpeg_decoder::Error),
    Png(png::DecodingError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat => write!(f, "the picture is neither a JPEG nor a PNG"),
            Self::TooLarge { pixels, limit } => {
                write!(f, "the picture has {pixels} pixels, and {limit} is the limit for its kind")
            }
            Self::Empty => write!(f, "the picture has no pixels"),
            Self::Jpeg(error) => write!(f, "the JPEG does not decode: {error}"),
            Self::Png(error) => write!(f, "the PNG does not decode: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// What a file says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    pub format: &'static str,
    pub width: u32,
    pub height: u32,
    /// Progressive or interlaced: it cannot be decoded row by row.
    pub whole: bool,
}

impl Header {
    /// For the submitter; `bytes` is the file's size.
    pub fn to_json(&self, bytes: usize) -> String {
        let Self { format, width, height, whole } = self;
        format!(r#"{{"format":"{format}","width":{width},"height":{height},"bytes":{bytes},"progressive":{whole}}}"#)
    }

    fn check(&self) -> Result<(), Error> {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let limit = if self.whole { MAX_WHOLE_PIXELS } else { MAX_PIXELS };
        match pixels {
            0 => Err(Error::Empty),
            pixels if pixels > limit => Err(Error::TooLarge { pixels, limit }),
            _ => Ok(()),
        }
    }
}

/// Format and size, from the first bytes.
pub fn header(file: &[u8]) -> Result<Header, Error> {
    match file {
        [0xff, 0xd8, ..] => Ok(open_jpeg(file)?.1),
        [0x89, b'P', b'N', b'G', ..] => {
            let mut decoder = png::Decoder::new(Cursor::new(file));
            let info = decoder.read_header_info().map_err(Error::Png)?;
            Ok(Header { format: "png", width: info.width, height: info.height, whole: info.interlaced })
        }
        _ => Err(Error::UnknownFormat),
    }
}

/// The picture as it should be seen, with a longer side of at least `wanted` where the file has that many, and not much
/// more.
pub fn decode(file: &[u8], wanted: u32) -> Result<Picture, Error> {
    let header = header(file)?;
    header.check()?;
    match header.format {
        "jpeg" => decode_jpeg(file, wanted),
        _ => decode_png(file, wanted),
    }
}

fn open_jpeg(file: &[u8]) -> Result<(JpegDecoder<&[u8]>, Header), Error> {
    let mut decoder = JpegDecoder::new(file);
    decoder.read_info().map_err(Error::Jpeg)?;
    let info = decoder.info().ok_or(Error::Empty)?;
    let whole = info.coding_process != CodingProcess::DctSequential;
    let header = Header { format: "jpeg", width: info.width.into(), height: info.height.into(), whole };
    Ok((decoder, header))
}

fn decode_jpeg(file: &[u8], wanted: u32) -> Result<Picture, Error> {
    let (mut decoder, header) = open_jpeg(file)?;
    let target = (u64::from(wanted) << 16) / u64::from(header.width.max(header.height));
    let scaled = |length: u32| u16::try_from(((u64::from(length) * target) >> 16).max(1)).unwrap_or(u16::MAX);
    let (width, height) = decoder.scale(scaled(header.width), scaled(header.height)).map_err(Error::Jpeg)?;
    let data = decoder.decode().map_err(Error::Jpeg)?;
    let format = decoder.info().ok_or(Error::Empty)?.pixel_format;
    let turn = decoder.exif_data().map_or(orientation::UPRIGHT, orientation::from_exif);
    let picture = Picture { width: width.into(), height: height.into(), pixels: jpeg_to_rgb(format, data) };
    Ok(orientation::turned(picture, turn))
}

fn jpeg_to_rgb(format: PixelFormat, data: Vec<u8>) -> Vec<u8> {
    match format {
        PixelFormat::RGB24 => data,
        PixelFormat::L8 => data.into_iter().flat_map(|value| [value; CHANNELS]).collect(),
        PixelFormat::L16 => data
            .chunks_exact(2)
            .flat_map(|value| [u16::from_ne_bytes([value[0], value[1]]).to_be_bytes()[0]; CHANNELS])
            .collect(),
        PixelFormat::CMYK32 => data
            .chunks_exact(4)
            .flat_map(|ink| [under(ink[0], ink[3]), under(ink[1], ink[3]), under(ink[2], ink[3])])
            .collect(),
    }
}

/// What is left of the light under an ink and black.
fn under(ink: u8, black: u8) -> u8 {
    let light = u32::from(255 - ink) * u32::from(255 - black) / 255;
    u8::try_from(light).unwrap_or(u8::MAX)
}

fn decode_png(file: &[u8], wanted: u32) -> Result<Picture, Error> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(Error::Png)?;
    let (width, height, interlaced) = (reader.info().width, reader.info().height, reader.info().interlaced);
    let (color, depth) = reader.output_color_type();
    let samples = if depth == BitDepth::Eight { color.samples() } else { return Err(Error::UnknownFormat) };
    let mut shrink = Shrink::new(width, height, (width.max(height) / wanted.max(1)).max(1));
    if interlaced {
        let mut whole = vec![0; reader.output_buffer_size().ok_or(Error::Empty)?];
        reader.next_frame(&mut whole).map_err(Error::Png)?;
        for row in whole.chunks_exact(width as usize * samples) {
            shrink.add_row(row, color);
        }
    } else {
        while let Some(row) = reader.next_row().map_err(Error::Png)? {
            shrink.add_row(row.data(), color);
        }
    }
    Ok(shrink.finish())
}

/// Averages squares of pixels as rows come in, so that a large PNG is never in memory as a whole.
struct Shrink {
    /// Source pixels averaged into one, across and down.
    across: u32,
    down: u32,
    width: u32,
    height: u32,
    row: u32,
    sums: Vec<u32>,
    pixels: Vec<u8>,
}

impl Shrink {
    /// Incomplete squares at the right and bottom edge are left out, but never the whole picture.
    fn new(width: u32, height: u32, factor: u32) -> Self {
        let (across, down) = (factor.min(width), factor.min(height));
        let (width, height) = (width / across, height / down);
        Self { across, down, width, height, row: 0, sums: vec![0; width as usize * CHANNELS], pixels: Vec::new() }
    }

    fn add_row(&mut self, row: &[u8], color: ColorType) {
        let samples = color.samples();
        for (x, pixel) in row.chunks_exact(samples).enumerate() {
            let column = x / self.across as usize;
            if column < self.width as usize {
                let rgb = png_to_rgb(color, pixel);
                for (sum, value) in self.sums[column * CHANNELS..].iter_mut().zip(rgb) {
                    *sum += u32::from(value);
                }
            }
        }
        self.row += 1;
        if self.row.is_multiple_of(self.down) && self.pixels.len() < self.sums.len() * self.height as usize {
            let area = self.across * self.down;
            self.pixels.extend(self.sums.iter().map(|sum| u8::try_from(sum / area).unwrap_or(u8::MAX)));
            self.sums.fill(0);
        }
    }

    fn finish(self) -> Picture {
        Picture { width: self.width, height: self.height, pixels: self.pixels }
    }
}

/// Transparent parts are shown on white.
fn png_to_rgb(color: ColorType, pixel: &[u8]) -> [u8; CHANNELS] {
    let over = |value: u8, alpha: u8| {
        let mixed = (u32::from(value) * u32::from(alpha) + 255 * u32::from(255 - alpha)) / 255;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    match (color, pixel) {
        (ColorType::GrayscaleAlpha, &[value, alpha]) => [over(value, alpha); CHANNELS],
        (ColorType::Rgba, &[red, green, blue, alpha]) => [over(red, alpha), over(green, alpha), over(blue, alpha)],
        (_, &[red, green, blue]) => [red, green, blue],
        (_, &[value, ..]) => [value; CHANNELS],
        (_, []) => [0; CHANNELS],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_of(width: u32, height: u32, color: ColorType, data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file
    }

    #[test]
    fn a_png_comes_back_as_it_was() {
        let pixels = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let picture = decode(&png_of(2, 2, ColorType::Rgb, &pixels), 1600).unwrap();
        assert_eq!((picture.width, picture.height, picture.pixels.as_slice()), (2, 2, &pixels[..]));
    }

    #[test]
    fn transparency_is_white_and_gray_is_gray() {
        assert_eq!(decode(&png_of(1, 1, ColorType::Rgba, &[9, 9, 9, 0]), 10).unwrap().pixels, [255; 3]);
        assert_eq!(decode(&png_of(1, 1, ColorType::Grayscale, &[77]), 10).unwrap().pixels, [77; 3]);
    }

    #[test]
    fn more_pixels_than_wanted_are_averaged_while_they_come_in() {
        let picture = decode(&png_of(64, 2, ColorType::Grayscale, &[50; 128]), 16).unwrap();
        assert_eq!((picture.width, picture.height), (16, 1));
        assert!(picture.pixels.iter().all(|value| *value == 50));
    }

    #[test]
    fn a_jpeg_is_decoded_no_larger_than_needed() {
        let picture = Picture { width: 640, height: 320, pixels: vec![120; 640 * 320 * CHANNELS] };
        let file = crate::encode::jpeg(&picture, 80, false).unwrap();
        assert_eq!(header(&file).unwrap(), Header { format: "jpeg", width: 640, height: 320, whole: false });
        let small = decode(&file, 100).unwrap();
        assert_eq!((small.width, small.height), (160, 80));
        let large = decode(&file, 1600).unwrap();
        assert_eq!((large.width, large.height), (640, 320));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(matches!(decode(b"GIF89a", 10), Err(Error::UnknownFormat)));
        assert!(matches!(decode(b"", 10), Err(Error::UnknownFormat)));
        assert!(matches!(decode(&[0xff, 0xd8, 0xff, 0xe0], 10), Err(Error::Jpeg(_))));
        let mut cut = png_of(2, 2, ColorType::Rgb, &[0; 12]);
        cut.truncate(45);
        assert!(matches!(decode(&cut, 10), Err(Error::Png(_))));
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let mut file = png_of(1, 1, ColorType::Grayscale, &[0]);
        file[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        // The header's checksum: 30,000 by 30,000, eight bits, gray.
        let checksum = crc(&file[12..29]);
        file[29..33].copy_from_slice(&checksum.to_be_bytes());
        assert!(matches!(decode(&file, 10), Err(Error::TooLarge { pixels: 900_000_000, .. })));
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }
}
