//! Who may call at all: known shared, complete parameters, right signature.

use chrono::{DateTime, TimeDelta, Utc};

use super::Method;
use super::node::Node;
use crate::clock::parse_wire_time;
use crate::fields::{FieldError, Fields};
use crate::html::escape;
use crate::params::Params;
use crate::rules::Rules;
use crate::server::Shared;

const LONGEST_URL: usize = 256;

/// A call with a verified signature. Its business parameters may still be wrong.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) notify_url: Option<String>,
    /// Where to send a browser back to.
    pub(super) return_url: Option<String>,
    pub(super) fields: Result<Fields, FieldError>,
}

/// Checks what comes before the business: the first thing that is wrong is answered.
pub(super) fn admit(shared: &Shared, params: &Params) -> Result<Call, Node> {
    if required(params, "app_id", "isv.missing-app-id")? != shared.app_id {
        return Err(invalid("isv.invalid-app-id", "无效的AppID参数"));
    }
    let method = required(params, "method", "isv.missing-method")?;
    let method =
        Method::parse(&method).ok_or_else(|| invalid("isv.invalid-method", "不存在的方法名"))?;
    let signature = required(params, "sign", "isv.missing-signature")?;
    let timestamp = required(params, "timestamp", "isv.missing-timestamp")?;
    let sent_at = parse_wire_time(&timestamp)
        .ok_or_else(|| invalid("isv.invalid-timestamp", "非法的时间戳参数"))?;
    if required(params, "version", "isv.missing-version")? != "1.0" {
        return Err(invalid("isv.invalid-version", "无效的版本参数"));
    }
    if required(params, "sign_type", "isv.missing-signature-type")? != "RSA2" {
        return Err(invalid("isv.invalid-signature-type", "无效的签名类型"));
    }
    if params.text("format").is_some_and(|format| !format.eq_ignore_ascii_case("json")) {
        return Err(invalid("isv.invalid-format", "无效的数据格式"));
    }
    let rules = shared.store.peek(|books| books.rules().clone());
    let may_be_absent = !rules.charset_required && params.text("charset").is_none();
    if params.charset().is_none() && !may_be_absent {
        required(params, "charset", "isv.missing-charset")?;
        return Err(invalid("isv.invalid-charset", "字符集错误"));
    }
    if !params.is_text() {
        return Err(invalid("isv.invalid-charset", "参数与字符集不符"));
    }
    let sign_text = params.sign_text();
    if !shared.verifier.verifies(&sign_text, &signature) {
        let expected = escape(&String::from_utf8_lossy(&sign_text));
        let hint = format!(
            "验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：{expected}"
        );
        return Err(invalid("isv.invalid-signature", &hint));
    }
    check_timestamp(shared, &rules, sent_at)?;
    let names = [params.text("app_cert_sn"), params.text("alipay_root_cert_sn")];
    check_certificates(shared, names[0].as_deref(), names[1].as_deref())?;
    check_rights(shared, &rules, method)?;
    let notify_url = url(params, "notify_url")?;
    let return_url = url(params, "return_url")?;
    if params.text("encrypt_type").is_some() {
        return Err(invalid("isv.invalid-encrypt-type", "encrypted calls are not simulated"));
    }
    let biz_content = params.text("biz_content").unwrap_or_default();
    let fields = Fields::parse("biz_content", biz_content.as_bytes());
    Ok(Call { method, notify_url, return_url, fields })
}

/// Whether the application may make this call, and now.
pub(super) fn check_rights(shared: &Shared, rules: &Rules, method: Method) -> Result<(), Node> {
    if rules.forbidden_methods.iter().any(|name| name == method.name()) {
        return Err(Node::no_permission());
    }
    if !shared.meter.admits(method, shared.store.now(), rules.calls_per_second) {
        return Err(Node::rate_limited());
    }
    Ok(())
}

pub(super) fn check_timestamp(
    shared: &Shared,
    rules: &Rules,
    sent_at: DateTime<Utc>,
) -> Result<(), Node> {
    let Some(window) = rules.timestamp_window_ms else { return Ok(()) };
    let off = (shared.store.now() - sent_at).abs();
    if off > TimeDelta::milliseconds(window.into()) {
        return Err(invalid("isv.invalid-timestamp", "时间戳参数超出允许范围"));
    }
    Ok(())
}

/// In certificate mode a call names its own certificate and the roots that it trusts.
pub(super) fn check_certificates(
    shared: &Shared,
    app: Option<&str>,
    roots: Option<&str>,
) -> Result<(), Node> {
    let Some(known) = &shared.serial_numbers else { return Ok(()) };
    if app != Some(known.app.as_str()) {
        return Err(invalid("isv.app-cert-not-exist", "应用证书不存在"));
    }
    if roots != Some(known.roots.as_str()) {
        return Err(invalid("isv.invalid-alipay-root-cert-sn", "支付宝根证书序列号错误"));
    }
    Ok(())
}

fn required(params: &Params, name: &str, sub_code: &'static str) -> Result<String, Node> {
    let missing = || {
        Node::failure("40001", "Missing Required Arguments", sub_code, &format!("缺少{name}参数"))
    };
    params.text(name).ok_or_else(missing)
}

pub(super) fn invalid(sub_code: &'static str, sub_msg: &str) -> Node {
    Node::failure("40002", "Invalid Arguments", sub_code, sub_msg)
}

fn url(params: &Params, name: &str) -> Result<Option<String>, Node> {
    match params.text(name) {
        Some(url) if url.len() > LONGEST_URL || !is_web_url(&url) => {
            let problem = format!("{name} is no http or https URL");
            Err(invalid("isv.invalid-parameter", &problem))
        }
        url => Ok(url),
    }
}

pub(super) fn is_web_url(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}
