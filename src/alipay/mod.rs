//! The client of Alipay's gateway, face-to-face payment over `gateway.do`.
//!
//! Owns the account, the calls and the webhook's verification, and turns everything Alipay
//! can say into the words of [`crate::domain::gateway`]. It decides nothing: it must not know what
//! an order is, and it holds no state but its connections. Reading order: this file, `trade` (what
//! each answer means), `call` (one exchange), [`wire`] (the signed bytes), [`notify`].

pub mod bill;
mod budget;
mod call;
pub mod certificates;
mod code;
pub mod form;
pub mod keys;
pub mod notify;
mod refund;
pub mod sign;
mod time;
mod trade;
pub mod wire;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Url;

use self::call::{Caller, Request};
use self::keys::{AlipayPublicKey, AppPrivateKey};
use self::notify::VerifiedNotify;
use self::trade::Reply;
use crate::domain::bill::{BillDay, BillOutcome};
use crate::domain::gateway::{
    Answer, CancelOutcome, CloseOutcome, PrecreateOutcome, UnknownReason,
};
use crate::domain::money::Fen;
use crate::domain::priority::Priority;
use crate::domain::refund::{RefundFound, RefundOrder, RefundOutcome};

pub use self::budget::Budget;
pub use self::call::{
    BODY_BYTES_MAX, CALL_BUDGET, CALLS_AT_ONCE_MAX, CONNECT_BUDGET, PERMIT_BUDGET,
};

/// Longest text of the peer's that is kept in an answer, in characters.
const PEER_TEXT_CHARS_MAX: usize = 100;

/// Told about every call: its method (`query`), its result (`paid`, `timeout`) and how long it
/// took. Methods and results are small closed sets, fit to be labels of a metric.
pub type CallObserver = Arc<dyn Fn(&'static str, &'static str, Duration) + Send + Sync>;

/// Whom we are at Alipay, and how both sides recognise each other.
#[derive(Debug, Clone)]
pub struct Account {
    /// Where the gateway is; without a query.
    pub gateway_url: Url,
    /// Our application.
    pub app_id: String,
    /// The seller who gets the money.
    pub seller_id: String,
    /// Where Alipay sends its notifications.
    pub notify_url: String,
    /// Signs what we send.
    pub key: AppPrivateKey,
    /// Verify what we receive: the current key and, around a change, the next one.
    pub alipay_keys: Vec<AlipayPublicKey>,
    /// How often the account may be called, by all instances together.
    pub calls_per_second: NonZeroU32,
    /// What we call the certificates in every request; without, we use bare keys.
    pub certificates: Option<CertificateNames>,
}

/// What every request of certificate mode names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    /// Our own certificate.
    pub app_cert_sn: String,
    /// The roots that we trust.
    pub alipay_root_cert_sn: String,
}

/// Why no client can be made for an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nothing could be verified.
    #[error("no public key of Alipay's is configured")]
    NoAlipayKey,
    /// The two most confused keys are confused.
    #[error(
        "the configured Alipay public key is the public half of our own application key; \
         copy Alipay's key from its console instead"
    )]
    OwnKeyAsAlipayKey,
    /// The same with certificates.
    #[error(
        "the configured Alipay certificate is one of our own application key; \
         download Alipay's certificate from its console instead"
    )]
    OwnCertificateAsAlipays,
    /// The address can't carry our parameters.
    #[error("the gateway's address must be http or https, without a query or fragment")]
    GatewayUrl,
    /// A mandatory value is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The HTTP client can't be built, for example because this machine has no root certificates.
    #[error("no HTTP client can be built")]
    Http(#[source] reqwest::Error),
}

/// A trade to be offered to a buyer as a QR code.
#[derive(Debug, Clone, Copy)]
pub struct Precreate<'a> {
    /// Our number for it; never reused after a close.
    pub out_trade_no: &'a str,
    /// What the buyer is asked to pay.
    pub total: Fen,
    /// What the buyer reads; without `/`, `=` and `&`.
    pub subject: &'a str,
    /// When the trade ends unpaid, in whole seconds.
    pub time_expire: DateTime<Utc>,
}

/// The client of one account. A copy shares its connections, limits and budget.
#[derive(Clone)]
pub struct Alipay {
    caller: Arc<Caller>,
    priority: Priority,
}

impl Alipay {
    /// A client with its own connections, limits and budget. Must be made in a Tokio runtime.
    ///
    /// # Errors
    ///
    /// An [`AccountError`] when the account can't work, in particular when our own public key
    /// stands in the place of Alipay's.
    pub fn new(account: Account, observer: CallObserver) -> Result<Self, AccountError> {
        account.check()?;
        let budget = Budget::new(account.calls_per_second);
        let caller = Caller::new(account, budget, observer).map_err(AccountError::Http)?;
        Ok(Self { caller: Arc::new(caller), priority: Priority::default() })
    }

    /// The same client, whose calls are of this class.
    #[must_use]
    pub fn at(&self, priority: Priority) -> Self {
        Self { caller: Arc::clone(&self.caller), priority }
    }

    /// How often the account may be called.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        self.caller.budget()
    }

    /// The account that every call is made for.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.caller.account()
    }

    /// Asks for a QR code. Repeating it with the same content is harmless.
    pub async fn precreate(&self, trade: &Precreate<'_>, now: DateTime<Utc>) -> PrecreateOutcome {
        let request = Request::precreate(trade, self.account());
        let read = |reply| trade::read_precreate(reply, trade.out_trade_no);
        self.call(request, now, read, PrecreateOutcome::code).await
    }

    /// Asks what became of a trade. The only authority about money.
    pub async fn query(&self, out_trade_no: &str, now: DateTime<Utc>) -> Answer {
        let read = |reply| trade::read_query(reply, out_trade_no);
        self.call(Request::query(out_trade_no), now, read, answer_code).await
    }

    /// Closes a trade that waits for its buyer; never gives money back.
    pub async fn close(&self, out_trade_no: &str, now: DateTime<Utc>) -> CloseOutcome {
        let read = |reply| trade::read_close(reply, out_trade_no);
        self.call(Request::close(out_trade_no), now, read, CloseOutcome::code).await
    }

    /// Closes a trade that waits, and gives **all** the money of a paid one back. No use case calls
    /// it, and none may: a close says the same about a trade that waits, and never costs money. It
    /// stays because its answer, perhaps a refund in disguise, must be read right by whoever asks,
    /// and because tests do with it what somebody else may do.
    pub async fn cancel(&self, out_trade_no: &str, now: DateTime<Utc>) -> CancelOutcome {
        let read = |reply| trade::read_cancel(reply, out_trade_no);
        self.call(Request::cancel(out_trade_no), now, read, CancelOutcome::code).await
    }

    /// Gives money of a paid trade back. Repeating it with the same number and amount moves no
    /// money twice; only [`Alipay::refund_query`] tells whether an uncertain one did.
    pub async fn refund(&self, refund: &RefundOrder<'_>, now: DateTime<Utc>) -> RefundOutcome {
        let read = |reply| refund::read_refund(reply, refund.out_trade_no);
        self.call(Request::refund(refund), now, read, RefundOutcome::code).await
    }

    /// Asks what became of a refund.
    pub async fn refund_query(
        &self,
        out_trade_no: &str,
        out_request_no: &str,
        now: DateTime<Utc>,
    ) -> RefundFound {
        let request = Request::refund_query(out_trade_no, out_request_no);
        let read = |reply| refund::read_refund_query(reply, out_trade_no, out_request_no);
        self.call(request, now, read, RefundFound::code).await
    }

    /// Fetches and reads the bill of a day. Lines about numbers that don't start with `prefix` are
    /// only counted. It may take minutes: a download has a budget of its own.
    pub async fn bill(&self, day: BillDay, prefix: &str, now: DateTime<Utc>) -> BillOutcome {
        bill::fetch_bill(&self.caller, day, prefix, now).await
    }

    async fn call<T>(
        &self,
        request: Request<'_>,
        now: DateTime<Utc>,
        read: impl FnOnce(Result<Reply, UnknownReason>) -> T,
        code: fn(&T) -> &'static str,
    ) -> T {
        self.caller.call((request, self.priority), now, read, code).await
    }

    /// Whether a notification that was verified, perhaps with the keys of another account, is
    /// signed with this account's keys.
    #[must_use]
    pub fn may_have_sent(&self, notify: &VerifiedNotify) -> bool {
        notify::verify(notify.raw(), &self.account().alipay_keys).is_ok()
    }
}

impl fmt::Debug for Alipay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Alipay").field("account", self.account()).finish_non_exhaustive()
    }
}

impl Account {
    fn check(&self) -> Result<(), AccountError> {
        let texts = [
            (&self.app_id, "the app id"),
            (&self.seller_id, "the seller id"),
            (&self.notify_url, "the notify URL"),
        ];
        if let Some((_, name)) = texts.into_iter().find(|(text, _)| text.is_empty()) {
            return Err(AccountError::Empty(name));
        }
        let url = &self.gateway_url;
        let is_http = matches!(url.scheme(), "http" | "https");
        if !is_http || url.query().is_some() || url.fragment().is_some() {
            return Err(AccountError::GatewayUrl);
        }
        if self.alipay_keys.is_empty() {
            return Err(AccountError::NoAlipayKey);
        }
        match self.alipay_keys.iter().find(|key| self.key.is_pair_of(key)) {
            Some(own) if own.cert_sn().is_some() => Err(AccountError::OwnCertificateAsAlipays),
            Some(_) => Err(AccountError::OwnKeyAsAlipayKey),
            None => Ok(()),
        }
    }

    /// The keys that may have signed an answer which names this certificate: in certificate mode
    /// that one's only. The name is not signed, so that without it every key is tried.
    fn keys_of_answer(&self, cert_sn: Option<&str>) -> Vec<AlipayPublicKey> {
        let named = cert_sn.filter(|_| self.certificates.is_some());
        let may_sign = |key: &&AlipayPublicKey| named.is_none() || key.cert_sn() == named;
        self.alipay_keys.iter().filter(may_sign).cloned().collect()
    }
}

fn answer_code(answer: &Answer) -> &'static str {
    match answer {
        Answer::Unknown(reason) => reason.code(),
        _ => answer.code(),
    }
}

/// A text of the peer's, fit to be kept: printable and not long.
fn shorten(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(PEER_TEXT_CHARS_MAX).collect()
}
