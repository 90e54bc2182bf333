//! What the gateway said about each attempt, with the time at which it was asked: the evidence of
//! every cancel.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::gateway::{Answer, NotPaid};
use super::ids::OutTradeNo;

/// One answer of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The attempt asked about.
    pub out_trade_no: OutTradeNo,
    /// The instant just before the question was sent.
    pub asked_at: DateTime<Utc>,
    /// What came back.
    pub answer: Answer,
}

/// The answers to one round of questions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Answers(Vec<Asked>);

impl Answers {
    /// The answers of one round.
    #[must_use]
    pub fn new(asked: Vec<Asked>) -> Self {
        Self(asked)
    }

    /// The answer about one attempt, if it was asked about.
    #[must_use]
    pub fn about(&self, out_trade_no: &OutTradeNo) -> Option<&Asked> {
        self.0.iter().find(|asked| asked.out_trade_no == *out_trade_no)
    }

    /// Puts a newer answer in the place of an older one.
    pub fn replace(&mut self, asked: Asked) {
        self.0.retain(|old| old.out_trade_no != asked.out_trade_no);
        self.0.push(asked);
    }

    /// All answers.
    #[must_use]
    pub fn as_slice(&self) -> &[Asked] {
        &self.0
    }

    /// One word for logs, metrics and the pending table: the answer that weighs most.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        let rank = |asked: &Asked| match &asked.answer {
            Answer::Paid(_) => (5, "paid"),
            Answer::Unknown(_) => (4, "unknown"),
            Answer::Returned(_) => (3, "returned"),
            Answer::NotPaid(NotPaid::WaitBuyerPay { .. }) => (2, "wait_buyer_pay"),
            Answer::NotPaid(NotPaid::NotExist) => (1, "not_exist"),
            Answer::NotPaid(NotPaid::Closed) => (0, "closed"),
        };
        self.0.iter().map(rank).max().map_or("no_attempt", |(_, word)| word)
    }
}
