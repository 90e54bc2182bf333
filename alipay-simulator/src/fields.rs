//! Reading a JSON object field by field, so that a complaint names the field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::money::Fen;

/// What is wrong with which field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) problem: String,
}

impl FieldError {
    pub(crate) fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into() }
    }
}

/// A JSON object from outside. An empty text and `null` count as absent.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads an object; `name` is what a complaint calls the whole text.
    pub(crate) fn parse(name: &str, json: &[u8]) -> Result<Self, FieldError> {
        match serde_json::from_slice(json) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(FieldError::new(name, "is no JSON object")),
            Err(error) => Err(FieldError::new(name, format!("is no JSON: {error}"))),
        }
    }

    /// Refuses fields that nobody reads: most often a misspelt one.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), FieldError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let problem = format!("is unknown, the fields here are {}", known.join(", "));
                Err(FieldError::new(name, problem))
            }
        }
    }

    pub(crate) fn text(&self, name: &str, longest: usize) -> Result<Option<String>, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= longest => Ok(Some(text.clone())),
            Some(Value::String(_)) => {
                Err(FieldError::new(name, format!("is longer than {longest} characters")))
            }
            Some(_) => Err(FieldError::new(name, "is no string")),
        }
    }

    pub(crate) fn required_text(&self, name: &str, longest: usize) -> Result<String, FieldError> {
        self.text(name, longest)?.ok_or_else(|| FieldError::new(name, "is missing"))
    }

    /// An amount in yuan; a JSON number is read by its digits.
    pub(crate) fn amount(&self, name: &str) -> Result<Option<Fen>, FieldError> {
        self.amount_as(name, Fen::parse_yuan, "0.01")
    }

    /// An amount that may be nothing.
    pub(crate) fn amount_from_zero(&self, name: &str) -> Result<Option<Fen>, FieldError> {
        self.amount_as(name, Fen::parse_yuan_from_zero, "0")
    }

    fn amount_as(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<Fen>,
        least: &str,
    ) -> Result<Option<Fen>, FieldError> {
        let text = match self.0.get(name) {
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => self.text(name, 16)?,
        };
        let Some(text) = text else { return Ok(None) };
        let problem =
            format!("is no amount in yuan from {least} to 100000000, two decimals at most");
        parse(&text).map(Some).ok_or_else(|| FieldError::new(name, problem))
    }

    /// The objects of a list, which may be absent.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| match value {
                    Value::Object(object) => Ok(Self(object.clone())),
                    _ => Err(FieldError::new(name, "has something else than objects")),
                })
                .collect(),
            Some(_) => Err(FieldError::new(name, "is no list")),
        }
    }

    /// Whether a list of texts, which may be absent, has this one.
    pub(crate) fn lists(&self, name: &str, wanted: &str) -> Result<bool, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
                Ok(values.iter().any(|value| value == wanted))
            }
            Some(_) => Err(FieldError::new(name, "is no list of texts")),
        }
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64() {
                None => Err(FieldError::new(name, "is no integer")),
                some => Ok(some),
            },
        }
    }

    pub(crate) fn unsigned(&self, name: &str, most: u64) -> Result<Option<u64>, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|number| *number <= most) {
                None => Err(FieldError::new(name, format!("is no integer from 0 to {most}"))),
                some => Ok(some),
            },
        }
    }

    pub(crate) fn probability(&self, name: &str) -> Result<Option<f64>, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().filter(|number| (0.0..=1.0).contains(number)) {
                None => Err(FieldError::new(name, "is no number from 0 to 1")),
                some => Ok(some),
            },
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, FieldError> {
        self.flag_or(name, false)
    }

    pub(crate) fn flag_or(&self, name: &str, absent: bool) -> Result<bool, FieldError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(absent),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(FieldError::new(name, "is neither true nor false")),
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// An object whose values are all texts.
    pub(crate) fn of_texts(texts: BTreeMap<String, String>) -> Self {
        Self(texts.into_iter().map(|(name, text)| (name, Value::String(text))).collect())
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// All but what is named.
    pub(crate) fn to_value_without(&self, names: &[&str]) -> Value {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn complaints_name_the_field() {
        let fields =
            Fields::parse("body", br#"{"a":5,"b":"1.234","c":"","d":null,"e":0.5}"#).unwrap();
        assert_eq!(fields.text("a", 9).unwrap_err().to_string(), "a is no string");
        assert_eq!(fields.text("b", 3).unwrap_err().to_string(), "b is longer than 3 characters");
        assert!(fields.amount("b").unwrap_err().to_string().starts_with("b is no amount"));
        assert_eq!(fields.required_text("c", 9).unwrap_err().to_string(), "c is missing");
        assert_eq!(fields.text("d", 9), Ok(None));
        assert_eq!(fields.amount("e").unwrap().unwrap().to_string(), "0.50");
        assert!(fields.only(&["a", "b"]).unwrap_err().to_string().starts_with("c is unknown"));
        assert!(Fields::parse("body", b"[]").is_err());
        assert!(Fields::parse("body", b"{").is_err());
    }
}
