//! `application/x-www-form-urlencoded`, both ways, on bytes.
//!
//! Reading is strict and decodes exactly once, because signatures cover the decoded bytes: no
//! charset is applied here, and what two readers could understand differently is refused.

use std::collections::BTreeSet;

/// The most parameters that a form may have.
const PARAMETERS_MAX: usize = 500;

/// One parameter, decoded to bytes in the sender's charset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Why bytes are not a form that everyone reads alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("parameter {position}: a % without two hexadecimal digits")]
    BadEscape {
        /// Which parameter, counted from 1.
        position: usize,
    },
    /// A parameter has no name.
    #[error("parameter {position}: no name")]
    NoName {
        /// Which parameter, counted from 1.
        position: usize,
    },
    /// A name occurs twice.
    #[error("parameter {position}: {name} occurs twice")]
    Duplicate {
        /// Which parameter, counted from 1.
        position: usize,
        /// Its name, shortened and printable.
        name: String,
    },
    /// There are more than 500 parameters.
    #[error("more than 500 parameters")]
    TooMany,
}

/// Writes the pairs in UTF-8, percent-encoded.
#[must_use]
pub fn encode(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        push_encoded(&mut form, name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

/// Reads a form, in the order of its parameters.
///
/// # Errors
///
/// A [`FormError`] that says which parameter is wrong.
pub fn parse(body: &[u8]) -> Result<Vec<Parameter>, FormError> {
    let mut parameters = Vec::new();
    let mut names = BTreeSet::new();
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    for (index, pair) in pairs.enumerate() {
        let position = index + 1;
        if position > PARAMETERS_MAX {
            return Err(FormError::TooMany);
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
        let decode = |text| decode(text).ok_or(FormError::BadEscape { position });
        let (name, value) = (decode(name)?, decode(value)?);
        if name.is_empty() {
            return Err(FormError::NoName { position });
        }
        if !names.insert(name.clone()) {
            let name = super::shorten(&String::from_utf8_lossy(&name));
            return Err(FormError::Duplicate { position, name });
        }
        parameters.push(Parameter { name, value });
    }
    Ok(parameters)
}

fn push_encoded(form: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                form.push(char::from(byte));
            }
            b' ' => form.push('+'),
            _ => {
                form.push('%');
                form.push(char::from(hex_digit(byte >> 4)));
                form.push(char::from(hex_digit(byte & 0x0f)));
            }
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'+' => {
                decoded.push(b' ');
                tail
            }
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                decoded.push(nibble(digits[0])? << 4 | nibble(digits[1])?);
                tail
            }
            byte => {
                decoded.push(*byte);
                tail
            }
        };
    }
    Some(decoded)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{FormError, encode, parse};

    #[test]
    fn values_are_decoded_exactly_once() {
        let read = parse(b"a=1+2%2B3&b=%25off&c=%D6%D0&&d&e=").expect("a form");
        let values: Vec<_> = read.iter().map(|pair| pair.value.as_slice()).collect();
        assert_eq!(values, [b"1 2+3".as_slice(), b"%off", b"\xd6\xd0", b"", b""]);
    }

    #[test]
    fn what_readers_could_understand_differently_is_refused() {
        let error = |body: &[u8]| parse(body).expect_err("refused");
        assert_eq!(error(b"a=%"), FormError::BadEscape { position: 1 });
        assert_eq!(error(b"a=1&b=%4"), FormError::BadEscape { position: 2 });
        assert_eq!(error(b"a=%+1"), FormError::BadEscape { position: 1 });
        assert_eq!(error(b"=1"), FormError::NoName { position: 1 });
        let name = "a".to_owned();
        assert_eq!(error(b"a=1&%61=2"), FormError::Duplicate { position: 2, name });
        let many: Vec<_> = (0..501).map(|at| format!("p{at}=1")).collect();
        assert_eq!(error(many.join("&").as_bytes()), FormError::TooMany);
    }

    #[test]
    fn encoding_leaves_nothing_to_guess() {
        assert_eq!(encode(&[("a", "中 +&=%/"), ("b", "")]), "a=%E4%B8%AD+%2B%26%3D%25%2F&b=");
    }
}
