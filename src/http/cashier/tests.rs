use super::fixtures::{at, attempt, paid, snapshot};
use super::*;
use crate::domain::ids::SkuId;
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::payment::PaymentStatus;

fn item(title: &str, quantity: i64) -> Item {
    let price = Fen::new(615).expect("in range");
    Item { sku_id: SkuId::from_trusted("tea"), title: title.into(), price, quantity }
}

fn html(snapshot: &Snapshot, items: &[Item], second: i64) -> String {
    Page::new(snapshot, items, at(second)).render().expect("rendered")
}

#[test]
fn a_page_shows_amount_lines_code_and_time_left() {
    let payments = vec![attempt("CB1", PaymentStatus::Created)];
    let order = snapshot(OrderStatus::AwaitingPayment, payments);
    let page = html(&order, &[item("Tea", 2)], 18);
    for part in [
        r#"data-scene="scan""#,
        ">12.30<",
        "FFQ69G5FAV/qr.svg?attempt=CB1",
        "<b>Q69G5FAV</b>",
        ">0:42</span>",
        "支付宝扫码支付",
        "<bdi>Tea</bdi>",
        "× 2",
        "¥12.30</span></li>",
        r#"href="https://qr.test/CB1""#,
        r#"<noscript><meta http-equiv="refresh" content="5"></noscript>"#,
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for secret in ["member-secret", "metadata-secret", "app-secret", "seller-secret"] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[test]
fn a_title_cannot_leave_its_line() {
    let order = snapshot(OrderStatus::AwaitingPayment, vec![]);
    let page = html(&order, &[item(r#"</bdi><script>alert("x")</script>"#, 1)], 1);
    assert!(!page.contains(r#"alert("x")"#), "{page}");
    assert!(page.contains("&#60;/bdi&#62;&#60;script&#62;"), "{page}");
}

#[test]
fn without_a_code_there_is_no_picture_and_no_link() {
    let page = html(&snapshot(OrderStatus::AwaitingPayment, vec![]), &[], 1);
    assert!(page.contains(r#"data-scene="preparing""#));
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains(r#"rel="noopener noreferrer" hidden>"#), "{page}");
    assert!(!page.contains(r#"class="goods""#), "{page}");
}

#[test]
fn what_has_ended_is_not_refreshed() {
    let mut order = snapshot(OrderStatus::Paid, vec![paid("CB1", PaymentStatus::Applied, 1_230)]);
    order.record.paid_at = Some(at(30));
    let page = html(&order, &[], 40);
    assert!(page.contains(r#"data-scene="paid""#));
    assert!(!page.contains("http-equiv"), "{page}");
    assert!(page.contains("2027-01-15 16:00:30 (UTC+8)"), "{page}");
}

#[test]
fn the_policy_allows_exactly_the_texts_that_the_page_holds() {
    let page = html(&snapshot(OrderStatus::AwaitingPayment, vec![]), &[], 1);
    let policy = CONTENT_SECURITY_POLICY.to_str().expect("visible ASCII");
    for tag in ["style", "script"] {
        let (_, rest) = page.split_once(&format!("<{tag}>")).expect("it begins");
        let (text, _) = rest.split_once(&format!("</{tag}>")).expect("it ends");
        let hash = STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{tag}-src 'sha256-{hash}'")), "{tag}");
    }
    assert!(!page.contains(" style="), "no inline style");
    assert!(!page.contains(" onclick="), "no inline handler");
}

#[test]
fn the_countdown_is_rounded_up_and_never_negative() {
    let table = [
        (-5_000, "0:00"),
        (0, "0:00"),
        (1, "0:01"),
        (1_000, "0:01"),
        (60_000, "1:00"),
        (3_599_001, "1:00:00"),
        (259_200_000, "72:00:00"),
        (i64::MAX, "2562047788015:12:55"),
    ];
    for (left_ms, expected) in table {
        assert_eq!(countdown(left_ms), expected, "{left_ms}");
    }
}

#[test]
fn a_short_number_is_the_end_of_the_id() {
    assert_eq!(short("01ARZ3NDEKTSV4RRFFQ69G5FAV"), "Q69G5FAV");
    assert_eq!(short("A"), "A");
    assert_eq!(short(""), "");
}
