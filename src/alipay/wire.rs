//! The gateway's answer as bytes: which of them are signed, by whom, and what they say.
//!
//! The signature covers the answer's node exactly as it was sent, so the node is cut out of the
//! body by a scanner of its own and never written anew. What was verified is what is parsed. Any
//! body in which another reader could find another node is refused.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::keys::AlipayPublicKey;
use super::sign::{SIGN, verify};

/// The key of a node in which the gateway reports errors that belong to no method.
const ERROR_NODE: &str = "error_response";
/// The key beside the node that names a certificate.
const CERT_SN: &str = "alipay_cert_sn";
/// How the key of every node ends.
const NODE_SUFFIX: &str = "_response";

/// What a body consists of; nothing about it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Which node answers.
    pub kind: NodeKind,
    /// The node's exact bytes, from its `{` to the matching `}`.
    pub node: &'a [u8],
    /// The signature in base64, if there is one.
    pub sign: Option<String>,
    /// What the certificate is called whose key is said to have signed; itself not signed.
    pub cert_sn: Option<String>,
}

/// Which node of an envelope answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// The node named after the method.
    Method,
    /// `error_response`, which says nothing about a trade.
    Error,
}

/// Why a body is not an answer that everyone reads alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It is not one JSON object.
    #[error("not a JSON object at byte {at}")]
    Syntax {
        /// Where reading stopped.
        at: usize,
    },
    /// A key of the envelope occurs twice.
    #[error("a key of the envelope occurs twice")]
    Duplicate,
    /// There is no answer to our method, only something else.
    #[error("no answer to the method")]
    NoNode,
    /// There is more than one answer.
    #[error("more than one answer")]
    TwoNodes,
    /// The answer is not a JSON object (it may be an encrypted text, which we never ask for).
    #[error("the answer is not an object")]
    NotAnObject,
    /// `sign` or `alipay_cert_sn` is not a text.
    #[error("sign or alipay_cert_sn is not a text")]
    BadSign,
}

impl<'a> Envelope<'a> {
    /// Finds the answer to a method in a body.
    ///
    /// # Errors
    ///
    /// A [`WireError`] for every body that is not one object with exactly one answer.
    pub fn open(body: &'a [u8], node_name: &str) -> Result<Self, WireError> {
        // A set: a hostile body may have a hundred thousand keys.
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut found = None;
        let (mut sign, mut cert_sn) = (None, None);
        for member in Scanner::new(body).members()? {
            let key = read_text(member.key).ok_or(WireError::Syntax { at: member.at })?;
            if keys.contains(&key) {
                return Err(WireError::Duplicate);
            }
            if key.ends_with(NODE_SUFFIX) {
                let kind = match key.as_str() {
                    name if name == node_name => NodeKind::Method,
                    ERROR_NODE => NodeKind::Error,
                    _ => return Err(WireError::NoNode),
                };
                if found.replace((kind, member.value)).is_some() {
                    return Err(WireError::TwoNodes);
                }
            } else if key == SIGN && member.value != b"null" {
                sign = Some(read_text(member.value).ok_or(WireError::BadSign)?);
            } else if key == CERT_SN && member.value != b"null" {
                cert_sn = Some(read_text(member.value).ok_or(WireError::BadSign)?);
            }
            keys.insert(key);
        }
        let (kind, node) = found.ok_or(WireError::NoNode)?;
        if !node.starts_with(b"{") {
            return Err(WireError::NotAnObject);
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self { kind, node, sign: filled(sign), cert_sn: filled(cert_sn) })
    }

    /// Whether one of the keys signed the node: as it was sent or, for old answers, as it was
    /// before its slashes were escaped.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[AlipayPublicKey]) -> bool {
        let Some(sign) = self.sign.as_deref() else {
            return false;
        };
        verify(keys, self.node, sign.as_bytes())
            || unescape_slashes(self.node).is_some_and(|node| verify(keys, &node, sign.as_bytes()))
    }

    /// The node as text: UTF-8, or GB18030 where the gateway fell back to it.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        match std::str::from_utf8(self.node) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => encoding_rs::GB18030.decode_without_bom_handling(self.node).0,
        }
    }
}

fn read_text(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok()
}

/// The bytes with `\/` replaced by `/`, if there is any.
fn unescape_slashes(node: &[u8]) -> Option<Vec<u8>> {
    let is_escaped = |pair: &[u8]| pair == br"\/";
    if !node.windows(2).any(is_escaped) {
        return None;
    }
    let kept =
        node.iter().enumerate().filter(|(at, _)| !node.get(*at..*at + 2).is_some_and(is_escaped));
    Some(kept.map(|(_, byte)| *byte).collect())
}

/// A member of the envelope: spans of the body.
struct Member<'a> {
    at: usize,
    key: &'a [u8],
    value: &'a [u8],
}

/// Walks over JSON without recursion and without understanding more than where values end.
struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    /// Whether a character may take two bytes of which the second looks like ASCII.
    double_bytes: bool,
}

impl<'a> Scanner<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, double_bytes: std::str::from_utf8(body).is_err() }
    }

    /// The members of the one object that the body is.
    fn members(mut self) -> Result<Vec<Member<'a>>, WireError> {
        let mut members = Vec::new();
        self.expect(b'{')?;
        while self.peek() != Some(b'}') {
            if !members.is_empty() {
                self.expect(b',')?;
            }
            self.skip_space();
            let at = self.at;
            let key = self.string()?;
            self.expect(b':')?;
            self.skip_space();
            let value = self.value()?;
            members.push(Member { at, key, value });
        }
        self.expect(b'}')?;
        if self.peek().is_some() { self.fail() } else { Ok(members) }
    }

    fn value(&mut self) -> Result<&'a [u8], WireError> {
        let start = self.at;
        match self.body.get(start) {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') => self.nested()?,
            _ => {
                let ends = |byte: &u8| b",}]\"{[: \t\r\n".contains(byte);
                let rest = &self.body[start..];
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        if self.at == start { self.fail() } else { Ok(&self.body[start..self.at]) }
    }

    /// Passes an object or array; that its brackets are of the right kind is for the parser.
    fn nested(&mut self) -> Result<(), WireError> {
        let mut depth = 0_usize;
        loop {
            match self.body.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return self.fail(),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes a string and returns it with its quotes.
    fn string(&mut self) -> Result<&'a [u8], WireError> {
        let start = self.at;
        if self.body.get(start) != Some(&b'"') {
            return self.fail();
        }
        self.at += 1;
        loop {
            match self.body.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(0x81..=0xfe) if self.double_bytes => {
                    let takes_next = matches!(self.body.get(self.at + 1), Some(0x40..=0xfe));
                    self.at += if takes_next { 2 } else { 1 };
                }
                Some(_) => self.at += 1,
                None => return self.fail(),
            }
        }
        self.at += 1;
        Ok(&self.body[start..self.at])
    }

    fn expect(&mut self, byte: u8) -> Result<(), WireError> {
        if self.peek() != Some(byte) {
            return self.fail();
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.body.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.body.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
    }

    fn fail<T>(&self) -> Result<T, WireError> {
        Err(WireError::Syntax { at: self.at.min(self.body.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Envelope, NodeKind, WireError, unescape_slashes};

    fn open(body: &[u8]) -> Result<Envelope<'_>, WireError> {
        Envelope::open(body, "m_response")
    }

    #[test]
    fn the_node_is_the_exact_span() {
        for node in [
            r"{}",
            r#"{"a":{"b":[{"c":"}"}]}}"#,
            r#"{"a":"}\"{","b":"\\"}"#,
            r#"{ "a" : 1 , "sign":"inner" }"#,
            r#"{"m_response":{}}"#,
        ] {
            for body in [
                format!(r#"{{"m_response":{node},"sign":"S"}}"#),
                format!(r#" {{"sign":"S" , "alipay_cert_sn":"0","m_response": {node} }} "#),
                format!(r#"{{"\u006d_response":{node},"n":null,"x":[1],"sign":"\u0053"}}"#),
            ] {
                let envelope = open(body.as_bytes()).expect("an answer");
                assert_eq!(envelope.node, node.as_bytes());
                assert_eq!(envelope.kind, NodeKind::Method);
                assert_eq!(envelope.sign.as_deref(), Some("S"));
                let named = body.contains("alipay_cert_sn").then_some("0");
                assert_eq!(envelope.cert_sn.as_deref(), named);
            }
        }
    }

    #[test]
    fn bodies_with_two_readings_are_refused() {
        let error = |body: &str| open(body.as_bytes()).expect_err("refused");
        let twice = r#"{"m_response":{},"sign":"S","m_response":{"a":1}}"#;
        assert_eq!(error(twice), WireError::Duplicate);
        let hidden = r#"{"m_response":{},"sign":"S","\u006d_response":{"a":1}}"#;
        assert_eq!(error(hidden), WireError::Duplicate);
        assert_eq!(error(r#"{"m_response":{},"sign":"S","sign":"T"}"#), WireError::Duplicate);
        let two = r#"{"m_response":{},"error_response":{},"sign":"S"}"#;
        assert_eq!(error(two), WireError::TwoNodes);
        assert_eq!(error(r#"{"other_response":{},"sign":"S"}"#), WireError::NoNode);
        assert_eq!(error(r#"{"sign":"S"}"#), WireError::NoNode);
        assert_eq!(error(r#"{"m_response":"QUJD","sign":"S"}"#), WireError::NotAnObject);
        assert_eq!(error(r#"{"m_response":{},"sign":1}"#), WireError::BadSign);
        let odd_name = r#"{"m_response":{},"alipay_cert_sn":{},"sign":"S"}"#;
        assert_eq!(error(odd_name), WireError::BadSign);
        for body in [
            "",
            "{",
            "[]",
            "{}x",
            r#"{"m_response":{"#,
            r#"{"m_response":{"a":"}"#,
            r#"{"a":}"#,
            r#"{"m_response":{},}"#,
            r#"{"m_response":{}} {}"#,
            r#"{"a" 1}"#,
            r#"{"a":"\"#,
        ] {
            assert!(open(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_double_byte_character_may_end_in_a_backslash() {
        let (bytes, _, _) = encoding_rs::GBK.encode("{\"sub_msg\":\"誠\"}");
        assert!(bytes.ends_with(b"\\\"}"));
        let mut body = b"{\"m_response\":".to_vec();
        body.extend_from_slice(&bytes);
        body.extend_from_slice(b",\"sign\":\"S\"}");
        let envelope = open(&body).expect("an answer");
        assert_eq!(envelope.node, &*bytes);
        assert_eq!(envelope.text(), "{\"sub_msg\":\"誠\"}");
    }

    #[test]
    fn an_error_is_an_answer_without_a_method() {
        let envelope = open(br#"{"error_response":{"code":"40002"}}"#).expect("an answer");
        assert_eq!((envelope.kind, envelope.sign), (NodeKind::Error, None));
    }

    #[test]
    fn only_slashes_lose_their_backslash() {
        assert_eq!(unescape_slashes(br"a\/b\\c\/").as_deref(), Some(br"a/b\\c/".as_slice()));
        assert_eq!(unescape_slashes(br"a/b"), None);
    }
}
