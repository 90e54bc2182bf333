//! One account at the gateway: whose it is, and the files by which both sides recognise each other.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// An account that attempts were made with and still belong to: `[[alipay.previous]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The gateway's address.
    pub gateway_url: String,
    /// Our application.
    pub app_id: String,
    /// The seller who gets the money.
    pub seller_id: String,
    /// Our private key.
    pub private_key_file: PathBuf,
    /// The gateway's public key; wanted without certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alipay_public_key_file: Option<PathBuf>,
    /// The key that comes next, or the one before: accepted, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_alipay_public_key_file: Option<PathBuf>,
    /// Our certificate; with the next two, certificate mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_cert_file: Option<PathBuf>,
    /// The gateway's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alipay_cert_file: Option<PathBuf>,
    /// The gateway's certificate that comes next, or the one before: accepted, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_alipay_cert_file: Option<PathBuf>,
    /// The roots above both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alipay_root_cert_file: Option<PathBuf>,
}

/// An account with its place in the configuration.
#[derive(Clone, Debug)]
pub struct PlacedAccount {
    /// Whose it is, and its files.
    pub account: Account,
    /// Whether it makes no attempts any more.
    pub is_previous: bool,
}

/// The files of certificate mode.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFiles<'a> {
    /// Our certificate.
    pub app: &'a Path,
    /// The gateway's.
    pub alipay: &'a Path,
    /// The roots above both.
    pub root: &'a Path,
}

/// Longest address that the gateway takes from us.
pub(super) const URL_CHARS_MAX: usize = 256;

impl Account {
    /// The files of certificate mode, if all of them are configured.
    #[must_use]
    pub fn certificate_files(&self) -> Option<CertificateFiles<'_>> {
        let app = self.app_cert_file.as_deref()?;
        let alipay = self.alipay_cert_file.as_deref()?;
        let root = self.alipay_root_cert_file.as_deref()?;
        Some(CertificateFiles { app, alipay, root })
    }
}

impl PlacedAccount {
    /// How a key of this account is called in the configuration.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        if self.is_previous {
            format!("alipay.previous.{name} of {}", self.account.app_id)
        } else {
            format!("alipay.{name}")
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let account = &self.account;
        for (name, value) in [("app_id", &account.app_id), ("seller_id", &account.seller_id)] {
            if value.is_empty() || value.len() > 32 || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err(self.invalid(name, "must be 1 to 32 digits"));
            }
        }
        if !is_web_address(&account.gateway_url) {
            return Err(self.invalid("gateway_url", NO_WEB_ADDRESS));
        }
        self.validate_files()
    }

    /// Either all three certificates, or a bare public key. Beside certificates a bare key may
    /// stand, too: it is accepted while an account changes from one mode to the other.
    fn validate_files(&self) -> Result<(), ConfigError> {
        let account = &self.account;
        let certificates = [
            ("app_cert_file", &account.app_cert_file),
            ("alipay_cert_file", &account.alipay_cert_file),
            ("alipay_root_cert_file", &account.alipay_root_cert_file),
        ];
        let missing = certificates.iter().find(|(_, file)| file.is_none());
        match missing {
            Some((name, _)) if certificates.iter().any(|(_, file)| file.is_some()) => {
                let why = "is missing: certificate mode needs app_cert_file, alipay_cert_file and \
                           alipay_root_cert_file";
                return Err(self.invalid(name, why));
            }
            Some(_) if account.next_alipay_cert_file.is_some() => {
                let why = "belongs to certificate mode: without app_cert_file, alipay_cert_file \
                           and alipay_root_cert_file use next_alipay_public_key_file";
                return Err(self.invalid("next_alipay_cert_file", why));
            }
            Some(_) if account.alipay_public_key_file.is_none() => {
                let why = "is missing: it is Alipay's public key, unless there are app_cert_file, \
                           alipay_cert_file and alipay_root_cert_file";
                return Err(self.invalid("alipay_public_key_file", why));
            }
            _ => {}
        }
        Ok(())
    }

    fn invalid(&self, name: &str, why: &str) -> ConfigError {
        ConfigError::invalid(&self.key(name), why)
    }
}

pub(super) const NO_WEB_ADDRESS: &str =
    "must be an http or https address of at most 256 characters";

pub(super) fn is_web_address(value: &str) -> bool {
    let is_http = value.starts_with("http://") || value.starts_with("https://");
    is_http && value.len() <= URL_CHARS_MAX
}
