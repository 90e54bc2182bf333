//! How times, amounts and personal data are shown: times in UTC, amounts in yuan with their fen,
//! and of a person no more than tells two of them apart.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::money::Fen;

/// Characters at either end of a personal text that are shown.
const SHOWN_CHARS: usize = 2;
const MASK: &str = "•••";
/// Fields with one of these in their name hold something about a person.
const PERSONAL: [&str; 11] = [
    "buyer", "member", "name", "phone", "mobile", "mail", "address", "logon", "passport",
    "id_card", "user",
];

pub(super) fn yuan(amount: Fen) -> String {
    format!("¥{amount}")
}

pub(super) fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A personal text with its middle left out; a short one wholly.
pub(super) fn masked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 2 * SHOWN_CHARS {
        return MASK.to_owned();
    }
    let (head, tail) = (&chars[..SHOWN_CHARS], &chars[chars.len() - SHOWN_CHARS..]);
    head.iter().chain(MASK.chars().collect::<Vec<_>>().iter()).chain(tail).collect()
}

/// JSON for people, without what is personal.
pub(super) fn json(value: &Value) -> String {
    format!("{:#}", impersonal(value))
}

fn impersonal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let is_personal = PERSONAL.iter().any(|word| name.to_lowercase().contains(word));
                let value = if is_personal { MASK.into() } else { impersonal(value) };
                (name.clone(), value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(impersonal).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn personal_texts_lose_their_middle() {
        assert_eq!(masked("13800138000"), "13•••00");
        assert_eq!(masked("m123"), "•••");
        assert_eq!(masked("茶客甲乙丙"), "茶客•••乙丙");
    }

    #[test]
    fn personal_fields_are_masked_however_deep_they_are() {
        let told = json!({ "gift": [{ "receiverPhone": "138" }], "buyer": { "id": 1 }, "n": 1 });
        let shown = json!({ "gift": [{ "receiverPhone": MASK }], "buyer": MASK, "n": 1 });
        assert_eq!(impersonal(&told), shown);
    }

    #[test]
    fn times_and_amounts_say_their_unit() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        assert_eq!(utc(at), "2027-01-15 08:00:00 UTC");
        assert_eq!(yuan(Fen::new(1_230).expect("in range")), "¥12.30");
    }
}
