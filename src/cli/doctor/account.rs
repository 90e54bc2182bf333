//! Keys of our callers, and the account at the gateway.

use std::fs;
use std::path::Path;

use super::table::Table;
use crate::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Scope};
use crate::run::open_gateway;

/// A number that no trade has: the gateway's answer to it proves address, keys and signature.
const PROBE_NUMBER: &str = "CHECKBACKDOCTORPROBE";

pub(super) fn check_keys(config: &Config, file: &Path, table: &mut Table) {
    for key in &config.http.keys {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| Scope::as_str(*scope)).collect();
        table.ok(format!("API key {}", key.name), scopes.join(", "));
    }
    check_secrets(file, table);
    let private = read(&config.alipay.private_key_file, AppPrivateKey::parse);
    let public = read(&config.alipay.alipay_public_key_file, AlipayPublicKey::parse);
    if let (Ok(private), Ok(public)) = (&private, &public)
        && private.is_pair_of(public)
    {
        let why = "is our own public key: Alipay's is another one, from its console";
        table.fail("alipay.alipay_public_key_file", why);
    }
    let ours = private.map(|key| {
        let (bits, print) = (key.bits(), key.fingerprint());
        format!("{bits} bits, its public key has SHA-256 {print}")
    });
    table.result("alipay.private_key_file", ours);
    let theirs = public.map(|key| format!("SHA-256 {}", key.fingerprint()));
    table.result("alipay.alipay_public_key_file", theirs);
    table.ok("Alipay's certificates", "none: key mode, nothing that ends");
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

pub(super) async fn check_gateway(config: &Config, table: &mut Table) {
    let url = &config.alipay.gateway_url;
    let gateway = match open_gateway(&config.alipay) {
        Ok(gateway) => gateway,
        Err(error) => return table.fail("gateway", format!("{error:#}")),
    };
    let answer = gateway.query(PROBE_NUMBER, SystemClock.now()).await;
    if answer.is_definite() {
        table.ok("gateway", format!("{url} answers, signatures agree"));
    } else {
        table.fail("gateway", format!("{url}: {answer:?}"));
    }
}
