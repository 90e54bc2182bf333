//! Reading RSA keys in the forms that Alipay's console and tools hand out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rsa::KeyPair;

use crate::der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, element};

/// 1.2.840.113549.1.1.1, rsaEncryption.
const RSA_ENCRYPTION: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM nor bare base64.
    #[error("it is neither PEM nor base64")]
    NotBase64(#[source] base64::DecodeError),
    /// Not an RSA private key in PKCS#8 or PKCS#1.
    #[error("it is no RSA private key of 2048 bits or more in PKCS#8 or PKCS#1: {0}")]
    NotPrivate(ring::error::KeyRejected),
    /// A private key that lacks its exponent.
    #[error("it is a private key without its exponent")]
    NoExponent,
    /// Not an RSA public key in SPKI.
    #[error("it is no RSA public key (SubjectPublicKeyInfo)")]
    NotPublic,
}

/// Reads a private key: PKCS#8 or PKCS#1, with or without PEM armour.
pub(crate) fn private_key(text: &str) -> Result<KeyPair, KeyError> {
    let der = decode(text)?;
    KeyPair::from_pkcs8(&der).or_else(|_| KeyPair::from_der(&der)).map_err(KeyError::NotPrivate)
}

/// The secret exponent of a private key in either form.
pub(crate) fn private_exponent(text: &str) -> Result<Vec<u8>, KeyError> {
    let der = decode(text)?;
    exponent_of(&der).map(<[u8]>::to_vec).ok_or(KeyError::NoExponent)
}

/// PKCS#1 is `SEQUENCE { version, n, e, d, … }`; PKCS#8 is that in `SEQUENCE { version, SEQUENCE,
/// OCTET STRING }`.
fn exponent_of(der: &[u8]) -> Option<&[u8]> {
    let (content, _) = element(der, SEQUENCE)?;
    let (_, content) = element(content, INTEGER)?;
    if let Some((_, content)) = element(content, SEQUENCE) {
        return exponent_of(element(content, OCTET_STRING)?.0);
    }
    let (_, content) = element(content, INTEGER)?;
    let (_, content) = element(content, INTEGER)?;
    element(content, INTEGER).map(|(exponent, _)| exponent)
}

/// Reads a public key (SPKI, with or without PEM armour) into PKCS#1, which `ring` verifies with.
pub(crate) fn public_key(text: &str) -> Result<Vec<u8>, KeyError> {
    let der = decode(text)?;
    public_key_of_spki(&der)
}

/// Takes the PKCS#1 key out of its wrapper.
pub(crate) fn public_key_of_spki(der: &[u8]) -> Result<Vec<u8>, KeyError> {
    pkcs1_of_spki(der).map(<[u8]>::to_vec).ok_or(KeyError::NotPublic)
}

fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    let base64: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("-----"))
        .flat_map(str::split_whitespace)
        .collect();
    STANDARD.decode(base64).map_err(KeyError::NotBase64)
}

/// `SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING { 0 unused bits, RSAPublicKey } }`.
fn pkcs1_of_spki(der: &[u8]) -> Option<&[u8]> {
    let (info, rest) = element(der, SEQUENCE)?;
    let (algorithm, info) = element(info, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    let (bits, trailing) = element(info, BIT_STRING)?;
    let (unused, key) = bits.split_first()?;
    let whole = rest.is_empty() && trailing.is_empty() && *unused == 0;
    element(key, SEQUENCE)?;
    (whole && identifier == RSA_ENCRYPTION).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::{private_key, public_key};
    use crate::development_keys::{APP_PRIVATE_KEY, APP_PUBLIC_KEY};

    const APP_PRIVATE_KEY_PKCS1: &str = include_str!("../keys/app_private_key_pkcs1.pem");

    fn without_armour(pem: &str) -> String {
        pem.lines().filter(|line| !line.starts_with('-')).collect()
    }

    #[test]
    fn private_keys_are_read_in_both_encodings_with_and_without_armour() {
        for pem in [APP_PRIVATE_KEY, APP_PRIVATE_KEY_PKCS1] {
            let public = public_key(APP_PUBLIC_KEY).unwrap();
            for text in [pem.to_owned(), without_armour(pem)] {
                assert_eq!(private_key(&text).unwrap().public().as_ref(), public);
            }
        }
    }

    #[test]
    fn public_keys_are_read_without_armour_and_nothing_else_passes_for_one() {
        let bare = without_armour(APP_PUBLIC_KEY);
        assert_eq!(public_key(&bare).unwrap(), public_key(APP_PUBLIC_KEY).unwrap());
        for wrong in [APP_PRIVATE_KEY, "AAAA", "", "no key", &bare[..40]] {
            assert!(public_key(wrong).is_err());
        }
        assert!(private_key(APP_PUBLIC_KEY).is_err());
    }
}
