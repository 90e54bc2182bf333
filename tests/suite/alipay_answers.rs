//! What each answer of the gateway means. Whatever is not signed and understood is unknown.

use checkback::alipay::Precreate;
use checkback::alipay::keys::AppPrivateKey;
use checkback::alipay::sign::sign;
use checkback::domain::gateway::{
    Answer, CancelOutcome, CloseOutcome, NotPaid, PaidTrade, PrecreateOutcome, ReturnedTrade,
    UnknownReason,
};
use checkback::domain::money::Fen;
use chrono::DateTime;

use crate::alipay_socket::{
    ALIPAY_PRIVATE, APP_PRIVATE, Socket, http, now, query, reason, refused, signed, state,
};

async fn precreate(answer: impl Into<Vec<u8>>) -> PrecreateOutcome {
    let (client, _) = Socket::giving(answer).client();
    let total = Fen::new(1).expect("an amount");
    let trade = Precreate { out_trade_no: "T1", total, subject: "茶", time_expire: now() };
    client.precreate(&trade, now()).await
}

#[tokio::test]
async fn a_query_is_answered_by_the_signed_state() {
    let paid = |amount| {
        let (trade_no, paid_at) = ("9".to_owned(), DateTime::from_timestamp(1_767_294_244, 0));
        let amount = Fen::new(amount).expect("an amount");
        Answer::Paid(PaidTrade { amount, trade_no, paid_at })
    };
    let date = r#""send_pay_date":"2026-01-02 03:04:04""#;
    let known =
        |status| format!(r#""trade_no":"9","total_amount":"0.10","trade_status":"{status}""#);
    let success = format!(r#"{},{date},"new_field":{{"a":[1]}}"#, known("TRADE_SUCCESS"));
    assert_eq!(query(state(&success)).await, paid(10));
    let finished = format!("{},{date}", known("TRADE_FINISHED"));
    assert_eq!(query(state(&finished)).await, paid(10));
    let waiting = NotPaid::WaitBuyerPay { trade_no: "9".to_owned() };
    assert_eq!(query(state(&known("WAIT_BUYER_PAY"))).await, Answer::NotPaid(waiting));
    let closed = format!(
        r#"{},"receipt_amount":"0.00","send_pay_date":"","fund_bill_list":[]"#,
        known("TRADE_CLOSED")
    );
    assert_eq!(query(state(&closed)).await, Answer::NotPaid(NotPaid::Closed));
    let not_exist = refused("alipay_trade_query", "40004", "ACQ.TRADE_NOT_EXIST");
    assert_eq!(query(not_exist).await, Answer::NotPaid(NotPaid::NotExist));
}

#[tokio::test]
async fn a_closed_trade_that_was_paid_is_returned() {
    for mark in [
        r#""send_pay_date":"2026-01-02 03:04:04""#,
        r#""receipt_amount":"0.10""#,
        r#""fund_bill_list":[{"amount":"0.10"}]"#,
    ] {
        let fields = r#""trade_no":"9","total_amount":"0.10","trade_status":"TRADE_CLOSED""#;
        match query(state(&format!("{fields},{mark}"))).await {
            Answer::Returned(ReturnedTrade { amount, trade_no, .. }) => {
                assert_eq!(amount, Fen::new(10));
                assert_eq!(trade_no.as_deref(), Some("9"));
            }
            other => panic!("{mark}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_signed_answer_that_says_too_little_is_unknown() {
    for fields in [
        r#""trade_status":"TRADE_SUCCESS","trade_no":"9""#,
        r#""trade_status":"TRADE_SUCCESS","trade_no":"9","total_amount":"1e2""#,
        r#""trade_status":"TRADE_SUCCESS","trade_no":"9","total_amount":"-1.00""#,
        r#""trade_status":"TRADE_SUCCESS","trade_no":"9","total_amount":0.1"#,
        r#""trade_status":"TRADE_SUCCESS","total_amount":"0.10""#,
        r#""trade_status":"TRADE_SUCCESS","trade_no":"","total_amount":"0.10""#,
        r#""trade_status":"TRADE_NEW","trade_no":"9","total_amount":"0.10""#,
        r#""trade_no":"9","total_amount":"0.10""#,
        r#""trade_status":"TRADE_CLOSED","trade_no":"9","receipt_amount":"x""#,
        r#""trade_status":"TRADE_CLOSED","trade_no":"9","trade_status":"TRADE_SUCCESS""#,
    ] {
        assert_eq!(reason(state(fields)).await.code(), "malformed", "{fields}");
    }
    let other = r#"{"code":"10000","out_trade_no":"T2","trade_status":"TRADE_CLOSED"}"#;
    assert_eq!(reason(signed("alipay_trade_query", other)).await, UnknownReason::OtherTrade);
    let nobody = r#"{"code":"10000","trade_status":"TRADE_CLOSED","trade_no":"9"}"#;
    assert_eq!(reason(signed("alipay_trade_query", nobody)).await, UnknownReason::OtherTrade);
    let other = r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST","out_trade_no":"T2"}"#;
    assert_eq!(reason(signed("alipay_trade_query", other)).await, UnknownReason::OtherTrade);
}

#[tokio::test]
async fn every_other_code_is_unknown_and_keeps_its_code() {
    for (code, sub_code, kind) in [
        ("20000", "isp.unknow-error", "unavailable"),
        ("40004", "ACQ.SYSTEM_ERROR", "unavailable"),
        ("40004", "AQC.SYSTEM_ERROR", "unavailable"),
        ("20000", "aop.ACQ.SYSTEM_ERROR", "unavailable"),
        ("40005", "isv.app-call-limited", "rate_limited"),
        ("40001", "isv.missing-app-id", "account_broken"),
        ("40002", "isv.invalid-signature", "account_broken"),
        ("40006", "isv.insufficient-isv-permissions", "account_broken"),
        ("20001", "aop.invalid-auth-token", "account_broken"),
        ("40004", "ACQ.INVALID_PARAMETER", "rejected"),
        ("10003", "", "rejected"),
    ] {
        let reason = reason(refused("alipay_trade_query", code, sub_code)).await;
        assert_eq!(reason.code(), kind, "{code} {sub_code}");
        assert_eq!(reason.is_account_broken(), kind == "account_broken");
        assert!(reason.to_string().contains(code), "{reason}");
    }
}

#[tokio::test]
async fn what_alipay_did_not_sign_is_unknown() {
    let node = r#"{"code":"10000","out_trade_no":"T1","trade_status":"TRADE_CLOSED"}"#;
    let bare = http(format!(r#"{{"alipay_trade_query_response":{node}}}"#));
    assert_eq!(reason(bare).await.code(), "unsigned");
    let empty = http(format!(r#"{{"alipay_trade_query_response":{node},"sign":""}}"#));
    assert_eq!(reason(empty).await.code(), "unsigned");
    let key = AppPrivateKey::parse(APP_PRIVATE).expect("our key");
    let ours = sign(&key, node).expect("signs");
    let forged = http(format!(r#"{{"alipay_trade_query_response":{node},"sign":"{ours}"}}"#));
    assert_eq!(reason(forged).await, UnknownReason::BadSignature);
    let bare_error = http(r#"{"error_response":{"code":"40002","sub_code":"isv.invalid-app-id"}}"#);
    let (code, sub_code) = (Some("40002".to_owned()), Some("isv.invalid-app-id".to_owned()));
    assert_eq!(reason(bare_error).await, UnknownReason::Unsigned { code, sub_code });
    let error = signed("error", r#"{"code":"40002","sub_code":"isv.invalid-app-id"}"#);
    assert!(reason(error).await.is_account_broken());
    let error = signed("error", r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}"#);
    assert_eq!(reason(error).await.code(), "rejected");
    let close = signed("alipay_trade_close", r#"{"code":"10000","out_trade_no":"T1"}"#);
    assert_eq!(reason(close).await.code(), "malformed");
}

#[tokio::test]
async fn a_text_in_gbk_is_verified_before_it_is_decoded() {
    let node = r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST","sub_msg":"交易不存在誠"}"#;
    let (node, _, _) = encoding_rs::GBK.encode(node);
    let alipay = AppPrivateKey::parse(ALIPAY_PRIVATE).expect("Alipay's private key");
    let sign = sign(&alipay, &node).expect("signs");
    let body = [b"{\"alipay_trade_query_response\":", &*node, b",\"sign\":\"", sign.as_bytes()];
    let body = [&body.concat(), b"\"}".as_slice()].concat();
    assert_eq!(query(http(body)).await, Answer::NotPaid(NotPaid::NotExist));
}

#[tokio::test]
async fn a_precreate_that_is_refused_says_what_to_do() {
    let refuse = |code, sub_code| refused("alipay_trade_precreate", code, sub_code);
    let paid = precreate(refuse("40004", "ACQ.TRADE_HAS_SUCCESS")).await;
    assert_eq!(paid, PrecreateOutcome::AlreadyPaid);
    let closed = precreate(refuse("40004", "ACQ.TRADE_HAS_CLOSE")).await;
    assert_eq!(closed, PrecreateOutcome::AlreadyClosed);
    let PrecreateOutcome::Refused(refusal) =
        precreate(refuse("40004", "ACQ.TOTAL_FEE_EXCEED")).await
    else {
        panic!("not refused");
    };
    assert_eq!(refusal.sub_code.as_deref(), Some("ACQ.TOTAL_FEE_EXCEED"));
    let known = precreate(refuse("40004", "ACQ.CONTEXT_INCONSISTENT")).await;
    assert!(matches!(known, PrecreateOutcome::Unknown(_)), "a buyer may hold its code: {known:?}");
    let broken = precreate(refuse("40002", "isv.invalid-signature")).await;
    assert!(matches!(broken, PrecreateOutcome::AccountBroken(_)), "{broken:?}");
    let unknown = precreate(refuse("40004", "ACQ.SYSTEM_ERROR")).await;
    assert_eq!(unknown.code(), "unavailable");
    let no_code = signed("alipay_trade_precreate", r#"{"code":"10000","out_trade_no":"T1"}"#);
    assert_eq!(precreate(no_code).await.code(), "malformed");
}

#[tokio::test]
async fn a_close_is_definite_only_where_alipay_is() {
    for (node, outcome) in [
        (r#"{"code":"10000","out_trade_no":"T1","trade_no":"9"}"#, "closed"),
        (r#"{"code":"10000","trade_no":"9"}"#, "other_trade"),
        (r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}"#, "not_exist"),
        (r#"{"code":"40004","sub_code":"ACQ.TRADE_STATUS_ERROR"}"#, "state_changed"),
        (r#"{"code":"40004","sub_code":"ACQ.REASON_TRADE_STATUS_INVALID"}"#, "state_changed"),
        (r#"{"code":"40004","sub_code":"ACQ.REASON_ILLEGAL_STATUS"}"#, "state_changed"),
        (r#"{"code":"40004","sub_code":"ACQ.INVALID_PARAMETER"}"#, "rejected"),
        (r#"{"code":"40004","sub_code":"AQC.SYSTEM_ERROR"}"#, "unavailable"),
        (r#"{"code":"40006"}"#, "account_broken"),
        (r#"{"msg":"no code"}"#, "malformed"),
    ] {
        let (client, calls) = Socket::giving(signed("alipay_trade_close", node)).client();
        assert_eq!(client.close("T1", now()).await.code(), outcome, "{node}");
        assert_eq!(*calls.lock().expect("not poisoned"), [("close", outcome)]);
    }
    let (client, _) = Socket::giving(http("")).client();
    assert!(matches!(client.close("T1", now()).await, CloseOutcome::Unknown(_)));
}

#[tokio::test]
async fn a_cancel_says_whether_money_went_back() {
    let done = r#""code":"10000","out_trade_no":"T1""#;
    for (fields, outcome) in [
        (format!(r#"{done},"trade_no":"9","action":"close","retry_flag":"N""#), "closed"),
        (format!(r#"{done},"trade_no":"9","action":"refund","retry_flag":"N""#), "returned"),
        (format!(r#"{done},"retry_flag":"N""#), "nothing_done"),
        (format!(r#"{done},"action":"refund","retry_flag":"Y""#), "unavailable"),
        (format!(r#"{done},"action":"burn""#), "malformed"),
        (r#""code":"40004","sub_code":"ACQ.TRADE_CANCEL_TIME_OUT""#.to_owned(), "refused"),
        (r#""code":"40004","sub_code":"ACQ.SYSTEM_ERROR""#.to_owned(), "unavailable"),
        (r#""code":"40001""#.to_owned(), "account_broken"),
    ] {
        let answer = signed("alipay_trade_cancel", &format!("{{{fields}}}"));
        let outcome_read = Socket::giving(answer).client().0.cancel("T1", now()).await;
        assert_eq!(outcome_read.code(), outcome, "{fields}");
        if let CancelOutcome::Returned(returned) = outcome_read {
            assert_eq!(returned.trade_no.as_deref(), Some("9"));
        }
    }
}

#[tokio::test]
async fn slashes_may_have_been_escaped_after_signing() {
    let node = r#"{"code":"10000","out_trade_no":"T1","qr_code":"https://qr.alipay.com/bax"}"#;
    let answer = String::from_utf8(signed("alipay_trade_precreate", node)).expect("UTF-8");
    let escaped = answer.replace(node, &node.replace('/', r"\/"));
    let (_, body) = escaped.split_once("\r\n\r\n").expect("a body");
    let outcome = precreate(http(body)).await;
    assert_eq!(outcome, PrecreateOutcome::QrCode("https://qr.alipay.com/bax".to_owned()));
}
