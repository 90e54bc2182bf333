//! Placing orders: stock, idempotency, many at once.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{TestApp, answer_of, text};

#[tokio::test(flavor = "multi_thread")]
async fn without_stock_nothing_is_left_behind() {
    let app = TestApp::start().await;
    app.put_sku("rare", 100, 1).await;
    let (status, problem) = app.try_place("k", "rare", 2).await;
    assert_eq!((status.as_u16(), text(&problem, "code")), (409, "out_of_stock".to_owned()));
    assert_eq!(app.sku("rare").await["available"], 1);
    let (status, _) = app.try_place("k", "rare", 1).await;
    assert_eq!(status, 201, "a refusal doesn't use the key up");
    app.finish().await;
}

/// Comes again for as long as it is told to; the status in the end.
async fn insist(app: &TestApp, key: &str) -> u16 {
    loop {
        let (status, _) = app.try_place(key, "hot", 1).await;
        if status != 503 {
            return status.as_u16();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_buyers_at_once_get_the_hundred_pieces_that_there_are() {
    let app = TestApp::start().await;
    app.put_sku("hot", 100, 100).await;
    let buyers: Vec<_> = (0..1_000).map(|index| format!("buyer-{index}")).collect();
    let answers = join_all(buyers.iter().map(|key| insist(&app, key))).await;
    let count = |wanted: u16| answers.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(201), count(409)), (100, 900));
    let sku = app.sku("hot").await;
    assert_eq!((&sku["available"], &sku["locked"]), (&json!(0), &json!(100)));
    // Whoever waited for a turn has read the stock after it.
    let sent = app.service().half_messages_sent();
    assert!((100..150).contains(&sent), "{sent} half messages");
    for latecomer in ["one", "another"] {
        let (status, problem) = app.try_place(latecomer, "hot", 1).await;
        assert_eq!((status.as_u16(), text(&problem, "code")), (409, "out_of_stock".to_owned()));
    }
    assert_eq!(app.service().half_messages_sent(), sent, "a read refuses what is sold out");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_twins_at_once_are_one_order_with_one_answer() {
    let app = TestApp::start().await;
    let twins = join_all((0..20).map(|_| app.try_place("same", "tea", 1))).await;
    for (status, order) in &twins {
        assert_eq!((status.as_u16(), order), (201, &twins[0].1));
    }
    assert_eq!(app.sku("tea").await["locked"], 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_another_body_is_refused() {
    let app = TestApp::start().await;
    app.place("same").await;
    let (status, problem) = app.try_place("same", "tea", 2).await;
    let code = text(&problem, "code");
    assert_eq!((status.as_u16(), code), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(problem["field"], "Idempotency-Key");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_orders_at_once_lose_none_to_the_callback_lane() {
    let app = TestApp::start().await;
    let keys: Vec<_> = (0..64).map(|index| format!("k{index}")).collect();
    let placed = join_all(keys.iter().map(|key| app.try_place(key, "tea", 1))).await;
    for (status, order) in &placed {
        assert_eq!((status.as_u16(), &order["degraded"]), (201, &json!(false)));
    }
    app.advance_past_window().await;
    for (_, order) in &placed {
        app.wait_for_status(&text(order, "id"), "cancelled").await;
    }
    assert_eq!(app.sku("tea").await["available"], 1_000);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_same_sku_are_added_up() {
    let app = TestApp::start().await;
    let line = json!({ "sku_id": "tea", "quantity": 2 });
    let body = json!({ "member_id": "m1", "items": [line, line] });
    let request = app.post("/v1/orders", &body).header("Idempotency-Key", "k");
    let (status, order) = answer_of(request.send().await.expect("an answer")).await;
    assert_eq!((status.as_u16(), &order["amount_fen"]), (201, &json!(400)));
    assert_eq!(app.sku("tea").await["locked"], 4);
    app.finish().await;
}
