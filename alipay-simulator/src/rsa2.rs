//! RSA2 (PKCS#1 v1.5 with SHA-256) over the exact bytes, base64 at the edges.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use num_bigint::BigUint;
use ring::digest;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};

use crate::keys::{self, KeyError};

/// `DigestInfo` of SHA-1, up to the hash.
const SHA1_PREFIX: [u8; 15] =
    [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];

/// Signs with one private key.
#[derive(Debug)]
pub(crate) struct Signer {
    key: KeyPair,
    random: SystemRandom,
    exponent: Exponent,
}

/// The secret half of a key.
struct Exponent(BigUint);

impl fmt::Debug for Exponent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Exponent(…)")
    }
}

impl Signer {
    pub(crate) fn new(private_key: &str) -> Result<Self, KeyError> {
        let key = keys::private_key(private_key)?;
        let exponent = Exponent(BigUint::from_bytes_be(&keys::private_exponent(private_key)?));
        Ok(Self { key, random: SystemRandom::new(), exponent })
    }

    /// Whether this PKCS#1 key is the public half of the private key.
    pub(crate) fn is_pair_of(&self, public_key: &[u8]) -> bool {
        self.key.public().as_ref() == public_key
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .expect("a key of 2048 bits or more signs any message");
        STANDARD.encode(signature)
    }

    /// The same with SHA-1, the way of `sign_type=RSA`, which no library makes any more.
    pub(crate) fn sign_sha1(&self, message: &[u8]) -> String {
        let length = self.key.public().modulus_len();
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message);
        let end = [&SHA1_PREFIX[..], hash.as_ref()].concat();
        let mut padded = vec![0xff; length];
        padded[..2].copy_from_slice(&[0, 1]);
        padded[length - end.len() - 1] = 0;
        padded[length - end.len()..].copy_from_slice(&end);
        let public: PublicKeyComponents<Vec<u8>> = self.key.public().into();
        let modulus = BigUint::from_bytes_be(&public.n);
        let signature = BigUint::from_bytes_be(&padded).modpow(&self.exponent.0, &modulus);
        let signature = signature.to_bytes_be();
        STANDARD.encode([vec![0; length - signature.len()], signature].concat())
    }
}

/// Verifies with one public key.
#[derive(Debug)]
pub(crate) struct Verifier {
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Verifier {
    pub(crate) fn new(public_key: &str) -> Result<Self, KeyError> {
        keys::public_key(public_key).map(Self::of_pkcs1)
    }

    pub(crate) fn of_pkcs1(key: Vec<u8>) -> Self {
        Self { key: UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key) }
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature);
        signature.is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

    use super::{Signer, Verifier};
    use crate::development_keys::{APP_PRIVATE_KEY, APP_PUBLIC_KEY, GATEWAY_PUBLIC_KEY};

    #[test]
    fn the_old_signature_is_a_real_one() {
        let signature = Signer::new(APP_PRIVATE_KEY).unwrap().sign_sha1(b"message");
        let key = crate::keys::public_key(APP_PUBLIC_KEY).unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, key);
        let signature = STANDARD.decode(signature).unwrap();
        assert!(key.verify(b"message", &signature).is_ok());
        assert!(key.verify(b"message ", &signature).is_err());
    }

    #[test]
    fn only_the_right_key_and_the_exact_bytes_verify() {
        let signature = Signer::new(APP_PRIVATE_KEY).unwrap().sign(b"message");
        let verifier = Verifier::new(APP_PUBLIC_KEY).unwrap();
        assert_eq!(signature.len(), 344);
        assert!(verifier.verifies(b"message", &signature));
        assert!(!verifier.verifies(b"message ", &signature));
        assert!(!verifier.verifies(b"message", "not base64"));
        assert!(!Verifier::new(GATEWAY_PUBLIC_KEY).unwrap().verifies(b"message", &signature));
    }
}
