//! Starts the real thing: free ports, side by side, again on the same directory.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use embedded_rocketmq::{Settings, StartError, start};

fn settings(data_dir: &Path) -> Settings {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        data_dir: data_dir.to_owned(),
        namesrv: free,
        broker: free,
        check_interval: Duration::from_secs(1),
        pay_window: Duration::from_secs(10),
    }
}

#[tokio::test]
async fn two_run_side_by_side_and_each_starts_again_on_its_directory() {
    let (one, other) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let first = start(settings(one.path())).await.expect("the first starts");
    let second = start(settings(other.path())).await.expect("the second starts");
    for address in [first.namesrv_address(), first.broker_address(), second.broker_address()] {
        TcpStream::connect(address).expect("it listens");
    }
    let taken =
        Settings { namesrv: first.namesrv_address(), ..settings(&one.path().join("elsewhere")) };
    let error = start(taken).await.expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen { listener: "name server", .. }), "{error}");
    let error = start(settings(one.path())).await.expect_err("the directory is in use");
    assert!(matches!(error, StartError::DataDirInUse { .. }), "{error}");

    let again = Settings {
        namesrv: first.namesrv_address(),
        broker: first.broker_address(),
        ..settings(one.path())
    };
    first.shutdown().await;
    let first = start(again).await.expect("it starts again");
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test]
async fn an_unwritable_directory_is_named() {
    let error =
        start(settings(Path::new("/proc/nowhere"))).await.expect_err("nobody can write there");
    assert!(error.to_string().contains("data directory /proc/nowhere"), "{error}");
}
