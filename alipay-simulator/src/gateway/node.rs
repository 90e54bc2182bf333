//! The node of an answer: what is signed.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::Failure;

/// Named values in the order in which they are written.
#[derive(Clone, Debug)]
pub(super) struct Node(Vec<(&'static str, Value)>);

impl Node {
    pub(super) fn empty() -> Self {
        Self(Vec::new())
    }

    pub(super) fn success() -> Self {
        Self::empty().with("code", "10000").with("msg", "Success")
    }

    /// The buyer's telephone asks for a confirmation.
    pub(super) fn buyer_must_confirm() -> Self {
        Self::empty().with("code", "10003").with("msg", "order success pay inprocess")
    }

    pub(super) fn failure(code: &str, msg: &str, sub_code: &str, sub_msg: &str) -> Self {
        let node = Self::empty().with("code", code).with("msg", msg);
        node.with("sub_code", sub_code).with("sub_msg", sub_msg)
    }

    pub(super) fn business_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Business(sub_code) => Self::sub_code(sub_code),
            Failure::Field(error) => {
                let sub_msg = format!("参数无效: {error}");
                Self::failure("40004", "Business Failed", "ACQ.INVALID_PARAMETER", &sub_msg)
            }
        }
    }

    pub(super) fn sub_code(sub_code: &str) -> Self {
        Self::failure("40004", "Business Failed", sub_code, explain(sub_code))
    }

    /// The answer after which nobody knows what has happened.
    pub(super) fn unknown() -> Self {
        Self::failure("20000", "Service Currently Unavailable", "isp.unknow-error", "系统繁忙")
    }

    /// A failure of the trading system that reached the open platform under another name.
    pub(super) fn aop_system_error() -> Self {
        let sub_code = "aop.ACQ.SYSTEM_ERROR";
        Self::failure("20000", "Service Currently Unavailable", sub_code, "系统异常")
    }

    pub(super) fn no_permission() -> Self {
        let sub_code = "isv.insufficient-isv-permissions";
        Self::failure("40006", "Insufficient Permissions", sub_code, "ISV权限不足")
    }

    pub(super) fn invalid_auth_token() -> Self {
        let sub_code = "aop.invalid-app-auth-token";
        Self::failure("20001", "Insufficient Token Permissions", sub_code, "无效的应用授权令牌")
    }

    pub(super) fn rate_limited() -> Self {
        Self::failure("40005", "Call Limited", "isv.app-call-limited", "应用调用次数超限")
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// A text that the node has.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name)?.1.as_str()
    }

    /// Calls a value by another name.
    pub(super) fn rename(&mut self, from: &str, to: &'static str) {
        for (name, _) in self.0.iter_mut().filter(|(name, _)| *name == from) {
            *name = to;
        }
    }

    /// Keeps only what is named.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn explain(sub_code: &str) -> &'static str {
    match sub_code {
        "ACQ.SYSTEM_ERROR" | "AQC.SYSTEM_ERROR" => "系统错误",
        "ACQ.TRADE_NOT_EXIST" => "交易不存在",
        "ACQ.TRADE_STATUS_ERROR"
        | "ACQ.REASON_TRADE_STATUS_INVALID"
        | "ACQ.REASON_ILLEGAL_STATUS" => "交易状态不合法",
        "ACQ.TRADE_HAS_SUCCESS" => "交易已被支付",
        "ACQ.TRADE_HAS_CLOSE" => "交易已经关闭",
        "ACQ.TRADE_HAS_FINISHED" => "交易已完结",
        "ACQ.TRADE_CANCEL_TIME_OUT" => "超过撤销时间范围",
        "ACQ.CONTEXT_INCONSISTENT" => "交易信息被篡改",
        "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR" => "当前时间已超过允许支付的时间",
        "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL" => "退款金额超限",
        "ACQ.REASON_TRADE_REFUND_FEE_ERR" => "退款金额无效",
        "ACQ.DISCORDANT_REPEAT_REQUEST" => "请求信息不一致",
        "BILL_NOT_EXIST" => "账单不存在",
        "INVAILID_ARGUMENTS" => "入参不合法",
        "ACQ.REASON_TRADE_BEEN_FREEZEN" => "交易已被冻结",
        "ACQ.PAYMENT_AUTH_CODE_INVALID" => "支付授权码无效",
        "ACQ.BUYER_BALANCE_NOT_ENOUGH" => "买家余额不足",
        "ACQ.SELLER_BALANCE_NOT_ENOUGH" => "卖家余额不足",
        _ => "业务处理失败",
    }
}
