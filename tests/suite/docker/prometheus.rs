//! The alert rules: metrics, labels and values that exist, and a paragraph for whoever is woken.
//! `promtool test rules` shows that they fire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use checkback::domain::alarm::{AlarmKind, Severity};
use checkback::metrics::{KindLabel, Metrics, RouteLabel};
use chrono::DateTime;
use serde_json::Value;

use super::broker::broker_setting;
use super::{entries, read, service_config, texts, yaml};

/// The broker's own metrics, named with the labels that rules may use.
const OF_THE_BROKER: [(&str, &[&str]); 3] = [
    ("rocketmq_half_messages", &["topic"]),
    ("rocketmq_consumer_lag_messages", &["topic", "consumer_group"]),
    ("rocketmq_send_to_dlq_messages_total", &["topic", "consumer_group"]),
];
/// What Prometheus knows about a target.
const OF_PROMETHEUS: (&str, &[&str]) = ("up", &["job", "instance"]);

/// Every metric of the service with its labels, as it encodes them once each was used.
fn registered() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new();
    metrics.order("placed");
    metrics.check_back("unknown");
    metrics.notification("applied");
    metrics.gateway_call("query", "timeout", Duration::from_millis(1));
    let [method, route, status] = ["GET", "/readyz", "200"].map(str::to_owned);
    metrics.http_answers.get_or_create(&RouteLabel { method, route, status }).inc();
    metrics.alarms_open.get_or_create(&KindLabel { kind: "late_payment".to_owned() }).set(0);
    metrics.certificate_end("alipay.app_cert_file".to_owned(), DateTime::UNIX_EPOCH);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let text = metrics.encode().expect("a text");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = matchers(labels.trim_end_matches('}')).map(|(label, _)| label);
        found.entry(name.to_owned()).or_default().extend(labels);
    }
    assert!(found.contains_key("checkback_orders_total"), "{found:?}");
    let known = OF_THE_BROKER.into_iter().chain([OF_PROMETHEUS]);
    found.extend(known.map(|(name, labels)| {
        (name.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())
    }));
    found
}

/// `label="value"` pairs; the values are left out of the search for further ones.
fn matchers(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut parts = text.split('"');
    std::iter::from_fn(move || {
        let label = parts.next()?.trim_matches([',', ' ', '=', '~', '!']).to_owned();
        Some((label, parts.next()?.to_owned()))
    })
}

/// A selector of an expression: the metric, and what stands in its braces.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let length = rest[start..].find(|c| !is_name(c)).unwrap_or(rest.len() - start);
        let (name, after) = rest[start..].split_at(length);
        let braces = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        if name == "up" || name.starts_with("checkback_") || name.starts_with("rocketmq_") {
            let inner = braces.map_or("", |(inner, _)| inner);
            found.push((name.to_owned(), inner.to_owned()));
        }
        rest = braces.map_or(after, |(_, after)| after);
    }
    found
}

fn rules() -> Vec<Value> {
    let file = yaml("docker/prometheus/checkback.rules.yml");
    let groups = file["groups"].as_array().expect("groups").iter();
    let rules: Vec<_> =
        groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect();
    assert!(rules.len() > 5);
    rules
}

fn text<'a>(rule: &'a Value, field: &str) -> &'a str {
    rule[field].as_str().unwrap_or_else(|| panic!("no {field} in {rule}"))
}

fn rule(alert: &str) -> Value {
    let found = rules().into_iter().find(|rule| text(rule, "alert") == alert);
    found.unwrap_or_else(|| panic!("no rule {alert}"))
}

#[test]
fn rules_use_metrics_and_labels_that_exist() {
    let registered = registered();
    for rule in rules() {
        let expression = text(&rule, "expr");
        let used = selectors(expression);
        assert!(!used.is_empty(), "{expression}");
        let mut labels = BTreeSet::from(["le".to_owned()]);
        for (metric, braces) in used {
            let known = registered.get(&metric).unwrap_or_else(|| panic!("no metric {metric}"));
            for (label, _) in matchers(&braces) {
                assert!(known.contains(&label), "{metric} has no label {label}");
            }
            labels.extend(known.iter().cloned());
        }
        for group in expression.split("by (").skip(1) {
            let names = group.split(')').next().expect("an end").split(", ");
            let unknown: Vec<_> = names.filter(|name| !labels.contains(*name)).collect();
            assert!(unknown.is_empty(), "{expression}: {unknown:?}");
        }
    }
}

#[test]
fn a_counter_that_a_rule_waits_for_stands_at_zero_from_the_start() {
    let fresh = Metrics::new().encode().expect("a text");
    let at_zero: Vec<_> = fresh.lines().filter_map(|line| line.strip_suffix(" 0")).collect();
    let mut waited_for = 0;
    for rule in rules() {
        let grown = text(&rule, "expr").split("increase(").skip(1);
        let series = grown.filter_map(|rest| rest.split('[').next());
        for series in series.filter(|series| series.starts_with("checkback_")) {
            assert!(at_zero.contains(&series), "{series} appears with its first one");
            waited_for += 1;
        }
    }
    assert!(waited_for > 1);
}

/// The alternatives of the one matcher for a label in a rule.
fn alternatives(rule: &Value, label: &str) -> BTreeSet<String> {
    let selectors = selectors(text(rule, "expr"));
    let mut values = selectors.iter().flat_map(|(_, braces)| matchers(braces));
    let (_, value) = values.find(|(name, _)| name == label).expect("a matcher");
    value.split('|').map(str::to_owned).collect()
}

#[test]
fn every_kind_of_alarm_wakes_by_its_severity() {
    let of = |severity: Severity| {
        let kinds = AlarmKind::ALL.iter().filter(|kind| kind.severity() == severity);
        kinds.map(|kind| kind.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    for (alert, severity) in [
        ("CheckbackCriticalAlarm", Severity::Critical),
        ("CheckbackWarningAlarm", Severity::Warning),
    ] {
        let rule = rule(alert);
        assert_eq!(rule["labels"]["severity"], severity.as_str());
        assert_eq!(alternatives(&rule, "kind"), of(severity), "{alert}");
    }
}

#[test]
fn values_in_rules_are_the_services_own() {
    let (config, _secrets) = service_config();
    let latest = config.timeout.grace + config.timeout.check_interval * 4;
    let late = rule("CheckbackCancelsLate");
    let expression = text(&late, "expr");
    assert!(expression.ends_with(&format!("> {}", latest.as_secs())), "{expression}");
    let source = read("src/run/open.rs");
    for (alert, name) in [
        ("CheckbackGatewaySilent", "const NO_ANSWER"),
        ("CheckbackGatewayUnbelievable", "const UNBELIEVABLE"),
    ] {
        let list = source.split(name).nth(1).and_then(|rest| rest.split(';').nth(1));
        let results = list.expect("a list of results").split('"').skip(1).step_by(2);
        let results: BTreeSet<_> = results.map(str::to_owned).collect();
        assert_eq!(alternatives(&rule(alert), "result"), results, "{alert}");
    }
}

#[test]
fn whoever_is_woken_finds_a_paragraph() {
    let document = read("docs/alarms.md");
    let anchors: BTreeSet<_> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| format!("docs/alarms.md#{}", heading.to_lowercase()))
        .collect();
    let named: BTreeSet<_> = rules()
        .iter()
        .map(|rule| {
            let runbook = text(&rule["annotations"], "runbook").to_owned();
            let alert = text(rule, "alert").to_lowercase();
            assert_eq!(runbook, format!("docs/alarms.md#{alert}"));
            runbook
        })
        .collect();
    assert_eq!(named, anchors);
}

#[test]
fn prometheus_scrapes_what_listens() {
    let (config, _secrets) = service_config();
    let file = yaml("docker/prometheus/prometheus.yml");
    let rule_files = texts(&file["rule_files"]);
    assert_eq!(rule_files, ["checkback.rules.yml"]);
    let broker_port = broker_setting("metricsPromExporterPort");
    assert_eq!(broker_setting("metricsExporterType"), "PROM");
    let wanted: BTreeMap<_, _> = [
        ("checkback", format!("checkback:{}", config.http.listen.port())),
        ("rocketmq", format!("broker:{broker_port}")),
    ]
    .into();
    let services = &yaml("docker/compose.yaml")["services"];
    let jobs = file["scrape_configs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), wanted.len());
    for job in jobs {
        let target = texts(&job["static_configs"][0]["targets"])[0];
        assert_eq!(target, wanted[text(job, "job_name")]);
        assert_eq!(job["metrics_path"], "/metrics");
        let host = target.split(':').next().expect("a host");
        assert!(entries(services).any(|(name, _)| name == host), "{host}");
    }
    for rule in rules() {
        for (metric, braces) in selectors(text(&rule, "expr")) {
            let job = matchers(&braces).find(|(label, _)| label == "job");
            assert!(metric != "up" || job.is_some_and(|(_, job)| wanted.contains_key(&*job)));
        }
    }
}
