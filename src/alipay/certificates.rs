//! Certificates, which certificate mode has in the place of bare public keys: what they are called,
//! whose key they hold, and when they end.
//!
//! What both sides call a certificate is computed as the official SDKs do it, to the letter. Who
//! issued one is not checked: the files are the operator's, like bare keys.

use base64::Engine as _;
use chrono::{DateTime, Utc};
use md5::{Digest as _, Md5};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};

use super::keys::BASE64;
use crate::text::hex;

/// The family of algorithms, by the start of their OID, whose roots count for RSA2.
const RSA_FAMILY: &str = "1.2.840.113549.1.1";

/// The short names that the official SDK knows; it writes any other part of a name without one.
const SHORT_NAMES: [(&str, &str); 7] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("1.2.840.113549.1.9.1", "E"),
];

const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const PEM_END: &str = "-----END CERTIFICATE-----";

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    sn: String,
    spki: Vec<u8>,
    signed_with_rsa: bool,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
}

/// The root certificates that we trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCertificates {
    sn: String,
    not_after: DateTime<Utc>,
}

/// Why a text is not the certificate it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no PEM block of a certificate.
    #[error("a certificate in PEM is wanted (-----BEGIN CERTIFICATE-----)")]
    NotPem,
    /// There is one, but it can't be read.
    #[error("the certificate can't be read as X.509")]
    Unreadable,
    /// No certificate of the file counts as a root for RSA2.
    #[error("none of the certificates is signed with RSA: is it Alipay's root file?")]
    NoRsaRoot,
}

impl Certificate {
    /// Reads the first certificate of a PEM file; behind it those may stand that issued it.
    ///
    /// # Errors
    ///
    /// A [`CertificateError`] that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        let block = blocks(text).next().ok_or(CertificateError::NotPem)?;
        Self::read(block).ok_or(CertificateError::Unreadable)
    }

    fn read(block: &str) -> Option<Self> {
        let compact: String = block.split_whitespace().collect();
        let der = BASE64.decode(compact).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let validity = certificate.validity();
        let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
        Some(Self {
            sn: sn(&certificate),
            spki: certificate.public_key().raw.to_vec(),
            signed_with_rsa: algorithm.starts_with(RSA_FAMILY),
            not_before: DateTime::from_timestamp(validity.not_before.timestamp(), 0)?,
            not_after: DateTime::from_timestamp(validity.not_after.timestamp(), 0)?,
        })
    }

    /// What both sides call it: 32 hexadecimal digits.
    #[must_use]
    pub fn sn(&self) -> &str {
        &self.sn
    }

    /// The first instant at which it is valid.
    #[must_use]
    pub fn not_before(&self) -> DateTime<Utc> {
        self.not_before
    }

    /// The last instant at which it is valid.
    #[must_use]
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    /// Its public key in DER, whatever kind of key that is.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl RootCertificates {
    /// Reads a file with several certificates. Those that can't be read are passed over, as the
    /// official SDKs do: the genuine file has some of other families.
    ///
    /// # Errors
    ///
    /// [`CertificateError::NotPem`] without any certificate, [`CertificateError::NoRsaRoot`]
    /// without one that counts.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        if blocks(text).next().is_none() {
            return Err(CertificateError::NotPem);
        }
        let roots: Vec<_> = blocks(text)
            .filter_map(Certificate::read)
            .filter(|certificate| certificate.signed_with_rsa)
            .collect();
        let first_end = roots.iter().map(Certificate::not_after).min();
        let not_after = first_end.ok_or(CertificateError::NoRsaRoot)?;
        let names: Vec<_> = roots.iter().map(Certificate::sn).collect();
        Ok(Self { sn: names.join("_"), not_after })
    }

    /// What both sides call them: the names of those that count, joined by `_`.
    #[must_use]
    pub fn sn(&self) -> &str {
        &self.sn
    }

    /// The last instant at which all of those that count are valid.
    #[must_use]
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }
}

/// The base64 of each certificate in a PEM file.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let begun = text.split(PEM_BEGIN).skip(1);
    begun.filter_map(|block| block.split_once(PEM_END)).map(|(base64, _)| base64)
}

/// MD5 over the issuer's name and the certificate's own number in decimal.
fn sn(certificate: &X509Certificate<'_>) -> String {
    let issuer = issuer_text(certificate.issuer());
    hex(&Md5::digest(format!("{issuer}{}", certificate.tbs_certificate.serial)))
}

/// The most specific part first, nothing escaped.
fn issuer_text(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name
        .iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let short = SHORT_NAMES.iter().find(|(known, _)| *known == oid);
            let short = short.map_or("", |(_, short)| short);
            format!("{short}={}", text_of(attribute.attr_value()))
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn text_of(value: &Any<'_>) -> String {
    let bytes = value.data;
    match value.tag() {
        Tag::BmpString => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes).0.into_owned(),
        Tag::T61String => encoding_rs::mem::decode_latin1(bytes).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
