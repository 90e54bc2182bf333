//! A server of the test's own: lax, read-only, reached by TLS.

use std::path::Path;
use std::process::Command;

use checkback::domain::stock::Sku;
use checkback::store::{Store, StoreError, skus};

use super::database::{at, sku};
use crate::support::engines::{MariaDb, MysqlDatabase, execute};

const PASSWORD: &str = "pa55-of-the-test";

/// The same server and database by an account without special rights.
async fn plain_account(url: &str) -> String {
    let name = url.rsplit('/').next().and_then(|rest| rest.split('?').next()).expect("a name");
    execute(url, format!("create user plain@'127.0.0.1' identified by '{PASSWORD}'")).await;
    execute(url, format!("grant all on {name}.* to plain@'127.0.0.1'")).await;
    url.replace("checkback:checkback@", &format!("plain:{PASSWORD}@"))
}

#[tokio::test]
async fn a_lax_server_cuts_nothing_off_and_a_read_only_one_is_named() {
    let Some(server) = MariaDb::start(&["--sql-mode=", "--max-allowed-packet=1M"]) else { return };
    let database = MysqlDatabase::create_on(&server.url()).await;
    let store = Store::connect(&plain_account(&database.url).await).await.expect("a database");
    store.migrate().await.expect("a schema");
    store.verify().await.expect("fit");
    store.ready().await.expect("ready");
    let long = Sku { title: "茶".repeat(300), ..sku("long", 1) };
    let cut_off = skus::insert(&store, &long, "ops", at(0)).await;
    assert!(matches!(cut_off, Err(StoreError::Database(_))), "{cut_off:?}");

    execute(&server.url(), "set global read_only = 1".to_owned()).await;
    for answer in [store.ready().await, store.verify().await] {
        assert!(matches!(answer, Err(StoreError::ReadOnly)), "{answer:?}");
    }
    let written = skus::insert(&store, &sku("tea", 1), "ops", at(0)).await;
    assert!(matches!(written, Err(StoreError::ReadOnly)), "{written:?}");
    execute(&server.url(), "set global read_only = 0".to_owned()).await;
    store.ready().await.expect("ready again");
    assert!(skus::insert(&store, &sku("tea", 1), "ops", at(0)).await.expect("written"));
    store.close().await;
}

fn openssl(dir: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(dir).args(arguments.split(' ')).output().expect("openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// A server's certificate, the authority that issued it, and one that did not.
fn certificates(dir: &Path) {
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    for authority in ["ca", "other"] {
        openssl(
            dir,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={authority} \
                 -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    openssl(dir, "req -newkey rsa:2048 -nodes -subj /CN=db -keyout key.pem -out request.pem");
    openssl(
        dir,
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out cert.pem",
    );
}

#[tokio::test]
async fn a_server_is_reached_by_tls_and_believed_only_with_its_authority() {
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let options = [
        format!("--ssl-ca={}", file("ca.pem")),
        format!("--ssl-cert={}", file("cert.pem")),
        format!("--ssl-key={}", file("key.pem")),
        "--require-secure-transport=ON".to_owned(),
    ];
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let Some(server) = MariaDb::start(&options) else { return };
    let database = MysqlDatabase::create_on(&server.url()).await;
    let url = plain_account(&database.url).await;
    let with = |options: &str| format!("{}?{options}", url.trim_end_matches('?'));

    for mode in ["VERIFY_CA", "VERIFY_IDENTITY"] {
        let trusted = with(&format!("ssl-mode={mode}&ssl-ca={}", file("ca.pem")));
        let store = Store::connect(&trusted).await.expect("the right authority");
        store.migrate().await.expect("a schema");
        store.verify().await.expect("fit");
        store.close().await;
    }
    let refused = [
        (format!("ssl-mode=VERIFY_CA&ssl-ca={}", file("other.pem")), "certificate"),
        (format!("ssl-mode=VERIFY_CA&ssl-ca={}", file("missing.pem")), "No such file"),
        ("ssl-mode=DISABLED".to_owned(), "Access denied"),
        ("ssl-mode=NONSENSE".to_owned(), "ssl_mode"),
    ];
    for (options, reason) in refused {
        let error = Store::connect(&with(&options)).await.expect_err(&options);
        let error = format!("{error:?} {}", with_causes(&error));
        assert!(error.contains(reason), "{options}: {error}");
        assert!(!error.contains(PASSWORD), "{options} tells the password");
    }
    let wrong = with(&format!("ssl-mode=VERIFY_CA&ssl-ca={}", file("ca.pem")));
    let error = Store::connect(&wrong.replace(PASSWORD, "pa55-that-is-wrong")).await;
    let error = format!("{:?}", error.expect_err("a wrong password"));
    assert!(error.contains("Access denied") && !error.contains("pa55"), "{error}");
}

/// An error with its causes, as the command line tells them.
fn with_causes(error: &StoreError) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}
