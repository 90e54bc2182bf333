//! Bills in the console: how each day stands, and what differs.

use checkback::domain::bill::BillDay;
use checkback::service::reconcile::{When, key_of, reconcile_day};

use super::visitor::Visitor;
use crate::support::{OPS_KEY, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn bills_show_how_each_day_stands() {
    let app = TestApp::start_without_broker().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    operator.get("/ops/bills").await.assert_shows(&["No day was looked at yet."]);
    let day = BillDay::of(app.app().now()).plus_days(-1);
    let account = app.app().account();
    let looked = reconcile_day(app.app(), &account, day, When::Now, &|_| {}).await;
    assert!(looked.expect("the database").is_some());
    let page = operator.get("/ops/bills").await;
    page.assert_shows(&["clean", &day.to_string(), &account.app_id]);
    let key = key_of(&account, day);
    let query = format!("app_id={}&seller_id={}", key.app_id, key.seller_id);
    let page = operator.get(&format!("/ops/bills/day?{query}&day={day}")).await;
    page.assert_shows(&["No difference.", &day.to_string()]);
    for bad in ["/ops/bills?before=x".to_owned(), format!("/ops/bills/day?{query}&day=2020-01-01")]
    {
        assert_eq!(operator.get(&bad).await.status, 404, "{bad}");
    }
    let metrics = app.get("/metrics").send().await.expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    assert!(metrics.contains("checkback_bill_days{state=\"clean\"} 1"), "{metrics}");
    app.finish().await;
}
