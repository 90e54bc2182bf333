use super::*;
use crate::domain::gateway::UnknownReason;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + seconds, 0).expect("a time")
}

fn refund() -> Refund {
    Refund {
        out_request_no: OutRequestNo::from_trusted("R1"),
        order_id: None,
        out_trade_no: OutTradeNo::from_trusted("T1"),
        request_no: "r1".into(),
        cause: RefundCause::Requested,
        status: RefundStatus::Sending,
        amount: Fen::new(100).expect("an amount"),
        reason: String::new(),
        items: vec![],
        tries: 1,
        doubt_since: None,
    }
}

fn refusal(sub_code: &str) -> Refusal {
    Refusal { code: "40004".into(), sub_code: Some(sub_code.into()), sub_msg: None }
}

fn again(answer: &str, in_doubt: bool) -> RefundStep {
    RefundStep::AskAgain { answer: answer.into(), in_doubt }
}

#[test]
fn names_read_back() {
    for status in RefundStatus::ALL {
        assert_eq!(RefundStatus::parse(status.as_str()), Some(status));
    }
    for cause in RefundCause::ALL {
        assert_eq!(RefundCause::parse(cause.as_str()), Some(cause));
    }
}

#[test]
fn accepted_alone_never_means_that_money_moved() {
    let judged = |found| judge(&refund(), &RefundOutcome::Accepted, found, at(0));
    assert_eq!(judged(None), again("accepted", true));
    assert_eq!(judged(Some(&RefundFound::NotFound)), again("accepted", true));
    let unknown = RefundFound::Unknown(UnknownReason::Timeout);
    assert_eq!(judged(Some(&unknown)), again("accepted", true));
    assert_eq!(judged(Some(&RefundFound::Succeeded(refund().amount))), RefundStep::Succeed);
}

#[test]
fn a_found_refund_decides_whatever_the_request_was_answered() {
    let found = RefundFound::Succeeded(refund().amount);
    for sent in [
        RefundOutcome::Unknown(UnknownReason::Timeout),
        RefundOutcome::Refused(refusal("ACQ.TRADE_HAS_CLOSE")),
        RefundOutcome::NotNow(refusal("ACQ.SELLER_BALANCE_NOT_ENOUGH")),
    ] {
        assert_eq!(judge(&refund(), &sent, Some(&found), at(0)), RefundStep::Succeed, "{sent:?}");
    }
    let other = RefundFound::Succeeded(Fen::new(1).expect("an amount"));
    let judged = judge(&refund(), &RefundOutcome::Accepted, Some(&other), at(0));
    assert!(matches!(judged, RefundStep::Contradiction(_)));
}

#[test]
fn a_refusal_counts_only_if_no_earlier_request_can_have_been_taken() {
    let no = RefundOutcome::Refused(refusal("ACQ.TRADE_HAS_CLOSE"));
    let judged = |since: Option<i64>, found: Option<&RefundFound>| {
        let doubt_since = since.map(at);
        judge(&Refund { doubt_since, ..refund() }, &no, found, at(10))
    };
    let refused = RefundStep::Refuse(refusal("ACQ.TRADE_HAS_CLOSE"));
    let waits = again("ACQ.TRADE_HAS_CLOSE", false);
    assert_eq!(judged(None, Some(&RefundFound::NotFound)), refused);
    assert_eq!(judged(Some(0), Some(&RefundFound::NotFound)), refused);
    assert_eq!(judged(Some(1), Some(&RefundFound::NotFound)), waits);
    assert_eq!(judged(None, None), waits);
    let unknown = RefundFound::Unknown(UnknownReason::Timeout);
    assert_eq!(judged(None, Some(&unknown)), waits);
}

#[test]
fn what_can_not_be_done_now_waits() {
    let low = RefundOutcome::NotNow(refusal("ACQ.SELLER_BALANCE_NOT_ENOUGH"));
    let judged = judge(&refund(), &low, None, at(0));
    assert_eq!(judged, again("ACQ.SELLER_BALANCE_NOT_ENOUGH", false));
}

#[test]
fn four_tries_in_half_a_minute_then_up_to_an_hour() {
    let mut now = at(0);
    let mut seconds = Vec::new();
    for tries in 1..=14 {
        now = next_try(tries, now);
        seconds.push(now.signed_duration_since(at(0)).num_seconds());
    }
    assert_eq!(seconds[..5], [1, 3, 7, 15, 31]);
    assert_eq!(seconds[13] - seconds[12], 3_600);
    assert_eq!(next_try(i64::MAX, at(0)), at(3_600));
}
