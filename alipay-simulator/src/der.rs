//! DER, element by element: as much of it as keys and certificates need.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Takes one element of the given tag: its content and what follows it.
pub(crate) fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(input)?;
    (found == tag).then_some((content, rest))
}

/// Takes one element, whatever it is: its tag, its content and what follows it.
pub(crate) fn any(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, input) = input.split_first()?;
    let (first, input) = input.split_first()?;
    if *first < 0x80 {
        let (content, rest) = input.split_at_checked(usize::from(*first))?;
        return Some((*tag, content, rest));
    }
    let (length, input) = input.split_at_checked(usize::from(*first & 0x7f))?;
    if length.is_empty() || length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let (content, rest) = input.split_at_checked(length)?;
    Some((*tag, content, rest))
}
