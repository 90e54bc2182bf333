use super::{Answer, Fen, NotPaid, PaidTrade, UnknownReason};

#[test]
fn evidence_is_tagged_json_that_reads_back() {
    let trade_no = "9".to_owned();
    let (amount, paid_at) =
        (Fen::new(1).expect("an amount"), chrono::DateTime::from_timestamp(0, 0));
    let waiting = NotPaid::WaitBuyerPay { trade_no: trade_no.clone() };
    let paid = Answer::Paid(PaidTrade { amount, trade_no, paid_at });
    let status = UnknownReason::HttpStatus { status: 502 };
    for (answer, json) in [
        (paid, r#"{"answer":"paid","amount":1,"trade_no":"9","paid_at":"1970-01-01T00:00:00Z"}"#),
        (
            Answer::NotPaid(waiting),
            r#"{"answer":"not_paid","state":"wait_buyer_pay","trade_no":"9"}"#,
        ),
        (Answer::NotPaid(NotPaid::NotExist), r#"{"answer":"not_paid","state":"not_exist"}"#),
        (Answer::Unknown(status), r#"{"answer":"unknown","reason":"http_status","status":502}"#),
    ] {
        assert_eq!(serde_json::to_string(&answer).expect("serialises"), json);
        assert_eq!(serde_json::from_str::<Answer>(json).expect("reads back"), answer);
    }
}

#[test]
fn the_code_of_a_reason_is_its_stored_name() {
    let (code, sub_code) = ("40002".to_owned(), Some("isv.invalid-app-id".to_owned()));
    let broken = UnknownReason::AccountBroken { code, sub_code };
    assert_eq!(broken.to_string(), "our account or key is refused: 40002 isv.invalid-app-id");
    for reason in [UnknownReason::Timeout, UnknownReason::NotAsked, broken] {
        let json = serde_json::to_value(&reason).expect("serialises");
        assert_eq!(json["reason"], reason.code());
    }
}
