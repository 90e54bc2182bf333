//! Bills, as a merchant fetches and unpacks them.

use std::io::Read as _;
use std::time::Duration;

use encoding_rs::GBK;
use flate2::read::DeflateDecoder;
use serde_json::{Value, json};

use crate::merchant::Shop;

const DAY: Duration = Duration::from_hours(24);

impl Shop {
    /// Asks where the bill of a day is.
    async fn bill_url(&self, biz: Value) -> Value {
        let mut params = self.params("", &biz);
        let method = "alipay.data.dataservice.bill.downloadurl.query";
        params.insert("method".to_owned(), method.to_owned());
        self.sign(&mut params);
        self.send(&params).await.unwrap().node()
    }

    async fn bill(&self, day: &str) -> Vec<(String, String)> {
        let node = self.bill_url(json!({"bill_type": "trade", "bill_date": day})).await;
        assert_eq!(node["code"], "10000", "{node}");
        let answer =
            self.http.get(node["bill_download_url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        unzip(&answer.bytes().await.unwrap())
    }

    /// Today in China, as the simulator's clock has it.
    async fn today(&self) -> String {
        let (_, clock) = self.control("clock", json!({"advance_ms": 0})).await;
        let now: chrono::DateTime<chrono::Utc> = clock["now"].as_str().unwrap().parse().unwrap();
        (now + chrono::TimeDelta::hours(8)).format("%Y-%m-%d").to_string()
    }
}

/// The files of an archive, read from its front to its back.
fn unzip(mut archive: &[u8]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    while archive.starts_with(b"PK\x03\x04") {
        let number = |at: usize| u32::from_le_bytes(archive[at..at + 4].try_into().unwrap());
        let (packed, unpacked) = (number(18) as usize, number(22) as usize);
        let name_end = 30 + usize::from(archive[26]);
        let mut content = Vec::new();
        let data = &archive[name_end..name_end + packed];
        DeflateDecoder::new(data).read_to_end(&mut content).unwrap();
        assert_eq!(content.len(), unpacked);
        let text = |bytes| GBK.decode_without_bom_handling_and_without_replacement(bytes).unwrap();
        files.push((text(&archive[30..name_end]).into(), text(&content).into()));
        archive = &archive[name_end + packed..];
    }
    assert!(archive.starts_with(b"PK\x01\x02"), "its directory follows");
    files
}

#[tokio::test]
async fn a_bill_has_a_line_for_everything_that_came_and_went_on_its_day() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.paid("T2").await;
    shop.precreate("T3").await;
    let refund = json!({"out_trade_no": "T1", "refund_amount": "8.88", "out_request_no": "R1"});
    assert_eq!(shop.call("refund", refund).await["fund_change"], "Y");
    let day = shop.today().await;
    shop.advance(DAY).await;
    let files = shop.bill(&day).await;
    let [(detail_name, detail), (summary_name, summary)] = &files[..] else {
        panic!("two files: {files:?}")
    };
    assert!(detail_name.ends_with("_业务明细.csv") && summary_name.contains("汇总"));
    assert!(detail.ends_with("]\r\n") && summary.contains("合计\t,,2,1,"));
    let rows: Vec<_> = detail.split("\r\n").filter(|row| !row.starts_with('#')).collect();
    assert_eq!(rows.len(), 5, "a head, three lines and nothing: {rows:#?}");
    assert!(rows.iter().take(4).all(|row| row.matches(',').count() == 24), "{rows:#?}");
    assert!(rows[0].starts_with("支付宝交易号,商户订单号,业务类型,"));
    assert!(rows[1].contains(",T1\t,交易\t,") && rows[1].contains(",88.88,"));
    let refunded = rows.iter().find(|row| row.contains("退款\t")).unwrap();
    assert!(refunded.contains(",T1\t,") && refunded.contains(",-8.88,"), "{refunded}");
    assert!(refunded.contains(",R1\t,"), "{refunded}");
    assert!(detail.contains("#交易合计：2笔，退款合计：1笔，"));
}

#[tokio::test]
async fn there_is_no_bill_of_today_nor_of_a_day_on_which_nothing_happened() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let day = shop.today().await;
    for (biz, sub_code) in [
        (json!({"bill_type": "trade", "bill_date": day}), "BILL_NOT_EXIST"),
        (json!({"bill_type": "trade", "bill_date": "2020-01-01"}), "BILL_NOT_EXIST"),
        (json!({"bill_type": "trade", "bill_date": "yesterday"}), "INVAILID_ARGUMENTS"),
        (json!({"bill_type": "other", "bill_date": "2020-01-01"}), "INVAILID_ARGUMENTS"),
        (json!({"bill_date": "2020-01-01"}), "INVAILID_ARGUMENTS"),
    ] {
        let node = shop.bill_url(biz).await;
        assert_eq!(
            (node["code"].as_str(), node["sub_code"].as_str()),
            (Some("40004"), Some(sub_code))
        );
    }
    shop.advance(32 * DAY).await;
    let month = shop.bill_url(json!({"bill_type": "trade", "bill_date": &day[..7]})).await;
    assert_eq!(month["code"], "10000", "{month}");
}

#[tokio::test]
async fn the_address_of_a_bill_is_good_for_half_a_minute() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let day = shop.today().await;
    shop.advance(DAY).await;
    let node = shop.bill_url(json!({"bill_type": "trade", "bill_date": day})).await;
    let url = node["bill_download_url"].as_str().unwrap().to_owned();
    assert_eq!(shop.http.get(&url).send().await.unwrap().status(), 200);
    shop.advance(Duration::from_secs(30)).await;
    assert_eq!(shop.http.get(&url).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn faults_spoil_bills_and_single_lines() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.paid("T2").await;
    let day = shop.today().await;
    shop.advance(DAY).await;
    let method = "alipay.data.dataservice.bill.downloadurl.query";
    shop.fault(json!({"method": method, "kind": "bill_line_missing", "out_trade_no": "T1"})).await;
    shop.fault(json!({"method": "*", "kind": "bill_wrong_amount", "out_trade_no": "T2"})).await;
    shop.fault(json!({"method": method, "kind": "bill_extra_column"})).await;
    let detail = shop.bill(&day).await.remove(0).1;
    assert!(!detail.contains("T1\t") && detail.contains("x\t,") && detail.contains(",88.89,"));
    let refused =
        shop.control("faults", json!({"method": "notify", "kind": "bill_truncated"})).await;
    assert_eq!(refused.0, 400);
    shop.clear_faults().await;
    assert_eq!(shop.bill(&day).await[0].1.matches(",88.88,88.88,").count(), 2);
}
