//! The two tables of a bill: GBK, CRLF, comments around them, and a tab behind most values.

use chrono::{DateTime, NaiveDate, Utc};
use encoding_rs::GBK;

use super::{Line, Movement, Period};
use crate::clock::wire_time;
use crate::money::Fen;
use crate::notify::BUYER_LOGON_ID;

/// The columns of the table of movements.
const COLUMNS: [&str; 25] = [
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "创建时间",
    "完成时间",
    "门店编号",
    "门店名称",
    "操作员",
    "终端号",
    "对方账户",
    "订单金额（元）",
    "商家实收（元）",
    "支付宝红包（元）",
    "集分宝（元）",
    "支付宝优惠（元）",
    "商家优惠（元）",
    "券核销金额（元）",
    "券名称",
    "商家红包消费金额（元）",
    "卡消费金额（元）",
    "退款批次号/请求号",
    "服务费（元）",
    "分润（元）",
    "备注",
];
const SUMMARY_COLUMNS: &str = "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,\
    商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,\
    实收净额（元）";
/// A column that the fault `bill_extra_column` puts in front.
const EXTRA_COLUMN: &str = "将来的列";
const RULE: &str = "#-----------------------------------------";

/// What stands above a table.
pub(super) struct Head<'a> {
    pub(super) seller_id: &'a str,
    pub(super) period: Period,
    pub(super) now: DateTime<Utc>,
}

/// The table of everything that came and went.
pub(super) fn detail(head: &Head<'_>, lines: &[Line], extra_column: bool) -> Vec<u8> {
    let extra = |value: &str| if extra_column { format!("{value},") } else { String::new() };
    let mut rows = comments(head, "业务明细列表");
    rows.push(format!("{}{}", extra(EXTRA_COLUMN), COLUMNS.join(",")));
    rows.extend(lines.iter().map(|line| format!("{}{}", extra("x\t"), values(line).join(","))));
    let sums = Sums::of(lines);
    rows.push(format!("{RULE}业务明细列表结束------------------------------------"));
    rows.push(format!(
        "#交易合计：{}笔，退款合计：{}笔，商家实收共{}元，商家优惠共0.00元",
        sums.payments,
        sums.refunds,
        sums.net()
    ));
    file(head, rows)
}

/// The table of sums: one line, since there is one shop.
pub(super) fn summary(head: &Head<'_>, lines: &[Line]) -> Vec<u8> {
    let sums = Sums::of(lines);
    let (payments, refunds, net) = (sums.payments, sums.refunds, sums.net());
    let mut rows = comments(head, "业务汇总列表");
    rows.push(SUMMARY_COLUMNS.to_owned());
    rows.push(format!("合计\t,,{payments},{refunds},{net},{net},0.00,0.00,0.00,0.00,0.00,{net}"));
    rows.push(format!("{RULE}业务汇总列表结束------------------------------------"));
    file(head, rows)
}

fn file(head: &Head<'_>, mut rows: Vec<String>) -> Vec<u8> {
    rows.push(format!("#导出时间：[{}]", chinese_time(head.now)));
    rows.push(String::new());
    GBK.encode(&rows.join("\r\n")).0.into_owned()
}

fn comments(head: &Head<'_>, title: &str) -> Vec<String> {
    let midnight = |day: NaiveDate| day.format("%Y年%m月%d日 00:00:00").to_string();
    let (from, until) = (midnight(head.period.from), midnight(head.period.until));
    vec![
        "#支付宝业务明细查询".to_owned(),
        format!("#账号：[{}0156]", head.seller_id),
        format!("#起始日期：[{from}]   终止日期：[{until}]"),
        format!("{RULE}{title}----------------------------------------"),
    ]
}

fn chinese_time(at: DateTime<Utc>) -> String {
    at.with_timezone(&crate::clock::china()).format("%Y年%m月%d日 %H:%M:%S").to_string()
}

fn values(line: &Line) -> [String; 25] {
    let (kind, sign, request) = match &line.movement {
        Movement::Payment => ("交易", "", ""),
        Movement::Refund { out_request_no } => ("退款", "-", out_request_no.as_str()),
    };
    let amount = format!("{sign}{}", line.amount);
    let mut values = COLUMNS.map(|column| match column {
        "支付宝交易号" => line.trade_no.clone(),
        "商户订单号" => line.out_trade_no.clone(),
        "业务类型" => kind.to_owned(),
        "商品名称" => line.subject.clone(),
        "创建时间" => wire_time(line.created_at),
        "完成时间" => wire_time(line.at),
        "对方账户" => format!("*三({BUYER_LOGON_ID})"),
        "订单金额（元）" | "商家实收（元）" => amount.clone(),
        "退款批次号/请求号" => request.to_owned(),
        name if name.ends_with("（元）") => "0.00".to_owned(),
        _ => String::new(),
    });
    for (value, column) in values.iter_mut().zip(COLUMNS) {
        if !column.ends_with("（元）") {
            *value = cell(value);
        }
    }
    values
}

/// A text as it stands in a table: quoted if it must be, with a tab behind it.
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\t\"", text.replace('"', "\"\""));
    }
    format!("{text}\t")
}

#[derive(Default)]
struct Sums {
    payments: usize,
    refunds: usize,
    came: Fen,
    went: Fen,
}

impl Sums {
    fn of(lines: &[Line]) -> Self {
        let mut sums = Self::default();
        for line in lines {
            match line.movement {
                Movement::Payment => {
                    sums.payments += 1;
                    sums.came = sums.came.plus(line.amount);
                }
                Movement::Refund { .. } => {
                    sums.refunds += 1;
                    sums.went = sums.went.plus(line.amount);
                }
            }
        }
        sums
    }

    fn net(&self) -> String {
        if self.came < self.went {
            return format!("-{}", self.went.minus(self.came));
        }
        self.came.minus(self.went).to_string()
    }
}
