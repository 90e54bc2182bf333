//! The columns of a bill's table, found by what stands above them, and the fields of one line.

use csv::ReaderBuilder;

use super::super::time::parse_china;
use crate::domain::bill::{BillLine, BillLineKind};
use crate::domain::money::Fen;

/// Longest number of anybody's, in characters.
const NUMBER_CHARS_MAX: usize = 64;

/// What is read of a line at once, in bytes.
const LINE_BUFFER_BYTES: usize = 1024;

/// Why the head of a table isn't understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A column that is needed isn't there.
    #[error("no column {0}")]
    Missing(&'static str),
    /// There are two columns of one name.
    #[error("two columns {0}")]
    Twice(&'static str),
}

/// Where the columns are that are needed.
#[derive(Debug)]
pub(super) struct Columns {
    trade_no: usize,
    out_trade_no: usize,
    kind: usize,
    at: usize,
    amount: usize,
    request: usize,
    /// A free text, which may bring commas of its own.
    subject: Option<usize>,
    width: usize,
}

/// What a line says.
#[derive(Debug)]
pub(super) struct Movement {
    /// Whether money came or went; some lines of others are of no known kind.
    pub(super) kind: Option<BillLineKind>,
    /// The line, if it is about a number of ours.
    pub(super) ours: Option<BillLine>,
}

impl Columns {
    pub(super) fn find(heads: &[String]) -> Result<Self, HeaderError> {
        let heads: Vec<String> = heads.iter().map(|head| plain(head)).collect();
        let optional = |name: &'static str| {
            let wanted = plain(name);
            let mut found = heads.iter().enumerate().filter(|(_, head)| **head == wanted);
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => Err(HeaderError::Twice(name)),
                (first, _) => Ok(first.map(|(at, _)| at)),
            }
        };
        let find = |name: &'static str| optional(name)?.ok_or(HeaderError::Missing(name));
        Ok(Self {
            trade_no: find("支付宝交易号")?,
            out_trade_no: find("商户订单号")?,
            kind: find("业务类型")?,
            at: find("完成时间")?,
            amount: find("订单金额（元）")?,
            request: find("退款批次号/请求号")?,
            subject: optional("商品名称")?,
            width: heads.len(),
        })
    }

    /// Reads one line.
    pub(super) fn read(
        &self,
        mut fields: Vec<String>,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<Movement, &'static str> {
        let spilt = fields.len() != self.width;
        if spilt {
            self.gather_subject(&mut fields)?;
        }
        let kind = match fields[self.kind].as_str() {
            "交易" => Some(BillLineKind::Payment),
            "退款" => Some(BillLineKind::Refund),
            _ => None,
        };
        let ours = is_ours(&fields[self.out_trade_no]);
        if !ours && !spilt {
            return Ok(Movement { kind, ours: None });
        }
        // Where the fields were put together again, only a line that makes sense throughout counts.
        let line = self.line(&fields, kind.ok_or("its kind is unknown")?)?;
        Ok(Movement { kind, ours: ours.then_some(line) })
    }

    /// A text with commas may have spilt into further fields.
    fn gather_subject(&self, fields: &mut Vec<String>) -> Result<(), &'static str> {
        let extra = fields.len().checked_sub(self.width).ok_or("it has too few fields")?;
        let subject = self.subject.ok_or("it has too many fields")?;
        let whole = fields[subject..=subject + extra].join(",");
        fields.splice(subject..=subject + extra, [whole]);
        Ok(())
    }

    fn line(&self, fields: &[String], kind: BillLineKind) -> Result<BillLine, &'static str> {
        let number = |at: usize, problem| {
            let text = fields[at].as_str();
            let fits = text.chars().count() <= NUMBER_CHARS_MAX;
            let clean = text.bytes().all(|byte| byte.is_ascii_graphic());
            if fits && clean { Ok(text.to_owned()) } else { Err(problem) }
        };
        let amount = fields[self.amount].as_str();
        let amount = match (kind, amount.strip_prefix('-')) {
            (BillLineKind::Payment, None) => amount,
            (BillLineKind::Refund, Some(amount)) => amount,
            (BillLineKind::Refund, None) => return Err("its amount isn't negative"),
            (BillLineKind::Payment, Some(_)) => return Err("its amount is negative"),
        };
        let line = BillLine {
            kind,
            trade_no: number(self.trade_no, "its trade number is none")?,
            out_trade_no: number(self.out_trade_no, "its order number is none")?,
            out_request_no: number(self.request, "its request number is none")?,
            amount: Fen::parse_yuan(amount).map_err(|_| "its amount is none")?,
            at: parse_china(&fields[self.at]).ok_or("its time is none")?,
        };
        if line.trade_no.is_empty() || line.out_trade_no.is_empty() {
            return Err("a number is missing");
        }
        Ok(line.with_request_no())
    }
}

impl BillLine {
    /// A refund that was asked for without a number has that of its trade.
    fn with_request_no(mut self) -> Self {
        if self.kind == BillLineKind::Refund && self.out_request_no.is_empty() {
            self.out_request_no.clone_from(&self.out_trade_no);
        }
        if self.kind == BillLineKind::Payment {
            self.out_request_no.clear();
        }
        self
    }
}

/// A head without what differs from bill to bill: spaces and the width of brackets.
fn plain(head: &str) -> String {
    let narrow = |letter| match letter {
        '（' => '(',
        '）' => ')',
        letter => letter,
    };
    head.chars().filter(|letter| !letter.is_whitespace()).map(narrow).collect()
}

/// The fields of one line, without the space around them. A line is a record: no quote reaches
/// beyond its end.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).buffer_capacity(LINE_BUFFER_BYTES);
    let mut reader = builder.from_reader(line.as_bytes());
    let fields = reader.records().next().and_then(Result::ok).unwrap_or_default();
    fields.iter().map(|field| field.trim().to_owned()).collect()
}
