//! A broker that wants to know who asks, and an account with no rights but those in `docs/acl.md`:
//! the page's own commands are run.

use std::sync::Arc;

use checkback::consumers::cancel_order;
use checkback::producer::admin::Admin;
use checkback::producer::runtime::MessagingRuntime;
use checkback::run::{broker_settings, topics};
use serde_json::json;

use crate::support::engines::ApacheRocketMq;
use crate::support::{Broker, TestApp, text};

const PAGE: &str = include_str!("../../../docs/acl.md");
/// What the answers to check-backs are sent to.
const HALF: &str = "Topic:RMQ_SYS_TRANS_HALF_TOPIC";
const ACCOUNT: &str = "checkback";
const SECRET: &str = "a-secret-of-the-tests";
const OPERATOR: &str = "operator";
const OPERATOR_SECRET: &str = "a-secret-of-the-operator";

/// A broker with access control, whose console is the operator's.
fn guarded_broker() -> Option<ApacheRocketMq> {
    let authentication = "org.apache.rocketmq.auth.authentication.provider";
    let authorization = "org.apache.rocketmq.auth.authorization.provider";
    let settings = [
        "authenticationEnabled=true".to_owned(),
        "authorizationEnabled=true".to_owned(),
        format!("authenticationProvider={authentication}.DefaultAuthenticationProvider"),
        format!(
            "authenticationMetadataProvider={authentication}.LocalAuthenticationMetadataProvider"
        ),
        format!("authorizationProvider={authorization}.DefaultAuthorizationProvider"),
        format!("authorizationMetadataProvider={authorization}.LocalAuthorizationMetadataProvider"),
        format!(
            "initAuthenticationUser={}",
            json!({ "username": OPERATOR, "password": OPERATOR_SECRET })
        ),
        format!(
            "innerClientAuthenticationCredentials={}",
            json!({ "accessKey": OPERATOR, "secretKey": OPERATOR_SECRET })
        ),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let broker = ApacheRocketMq::start(&settings)?;
    broker.log_in(OPERATOR, OPERATOR_SECRET);
    Some(broker)
}

/// Runs the commands below a heading of the page, with a prefix before the names. The account is
/// made once.
fn carry_out(broker: &ApacheRocketMq, heading: &str, prefix: &str) {
    let (_, section) = PAGE.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default().replace("\\\n", " ");
    let section = section.replace("\"$SECRET\"", SECRET);
    let with_prefix = section.replace("checkback-", &format!("{prefix}checkback-"));
    let is_new = |line: &&str| prefix.is_empty() || line.contains(prefix);
    let commands = with_prefix.lines().filter(is_new).filter_map(|l| l.strip_prefix("mqadmin "));
    let commands: Vec<Vec<&str>> = commands.map(|l| l.split_whitespace().collect()).collect();
    assert!(!commands.is_empty(), "{heading}: no commands");
    for words in commands {
        let said = broker.mqadmin(&words);
        assert!(said.contains("success"), "{words:?}: {said}");
    }
}

/// The service under an account, with the names that are on the page.
async fn start(broker: &ApacheRocketMq, secret: &'static str, prefix: &str) -> TestApp {
    TestApp::start_on(Broker {
        account: Some((ACCOUNT, secret)),
        name_prefix: prefix.to_owned(),
        ..Broker::apache(broker.namesrv())
    })
    .await
}

/// What the service asks the broker with.
fn admin(app: &TestApp) -> Admin {
    let settings = broker_settings(&app.app().config.rocketmq);
    Admin::new(&Arc::new(MessagingRuntime::start(settings).expect("a client")))
}

/// An order is cancelled by its half message, and another is paid.
async fn the_main_path_works(app: &TestApp) {
    let unpaid = app.place_flash(&app.app().fresh_id()).await;
    assert_eq!(app.order(&unpaid).await["degraded"], false);
    let paid = app.place(&app.app().fresh_id()).await;
    app.fault("notify", "drop").await;
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&paid, "paid").await;
    assert_eq!(app.event(&paid, "paid").await["actor"], "check_back");
    app.wait_for_status(&unpaid, "cancelled").await;
    assert_eq!(app.event(&unpaid, "cancelled").await["actor"], "cancel_consumer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_the_rights_in_the_documentation_is_enough() {
    let Some(broker) = guarded_broker() else { return };
    broker.wait_until_registered().await;
    carry_out(&broker, "The account", "");
    carry_out(&broker, "Topics and groups that an operator makes", "");
    let app = start(&broker, SECRET, "").await;
    the_main_path_works(&app).await;
    app.finish().await;

    carry_out(&broker, "The account", "own-");
    carry_out(&broker, "Topics and groups that the service makes", "own-");
    let app = start(&broker, SECRET, "own-").await;
    the_main_path_works(&app).await;
    without_the_right_to_answer(&broker, &app).await;
    app.finish().await;

    with_a_wrong_secret(&broker).await;
}

/// The answers to check-backs are sent without an acknowledgement, so nothing tells the service
/// that the broker refuses them.
async fn without_the_right_to_answer(broker: &ApacheRocketMq, app: &TestApp) {
    broker.mqadmin(&["deleteAcl", "-c", "DefaultCluster", "-s", "User:checkback", "-r", HALF]);
    let order = app.place_flash("never-answered").await;
    assert_eq!(app.order(&order).await["degraded"], false);
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["actor"], "poll");
}

async fn with_a_wrong_secret(broker: &ApacheRocketMq) {
    let app = start(broker, "not-the-secret", "").await;
    let said = admin(&app).prepare(&topics(), &[cancel_order::GROUP]).await;
    let said = format!("{said:?}");
    assert!(said.contains("check signature failed"), "the log says why: {said}");
    let (status, order) = app.try_place("refused", "tea", 1).await;
    assert_eq!((status.as_u16(), &order["degraded"]), (201, &json!(true)), "{order}");
    assert_eq!(app.readiness().await, "degraded");
    let order = text(&order, "id");
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}
