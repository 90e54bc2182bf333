//! Texts of bytes and of errors.

use std::error::Error;

/// Bytes in lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// An error with what is behind it: a cause often says what happened. Each is said once.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Layer {
        said: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn each_cause_is_said_once() {
        let layer = |said, source: Option<Layer>| Layer { said, source: source.map(Box::new) };
        let refused = layer("connection refused", None);
        let request = layer("connect: connection refused", Some(refused));
        let error = layer("no answer", Some(request));
        assert_eq!(causes(&error), "no answer: connect: connection refused");
    }

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(hex(&[0, 9, 0xa, 0x7f, 0xff]), "00090a7fff");
    }
}
