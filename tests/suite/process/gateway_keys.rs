//! Keys, certificates and accounts of the gateway: what is refused at start, and what the doctor
//! says about the rest.

use std::fs;
use std::path::{Path, PathBuf};

use alipay_simulator::development_keys as development;
use alipay_simulator::{Certificates, Settings};
use tempfile::TempDir;

use super::broker_settings::{assert_rows, configured, tool};
use super::start_up::{assert_refused, serve};

const EXPIRED: &str = include_str!("../../vectors/certificates/app_expired.crt");
const KEY: &str = "alipay_public_key_file = \"DIR/gateway.pem\"";
const APP: &str = "app_cert_file = \"DIR/app.crt\"";
const ALIPAY: &str = "alipay_cert_file = \"DIR/alipay.crt\"";
const ROOT: &str = "alipay_root_cert_file = \"DIR/root.crt\"";
const PREVIOUS: &str = r#"
[[alipay.previous]]
gateway_url = "http://127.0.0.1:1/gateway.do"
app_id = "2021000000000002"
seller_id = "2088000000000001"
private_key_file = "DIR/app.pem""#;

/// A configuration with these lines in the place of the gateway's key, and certificates beside it.
fn with(lines: &[&str], gateway: &str) -> (TempDir, PathBuf) {
    let is_table = |line: &&&str| line.contains("[[");
    let lines_of = |wanted: bool| {
        let lines: Vec<_> = lines.iter().filter(|line| is_table(line) == wanted).copied().collect();
        lines.join("\n")
    };
    let notify = "notify_url = \"http://127.0.0.1:1/v1/alipay/notify\"";
    let (dir, file) = configured(&[
        (KEY, &lines_of(false)),
        ("http://127.0.0.1:1/gateway.do", gateway),
        (notify, &format!("{notify}\n{}", lines_of(true))),
    ]);
    for (name, text) in [
        ("app.crt", development::APP_CERT),
        ("alipay.crt", development::GATEWAY_CERT),
        ("next.crt", development::OTHER_CERT),
        ("root.crt", development::ROOT_CERT),
        ("own.pem", development::APP_PUBLIC_KEY),
        ("expired.crt", EXPIRED),
    ] {
        fs::write(dir.path().join(name), text).expect("a file");
    }
    (dir, file)
}

const NOWHERE: &str = "http://127.0.0.1:1/gateway.do";

#[tokio::test]
async fn keys_and_certificates_that_do_not_fit_are_refused_with_their_key() {
    let other_app = APP.replace("app.crt", "alipay.crt");
    let own_as_theirs = ALIPAY.replace("alipay.crt", "app.crt");
    let no_certificate = APP.replace("app.crt", "own.pem");
    let no_roots = ROOT.replace("root.crt", "nothing.crt");
    let next = "next_alipay_cert_file = \"DIR/next.crt\"";
    let previous_with_key = format!("{PREVIOUS}\n{KEY}");
    let twice = previous_with_key.replace("2021000000000002", "2021000000000001");
    let misspelt = format!("{previous_with_key}\nnotify_url = \"http://127.0.0.1:1\"");
    let half = format!("{previous_with_key}\n{APP}");
    let own_before = previous_with_key.replace("gateway.pem", "own.pem");
    let cases: [(&[&str], &[&str]); 14] = [
        (&[""], &["alipay.alipay_public_key_file", "app_cert_file"]),
        (&[APP], &["alipay.alipay_cert_file", "certificate mode"]),
        (&[APP, ALIPAY], &["alipay.alipay_root_cert_file", "certificate mode"]),
        (&[ALIPAY, ROOT, KEY], &["alipay.app_cert_file", "certificate mode"]),
        (&[KEY, next], &["alipay.next_alipay_cert_file", "next_alipay_public_key_file"]),
        (&[&other_app, ALIPAY, ROOT], &["alipay.app_cert_file", "alipay.private_key_file"]),
        (&[APP, &own_as_theirs, ROOT], &["[alipay]", "our own application key"]),
        (&[&no_certificate, ALIPAY, ROOT], &["alipay.app_cert_file", "PEM"]),
        (&[APP, ALIPAY, &no_roots], &["alipay.alipay_root_cert_file", "nothing.crt"]),
        (&[KEY, PREVIOUS], &["alipay.previous.alipay_public_key_file of 2021000000000002"]),
        (&[KEY, &twice], &["alipay.previous.app_id of 2021000000000001", "twice"]),
        (&[KEY, &misspelt], &["notify_url"]),
        (&[KEY, &half], &["alipay.previous.alipay_cert_file of 2021000000000002"]),
        (&[KEY, &own_before], &["previous", "2021000000000002", "our own application key"]),
    ];
    for (lines, words) in cases {
        let (_dir, file) = with(lines, NOWHERE);
        assert_refused(serve(&file), words).await;
    }
}

async fn examined(file: &Path) -> String {
    tool("doctor", file).await.stdout
}

#[tokio::test]
async fn the_doctor_tells_what_certificates_are_called_and_when_they_end() {
    let certificates = Some(Certificates::development());
    let settings = Settings { certificates, ..Settings::default() };
    let gateway = alipay_simulator::start(settings).await.expect("the simulator starts");
    let next = "next_alipay_cert_file = \"DIR/next.crt\"";
    let previous = format!("{PREVIOUS}\n{KEY}");
    let (_dir, file) = with(&[APP, ALIPAY, next, ROOT, &previous], &gateway.gateway_url());
    assert_rows(
        &examined(&file).await,
        &[
            ("ok", &["alipay.app_cert_file", "ca27b5d4794884f1da39a1779df88bb4", "2123-12-31"]),
            ("ok", &["alipay.alipay_cert_file", "69a109c12ef1cdfadac1fbadc572f9b1"]),
            ("ok", &["alipay.next_alipay_cert_file", "deff58247cca3993b170903656a96411"]),
            ("ok", &["alipay.alipay_root_cert_file", "733b69a0db14c9d0c0dc168d1d009c06_"]),
            ("ok", &["alipay.previous.alipay_public_key_file of 2021000000000002", "SHA-256"]),
            ("ok", &["gateway", "signatures agree"]),
            ("FAIL", &["gateway, previous 2021000000000002"]),
        ],
    );
    let ended = APP.replace("app.crt", "expired.crt");
    let not_theirs = ALIPAY.replace("alipay.crt", "app.crt");
    let (_dir, file) = with(&[&ended, &not_theirs, ROOT], &gateway.gateway_url());
    assert_rows(
        &examined(&file).await,
        &[
            ("FAIL", &["alipay.app_cert_file", "ended on 2022-01-01"]),
            ("FAIL", &["alipay.alipay_cert_file", "our own key"]),
            ("FAIL", &["gateway", "our own application key"]),
        ],
    );
    gateway.shutdown().await;
}
