//! Health, metrics, documentation, alarms and pictures.

use std::collections::BTreeSet;

use checkback::domain::alarm::{Alarm, AlarmKind};
use checkback::service::raise_alarm::raise_alarm;
use serde_json::{Value, json};

use super::{
    Flaws, NOBODYS, OPERATOR_ROUTES, ORDER_ROUTES, Problem, REFUND_ROUTES, method, with_id,
};
use crate::support::{KEY, OPS_KEY, TestApp, json_of, text, wait_until};

/// What issue 3 wants to be counted, as Prometheus sees it.
const SAMPLES: [&str; 10] = [
    r#"checkback_orders_total{outcome="placed"}"#,
    r#"checkback_orders_total{outcome="cancelled"}"#,
    r#"checkback_check_backs_total{answer="unknown"}"#,
    "checkback_pending_rows",
    "checkback_pending_due_rows",
    "checkback_pending_oldest_seconds",
    "checkback_cancel_lateness_seconds_bucket",
    r#"checkback_gateway_calls_total{method="precreate",result="#,
    r#"checkback_gateway_calls_total{method="query",result="#,
    r#"checkback_alarms_open{kind="late_payment"}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_need_no_key_and_say_what_the_contract_says() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.client.get(app.url(path)).send().await.expect("an answer");
    assert_eq!(get("/livez").await.status(), 200);
    wait_until("everything is ready", async || {
        json_of(get("/readyz").await).await["status"] == "ok"
    })
    .await;
    let ready = json_of(get("/readyz").await).await;
    for part in ["database", "broker", "gateway"] {
        assert_eq!(ready[part], "ok", "{ready}");
    }

    let order = app.place("k").await;
    app.start_payment(&order).await;
    for fault in ["http_502", "other_key"] {
        app.fault("alipay.trade.query", fault).await;
        for gateway in ["degraded", "ok"] {
            wait_until("the gateway's state is seen", async || {
                let response = get("/readyz").await;
                assert_eq!(response.status(), 200, "an outage elsewhere doesn't make it unready");
                let ready = json_of(response).await;
                (text(&ready, "status"), text(&ready, "gateway"))
                    == (gateway.to_owned(), gateway.to_owned())
            })
            .await;
            app.clear_faults().await;
        }
    }
    assert_eq!(app.cancel(&order).await.0, 200);

    let metrics = get("/metrics").await;
    let media_type = metrics.headers()["content-type"].to_str().expect("a text").to_owned();
    assert!(media_type.starts_with("application/openmetrics-text"), "{media_type}");
    let metrics = metrics.text().await.expect("a text");
    for sample in SAMPLES {
        assert!(metrics.lines().any(|line| line.starts_with(sample)), "{sample}\n{metrics}");
    }
    for kind in AlarmKind::ALL {
        let sample = format!("checkback_alarms_open{{kind=\"{}\"}}", kind.as_str());
        assert!(metrics.contains(&sample), "{sample}");
    }
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_documented_and_every_documented_route_exists() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.client.get(app.url(path)).send().await.expect("an answer");
    let document = json_of(get("/openapi.json").await).await;
    assert!(text(&document, "openapi").starts_with("3."), "{}", document["openapi"]);
    let documented = routes_of(&document);
    let expected = ORDER_ROUTES.into_iter().chain(OPERATOR_ROUTES).chain(REFUND_ROUTES);
    let expected: BTreeSet<_> =
        expected.map(|(name, path)| (name.to_owned(), path.to_owned())).collect();
    assert_eq!(documented, expected);
    for (name, path) in &documented {
        let operation = &document["paths"][path][name.to_lowercase()];
        assert!(operation["summary"].is_string() || operation["description"].is_string());
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let has_fields = parameters.iter().any(|parameter| parameter["in"] == "query");
        if has_fields || operation["requestBody"].is_object() {
            assert!(
                operation["responses"]["400"].is_object(),
                "{name} {path}: what if it is wrong?"
            );
        }
        let request = app.client.request(method(name), app.url(&with_id(path, NOBODYS)));
        let response = request.bearer_auth(KEY).send().await.expect("an answer");
        let status = response.status();
        assert_ne!(status, 405, "{name} {path}");
        if status == 404 {
            let problem: Value =
                serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
            assert_ne!(problem["detail"], "there is no such page", "{name} {path}");
        }
    }
    let page = get("/docs").await;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().expect("a text").starts_with("text/html"));
    assert!(page.text().await.expect("a page").contains("swagger"));
    app.finish().await;
}

fn routes_of(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let routes = paths.iter().flat_map(|(path, operations)| {
        let names = operations.as_object().expect("operations").keys();
        names.map(move |name| (name.to_uppercase(), path.clone()))
    });
    routes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_alarms_and_acknowledges_them() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let alarm = Alarm::new(AlarmKind::OutboxStuck, "E1", "for a test");
    for _ in 0..3 {
        raise_alarm(app.app(), &alarm).await.expect("raised");
    }
    let listed = async || {
        let request = app.client.get(app.url("/v1/admin/alarms")).bearer_auth(OPS_KEY);
        json_of(request.send().await.expect("an answer")).await["alarms"].clone()
    };
    let acknowledge = async |id: &str| {
        let url = app.url(&format!("/v1/admin/alarms/{id}/acknowledge"));
        app.client.post(url).bearer_auth(OPS_KEY).send().await
    };
    let open = listed().await;
    let alarm = &open[0];
    assert_eq!(open.as_array().map(Vec::len), Some(1), "one row a kind and subject: {open}");
    let waiting = app.metric("checkback_alarm_notices_waiting").await;
    assert_eq!(waiting, 0, "there is no webhook");
    assert_eq!(
        (&alarm["kind"], &alarm["subject"], &alarm["severity"], &alarm["count"]),
        (&json!("outbox_stuck"), &json!("E1"), &json!("warning"), &json!(3))
    );
    assert!(alarm["opened_at"].is_string(), "{alarm}");
    let id = text(alarm, "id");
    let seen = json_of(acknowledge(&id).await.expect("an answer")).await;
    assert_eq!((&seen["id"], &seen["acknowledged_by"]), (&json!(id), &json!("operator")));
    assert!(seen["acknowledged_at"].is_string(), "{seen}");
    let again = json_of(acknowledge(&id).await.expect("an answer")).await;
    assert_eq!(again["acknowledged_at"], seen["acknowledged_at"], "the first one counts");
    assert_eq!(listed().await.as_array().map(Vec::len), Some(1), "it stays open");
    for unknown in [NOBODYS, "0", "x"] {
        let answer = acknowledge(unknown).await;
        flaws.expect(unknown, answer, Problem::not_found(Some("id"))).await;
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_listed_page_by_page() {
    let app = TestApp::start().await;
    for subject in ["E1", "E2", "E3"] {
        let alarm = Alarm::new(AlarmKind::OutboxStuck, subject, "for a test");
        raise_alarm(app.app(), &alarm).await.expect("raised");
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let request = app.client.get(app.url(&format!("/v1/admin/alarms{query}")));
        let answer = json_of(request.bearer_auth(OPS_KEY).send().await.expect("an answer")).await;
        let page = answer["alarms"].as_array().expect("a list").clone();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2, "{page:?}");
        query = format!("?limit=2&before={}", text(last, "id"));
        seen.extend(page.iter().map(|alarm| text(alarm, "subject")));
    }
    assert_eq!(seen, ["E3", "E2", "E1"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_is_drawn_while_there_is_something_to_pay() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let order = app.place("k").await;
    let drawn = async |order: &str, file: &str| {
        app.client.get(app.url(&format!("/pay/{order}/{file}"))).send().await
    };
    let nothing = Problem::not_found(None);
    for file in ["qr.svg", "qr.png"] {
        flaws.expect("no attempt", drawn(&order, file).await, nothing).await;
        flaws.expect("no order", drawn(NOBODYS, file).await, nothing).await;
    }
    let (_, payment) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    let kinds = [
        ("qr_svg_url", "image/svg+xml", &b"<?xml"[..], "qr.svg"),
        ("qr_png_url", "image/png", &b"\x89PNG\r\n\x1a\n"[..], "qr.png"),
    ];
    for (field, media_type, beginning, file) in kinds {
        let url = text(&payment, field);
        assert_eq!(url, app.url(&format!("/pay/{order}/{file}")));
        let response = app.client.get(url).send().await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &media_type.parse().expect("a header"))
        );
        let picture = response.bytes().await.expect("a picture");
        assert!(picture.starts_with(beginning), "{file}");
    }
    assert_eq!(app.cancel(&order).await.0, 200);
    let expired = app.place("expired").await;
    app.start_payment(&expired).await;
    app.advance_past_window().await;
    for file in ["qr.svg", "qr.png"] {
        flaws.expect("cancelled", drawn(&order, file).await, nothing).await;
        flaws.expect("expired", drawn(&expired, file).await, nothing).await;
    }
    flaws.assert_none();
    app.finish().await;
}
