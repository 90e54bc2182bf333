//! Identifiers. Each is a newtype, so that an order id can't be passed where an `out_trade_no` is
//! meant. All are made of one letter case: a case-insensitive collation can't merge two of them.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id that this service made or read back from its own database.
            #[must_use]
            pub fn from_trusted(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An order's id: a ULID, 80 of its bits random, so that it can't be guessed.
    OrderId
);
id!(
    /// The number of one payment attempt at the gateway: our prefix and a ULID. Never reused.
    OutTradeNo
);
id!(
    /// The number of one refund at the gateway: our prefix and a ULID. Never reused.
    OutRequestNo
);
id!(
    /// The storefront's name of a thing that is sold.
    SkuId
);
id!(
    /// Names the database that a message belongs to, so that two deployments on one broker never
    /// answer for each other.
    DeploymentId
);

/// Length of a ULID in Crockford's base 32.
const ULID_CHARS: usize = 26;
/// Longest accepted SKU id.
pub const SKU_ID_CHARS_MAX: usize = 64;

impl OrderId {
    /// Reads an order id that came from outside.
    ///
    /// `None` if it can't be one: such an order doesn't exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == ULID_CHARS
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        well_formed.then(|| Self(text.to_owned()))
    }
}

impl SkuId {
    /// Reads a SKU id that came from outside: 1 to 64 of `A–Z a–z 0–9 . _ -`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let well_formed =
            !text.is_empty() && text.len() <= SKU_ID_CHARS_MAX && text.bytes().all(allowed);
        well_formed.then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_ids_from_outside_are_checked() {
        assert!(OrderId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").is_some());
        for bad in ["", "01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FA", "é"] {
            assert!(OrderId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn sku_ids_have_a_small_alphabet() {
        assert!(SkuId::parse("tea-250g").is_some());
        for bad in ["", "a b", "a/b", "茶", &"a".repeat(65)] {
            assert!(SkuId::parse(bad).is_none(), "{bad}");
        }
    }
}
