//! Amounts: integer fen inside, yuan with two decimals on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

const FEN_PER_YUAN: i64 = 100;
const MAX_FEN: i64 = 100_000_000 * FEN_PER_YUAN;

/// An amount of money in fen, never negative and never above a hundred million yuan.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Fen(i64);

impl Fen {
    pub(crate) const ZERO: Self = Self(0);
    /// The smallest amount.
    pub(crate) const ONE: Self = Self(1);

    /// Reads what the gateway accepts as an amount: up to nine digits and at most two decimals,
    /// 0.01 to 100000000.
    pub(crate) fn parse_yuan(text: &str) -> Option<Self> {
        let (yuan, decimals) = text.split_once('.').unwrap_or((text, "00"));
        let digits = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(yuan, 9) || !digits(decimals, 2) {
            return None;
        }
        let fen = yuan.parse::<i64>().ok()? * FEN_PER_YUAN
            + format!("{decimals:0<2}").parse::<i64>().ok()?;
        (1..=MAX_FEN).contains(&fen).then_some(Self(fen))
    }

    /// The same, but it may be nothing.
    pub(crate) fn parse_yuan_from_zero(text: &str) -> Option<Self> {
        let nothing = ["0", "0.0", "0.00"].contains(&text).then_some(Self::ZERO);
        nothing.or_else(|| Self::parse_yuan(text))
    }

    /// The sum, or the largest amount there is.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 / FEN_PER_YUAN, self.0 % FEN_PER_YUAN)
    }
}

#[cfg(test)]
mod tests {
    use super::Fen;

    #[test]
    fn yuan_texts_are_read_by_their_digits() {
        for (text, fen) in
            [("0.01", 1), ("1", 100), ("1.5", 150), ("12.34", 1234), ("100000000", 10_000_000_000)]
        {
            assert_eq!(Fen::parse_yuan(text), Some(Fen(fen)), "{text}");
        }
        for text in ["", "0", "0.00", "-1", "1.", ".5", "1.234", "1e3", " 1", "100000000.01", "１"]
        {
            assert_eq!(Fen::parse_yuan(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_print_with_two_decimals() {
        assert_eq!(Fen(1).to_string(), "0.01");
        assert_eq!(Fen(123_450).to_string(), "1234.50");
    }
}
