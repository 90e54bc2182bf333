//! The two keys of an account: our private one and the gateway's public one.
//!
//! Owns reading them from the forms in which they are handed around, and making fresh ones for
//! development. Nothing here ever prints key material.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicEncryptingKey};
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::certificates::Certificate;
use crate::text::hex;

/// The least size of a key, in bits: what RSA2 demands.
pub const KEY_BITS_MIN: usize = 2048;

/// Standard base64 that is written with padding and read with or without it.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Length of a line of a PEM file, in characters.
const PEM_LINE_CHARS: usize = 64;

/// Label of a PKCS#8 private key.
const PKCS8_LABEL: &str = "PRIVATE KEY";
/// Label of a PKCS#1 private key.
const PKCS1_LABEL: &str = "RSA PRIVATE KEY";
/// Label of an SPKI public key.
const SPKI_LABEL: &str = "PUBLIC KEY";

/// Our application's private key. It signs what we send.
#[derive(Clone)]
pub struct AppPrivateKey {
    pair: Arc<KeyPair>,
    public_spki: Vec<u8>,
}

/// A public key of Alipay's. It verifies what we receive.
#[derive(Clone)]
pub struct AlipayPublicKey {
    key: Arc<ParsedPublicKey>,
    spki: Vec<u8>,
    cert_sn: Option<String>,
}

/// A fresh key pair in PEM, for development.
pub struct GeneratedKeys {
    /// The private half, PKCS#8.
    pub private_pem: String,
    /// The public half, SPKI.
    pub public_pem: String,
}

/// Why a text is not the key it should be. No variant holds any part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing to read.
    #[error("the key is empty")]
    Empty,
    /// The text is neither PEM nor base64.
    #[error("the key is neither PEM nor base64")]
    NotBase64,
    /// The PEM block has no end line, or another one than it begins with.
    #[error("the PEM block of the key is cut off")]
    PemCutOff,
    /// It is something else than an unencrypted RSA private key.
    #[error(
        "an RSA private key is wanted, PKCS#8 (PRIVATE KEY) or PKCS#1 (RSA PRIVATE KEY), \
         not encrypted"
    )]
    NotAPrivateKey,
    /// It is something else than an RSA public key.
    #[error(
        "Alipay's RSA public key is wanted (PUBLIC KEY), neither a private key nor a certificate"
    )]
    NotAPublicKey,
    /// It has less than [`KEY_BITS_MIN`] bits or more than 8192.
    #[error("RSA2 wants a key of at least 2048 bits (and at most 8192)")]
    WrongSize,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed to make or use a key")]
    Crypto,
}

impl AppPrivateKey {
    /// Reads PEM or bare base64, PKCS#8 or PKCS#1.
    ///
    /// # Errors
    ///
    /// A [`KeyError`] that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let der = decode(text, &[PKCS8_LABEL, PKCS1_LABEL], KeyError::NotAPrivateKey)?;
        let pair = KeyPair::from_pkcs8(&der)
            .or_else(|pkcs8| KeyPair::from_der(&der).map_err(|pkcs1| [pkcs8, pkcs1]))
            .map_err(|reasons| {
                let sized = reasons.iter().any(|reason| is_about_size(&reason.to_string()));
                if sized { KeyError::WrongSize } else { KeyError::NotAPrivateKey }
            })?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| KeyError::Crypto)?;
        let public_spki = public.as_ref().to_vec();
        Ok(Self { pair: Arc::new(pair), public_spki })
    }

    /// The public half as PEM: what is uploaded to the gateway's console.
    #[must_use]
    pub fn public_pem(&self) -> String {
        to_pem(SPKI_LABEL, &self.public_spki)
    }

    /// The size of the key.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.pair.public_modulus_len() * 8
    }

    /// SHA-256 of the public half, in hex: what the gateway's console has can be compared with it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public_spki)
    }

    /// Whether the certificate is one of this key.
    #[must_use]
    pub fn is_certified_by(&self, certificate: &Certificate) -> bool {
        let certified = AlipayPublicKey::of_certificate(certificate);
        certified.is_ok_and(|key| self.is_pair_of(&key))
    }

    /// Whether `key` is nothing but the public half of this key: the most frequent mistake in a
    /// configuration, after which nothing that Alipay sends can be verified.
    #[must_use]
    pub fn is_pair_of(&self, key: &AlipayPublicKey) -> bool {
        self.public_spki == key.spki
    }

    /// The RSA2 signature of the bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature)
            .map_err(|_| KeyError::Crypto)?;
        Ok(signature)
    }
}

impl AlipayPublicKey {
    /// Reads PEM or bare base64, SPKI.
    ///
    /// # Errors
    ///
    /// A [`KeyError`] that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let der = decode(text, &[SPKI_LABEL], KeyError::NotAPublicKey)?;
        Self::from_spki(&der, None)
    }

    /// The key of a certificate of Alipay's.
    ///
    /// # Errors
    ///
    /// A [`KeyError`] if it is no RSA key, or not of the right size.
    pub fn of_certificate(certificate: &Certificate) -> Result<Self, KeyError> {
        Self::from_spki(certificate.spki(), Some(certificate.sn().to_owned()))
    }

    fn from_spki(der: &[u8], cert_sn: Option<String>) -> Result<Self, KeyError> {
        let key = PublicEncryptingKey::from_der(der).map_err(|reason| {
            let sized = is_about_size(&reason.to_string());
            if sized { KeyError::WrongSize } else { KeyError::NotAPublicKey }
        })?;
        let spki: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::Crypto)?;
        let spki = spki.as_ref().to_vec();
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki)
            .map_err(|_| KeyError::NotAPublicKey)?;
        Ok(Self { key: Arc::new(key), spki, cert_sn })
    }

    /// What the certificate is called that the key came in, if it came in one.
    #[must_use]
    pub fn cert_sn(&self) -> Option<&str> {
        self.cert_sn.as_deref()
    }

    /// SHA-256 of the key, in hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.spki)
    }

    /// Whether the RSA2 signature is this key's over exactly these bytes.
    pub(super) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(bytes, signature).is_ok()
    }
}

fn fingerprint(spki: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, spki).as_ref())
}

/// Makes a fresh pair of keys of [`KEY_BITS_MIN`] bits, for development.
///
/// # Errors
///
/// [`KeyError::Crypto`] when the cryptographic library fails.
pub fn generate() -> Result<GeneratedKeys, KeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Crypto)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Crypto)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Crypto)?;
    Ok(GeneratedKeys {
        private_pem: to_pem(PKCS8_LABEL, private.as_ref()),
        public_pem: to_pem(SPKI_LABEL, public.as_ref()),
    })
}

impl fmt::Debug for AppPrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AppPrivateKey(..)")
    }
}

impl fmt::Debug for AlipayPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AlipayPublicKey(..)")
    }
}

impl fmt::Debug for GeneratedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GeneratedKeys(..)")
    }
}

/// The DER inside PEM with one of the labels, or inside bare base64.
fn decode(text: &str, labels: &[&str], wrong_kind: KeyError) -> Result<Vec<u8>, KeyError> {
    let base64 = match text.split_once("-----BEGIN ") {
        None => text,
        Some((_, block)) => {
            let (label, rest) = block.split_once("-----").ok_or(KeyError::PemCutOff)?;
            if !labels.contains(&label) {
                return Err(wrong_kind);
            }
            let end = format!("-----END {label}-----");
            rest.split_once(&end).ok_or(KeyError::PemCutOff)?.0
        }
    };
    let compact: String = base64.split_whitespace().collect();
    if compact.is_empty() {
        return Err(KeyError::Empty);
    }
    BASE64.decode(compact).map_err(|_| KeyError::NotBase64)
}

/// The library names the reason of a rejection only by its text.
fn is_about_size(reason: &str) -> bool {
    reason == "TooSmall" || reason == "TooLarge"
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    let base64 = BASE64.encode(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::{AlipayPublicKey, AppPrivateKey, KeyError, generate};

    const PKCS1: &str = include_str!("../../tests/vectors/alipay/app.pk1.pem");
    const PKCS8: &str = include_str!("../../tests/vectors/alipay/app.pk8.pem");
    const APP_PUBLIC: &str = include_str!("../../tests/vectors/alipay/app.pub.pem");
    const ALIPAY_PUBLIC: &str = include_str!("../../tests/vectors/alipay/ali.pub.pem");

    /// An RSA key of 1024 bits, public half.
    const SMALL_PUBLIC: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C3\
        6rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6\
        Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJw\
        oYi+1hqp1fIekaxsyQIDAQAB";

    fn bare(pem: &str) -> String {
        pem.lines().filter(|line| !line.starts_with("-----")).collect()
    }

    #[test]
    fn a_private_key_is_read_in_every_form_it_is_handed_around_in() {
        let wrapped = format!("\n {}\n", bare(PKCS8).replace('=', "").replace('A', "A\r\n"));
        for text in [PKCS1, PKCS8, &bare(PKCS1), &bare(PKCS8), &wrapped] {
            let key = AppPrivateKey::parse(text).expect("a key");
            assert_eq!(key.public_pem().replace('\r', ""), APP_PUBLIC);
        }
    }

    #[test]
    fn our_own_public_key_is_not_alipays() {
        let ours = AppPrivateKey::parse(PKCS8).expect("a key");
        let theirs = |text: &str| AlipayPublicKey::parse(text).expect("a key");
        assert!(ours.is_pair_of(&theirs(APP_PUBLIC)));
        assert!(ours.is_pair_of(&theirs(&bare(APP_PUBLIC))));
        assert!(!ours.is_pair_of(&theirs(ALIPAY_PUBLIC)));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let private = |text: &str| AppPrivateKey::parse(text).expect_err("no key");
        let public = |text: &str| AlipayPublicKey::parse(text).expect_err("no key");
        assert_eq!(private(" \n"), KeyError::Empty);
        assert_eq!(private("not base64!"), KeyError::NotBase64);
        assert_eq!(private("-----BEGIN PRIVATE KEY-----\nMIIE"), KeyError::PemCutOff);
        assert_eq!(private(APP_PUBLIC), KeyError::NotAPrivateKey);
        assert_eq!(private(&bare(APP_PUBLIC)), KeyError::NotAPrivateKey);
        assert_eq!(public(PKCS8), KeyError::NotAPublicKey);
        assert_eq!(public(&bare(PKCS8)), KeyError::NotAPublicKey);
        assert_eq!(public(SMALL_PUBLIC), KeyError::WrongSize);
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----";
        assert_eq!(public(certificate), KeyError::NotAPublicKey);
    }

    #[test]
    fn fresh_keys_fit_each_other_and_are_never_printed() {
        let fresh = generate().expect("keys");
        let private = AppPrivateKey::parse(&fresh.private_pem).expect("a key");
        let public = AlipayPublicKey::parse(&fresh.public_pem).expect("a key");
        assert!(private.is_pair_of(&public));
        let signature = private.sign(b"text").expect("signs");
        assert!(public.verifies(b"text", &signature));
        assert!(!public.verifies(b"Text", &signature));
        let printed = format!("{private:?} {public:?} {fresh:?}");
        assert_eq!(printed, "AppPrivateKey(..) AlipayPublicKey(..) GeneratedKeys(..)");
    }
}
