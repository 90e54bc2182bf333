//! What a merchant orders: the parameters that all ways to be paid have in common.

use chrono::{DateTime, Days, Duration, NaiveTime, Utc};

use super::admission::{Call, is_web_url};
use crate::clock::{china, parse_wire_time};
use crate::fields::{FieldError, Fields};
use crate::server::Shared;
use crate::trade::{CODE_LIFE, Order, Product};

/// How long a face-to-face trade waits unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::hours(3);
/// How long any trade waits at most, and one at the cashier unless told otherwise.
const LONGEST_TIMEOUT: Duration = Duration::days(15);
const LONGEST_QUIT_URL: usize = 400;
/// Optional texts and how many characters they may have.
const TEXTS: [(&str, usize); 8] = [
    ("body", 128),
    ("passback_params", 512),
    ("operator_id", 28),
    ("store_id", 32),
    ("terminal_id", 32),
    ("merchant_order_no", 32),
    ("enable_pay_channels", 128),
    ("disable_pay_channels", 128),
];
/// What each try to be paid by a barcode may change.
const OF_ONE_TRY: [&str; 2] = ["auth_code", "scene"];

pub(super) fn read(
    shared: &Shared,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
    product: Product,
) -> Result<Order, FieldError> {
    let out_trade_no = fields.required_text("out_trade_no", 64)?;
    if !out_trade_no.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(FieldError::new("out_trade_no", "has other than letters, digits and _"));
    }
    let total = fields
        .amount("total_amount")?
        .ok_or_else(|| FieldError::new("total_amount", "is missing"))?;
    let subject = fields.required_text("subject", 256)?;
    if fields.text("seller_id", 28)?.is_some_and(|seller_id| seller_id != shared.seller_id) {
        return Err(FieldError::new("seller_id", "is another seller"));
    }
    check_product(fields, product)?;
    check_options(fields)?;
    check_goods(fields)?;
    let discountable = fields.amount_from_zero("discountable_amount")?;
    let undiscountable = fields.amount_from_zero("undiscountable_amount")?;
    let parts = discountable.zip(undiscountable);
    if parts.is_some_and(|(one, other)| one.plus(other) != total) {
        return Err(FieldError::new("total_amount", "is not the sum of its two parts"));
    }
    let times_out_at = times_out_at(now, fields, product)?;
    Ok(Order {
        out_trade_no,
        product,
        content: fields.to_value_without(&OF_ONE_TRY),
        total,
        subject,
        notify_url: call.notify_url.clone(),
        return_url: call.return_url.clone(),
        times_out_at,
        code_ends_at: match product {
            Product::Code => code_ends_at(now, fields)?,
            Product::Barcode | Product::Page | Product::Wap => times_out_at,
        },
    })
}

fn check_product(fields: &Fields, product: Product) -> Result<(), FieldError> {
    // Older pages call the one for telephones QUICK_WAP_PAY.
    let known: &[&str] = match product {
        Product::Page => &["FAST_INSTANT_TRADE_PAY"],
        Product::Wap => &["QUICK_WAP_WAY", "QUICK_WAP_PAY"],
        Product::Code | Product::Barcode => return fields.text("product_code", 64).map(drop),
    };
    let code = fields.required_text("product_code", 64)?;
    if !known.contains(&code.as_str()) {
        let problem = format!("is not {}", known[0]);
        return Err(FieldError::new("product_code", problem));
    }
    if product == Product::Wap {
        let quit_url = fields.required_text("quit_url", LONGEST_QUIT_URL)?;
        if !is_web_url(&quit_url) {
            return Err(FieldError::new("quit_url", "is no http or https URL"));
        }
    }
    Ok(())
}

fn check_options(fields: &Fields) -> Result<(), FieldError> {
    for (name, longest) in TEXTS {
        fields.text(name, longest)?;
    }
    let enabled = fields.text("enable_pay_channels", 128)?;
    if enabled.and(fields.text("disable_pay_channels", 128)?).is_some() {
        return Err(FieldError::new("disable_pay_channels", "excludes enable_pay_channels"));
    }
    Ok(())
}

fn check_goods(fields: &Fields) -> Result<(), FieldError> {
    for goods in fields.objects("goods_detail")? {
        goods.required_text("goods_id", 32)?;
        goods.required_text("goods_name", 256)?;
        let missing = |name| FieldError::new(name, "is missing");
        goods.amount_from_zero("price")?.ok_or_else(|| missing("price"))?;
        if !goods.has("quantity") {
            return Err(missing("quantity"));
        }
    }
    Ok(())
}

/// The absolute time wins over the relative one.
fn times_out_at(
    now: DateTime<Utc>,
    fields: &Fields,
    product: Product,
) -> Result<DateTime<Utc>, FieldError> {
    if let Some(text) = fields.text("time_expire", 32)? {
        let problem = "is no time like 2026-01-02 03:04:05";
        // Older pages write it without seconds.
        return parse_wire_time(&text)
            .or_else(|| parse_wire_time(&format!("{text}:00")))
            .ok_or_else(|| FieldError::new("time_expire", problem));
    }
    let default = match product {
        Product::Code | Product::Barcode => DEFAULT_TIMEOUT,
        Product::Page | Product::Wap => LONGEST_TIMEOUT,
    };
    Ok(relative(now, fields, "timeout_express")?.unwrap_or(now + default))
}

fn code_ends_at(now: DateTime<Utc>, fields: &Fields) -> Result<DateTime<Utc>, FieldError> {
    let asked = relative(now, fields, "qr_code_timeout_express")?;
    Ok(asked.unwrap_or(now + CODE_LIFE).min(now + CODE_LIFE))
}

/// `90m`, `2h`, `15d`, or `1c` for the end of the day in China.
fn relative(
    now: DateTime<Utc>,
    fields: &Fields,
    name: &str,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    let Some(text) = fields.text(name, 6)? else { return Ok(None) };
    if text == "1c" {
        let today = now.with_timezone(&china()).date_naive();
        let midnight = (today + Days::new(1)).and_time(NaiveTime::MIN);
        return Ok(midnight.and_local_timezone(china()).single().map(|at| at.to_utc()));
    }
    let unit = text.chars().last().and_then(|unit| match unit {
        'm' => Some(Duration::minutes(1)),
        'h' => Some(Duration::hours(1)),
        'd' => Some(Duration::days(1)),
        _ => None,
    });
    let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let count = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let count = count.and_then(|digits| digits.parse::<i32>().ok());
    let timeout = unit.zip(count).map(|(unit, count)| unit * count);
    match timeout.filter(|timeout| (Duration::minutes(1)..=LONGEST_TIMEOUT).contains(timeout)) {
        Some(timeout) => Ok(Some(now + timeout)),
        None => Err(FieldError::new(name, "is no time from 1m to 15d, in m, h or d, or 1c")),
    }
}
