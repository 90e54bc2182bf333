//! What a buyer sees while an order can't be read: no machine's sentence, and the page comes again
//! by itself.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// How soon the page asks again (seconds); the same number stands in the page.
const RETRY_AFTER_SECONDS: u16 = 3;

const PAGE: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"3\">\
    <title>One moment, please</title></head><body><main><h1>One moment, please \
    <span lang=\"zh-CN\">请稍候</span></h1><p>Your order can't be shown right now. This page tries \
    again by itself; a payment that you have made is not lost.</p><p lang=\"zh-CN\">\
    暂时无法显示订单，页面会自动重试；您已完成的付款不会丢失。</p></main></body></html>";

/// The answer in place of the page.
pub(super) fn one_moment() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    (status, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)], Html(PAGE)).into_response()
}
