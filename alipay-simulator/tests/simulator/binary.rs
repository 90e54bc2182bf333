//! The simulator as a process of its own: killed, started again, and asked to end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::json;

use crate::merchant::{Shop, order, until};

/// A running binary; killed when the test is over.
struct Process {
    child: Child,
    base_url: String,
}

impl Process {
    fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_alipay-simulator"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let start = line.find("http://").unwrap();
        let base_url = line[start..].split("/gateway.do").next().unwrap().to_owned();
        Self { child, base_url }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Orders and pays until nobody answers any more; what was confirmed goes on the list.
async fn shop_on(shop: &Shop, prefix: &str, confirmed: &Mutex<Vec<String>>) {
    for index in 0.. {
        let number = format!("{prefix}T{index}");
        if shop.try_call("precreate", order(&number)).await.is_err() {
            return;
        }
        let pay = json!({"out_trade_no": number}).to_string();
        match shop.http.post(shop.url("/_ctl/pay")).body(pay).send().await {
            Ok(answer) if answer.status() == 200 => confirmed.lock().unwrap().push(number),
            _ => return,
        }
    }
}

#[tokio::test]
async fn what_was_confirmed_survives_kills_under_load_and_a_polite_end_is_a_success() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open().await;
    let confirmed = Mutex::new(Vec::new());
    for round in 1..=3 {
        let process = Process::start(directory.path());
        shop.elsewhere = Some(process.base_url.clone());
        let prefixes = ["A", "B", "C", "D"].map(|prefix| format!("{prefix}{round}"));
        let killed = async {
            until("some are paid", async || confirmed.lock().unwrap().len() >= 20 * round).await;
            drop(process);
        };
        let [a, b, c, d] = prefixes.each_ref().map(|prefix| shop_on(&shop, prefix, &confirmed));
        tokio::join!(a, b, c, d, killed);
    }
    let mut process = Process::start(directory.path());
    shop.elsewhere = Some(process.base_url.clone());
    for number in confirmed.into_inner().unwrap() {
        assert_eq!(shop.trade(&number).await["state"], "TRADE_SUCCESS");
    }
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(process.child.wait().unwrap().success());
}
