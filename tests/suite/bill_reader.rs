//! The bill reader: it reads what Alipay writes, in whatever order of columns, and never takes one
//! number for another. What isn't clear is an error of its line, or of the whole.

use std::io::{Cursor, Write as _};

use checkback::alipay::bill::HeaderError;
use checkback::alipay::bill::reader::{BillError, read_bill};
use checkback::domain::bill::{Bill, BillDay, BillLine, BillLineKind};
use checkback::domain::money::Fen;
use encoding_rs::GBK;
use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const HEADS: &str = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,对方账户,\
    订单金额（元）,退款批次号/请求号,备注";
const TIME: &str = "2026-01-31 10:11:12";

fn day() -> BillDay {
    BillDay::parse("2026-01-31").expect("a day")
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a file");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("an archive").into_inner()
}

/// A table with its comments; `rows` are its head and lines.
fn table(rows: &[String], payments: usize, refunds: usize) -> Vec<u8> {
    let mut text = String::from("#支付宝业务明细查询\r\n#账号：[20880000000000010156]\r\n");
    text += "#起始日期：[2026年01月31日 00:00:00]   终止日期：[2026年02月01日 00:00:00]\r\n";
    text += "#----------业务明细列表----------\r\n";
    for row in rows {
        text += row;
        text += "\r\n";
    }
    text += "#----------业务明细列表结束----------\r\n#交易合计：";
    let totals = format!("{payments}笔，退款合计：{refunds}笔，商家实收共0.00元\r\n");
    text += &totals;
    GBK.encode(&text).0.into_owned()
}

fn read(archive: Vec<u8>) -> Result<Bill, BillError> {
    read_bill(Cursor::new(archive), day(), |number| number.starts_with("CB"))
}

fn read_rows(rows: &[&str], payments: usize, refunds: usize) -> Result<Bill, BillError> {
    let rows: Vec<_> = rows.iter().map(|row| (*row).to_owned()).collect();
    read(zip(&[("a_业务明细.csv", &table(&rows, payments, refunds))]))
}

fn payment(number: &str, fen: i64) -> BillLine {
    BillLine {
        kind: BillLineKind::Payment,
        trade_no: "2026".to_owned(),
        out_trade_no: number.to_owned(),
        out_request_no: String::new(),
        amount: Fen::new(fen).expect("an amount"),
        at: day().begins_at() + chrono::TimeDelta::seconds(10 * 3600 + 11 * 60 + 12),
    }
}

fn refund(number: &str, request: &str, fen: i64) -> BillLine {
    let out_request_no = request.to_owned();
    BillLine { kind: BillLineKind::Refund, out_request_no, ..payment(number, fen) }
}

#[test]
fn lines_of_ours_are_read_and_those_of_others_counted() {
    let bill = read_rows(
        &[
            HEADS,
            &format!("2026\t,CB1\t,交易\t,龙井茶\t,{TIME}\t,{TIME}\t,*三,88.80,\t,\t"),
            &format!("2026\t,CB1\t,退款\t,龙井茶\t,{TIME}\t,{TIME}\t,*三,-8.80,CBR1\t,\t"),
            &format!("2026\t,CB1\t,退款\t,龙井茶\t,{TIME}\t,{TIME}\t,*三,-80.00,\t,\t"),
            &format!("2027\t,XY1\t,交易\t,别人的\t,{TIME}\t,{TIME}\t,*三,1.00,\t,\t"),
            "2027\t,\t,分账\t,,,,,?,\t,\t",
        ],
        2,
        2,
    )
    .expect("a bill");
    let lines = [payment("CB1", 8880), refund("CB1", "CBR1", 880), refund("CB1", "CB1", 8000)];
    assert_eq!(bill, Bill { lines: lines.to_vec(), others: 2, ..Bill::default() });
}

#[test]
fn columns_are_found_by_their_names() {
    let bill = read_rows(
        &[
            "新列,完成时间, 业务类型 ,订单金额(元),商户订单号,退款批次号/请求号,支付宝交易号",
            &format!("88.88,{TIME},交易,0.10,CB1,,2026"),
        ],
        1,
        0,
    )
    .expect("a bill");
    assert_eq!(bill.lines, [payment("CB1", 10)]);
    for name in ["支付宝交易号", "商户订单号", "业务类型", "完成时间", "订单金额（元）"]
    {
        let heads = HEADS.replace(name, "别的");
        match read_rows(&[&heads], 0, 0) {
            Err(BillError::Header(HeaderError::Missing(missing))) => assert_eq!(missing, name),
            other => panic!("{name}: {other:?}"),
        }
        match read_rows(&[&format!("{HEADS},{name}")], 0, 0) {
            Err(BillError::Header(HeaderError::Twice(twice))) => assert_eq!(twice, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_line_that_is_not_clear_is_told_and_never_guessed() {
    let good = format!("2026,CB1,交易,茶,{TIME},{TIME},*三,0.10,,");
    for bad in [
        "2026,CB1,交易,茶,T,T,*三".to_owned(),
        good.replace("0.10", "0.1O"),
        good.replace("0.10", "-0.10"),
        good.replace("0.10", "1,000.00"),
        good.replace("0.10", "100000000.01"),
        good.replace("交易", "退款"),
        good.replace("交易", "转账"),
        good.replace("2026,CB1", ",CB1"),
        good.replace("CB1", &"CB1".repeat(30)),
        good.replace(TIME, "2026-01-31"),
        format!("{good},"),
        format!("{good},x"),
        good.replace("*三", "*,三"),
        good.replace("茶", "\"茶"),
    ] {
        let bill = read_rows(&[HEADS, &bad, &good], 1, 0).expect("a bill");
        assert_eq!(bill.lines, [payment("CB1", 10)], "{bad}");
        assert_eq!((bill.unreadable.len(), bill.unreadable_count), (1, 1), "{bad}");
        assert_eq!(bill.unreadable[0].line, 6, "{bad}");
    }
}

#[test]
fn a_text_with_commas_is_put_together_again() {
    for subject in ["茶,\"好\",a", "\"茶, 250 g\t\"", "茶,", ",", "CB9,交易", "茶 \"x\" y"] {
        let line = format!("2026,CB1,交易,{subject},{TIME},{TIME},*三,0.10,,");
        let bill = read_rows(&[HEADS, &line], 1, 0).expect("a bill");
        assert_eq!(bill.lines, [payment("CB1", 10)], "{subject}");
    }
}

#[test]
fn a_table_that_is_not_whole_is_no_bill() {
    let whole = table(&[HEADS.to_owned()], 0, 0);
    assert_eq!(read(zip(&[("业务明细.csv", &whole)])).expect("a bill"), Bill::default());
    let cut = whole.len() - 80;
    assert!(matches!(read(zip(&[("业务明细.csv", &whole[..cut])])), Err(BillError::NoEnd)));
    assert!(matches!(read(zip(&[("业务明细.csv", b"")])), Err(BillError::NoTable)));
    assert!(matches!(read(zip(&[("业务明细(汇总).csv", &whole)])), Err(BillError::NoTable)));
    assert!(matches!(read(zip(&[])), Err(BillError::NoTable)));
    let other = table(&[HEADS.to_owned()], 0, 0);
    let archive = zip(&[("业务明细.csv", &other)]);
    let tomorrow = read_bill(Cursor::new(archive), day().plus_days(1), |_| true);
    assert!(matches!(tomorrow, Err(BillError::OtherDay(_))), "{tomorrow:?}");
    let miscounted = read_rows(&[HEADS], 1, 0).expect("a bill");
    assert_eq!(miscounted.unreadable_count, 1, "{miscounted:?}");
    let long = format!("{HEADS}{}", " ".repeat(70_000));
    assert!(matches!(read_rows(&[&long], 0, 0), Err(BillError::TooLarge(_))));
}

#[test]
fn an_archive_cut_anywhere_is_no_bill() {
    let line = format!("2026,CB1,交易,茶,{TIME},{TIME},*三,0.10,,");
    let archive = zip(&[("业务明细.csv", &table(&[HEADS.to_owned(), line], 1, 0))]);
    for length in 0..archive.len() {
        assert!(read(archive[..length].to_vec()).is_err(), "{length}");
    }
}

#[test]
fn ten_megabytes_are_read() {
    let line = |n: u32| {
        let owner = if n.is_multiple_of(2) { "CB" } else { "XY" };
        format!("2026\t,{owner}{n}\t,交易\t,龙井茶 250 g\t,{TIME}\t,{TIME}\t,*三,0.10,\t,\t")
    };
    let count = 90_000;
    let rows: Vec<_> = std::iter::once(HEADS.to_owned()).chain((0..count).map(line)).collect();
    let table = table(&rows, count as usize, 0);
    assert!(table.len() > 8_000_000, "{}", table.len());
    let bill = read(zip(&[("业务明细.csv", &table)])).expect("a bill");
    assert_eq!((bill.lines.len(), bill.others), (45_000, 45_000));
    assert_eq!(bill.lines[1], payment("CB2", 10));
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("CB1".to_owned()),
        Just("交易".to_owned()),
        Just("退款".to_owned()),
        Just(TIME.to_owned()),
        Just("-0.10".to_owned()),
        "[0-9]{1,3}\\.[0-9]{2}",
        "[ -~]{0,12}",
        "\\PC{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the fields are: what is read stands there, under the right heads.
    #[test]
    fn no_field_is_read_from_another_column(
        rows in prop::collection::vec(prop::collection::vec(field(), 8..12), 0..6),
    ) {
        let lines: Vec<_> = rows.iter().map(|row| row.join(",")).collect();
        let all: Vec<_> = std::iter::once(HEADS.to_owned()).chain(lines.clone()).collect();
        let bill = read(zip(&[("业务明细.csv", &table(&all, 0, 0))]));
        let Ok(bill) = bill else { return Ok(()) };
        for read in &bill.lines {
            prop_assert!(read.out_trade_no.starts_with("CB"), "{read:?}");
            let number = format!(",{}", read.out_trade_no);
            let kind = match read.kind {
                BillLineKind::Payment => "交易",
                BillLineKind::Refund => "退款",
            };
            let says = |line: &String| {
                let amount = read.amount.to_yuan();
                let amount = amount.trim_end_matches('0').trim_end_matches('.');
                line.contains(&number) && line.contains(kind) && line.contains(amount)
            };
            prop_assert!(lines.iter().any(says), "{read:?} isn't in {lines:?}");
        }
    }

    /// Bytes turned over anywhere in an archive or in its table never make it panic.
    #[test]
    fn spoilt_bytes_never_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let line = format!("2026,CB1,交易,茶,{TIME},{TIME},*三,0.10,,");
        let mut table = table(&[HEADS.to_owned(), line], 1, 0);
        let mut archive = zip(&[("业务明细.csv", &table)]);
        let spot = at.index(archive.len());
        archive[spot] = byte;
        if let Ok(bill) = read(archive) {
            prop_assert!(bill.lines.is_empty() || bill.lines == [payment("CB1", 10)]);
        }
        let spot = at.index(table.len());
        table.splice(spot..spot, garbage.iter().copied());
        drop(read(zip(&[("业务明细.csv", &table)])));
        drop(read(garbage));
    }
}
