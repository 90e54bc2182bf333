use super::*;

/// What was found: keys, and how much they matter.
type Found = Vec<(&'static str, Weight)>;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A window of five minutes with a check every 30 s: eleven checks fit, and the broker needs 14.
fn needed() -> HalfMessages {
    HalfMessages {
        shortest_window: Duration::from_mins(5),
        longest_window: Duration::from_mins(5),
        longest_window_key: "timeout.class.slow.pay_window".into(),
        engine_key: "timeout.class.slow.engine".into(),
        grace: Duration::from_secs(2),
        check_interval: Duration::from_secs(30),
        max_checks: 11,
        broker_check_max: 15,
    }
}

/// What Apache RocketMQ 5.5.0 has by default.
fn apache() -> Reported {
    Reported {
        check_interval: Some(s(30)),
        check_max: Some(15),
        first_check_age: Some(s(6)),
        mark_interval: Some(s(3)),
        retention: Some(s(72 * 3_600)),
        timer_max: Some(s(72 * 3_600)),
    }
}

fn by_half_messages(needed: &HalfMessages) -> Needed {
    Needed { half_messages: Some(needed.clone()), longest_timer: None }
}

fn found(reported: &Reported, needed: &HalfMessages) -> Found {
    let found = compare(reported, &by_half_messages(needed));
    found.into_iter().map(|finding| (finding.key, finding.weight)).collect()
}

#[test]
fn each_setting_is_judged() {
    use Weight::{Mismatch, Warning};
    let cases: [(&str, Reported, Found); 16] = [
        ("the defaults", apache(), vec![]),
        ("nothing is said", Reported::default(), vec![]),
        (
            "4.x",
            Reported { check_interval: Some(s(60)), ..apache() },
            vec![(CHECK_INTERVAL, Mismatch)],
        ),
        (
            "checks too often",
            Reported { check_interval: Some(s(10)), ..apache() },
            vec![(CHECK_INTERVAL, Mismatch), (CHECK_MAX, Mismatch)],
        ),
        (
            "one check too few",
            Reported { check_max: Some(13), ..apache() },
            vec![(CHECK_MAX, Mismatch)],
        ),
        ("just enough", Reported { check_max: Some(14), ..apache() }, vec![(CHECK_MAX, Warning)]),
        ("more than enough", Reported { check_max: Some(9_999), ..apache() }, vec![]),
        ("none", Reported { check_max: Some(0), ..apache() }, vec![(CHECK_MAX, Mismatch)]),
        (
            "after the window",
            Reported { first_check_age: Some(s(300)), ..apache() },
            vec![(FIRST_CHECK_AGE, Mismatch)],
        ),
        (
            "after the light poll",
            Reported { first_check_age: Some(s(91)), ..apache() },
            vec![(FIRST_CHECK_AGE, Warning)],
        ),
        ("with the light poll", Reported { first_check_age: Some(s(90)), ..apache() }, vec![]),
        (
            "before the order is there",
            Reported { first_check_age: Some(Duration::from_millis(900)), ..apache() },
            vec![(FIRST_CHECK_AGE, Warning), (MARK_INTERVAL, Warning)],
        ),
        (
            "marks as slow as checks",
            Reported { mark_interval: Some(s(6)), ..apache() },
            vec![(MARK_INTERVAL, Warning)],
        ),
        (
            "marks and nothing to compare with",
            Reported { mark_interval: Some(s(6)), ..Reported::default() },
            vec![],
        ),
        (
            "too young to die",
            Reported { retention: Some(s(0)), ..apache() },
            vec![(RETENTION, Mismatch)],
        ),
        ("an hour is enough", Reported { retention: Some(s(3_600)), ..apache() }, vec![]),
    ];
    for (case, reported, wanted) in cases {
        assert_eq!(found(&reported, &needed()), wanted, "{case}");
    }
}

#[test]
fn a_configured_count_and_a_short_class_are_needs_too() {
    let counted = HalfMessages { max_checks: 13, ..needed() };
    assert_eq!(found(&apache(), &counted), [(CHECK_MAX, Weight::Mismatch)]);
    let flash = HalfMessages { shortest_window: Duration::from_secs(5), ..needed() };
    assert_eq!(found(&apache(), &flash), [(FIRST_CHECK_AGE, Weight::Mismatch)]);
    let days = HalfMessages { longest_window: Duration::from_hours(72), ..needed() };
    let days = found(&Reported { check_max: Some(8_700), ..apache() }, &days);
    assert_eq!(days, [(RETENTION, Weight::Mismatch)]);
}

#[test]
fn a_finding_is_a_sentence_with_both_values_and_the_remedy() {
    let reported = Reported { check_max: Some(3), check_interval: Some(s(60)), ..apache() };
    let known = {
        let mut known = Known::default();
        known.note(
            &[Reading { broker: "b".into(), reported: Some(reported) }],
            &by_half_messages(&needed()),
        );
        known.sentences(Weight::Mismatch).join("\n")
    };
    for word in [
        "broker b: transactionCheckInterval is 60000 ms, timeout.check_interval is 30000 ms",
        "set transactionCheckInterval to 30000",
        "transactionCheckMax is 3",
        "timeout.class.slow.pay_window of 300s",
        "set transactionCheckMax to 14",
        "set timeout.class.slow.engine to \"delay\"",
    ] {
        assert!(known.contains(word), "{word}: {known}");
    }
}

#[test]
fn settings_are_read_by_the_brokers_own_names() {
    let broker = |key: &str| match key {
        "transactionCheckInterval" => Some("30000"),
        "transactionCheckMax" => Some(" 15"),
        "transactionTimeOut" => Some("6000"),
        "transactionOpBatchInterval" => Some("3000"),
        "fileReservedTime" => Some("72"),
        "timerMaxDelaySec" => Some("259200"),
        _ => None,
    };
    assert_eq!(Reported::read(broker), apache());
    assert!(apache().is_complete());
    // Java ignores this spelling, so it says nothing.
    let misspelt = |key: &str| (key == "transactionTimeout").then_some("1");
    assert_eq!(Reported::read(misspelt), Reported::default());
    assert_eq!(Reported::read(|_| Some("soon")), Reported::default());
    assert!(!Reported::default().is_complete());
}

#[test]
fn what_cannot_be_read_counts_as_it_was_read_last() {
    let bad = Reported { check_max: Some(2), ..apache() };
    let reading = |name: &str, reported| Reading { broker: name.to_owned(), reported };
    let mut known = Known::default();
    assert!(!known.is_verified());
    let mut look = |readings: &[Reading]| {
        known.note(readings, &by_half_messages(&needed()));
        (known.is_verified(), known.sentences(Weight::Mismatch).len())
    };
    assert_eq!(look(&[reading("a", None)]), (false, 0));
    assert_eq!(look(&[reading("a", Some(bad)), reading("b", Some(apache()))]), (true, 1));
    assert_eq!(look(&[reading("a", None), reading("b", Some(apache()))]), (false, 1));
    assert_eq!(look(&[]), (false, 1));
    assert_eq!(look(&[reading("b", Some(apache()))]), (true, 0), "a is gone");
    assert_eq!(look(&[reading("a", Some(Reported::default()))]), (false, 0), "embedded");
}

#[test]
fn a_timer_that_the_broker_refuses_is_told_with_the_longest_that_it_takes() {
    let needed = Needed { half_messages: None, longest_timer: Some(s(71 * 3_600)) };
    assert_eq!(compare(&apache(), &needed), []);
    let short = Reported { timer_max: Some(s(3_600)), check_max: Some(0), ..apache() };
    let [finding] = &compare(&short, &needed)[..] else { panic!("not one") };
    assert_eq!((finding.key, finding.weight), (TIMER_MAX, Weight::Warning));
    assert!(finding.to_string().contains("set timeout.timer_max to 3600s"), "{finding}");
}
