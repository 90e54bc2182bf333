//! Certificate mode: what both sides call each other's certificates.
//!
//! The serial number of a certificate is not the one inside it, but the MD5 of its issuer's name
//! and that number. The application names its own and the root's in every call, the gateway names
//! its own in every answer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

use crate::der::{INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, any, element};
use crate::development_keys;
use crate::keys::public_key_of_spki;
use crate::rsa2::{Signer, Verifier};

/// `[0]`, which holds the version.
const VERSION: u8 = 0xa0;
/// UTF-16 with the high byte first.
const BMP_STRING: u8 = 0x1e;
/// Latin letters, a byte each.
const TELETEX_STRING: u8 = 0x14;
/// 1.2.840.113549.1.1, under which all signatures with RSA are.
const RSA_FAMILY: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// Parts of a name that have a short form.
const SHORT_NAMES: [(&[u8], &str); 7] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "E"),
];

/// The files of certificate mode.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The application's; its key takes the place of the configured one. PEM.
    pub app_cert_pem: String,
    /// The gateway's own; the private key must belong to it. PEM.
    pub alipay_cert_pem: String,
    /// The roots: several PEM blocks, of which those with RSA count.
    pub alipay_root_cert_pem: String,
}

/// Why a simulator can't use its certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file has no certificate in it that could be read.
    #[error("the {0} is no X.509 certificate in PEM")]
    Unreadable(&'static str),
    /// A certificate is about another kind of key.
    #[error("the {0} has no RSA key")]
    NoRsaKey(&'static str),
    /// The gateway could not prove what it says.
    #[error("the private key does not belong to the Alipay certificate")]
    OtherKey,
}

/// What the two sides call each other.
#[derive(Debug)]
pub(crate) struct SerialNumbers {
    pub(crate) app: String,
    pub(crate) roots: String,
    pub(crate) gateway: String,
    /// That of the certificate whose key the fault `other_key` signs with.
    pub(crate) other: String,
}

impl Certificates {
    /// The published ones of the development keys.
    #[must_use]
    pub fn development() -> Self {
        Self {
            app_cert_pem: development_keys::APP_CERT.to_owned(),
            alipay_cert_pem: development_keys::GATEWAY_CERT.to_owned(),
            alipay_root_cert_pem: development_keys::ROOT_CERT.to_owned(),
        }
    }

    /// Reads all of them: the key that requests are checked with, and the serial numbers.
    pub(crate) fn open(
        &self,
        signer: &Signer,
    ) -> Result<(Verifier, SerialNumbers), CertificateError> {
        let app = first(&self.app_cert_pem, "application's certificate")?;
        let gateway = first(&self.alipay_cert_pem, "Alipay certificate")?;
        let other = first(development_keys::OTHER_CERT, "other certificate")?;
        if !signer.is_pair_of(&gateway.key("Alipay certificate")?) {
            return Err(CertificateError::OtherKey);
        }
        let roots = root_serial_numbers(&self.alipay_root_cert_pem);
        if roots.is_empty() {
            return Err(CertificateError::Unreadable("Alipay root certificate"));
        }
        let verifier = Verifier::of_pkcs1(app.key("application's certificate")?);
        let (app, gateway) = (app.serial_number(), gateway.serial_number());
        let other = other.serial_number();
        Ok((verifier, SerialNumbers { app, roots: roots.join("_"), gateway, other }))
    }
}

/// As much of a certificate as its serial number needs, and its key.
struct Certificate {
    serial: Vec<u8>,
    issuer: Vec<(&'static str, String)>,
    signature_algorithm: Vec<u8>,
    public_key: Vec<u8>,
}

impl Certificate {
    fn read(der: &[u8]) -> Option<Self> {
        let (certificate, _) = element(der, SEQUENCE)?;
        let (body, rest) = element(certificate, SEQUENCE)?;
        let (algorithm, _) = element(rest, SEQUENCE)?;
        let (signature_algorithm, _) = element(algorithm, OBJECT_IDENTIFIER)?;
        let body = element(body, VERSION).map_or(body, |(_, rest)| rest);
        let (serial, rest) = element(body, INTEGER)?;
        let (_algorithm, rest) = element(rest, SEQUENCE)?;
        let (issuer, rest) = element(rest, SEQUENCE)?;
        let (_validity, rest) = element(rest, SEQUENCE)?;
        let (_subject, rest) = element(rest, SEQUENCE)?;
        let (_, after) = element(rest, SEQUENCE)?;
        Some(Self {
            serial: serial.to_vec(),
            issuer: name(issuer)?,
            signature_algorithm: signature_algorithm.to_vec(),
            public_key: rest[..rest.len() - after.len()].to_vec(),
        })
    }

    /// MD5 over the issuer's name, its most specific part first, and the number in decimal.
    fn serial_number(&self) -> String {
        let parts: Vec<_> =
            self.issuer.iter().rev().map(|(name, value)| format!("{name}={value}")).collect();
        let text = parts.join(",") + &decimal(&self.serial);
        let digest = Md5::digest(text.as_bytes());
        digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }

    fn key(&self, which: &'static str) -> Result<Vec<u8>, CertificateError> {
        public_key_of_spki(&self.public_key).map_err(|_| CertificateError::NoRsaKey(which))
    }
}

fn first(pem: &str, which: &'static str) -> Result<Certificate, CertificateError> {
    let first = blocks(pem).next().flatten();
    first.and_then(|der| Certificate::read(&der)).ok_or(CertificateError::Unreadable(which))
}

/// Of each root that was signed with RSA; what can't be read is passed over.
fn root_serial_numbers(pem: &str) -> Vec<String> {
    let roots = blocks(pem).flatten().filter_map(|der| Certificate::read(&der));
    let with_rsa = roots.filter(|root| root.signature_algorithm.starts_with(&RSA_FAMILY));
    with_rsa.map(|root| root.serial_number()).collect()
}

/// The certificates of a PEM file, `None` for each that isn't base64.
fn blocks(pem: &str) -> impl Iterator<Item = Option<Vec<u8>>> {
    pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(|block| {
        let (base64, _) = block.split_once("-----END CERTIFICATE-----")?;
        let base64: String = base64.split_whitespace().collect();
        STANDARD.decode(base64).ok()
    })
}

/// The parts of a name in their order, each with its short form or none.
fn name(mut sets: &[u8]) -> Option<Vec<(&'static str, String)>> {
    let mut parts = Vec::new();
    while !sets.is_empty() {
        let (mut set, after) = element(sets, SET)?;
        while !set.is_empty() {
            let (part, after) = element(set, SEQUENCE)?;
            let (identifier, value) = element(part, OBJECT_IDENTIFIER)?;
            let (tag, value, _) = any(value)?;
            let short = SHORT_NAMES.iter().find(|(known, _)| *known == identifier);
            parts.push((short.map(|(_, short)| *short).unwrap_or_default(), text(tag, value)));
            set = after;
        }
        sets = after;
    }
    Some(parts)
}

fn text(tag: u8, value: &[u8]) -> String {
    match tag {
        BMP_STRING => {
            let units: Vec<_> =
                value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        TELETEX_STRING => value.iter().copied().map(char::from).collect(),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

/// A number of any length, its highest byte first, in decimal.
fn decimal(number: &[u8]) -> String {
    let mut digits = vec![0_u32];
    for byte in number {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit * 256;
            *digit = carry % 10;
            carry /= 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 10)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Certificates, decimal, root_serial_numbers};
    use crate::development_keys::{
        APP_CERT, GATEWAY_CERT, GATEWAY_PRIVATE_KEY, OTHER_PRIVATE_KEY, ROOT_CERT,
    };
    use crate::rsa2::Signer;

    /// What the official SDK for Node (4.14.0) makes of the development certificates.
    #[test]
    fn serial_numbers_are_those_of_the_official_sdk() {
        let signer = Signer::new(GATEWAY_PRIVATE_KEY).unwrap();
        let (_, names) = Certificates::development().open(&signer).unwrap();
        assert_eq!(names.app, "ca27b5d4794884f1da39a1779df88bb4");
        assert_eq!(names.gateway, "69a109c12ef1cdfadac1fbadc572f9b1");
        assert_eq!(names.other, "deff58247cca3993b170903656a96411");
        let roots = "733b69a0db14c9d0c0dc168d1d009c06_a5019a25d27aa3e5d659242e42a724d4";
        assert_eq!(names.roots, roots);
    }

    #[test]
    fn roots_that_cannot_be_read_are_passed_over() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let odd = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let all = format!("{broken}{ROOT_CERT}{odd}{broken}");
        assert_eq!(root_serial_numbers(&all), root_serial_numbers(ROOT_CERT));
        assert_eq!(root_serial_numbers(&all).len(), 2);
        assert!(root_serial_numbers(&APP_CERT[..400]).is_empty());
    }

    #[test]
    fn the_private_key_must_belong_to_the_certificate() {
        let other = Signer::new(OTHER_PRIVATE_KEY).unwrap();
        assert!(Certificates::development().open(&other).is_err());
        let signer = Signer::new(GATEWAY_PRIVATE_KEY).unwrap();
        for (app, roots) in [("", ROOT_CERT), (APP_CERT, "no roots"), (&APP_CERT[30..], APP_CERT)] {
            let certificates = Certificates {
                app_cert_pem: app.to_owned(),
                alipay_cert_pem: GATEWAY_CERT.to_owned(),
                alipay_root_cert_pem: roots.to_owned(),
            };
            assert!(certificates.open(&signer).is_err());
        }
    }

    #[test]
    fn numbers_of_any_length_are_written_in_decimal() {
        for (bytes, text) in [
            (&[][..], "0"),
            (&[0], "0"),
            (&[0, 255], "255"),
            (&[1, 0], "256"),
            (&[0x69, 0xe2, 0xfe, 0xc0, 0x17, 0x0a, 0xc6, 0x7b], "7629940819692799611"),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], "4722366482869645213696"),
        ] {
            assert_eq!(decimal(bytes), text);
        }
    }
}
