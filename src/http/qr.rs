//! Draws the text of a payment code as a QR code. Knows nothing of orders or payments.

use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder, Luma, codecs::png::PngEncoder};
use qrcode::render::svg;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};
use thiserror::Error;

/// Width and height of one module (pixels).
const MODULE_PX: u32 = 8;
/// Repairs up to 15 % of the code: room for a scratched screen, and still a coarse picture.
const ERROR_CORRECTION: EcLevel = EcLevel::M;

/// Why a text can't be drawn.
#[derive(Debug, Error)]
pub(super) enum DrawError {
    /// It doesn't fit into a QR code.
    #[error("the text of the payment code can't be drawn")]
    Code(#[from] QrError),
    /// The picture can't be written.
    #[error("the picture of the payment code can't be written")]
    Picture(#[from] image::ImageError),
}

/// The code as an SVG document, with a quiet zone of four modules.
///
/// # Errors
/// If the text is too long for a QR code.
pub(super) fn svg(text: &str) -> Result<String, DrawError> {
    Ok(encode(text)?
        .render::<svg::Color<'_>>()
        .module_dimensions(MODULE_PX, MODULE_PX)
        .quiet_zone(true)
        .build())
}

/// The code as a PNG file, with a quiet zone of four modules.
///
/// # Errors
/// If the text is too long for a QR code.
pub(super) fn png(text: &str) -> Result<Vec<u8>, DrawError> {
    let picture = encode(text)?
        .render::<Luma<u8>>()
        .module_dimensions(MODULE_PX, MODULE_PX)
        .quiet_zone(true)
        .build();
    let (width, height) = picture.dimensions();
    let mut file = Cursor::new(Vec::new());
    PngEncoder::new(&mut file).write_image(
        picture.as_raw(),
        width,
        height,
        ExtendedColorType::L8,
    )?;
    Ok(file.into_inner())
}

fn encode(text: &str) -> Result<QrCode, QrError> {
    QrCode::with_error_correction_level(text, ERROR_CORRECTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "https://qr.alipay.com/bax03431ljhokirwl38f00a7";
    /// The quiet zone that the standard asks for (modules).
    const QUIET_MODULES: u32 = 4;

    #[test]
    fn both_pictures_have_the_size_of_the_code_with_its_quiet_zone() {
        let modules = u32::try_from(encode(TEXT).expect("fits").width()).expect("small");
        let side = (modules + 2 * QUIET_MODULES) * MODULE_PX;
        let drawn = svg(TEXT).expect("drawn");
        assert!(drawn.contains(&format!(r#"viewBox="0 0 {side} {side}""#)), "{drawn}");
        let file = png(TEXT).expect("drawn");
        let picture = image::load_from_memory(&file).expect("a PNG file").to_luma8();
        assert_eq!(picture.dimensions(), (side, side));
    }

    #[test]
    fn the_quiet_zone_is_white_and_the_finder_pattern_begins_behind_it() {
        let file = png(TEXT).expect("drawn");
        let picture = image::load_from_memory(&file).expect("a PNG file").to_luma8();
        let quiet = QUIET_MODULES * MODULE_PX;
        let in_zone = |(x, y, _): &(u32, u32, &Luma<u8>)| *x < quiet || *y < quiet;
        assert!(picture.enumerate_pixels().filter(in_zone).all(|(_, _, pixel)| pixel.0[0] == 255));
        assert_eq!(picture.get_pixel(quiet, quiet).0[0], 0);
    }

    #[test]
    fn nothing_of_the_text_stands_in_the_svg() {
        let drawn = svg("<script>alert(1)</script>").expect("drawn");
        assert!(!drawn.contains("script"));
    }

    #[test]
    fn a_text_that_does_not_fit_is_an_error() {
        let long = "x".repeat(5_000);
        assert!(svg(&long).is_err());
        assert!(png(&long).is_err());
    }
}
