//! RSA2 (SHA-256 with RSA, PKCS#1 v1.5): what is signed, and over which bytes.
//!
//! The algorithm is pinned here; no message chooses it.

use base64::Engine as _;

use super::keys::{AlipayPublicKey, AppPrivateKey, BASE64, KeyError};

/// The name of the one algorithm that we use and accept.
pub const SIGN_TYPE: &str = "RSA2";

/// The parameter that carries the signature and is never part of what it signs.
pub(super) const SIGN: &str = "sign";

/// The text that a request's signature covers: all parameters but `sign` that have a name and a
/// value, sorted by name, values as they are.
///
/// ```
/// use checkback::alipay::sign::sign_string;
///
/// let parameters = [("version", "1.0"), ("app_id", "2021"), ("notify_url", ""), ("sign", "x")];
/// assert_eq!(sign_string(&parameters), "app_id=2021&version=1.0");
/// ```
#[must_use]
pub fn sign_string(parameters: &[(&str, &str)]) -> String {
    let mut signed: Vec<_> = parameters
        .iter()
        .filter(|(name, value)| !name.is_empty() && !value.is_empty() && *name != SIGN)
        .collect();
    signed.sort_unstable();
    let pairs: Vec<_> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The signature of the bytes, in base64.
///
/// # Errors
///
/// [`KeyError::Crypto`] when the cryptographic library fails.
pub fn sign(key: &AppPrivateKey, bytes: impl AsRef<[u8]>) -> Result<String, KeyError> {
    key.sign(bytes.as_ref()).map(|signature| BASE64.encode(signature))
}

/// Whether one of the keys made the base64 signature over exactly these bytes.
#[must_use]
pub fn verify(keys: &[AlipayPublicKey], bytes: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = BASE64.decode(signature) else {
        return false;
    };
    keys.iter().any(|key| key.verifies(bytes, &signature))
}

#[cfg(test)]
mod tests {
    use super::sign_string;

    #[test]
    fn names_are_sorted_by_their_bytes() {
        let parameters = [("b", "2"), ("a_b", "1"), ("a", "&="), ("B", "中"), ("", "x")];
        assert_eq!(sign_string(&parameters), "B=中&a=&=&a_b=1&b=2");
    }
}
