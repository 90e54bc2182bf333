//! The parameters of a gateway call: merged, decoded once, and in the form that is signed.

use std::collections::BTreeMap;

use encoding_rs::{Encoding, GBK, UTF_8};

mod multipart;

/// What travelled in the query and in the body. Names and values stay bytes in the charset of the
/// call, so the text that was signed is here without any conversion.
#[derive(Debug)]
pub(crate) struct Params {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    charset: Option<&'static Encoding>,
}

impl Params {
    /// Merges query and urlencoded or multipart body; the query wins. The charset is the one of the
    /// query, else of the content type, else of the body.
    pub(crate) fn read(query: &[u8], body: &[u8], content_type: Option<&str>) -> Self {
        let named = |pairs: &[(Vec<u8>, Vec<u8>)]| {
            let charset = pairs.iter().find(|(name, _)| name == b"charset");
            charset.map(|(_, label)| label.clone())
        };
        let body = match content_type.and_then(multipart::boundary) {
            Some(boundary) => multipart::fields(body, boundary),
            None => decode_form(body),
        };
        let query = decode_form(query);
        let label =
            named(&query).or_else(|| content_type.and_then(charset_label)).or_else(|| named(&body));
        let charset = label.and_then(|label| charset_of(&label));
        Self { values: body.into_iter().chain(query).collect(), charset }
    }

    /// The charset of the call, if it names one that the gateway speaks.
    pub(crate) fn charset(&self) -> Option<&'static Encoding> {
        self.charset
    }

    /// A value that is present and not empty; `None` as well if it isn't text in the charset.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let bytes = self.values.get(name.as_bytes()).filter(|value| !value.is_empty())?;
        let charset = self.charset.unwrap_or(GBK);
        charset
            .decode_without_bom_handling_and_without_replacement(bytes)
            .map(std::borrow::Cow::into_owned)
    }

    /// All values that are text and not empty.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let names = self.values.keys().filter_map(|name| String::from_utf8(name.clone()).ok());
        names.filter_map(|name| self.text(&name).map(|value| (name, value))).collect()
    }

    /// Whether every value is text in the charset of the call.
    pub(crate) fn is_text(&self) -> bool {
        let charset = self.charset.unwrap_or(GBK);
        self.values.values().all(|value| {
            charset.decode_without_bom_handling_and_without_replacement(value).is_some()
        })
    }

    /// What a client signs: everything but `sign` and what is empty, sorted, raw.
    pub(crate) fn sign_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, value) in &self.values {
            if name.is_empty() || value.is_empty() || name == b"sign" {
                continue;
            }
            if !text.is_empty() {
                text.push(b'&');
            }
            text.extend_from_slice(name);
            text.push(b'=');
            text.extend_from_slice(value);
        }
        text
    }
}

/// Percent-encodes one value for a form body.
pub(crate) fn encode_form_value(value: &[u8], form: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                form.push(char::from(*byte));
            }
            b' ' => form.push('+'),
            other => {
                form.push('%');
                form.push(char::from(HEX[usize::from(other >> 4)]));
                form.push(char::from(HEX[usize::from(other & 15)]));
            }
        }
    }
}

fn charset_of(label: &[u8]) -> Option<&'static Encoding> {
    match label.to_ascii_lowercase().as_slice() {
        b"utf-8" | b"utf8" => Some(UTF_8),
        b"gbk" | b"gb2312" => Some(GBK),
        _ => None,
    }
}

fn charset_label(content_type: &str) -> Option<Vec<u8>> {
    content_type.split(';').find_map(|part| {
        let (name, label) = part.split_once('=')?;
        let label = label.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("charset").then(|| label.as_bytes().to_vec())
    })
}

fn decode_form(form: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(equals + 1..).unwrap_or_default();
            (percent_decode(&pair[..equals]), percent_decode(value))
        })
        .collect()
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let hex = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = &after[2..];
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*first),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::{Params, encode_form_value};

    #[test]
    fn the_sign_text_is_sorted_raw_and_without_sign_and_empties() {
        let params = Params::read(
            b"method=m&charset=utf-8&sign=AAAA&empty=&sign_type=RSA2",
            b"biz_content=%7B%22a%22%3A%22x+y%2Bz%22%7D&method=ignored",
            None,
        );
        let text = String::from_utf8(params.sign_text()).unwrap();
        assert_eq!(text, r#"biz_content={"a":"x y+z"}&charset=utf-8&method=m&sign_type=RSA2"#);
    }

    #[test]
    fn values_are_decoded_in_the_charset_of_the_call() {
        let gbk = Params::read(b"charset=GBK&subject=%D6%D0%CE%C4", b"", None);
        assert_eq!(gbk.text("subject").as_deref(), Some("中文"));
        let typed = Params::read(b"", b"subject=%D6%D0", Some("text/plain; charset=\"gbk\""));
        assert_eq!(typed.text("subject").as_deref(), Some("中"));
        let wrong = Params::read(b"charset=utf-8&subject=%D6%D0", b"", None);
        assert_eq!(wrong.text("subject"), None);
        assert!(!wrong.is_text());
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        let params = Params::read(b"charset=utf-8&a=100%&b=%zz&c", b"", None);
        assert_eq!(params.text("a").as_deref(), Some("100%"));
        assert_eq!(params.text("b").as_deref(), Some("%zz"));
        assert_eq!(params.text("c"), None);
    }

    #[test]
    fn form_values_survive_a_round_trip() {
        let mut form = String::from("charset=utf-8&v=");
        encode_form_value("中文 50%off a+b&c=/".as_bytes(), &mut form);
        let params = Params::read(form.as_bytes(), b"", None);
        assert_eq!(params.text("v").as_deref(), Some("中文 50%off a+b&c=/"));
    }
}
