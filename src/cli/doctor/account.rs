//! Keys of our callers, and the accounts at the gateway: their keys, certificates and answers.

use std::fs;
use std::path::{Path, PathBuf};

use super::certificates::{judge_certificate, judge_roots};
use super::table::Table;
use crate::alipay::certificates::{Certificate, RootCertificates};
use crate::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, PlacedAccount, Scope};
use crate::run::open_gateway;

/// Whether a certificate stands in its right place.
type Fits<'a> = &'a dyn Fn(&Certificate) -> bool;

/// A number that no trade has: the gateway's answer to it proves address, keys and signature.
const PROBE_NUMBER: &str = "CHECKBACKDOCTORPROBE";

pub(super) fn check_keys(config: &Config, file: &Path, table: &mut Table) {
    for key in &config.http.keys {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| Scope::as_str(*scope)).collect();
        table.ok(format!("API key {}", key.name), scopes.join(", "));
    }
    check_secrets(file, table);
    for placed in config.alipay.accounts() {
        check_account(&placed, table);
    }
}

fn check_account(placed: &PlacedAccount, table: &mut Table) {
    let account = &placed.account;
    let private = read(&account.private_key_file, AppPrivateKey::parse);
    let ours = private.as_ref().map(|key| {
        let (bits, print) = (key.bits(), key.fingerprint());
        format!("{bits} bits, its public key has SHA-256 {print}")
    });
    table.result(placed.key("private_key_file"), ours);
    let private = private.ok();
    for (name, file) in [
        ("alipay_public_key_file", &account.alipay_public_key_file),
        ("next_alipay_public_key_file", &account.next_alipay_public_key_file),
    ] {
        check_public_key(&placed.key(name), file.as_deref(), private.as_ref(), table);
    }
    if account.certificate_files().is_none() {
        return table.ok("Alipay's certificates", "none: key mode, nothing that ends");
    }
    check_certificates(placed, private.as_ref(), table);
}

fn check_public_key(
    key: &str,
    file: Option<&Path>,
    private: Option<&AppPrivateKey>,
    table: &mut Table,
) {
    let Some(file) = file else { return };
    match read(file, AlipayPublicKey::parse) {
        Ok(public) if private.is_some_and(|private| private.is_pair_of(&public)) => {
            table.fail(key, "is our own public key: Alipay's is another one, from its console");
        }
        theirs => table.result(key, theirs.map(|key| format!("SHA-256 {}", key.fingerprint()))),
    }
}

fn check_certificates(placed: &PlacedAccount, private: Option<&AppPrivateKey>, table: &mut Table) {
    let (account, now) = (&placed.account, SystemClock.now());
    let is_ours = |certificate: &Certificate| {
        private.is_none_or(|private| private.is_certified_by(certificate))
    };
    let not_ours = |certificate: &Certificate| !is_ours(certificate) || private.is_none();
    let of_others = "is not one of our private key: upload a request of that key, or configure \
                     the key that it is of";
    let of_ours = "is one of our own key: Alipay's certificate is another one, from its console";
    let rows: [(&str, &Option<PathBuf>, Fits<'_>, &str); 3] = [
        ("app_cert_file", &account.app_cert_file, &is_ours, of_others),
        ("alipay_cert_file", &account.alipay_cert_file, &not_ours, of_ours),
        ("next_alipay_cert_file", &account.next_alipay_cert_file, &not_ours, of_ours),
    ];
    for (name, file, fits, otherwise) in rows {
        let Some(file) = file else { continue };
        let key = placed.key(name);
        match read(file, Certificate::parse) {
            Ok(certificate) if !fits(&certificate) => table.fail(key, otherwise),
            Ok(certificate) => judge_certificate(&key, &certificate, now, table),
            Err(why) => table.fail(key, why),
        }
    }
    if let Some(file) = &account.alipay_root_cert_file {
        let key = placed.key("alipay_root_cert_file");
        match read(file, RootCertificates::parse) {
            Ok(roots) => judge_roots(&key, &roots, now, table),
            Err(why) => table.fail(key, why),
        }
    }
}

fn read<K, E: std::fmt::Display>(
    file: &Path,
    parse: impl Fn(&str) -> Result<K, E>,
) -> Result<K, String> {
    let text = fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    parse(&text).map_err(|why| format!("{}: {why}", file.display()))
}

fn check_secrets(file: &Path, table: &mut Table) {
    let what = "secrets";
    match Config::exposed_secrets(file) {
        Ok(exposed) if exposed.is_empty() => table.ok(what, "no other user can read them"),
        Ok(exposed) => exposed.iter().for_each(|sentence| table.warn(what, sentence)),
        Err(error) => table.fail(what, error),
    }
}

pub(super) async fn check_gateways(config: &Config, table: &mut Table) {
    for placed in config.alipay.accounts() {
        check_gateway(&placed, config, table).await;
    }
}

async fn check_gateway(placed: &PlacedAccount, config: &Config, table: &mut Table) {
    let account = &placed.account;
    let what = if placed.is_previous {
        format!("gateway, previous {}", account.app_id)
    } else {
        "gateway".to_owned()
    };
    let url = &account.gateway_url;
    let gateway = match open_gateway(placed, &config.alipay) {
        Ok(gateway) => gateway,
        Err(error) => return table.fail(what, format!("{error:#}")),
    };
    let answer = gateway.query(PROBE_NUMBER, SystemClock.now()).await;
    if answer.is_definite() {
        table.ok(what, format!("{url} answers, signatures agree"));
    } else {
        table.fail(what, format!("{url}: {answer:?}"));
    }
}
