//! Signed notifications through the webhook: each is of a payment that waits, and pays its order.

use std::sync::Arc;
use std::time::Duration;

use alipay_simulator::development_keys::GATEWAY_PRIVATE_KEY;
use alipay_simulator::{DEFAULT_APP_ID, DEFAULT_SELLER_ID};
use anyhow::Context as _;
use checkback::alipay::form;
use checkback::alipay::keys::AppPrivateKey;
use checkback::alipay::sign::{sign, sign_string};
use checkback::clock::{Clock as _, SystemClock};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::ground::{Ground, Needs, Tempo, shop_at, sku_name, stock};
use crate::load::{each, open};
use crate::run::Run;
use crate::shop::{Shop, text};

/// Notifications of the closed loop, and as many of the open one.
const COUNT: u64 = 1_500;
/// Callers of the closed loop, and of what comes before.
const CALLERS: u64 = 32;
const SKUS: u64 = 50;
/// The open loop's rate, of what the closed one reached (per cent).
const OPEN_PERCENT: u64 = 70;
/// China's time is ahead of UTC by this.
const CHINA: chrono::Duration = chrono::Duration::hours(8);

pub(super) async fn measure(run: &mut Run) -> anyhow::Result<()> {
    run.begin("notifications");
    let ground = Ground::start(&run.options, Needs::Broker, Tempo::STILL).await?;
    let service = ground.start_service().await?;
    stock(&service.app, SKUS, 1_000_000).await?;
    let shop = shop_at(&service)?;
    run.tell("payments that wait");
    let bodies = Arc::new(notifications(&shop, 2 * COUNT).await?);
    let notify = |from: u64| {
        let (shop, bodies) = (Arc::clone(&shop), Arc::clone(&bodies));
        Arc::new(move |number| {
            let body = usize::try_from(from + number).ok().and_then(|at| bodies.get(at).cloned());
            let shop = Arc::clone(&shop);
            async move { matches!(shop.notify(body.unwrap_or_default()).await, Ok(true)) }
        })
    };
    run.tell(format_args!("{CALLERS} callers"));
    let closed = each(CALLERS, COUNT, &notify(0)).await?;
    run.add_load(&format!("notifications, {CALLERS} callers"), &closed);
    let rate = (closed.per_second() * OPEN_PERCENT / 100).max(1);
    run.tell(format_args!("open loop, {rate}/s"));
    let lasts = Duration::from_secs((COUNT / rate).max(1));
    let open = open(rate.min(COUNT), lasts, &notify(COUNT)).await?;
    run.add_load("notifications, open loop", &open);
    run.require(closed.failed + open.failed == 0, "a notification was not answered `success`");
    run.audit(&service.app).await?;
    service.shutdown().await;
    ground.clear().await
}

/// Places orders, starts their payments, and signs what the gateway would say of each.
async fn notifications(shop: &Shop, count: u64) -> anyhow::Result<Vec<String>> {
    let key = AppPrivateKey::parse(GATEWAY_PRIVATE_KEY).context("the gateway's key")?;
    let (key, callers) = (&key, usize::try_from(CALLERS)?);
    let bodies = stream::iter(0..count).map(|number| async move {
        let order = shop.place(&sku_name(number % SKUS), None).await?;
        let payment = shop.start_payment(&text(&order, "id")?).await?;
        notification(key, &payment, number)
    });
    bodies.buffer_unordered(callers).try_collect().await
}

fn notification(key: &AppPrivateKey, out_trade_no: &str, number: u64) -> anyhow::Result<String> {
    let paid_at = (SystemClock.now() + CHINA).format("%Y-%m-%d %H:%M:%S").to_string();
    let (notify_id, trade_no) = (format!("bench-{number}"), format!("2026{number:024}"));
    let mut parameters = vec![
        ("app_id", DEFAULT_APP_ID),
        ("charset", "utf-8"),
        ("gmt_payment", &paid_at),
        ("notify_id", &notify_id),
        ("notify_type", "trade_status_sync"),
        ("out_trade_no", out_trade_no),
        ("seller_id", DEFAULT_SELLER_ID),
        ("total_amount", "1.00"),
        ("trade_no", &trade_no),
        ("trade_status", "TRADE_SUCCESS"),
    ];
    let signature = sign(key, sign_string(&parameters)).context("a signature")?;
    parameters.push(("sign", &signature));
    parameters.push(("sign_type", "RSA2"));
    Ok(form::encode(&parameters))
}
