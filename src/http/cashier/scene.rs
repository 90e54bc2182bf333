//! The pictures of the cashier page and their words.

use serde::Serialize;

/// Which picture the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Scene {
    /// The shop has not started a payment, or is making another code.
    Preparing,
    /// The code can be scanned.
    Scan,
    /// It was scanned; the buyer can still confirm.
    Scanned,
    /// The window is over, and the gateway is being asked.
    Checking,
    /// A cancel was requested, and the gateway is being asked.
    Cancelling,
    /// Paid.
    Paid,
    /// Cancelled.
    Cancelled,
    /// The money is on its way back.
    Refunding,
    /// All the money went back.
    Refunded,
}

/// A text in the page's two languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// English.
    pub en: &'static str,
    /// Chinese.
    pub zh: &'static str,
}

/// What stands under the sign of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caption {
    /// In large letters; the page's title, too.
    pub heading: Text,
    /// What the buyer should do, or leave alone.
    pub detail: Text,
}

impl Scene {
    /// Every scene, in the order of an order's life.
    pub(super) const ALL: [Self; 9] = [
        Self::Preparing,
        Self::Scan,
        Self::Scanned,
        Self::Checking,
        Self::Cancelling,
        Self::Paid,
        Self::Cancelled,
        Self::Refunding,
        Self::Refunded,
    ];

    /// The name in the page and in the stream.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Scan => "scan",
            Self::Scanned => "scanned",
            Self::Checking => "checking",
            Self::Cancelling => "cancelling",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }

    /// Its words.
    pub(super) fn caption(self) -> Caption {
        match self {
            Self::Preparing => caption(
                ("Waiting for the shop", "等待商家发起支付"),
                ("The payment code appears here by itself.", "支付二维码将自动显示。"),
            ),
            Self::Scan => caption(
                ("Scan to pay with Alipay", "支付宝扫码支付"),
                ("Open Alipay, tap Scan, and point it at the code.", "打开支付宝“扫一扫”。"),
            ),
            Self::Scanned => caption(
                ("Scanned, please confirm", "已扫码，请确认付款"),
                ("Confirm the payment in Alipay on your phone.", "请在手机支付宝中确认付款。"),
            ),
            Self::Checking => caption(
                ("Time is up, checking with Alipay", "已超时，正在与支付宝核对"),
                (
                    "Please do not pay any more. If you have paid already, this page will say so \
                     in a moment.",
                    "请勿再付款。如已付款，稍后将显示结果。",
                ),
            ),
            Self::Cancelling => caption(
                ("Cancelling the order", "正在取消订单"),
                (
                    "Please do not pay any more. Alipay is being asked whether you have paid \
                     already.",
                    "请勿再付款，正在与支付宝核对。",
                ),
            ),
            Self::Paid => caption(
                ("Payment received", "支付成功"),
                ("Thank you. You may close this page.", "感谢您的付款，可关闭此页面。"),
            ),
            Self::Cancelled => caption(
                ("Order cancelled", "订单已取消"),
                ("Please do not pay for it any more.", "请勿再为此订单付款。"),
            ),
            Self::Refunding => caption(
                ("Refund under way", "退款处理中"),
                ("The money goes back the way it came.", "款项将原路退回。"),
            ),
            Self::Refunded => caption(
                ("Refunded", "已退款"),
                ("The money has been returned to you.", "款项已退还给您。"),
            ),
        }
    }
}

fn caption(heading: (&'static str, &'static str), detail: (&'static str, &'static str)) -> Caption {
    let text = |(en, zh)| Text { en, zh };
    Caption { heading: text(heading), detail: text(detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_the_stream_use_the_same_names() {
        for scene in Scene::ALL {
            assert_eq!(serde_json::json!(scene), scene.as_str());
        }
    }
}
