//! Makes the gateway's clients out of the configured accounts and their files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use crate::alipay::certificates::{Certificate, RootCertificates};
use crate::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use crate::alipay::{Account, Alipay as Gateway, CallObserver, CertificateNames};
use crate::config::{Alipay, CertificateFiles, PlacedAccount};

/// The clients of all accounts; the first one's makes new attempts. The observer is told whether it
/// is for a previous account.
pub(super) fn open_all(
    config: &Alipay,
    observer: impl Fn(bool) -> CallObserver,
) -> anyhow::Result<Vec<Gateway>> {
    let accounts = config.accounts();
    let opened = accounts.iter().map(|placed| open(placed, config, observer(placed.is_previous)));
    opened.collect()
}

/// Makes the client of one account; its calls are not counted.
///
/// # Errors
/// If the address, a key or a certificate can't be read, or they don't fit each other.
pub fn open_gateway(placed: &PlacedAccount, config: &Alipay) -> anyhow::Result<Gateway> {
    open(placed, config, Arc::new(|_: &'static str, _: &'static str, _: Duration| {}))
}

fn open(
    placed: &PlacedAccount,
    config: &Alipay,
    observer: CallObserver,
) -> anyhow::Result<Gateway> {
    let configured = &placed.account;
    let url = configured.gateway_url.parse();
    let gateway_url =
        url.with_context(|| format!("{} can't be read", placed.key("gateway_url")))?;
    let key = read(placed, "private_key_file", &configured.private_key_file, AppPrivateKey::parse)?;
    let files = configured.certificate_files();
    let certificates = files.map(|files| name_certificates(placed, files, &key)).transpose()?;
    let account = Account {
        gateway_url,
        app_id: configured.app_id.clone(),
        seller_id: configured.seller_id.clone(),
        notify_url: config.notify_url.clone(),
        key,
        alipay_keys: alipay_keys(placed)?,
        calls_per_second: config.calls_per_second,
        certificates,
    };
    let unusable = || format!("{}: the account at the gateway can't be used", account_key(placed));
    Gateway::new(account, observer).with_context(unusable)
}

/// What requests call our certificate, which must be one of our key, and the roots.
fn name_certificates(
    placed: &PlacedAccount,
    files: CertificateFiles<'_>,
    key: &AppPrivateKey,
) -> anyhow::Result<CertificateNames> {
    let app = read(placed, "app_cert_file", files.app, Certificate::parse)?;
    if !key.is_certified_by(&app) {
        let (certificate, private) = (placed.key("app_cert_file"), placed.key("private_key_file"));
        anyhow::bail!("{certificate}: this certificate is of another key than {private}");
    }
    let root = read(placed, "alipay_root_cert_file", files.root, RootCertificates::parse)?;
    Ok(CertificateNames {
        app_cert_sn: app.sn().to_owned(),
        alipay_root_cert_sn: root.sn().to_owned(),
    })
}

/// When each configured certificate ends, by its key in the configuration.
pub(super) fn certificate_ends(config: &Alipay) -> anyhow::Result<Vec<(String, DateTime<Utc>)>> {
    let mut ends = Vec::new();
    for placed in &config.accounts() {
        let account = &placed.account;
        for (name, file) in [
            ("app_cert_file", &account.app_cert_file),
            ("alipay_cert_file", &account.alipay_cert_file),
            ("next_alipay_cert_file", &account.next_alipay_cert_file),
        ] {
            let Some(file) = file else { continue };
            let certificate = read(placed, name, file, Certificate::parse)?;
            ends.push((placed.key(name), certificate.not_after()));
        }
        let Some(file) = &account.alipay_root_cert_file else { continue };
        let roots = read(placed, "alipay_root_cert_file", file, RootCertificates::parse)?;
        ends.push((placed.key("alipay_root_cert_file"), roots.not_after()));
    }
    Ok(ends)
}

/// Every key of Alipay's that is accepted.
fn alipay_keys(placed: &PlacedAccount) -> anyhow::Result<Vec<AlipayPublicKey>> {
    let account = &placed.account;
    let mut keys = Vec::new();
    for (name, file) in [
        ("alipay_public_key_file", &account.alipay_public_key_file),
        ("next_alipay_public_key_file", &account.next_alipay_public_key_file),
    ] {
        let Some(file) = file else { continue };
        keys.push(read(placed, name, file, AlipayPublicKey::parse)?);
    }
    for (name, file) in [
        ("alipay_cert_file", &account.alipay_cert_file),
        ("next_alipay_cert_file", &account.next_alipay_cert_file),
    ] {
        let Some(file) = file else { continue };
        let certificate = read(placed, name, file, Certificate::parse)?;
        let key = AlipayPublicKey::of_certificate(&certificate);
        keys.push(key.with_context(|| placed.key(name))?);
    }
    Ok(keys)
}

fn read<T, E>(
    placed: &PlacedAccount,
    name: &str,
    file: &Path,
    parse: impl Fn(&str) -> Result<T, E>,
) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: can't read {}", placed.key(name), file.display()))?;
    parse(&text).with_context(|| placed.key(name))
}

fn account_key(placed: &PlacedAccount) -> String {
    if placed.is_previous { placed.key("app_id") } else { "[alipay]".to_owned() }
}
