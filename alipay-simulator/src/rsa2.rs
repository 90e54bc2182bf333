//! RSA2 (PKCS#1 v1.5 with SHA-256) over the exact bytes, base64 at the edges.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};

use crate::keys::{self, KeyError};

/// Signs with one private key.
#[derive(Debug)]
pub(crate) struct Signer {
    key: KeyPair,
    random: SystemRandom,
}

impl Signer {
    pub(crate) fn new(private_key: &str) -> Result<Self, KeyError> {
        Ok(Self { key: keys::private_key(private_key)?, random: SystemRandom::new() })
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
    use super::{Signer, Verifier};
    use crate::development_keys::{APP_PRIVATE_KEY, APP_PUBLIC_KEY, GATEWAY_PUBLIC_KEY};

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
