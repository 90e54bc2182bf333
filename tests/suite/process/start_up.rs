//! What stands in the way of a start is said in one clear line, soon, with an exit code that isn't
//! a success.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::child::{Process, checkback, note};
use super::demo::{Ports, Site, demo};

/// A few seconds, on a busy machine.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(20);
/// A configuration that can be used, but for the accounts and keys that it names.
pub(super) const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
[[http.keys]]
name = "storefront"
key = "secret-of-the-storefront"
scopes = ["orders"]
[database]
url = "sqlite:DIR/checkback.db"
[rocketmq]
namesrv = "127.0.0.1:1"
[timeout]
pay_window = "60s"
check_interval = "5s"
broker_check_max = 123
[alipay]
gateway_url = "http://127.0.0.1:1/gateway.do"
app_id = "2021000000000001"
seller_id = "2088000000000001"
private_key_file = "DIR/app.pem"
alipay_public_key_file = "DIR/gateway.pem"
notify_url = "http://127.0.0.1:1/v1/alipay/notify"
"#;

/// The command refuses: one line of its own on standard error, with all of these words.
pub(super) async fn assert_refused(command: Command, words: &[&str]) {
    let logs = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let ended = Process::start("refused", logs.path(), command).end_within(REFUSAL_PATIENCE).await;
    let own = |line: &&str| !line.is_empty() && !is_log(line);
    let lines: Vec<_> = ended.stderr.lines().filter(own).collect();
    note(format_args!("{:?} {:?} {lines:?}", begun.elapsed(), ended.status.code()));
    assert!(ended.status.code().is_some_and(|code| code != 0), "{ended:?}");
    let [line] = lines[..] else { panic!("not one line: {lines:#?}") };
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert!(!ended.stderr.contains("secret-of"), "a secret: {ended:?}");
}

/// Whether the line is of the log, which begins with a time, and no worse than a warning.
fn is_log(line: &str) -> bool {
    let timed = line.starts_with("20") && line.contains('T');
    assert!(!timed || !line.contains(" ERROR "), "{line}");
    timed
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let site = Site::new("60s", "5s");
    let Ports { http, simulator, namesrv, broker } = site.ports;
    let mut fast = broker;
    fast.set_port(broker.port() - 2);
    for taken in [http, simulator, namesrv, broker, fast] {
        let _squatter = TcpListener::bind(taken).expect("a free port");
        assert_refused(site.demo(), &[&taken.to_string()]).await;
    }
    // No refused start left anything that stands in the way.
    site.start().await.terminate().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").expect("a file");
    let below_file = file.join("below");
    let ports = Ports::free();
    for unusable in [file.as_path(), below_file.as_path(), Path::new("/proc/checkback")] {
        assert_refused(demo(unusable, &ports, &[]), &[&display(unusable)]).await;
        assert_refused(broker(unusable, &ports), &[&display(unusable)]).await;
    }
    assert_eq!(fs::read_to_string(&file).expect("the file"), "not a directory");
}

#[tokio::test]
async fn a_directory_that_a_living_demo_holds_is_named_with_its_holder() {
    let site = Site::new("60s", "5s");
    let first = site.start().await;
    let elsewhere = Ports::free();
    let second = demo(&site.data_dir(), &elsewhere, &site.options);
    let holder = first.process.id().to_string();
    assert_refused(second, &[&display(&site.data_dir()), &holder]).await;
    let its_broker = site.data_dir().join("rocketmq");
    assert_refused(broker(&its_broker, &elsewhere), &[&display(&its_broker), "in use"]).await;

    first.shop.place("it was not disturbed").await;
    // A dead holder's lock is taken over silently.
    first.process.kill();
    let second = site.start().await;
    second.shop.place("it goes on").await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_refused_with_its_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = CONFIG.replace("DIR", &display(dir.path()));
    let without_keys = {
        let (before, rest) = good.split_once("[[http.keys]]").expect("keys");
        let (_, after) = rest.split_once("[database]").expect("a database");
        format!("{before}[database]{after}")
    };
    let edited = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let cases: [(String, &[&str]); 10] = [
        ("[http\nlisten".to_owned(), &["checkback.toml"]),
        (String::new(), &["http"]),
        (without_keys, &["http.keys"]),
        (edited("[rocketmq]", "[rocketmq]\nname_perfix = \"a\""), &["name_perfix"]),
        (edited("[database]", "[data_base]\n[database]"), &["data_base"]),
        (edited("\"60s\"", "\"soon\""), &["timeout.pay_window"]),
        (edited("\"60s\"", "\"1s\""), &["timeout.pay_window"]),
        (edited("= 123", "= 5"), &["timeout.broker_check_max", "transactionCheckMax"]),
        (edited("sqlite:", "oracle:"), &["database.url"]),
        (good.clone(), &["alipay.private_key_file", "app.pem"]),
    ];
    for (text, words) in cases {
        let file = dir.path().join("checkback.toml");
        fs::write(&file, text).expect("a file");
        assert_refused(serve(&file), words).await;
    }
    assert_refused(serve(&dir.path().join("nowhere.toml")), &["nowhere.toml"]).await;
}

#[tokio::test]
async fn a_variable_that_cannot_be_used_is_refused_with_its_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("checkback.toml");
    fs::write(&file, CONFIG.replace("DIR", &display(dir.path()))).expect("a file");
    let mut command = serve(&file);
    command.env("CHECKBACK__TIMEOUT__CHECK_INTERVAL", "now and then");
    assert_refused(command, &["timeout.check_interval"]).await;
    let mut command = serve(&file);
    command.env("CHECKBACK__TIMEOUT__BROKER_CHECK_MAX", "4");
    assert_refused(command, &["timeout.broker_check_max"]).await;
}

#[tokio::test]
async fn a_demo_with_impossible_options_is_refused() {
    let site = Site::new("1s", "1s");
    assert_refused(site.demo(), &["timeout.pay_window"]).await;
    let site = Site::new("5s", "10s");
    assert_refused(site.demo(), &["timeout.check_interval"]).await;
    let mut open = checkback();
    open.args(["demo", "--http", "0.0.0.0:0", "--data-dir"]).arg(site.data_dir());
    assert_refused(open, &["--http", "loopback"]).await;
}

pub(super) fn serve(file: &Path) -> Command {
    let mut command = checkback();
    command.arg("serve").arg("--config").arg(file);
    command
}

fn broker(data_dir: &Path, ports: &Ports) -> Command {
    let mut command = checkback();
    command.arg("broker").arg("--data-dir").arg(data_dir);
    command.args(["--namesrv", &ports.namesrv.to_string()]);
    command.args(["--broker", &ports.broker.to_string()]);
    command
}
