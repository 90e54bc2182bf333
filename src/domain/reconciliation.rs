//! What a line of a bill means beside what is recorded. Pure; the repair of a line is always a use
//! case that asks the gateway again.

use super::bill::{BillLine, BillLineKind};
use super::ids::OrderId;
use super::money::Fen;
use super::refund::{RefundStatus, elsewhere_no};

/// How a day of one account's bill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DayState {
    /// It wasn't looked at yet, or the gateway gave no certain answer.
    Pending,
    /// The bill says what is recorded.
    Clean,
    /// They differ, and a person has to look.
    Differences,
    /// The gateway has no bill, although money was recorded on that day.
    Missing,
}

impl DayState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Clean, Self::Differences, Self::Missing];

    /// The name in the database, in reports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Clean => "clean",
            Self::Differences => "differences",
            Self::Missing => "missing",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What is recorded of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPayment {
    /// Its order; an orphan has none.
    pub order_id: Option<OrderId>,
    /// Whether the bill is of the account that made it.
    pub same_account: bool,
    /// What was paid, once recorded.
    pub paid: Option<Fen>,
    /// How much of that went back.
    pub refunded: Fen,
    /// The gateway's number, once known.
    pub trade_no: Option<String>,
    /// Its refunds.
    pub refunds: Vec<KnownRefund>,
}

impl KnownPayment {
    /// How much of it the gateway gave back; what was paid by other means isn't on its bills.
    fn gone_through_gateway(&self) -> Option<Fen> {
        let by_other_means = |refund: &&KnownRefund| refund.paid_elsewhere;
        let others = self.refunds.iter().filter(by_other_means);
        others.map(|refund| refund.amount).try_fold(self.refunded, Fen::checked_sub)
    }
}

/// What is recorded of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRefund {
    /// Its number at the gateway, if it is ours.
    pub out_request_no: String,
    /// The number that it was asked for under.
    pub request_no: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// How much.
    pub amount: Fen,
    /// Whether it was paid by other means, so that no bill tells of it.
    pub paid_elsewhere: bool,
}

/// In which way bill and records differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Another amount.
    Amount,
    /// Another number of the gateway's.
    TradeNo,
    /// The trade belongs to another account.
    Account,
    /// Paid by the bill, and not recorded even after the gateway was asked.
    Unrecorded,
    /// Recorded, and not on the bill.
    NotBilled,
    /// A refund by the bill that is not finished here.
    RefundUnfinished,
    /// A refund that is recorded as refused.
    RefundRefused,
    /// A refund that is not recorded even after the gateway was asked.
    RefundUnrecorded,
    /// The same line twice.
    BilledTwice,
    /// A line that can't be read.
    Unreadable,
}

impl DifferenceKind {
    /// The name in the database and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::TradeNo => "trade_no",
            Self::Account => "account",
            Self::Unrecorded => "unrecorded",
            Self::NotBilled => "not_billed",
            Self::RefundUnfinished => "refund_unfinished",
            Self::RefundRefused => "refund_refused",
            Self::RefundUnrecorded => "refund_unrecorded",
            Self::BilledTwice => "billed_twice",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded as it stands.
    Fits,
    /// Repair: the order's settlement asks the gateway and records the payment.
    Settle(OrderId),
    /// Repair: a payment with our prefix and of no attempt is recorded.
    RecordOrphan,
    /// Repair: the refund is on its way, and is asked about now.
    Hasten,
    /// Repair: somebody else's refund is looked up and recorded.
    NoteReturn,
    /// Nothing is safe to do: a person has to look.
    Differs(DifferenceKind, String),
}

/// Judges a line beside what is recorded under its number.
#[must_use]
pub fn judge(line: &BillLine, known: Option<&KnownPayment>) -> Verdict {
    let Some(known) = known else {
        return match line.kind {
            BillLineKind::Payment => Verdict::RecordOrphan,
            BillLineKind::Refund => differs(
                DifferenceKind::RefundUnrecorded,
                format!("{} yuan went back for a number that no payment has", line.amount),
            ),
        };
    };
    if !known.same_account {
        let detail = "it is on the bill of another account than the one that made it";
        return differs(DifferenceKind::Account, detail.to_owned());
    }
    let Some(paid) = known.paid else {
        return match &known.order_id {
            Some(order_id) => Verdict::Settle(order_id.clone()),
            None => differs(
                DifferenceKind::Unrecorded,
                format!("{} yuan on the bill, nothing recorded", line.amount),
            ),
        };
    };
    match line.kind {
        BillLineKind::Payment => judge_payment(line, known, paid),
        BillLineKind::Refund => judge_refund(line, known, paid),
    }
}

fn judge_payment(line: &BillLine, known: &KnownPayment, paid: Fen) -> Verdict {
    if paid != line.amount {
        let detail = format!("{} yuan on the bill, {paid} yuan recorded", line.amount);
        return differs(DifferenceKind::Amount, detail);
    }
    match known.trade_no.as_deref() {
        Some(trade_no) if trade_no != line.trade_no => differs(
            DifferenceKind::TradeNo,
            format!("trade {} on the bill, {trade_no} recorded", line.trade_no),
        ),
        _ => Verdict::Fits,
    }
}

fn judge_refund(line: &BillLine, known: &KnownPayment, paid: Fen) -> Verdict {
    let number = &line.out_request_no;
    let elsewhere = elsewhere_no(number);
    let found = known
        .refunds
        .iter()
        .find(|refund| refund.out_request_no == *number || refund.request_no == elsewhere);
    let Some(refund) = found else {
        let under_way = known.refunds.iter().any(|refund| !refund.status.is_ended());
        // All of it is back and accounted for, if under another number.
        return if known.gone_through_gateway() == Some(paid) && !under_way {
            Verdict::Fits
        } else {
            Verdict::NoteReturn
        };
    };
    match refund.status {
        RefundStatus::Succeeded if refund.paid_elsewhere => differs(
            DifferenceKind::RefundRefused,
            format!("{} yuan went back, which was paid by other means too", line.amount),
        ),
        RefundStatus::Succeeded if refund.amount == line.amount => Verdict::Fits,
        RefundStatus::Succeeded => differs(
            DifferenceKind::Amount,
            format!("{} yuan back on the bill, {} yuan recorded", line.amount, refund.amount),
        ),
        RefundStatus::Refused => differs(
            DifferenceKind::RefundRefused,
            format!("{} yuan went back for a refund that is recorded as refused", line.amount),
        ),
        RefundStatus::Requested | RefundStatus::StoppingWarehouse | RefundStatus::Sending => {
            Verdict::Hasten
        }
    }
}

fn differs(kind: DifferenceKind, detail: String) -> Verdict {
    Verdict::Differs(kind, detail)
}

/// What is left to say about a line whose repair left it as it was.
#[must_use]
pub fn unrepaired(line: &BillLine, verdict: &Verdict) -> Option<(DifferenceKind, String)> {
    let amount = line.amount;
    match verdict {
        Verdict::Fits => None,
        Verdict::Differs(kind, detail) => Some((*kind, detail.clone())),
        Verdict::Settle(_) | Verdict::RecordOrphan => Some((
            DifferenceKind::Unrecorded,
            format!("{amount} yuan on the bill; the gateway, asked again, does not confirm it"),
        )),
        Verdict::Hasten => Some((
            DifferenceKind::RefundUnfinished,
            format!("{amount} yuan went back for a refund that is not finished here yet"),
        )),
        Verdict::NoteReturn => Some((
            DifferenceKind::RefundUnrecorded,
            format!("{amount} yuan went back; the gateway, asked again, does not confirm it"),
        )),
    }
}

#[cfg(test)]
mod tests;
