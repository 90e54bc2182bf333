//! Money: a whole number of fen, and nothing else.
//!
//! Owns the range, the arithmetic and the text form of an amount. There is no floating point and no
//! unchecked arithmetic here; it must not know which gateway or table an amount comes from.
#![deny(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest amount, in fen: 100000000.00 yuan, the most one trade can be worth.
const MAX_FEN: i64 = 10_000_000_000;

/// How many fen one yuan has.
const FEN_PER_YUAN: i64 = 100;

/// The most digits before the decimal point in an amount of yuan.
const MAX_YUAN_DIGITS: usize = 9;

/// An amount of money in fen (one hundredth of a yuan), between nothing and [`Fen::MAX`].
///
/// ```
/// use checkback::domain::money::Fen;
///
/// let price = Fen::parse_yuan("12.30")?;
/// assert_eq!(price.fen(), 1230);
/// assert_eq!(price.checked_mul(3), Fen::new(3690));
/// assert_eq!(price.to_yuan(), "12.30");
/// assert!(Fen::parse_yuan("12.345").is_err());
/// # Ok::<(), checkback::domain::money::MoneyError>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Fen(i64);

/// Why a number or a text is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not of the form `12`, `12.3` or `12.34`.
    #[error("an amount is written in yuan with at most two decimals, such as 12.34")]
    NotAnAmount,
    /// The amount is negative or larger than [`Fen::MAX`].
    #[error("an amount lies between 0.00 and 100000000.00 yuan")]
    OutOfRange,
}

impl Fen {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(MAX_FEN);

    /// An amount of so many fen, if that lies between nothing and [`Fen::MAX`].
    #[must_use]
    pub const fn new(fen: i64) -> Option<Self> {
        if 0 <= fen && fen <= MAX_FEN { Some(Self(fen)) } else { None }
    }

    /// The amount in fen.
    #[must_use]
    pub const fn fen(self) -> i64 {
        self.0
    }

    /// Whether this is no money at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it exceeds [`Fen::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::new)
    }

    /// The price of so many pieces, unless it is negative or exceeds [`Fen::MAX`].
    #[must_use]
    pub fn checked_mul(self, quantity: i64) -> Option<Self> {
        self.0.checked_mul(quantity).and_then(Self::new)
    }

    /// Reads `12`, `12.3` or `12.34` yuan, digit by digit.
    ///
    /// # Errors
    ///
    /// [`MoneyError::NotAnAmount`] for any other text (signs, spaces, exponents and third decimals
    /// included), [`MoneyError::OutOfRange`] for more than [`Fen::MAX`].
    pub fn parse_yuan(text: &str) -> Result<Self, MoneyError> {
        let (yuan, decimals) = match text.split_once('.') {
            Some((_, "")) => return Err(MoneyError::NotAnAmount),
            Some(parts) => parts,
            None => (text, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if yuan.is_empty() || decimals.len() > 2 || !all_digits(yuan) || !all_digits(decimals) {
            return Err(MoneyError::NotAnAmount);
        }
        if yuan.len() > MAX_YUAN_DIGITS {
            return Err(MoneyError::OutOfRange);
        }
        let digits = format!("{yuan}{decimals:0<2}");
        let fen = digits.parse::<i64>().map_err(|_| MoneyError::OutOfRange)?;
        Self::new(fen).ok_or(MoneyError::OutOfRange)
    }

    /// The amount in yuan with exactly two decimals, such as `12.34`.
    #[must_use]
    pub fn to_yuan(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 / FEN_PER_YUAN, self.0 % FEN_PER_YUAN)
    }
}

impl TryFrom<i64> for Fen {
    type Error = MoneyError;

    fn try_from(fen: i64) -> Result<Self, MoneyError> {
        Self::new(fen).ok_or(MoneyError::OutOfRange)
    }
}

impl From<Fen> for i64 {
    fn from(amount: Fen) -> Self {
        amount.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Fen, MoneyError};

    #[test]
    fn yuan_is_read_digit_by_digit() {
        let read = |text| Fen::parse_yuan(text).map(Fen::fen);
        assert_eq!(read("12"), Ok(1200));
        assert_eq!(read("12.3"), Ok(1230));
        assert_eq!(read("12.34"), Ok(1234));
        assert_eq!(read("0.01"), Ok(1));
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("100000000.00"), Ok(10_000_000_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", ".", ".5", "5.", "-1", "+1", "1e2", " 1", "1 ", "1,5", "12.345", "1.2.3", "１２",
            "0x1", "NaN", "1.-1",
        ] {
            assert_eq!(Fen::parse_yuan(text), Err(MoneyError::NotAnAmount), "{text:?}");
        }
        for text in ["100000000.01", "1000000000", "99999999999999999999999"] {
            assert_eq!(Fen::parse_yuan(text), Err(MoneyError::OutOfRange), "{text:?}");
        }
    }

    #[test]
    fn arithmetic_never_leaves_the_range() {
        let one = Fen::new(1).expect("in range");
        assert_eq!(Fen::MAX.checked_add(one), None);
        assert_eq!(Fen::ZERO.checked_sub(one), None);
        assert_eq!(Fen::MAX.checked_mul(i64::MAX), None);
        assert_eq!(one.checked_mul(-1), None);
        assert_eq!(Fen::new(-1), None);
    }

    #[test]
    fn json_is_a_checked_integer() {
        let amount = Fen::new(1234).expect("in range");
        assert_eq!(serde_json::to_string(&amount).expect("serialises"), "1234");
        assert_eq!(serde_json::from_str::<Fen>("1234").expect("in range"), amount);
        assert!(serde_json::from_str::<Fen>("-1").is_err());
        assert!(serde_json::from_str::<Fen>("12.5").is_err());
    }
}
