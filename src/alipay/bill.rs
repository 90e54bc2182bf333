//! The daily bill (`alipay.data.dataservice.bill.downloadurl.query`): where it is, its download,
//! and what the address's signed answer means. What the file says is for [`reader`].

use std::io::Cursor;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, Url};
use serde::Serialize;

use super::call::{Caller, Request, read_up_to, transport};
use super::trade::{Reply, Told, to_json};
use crate::domain::bill::{BillDay, BillOutcome};
use crate::domain::gateway::{Refusal, UnknownReason};
use crate::domain::priority::Priority;

mod columns;
pub mod reader;

pub use columns::HeaderError;

/// How long one download may take.
pub const DOWNLOAD_BUDGET: Duration = Duration::from_mins(5);
/// The largest archive that is fetched, in bytes.
pub const ARCHIVE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often a bill is asked for anew: an address is good for half a minute.
const TRIES_MAX: u32 = 3;

/// The bill of what was paid and refunded.
const BILL_TYPE: &str = "trade";
/// How the code ends that says that there is no bill, whatever stands before it.
const NOT_EXIST: &str = "BILL_NOT_EXIST";
/// How the code of an internal error ends; the misspelling is official.
const UNKNOWN_ERROR: &str = "UNKNOW_ERROR";

#[derive(Serialize)]
struct BillContent<'a> {
    bill_type: &'a str,
    bill_date: String,
}

/// What the answer about a bill's address says.
enum Address {
    At(String),
    Not(BillOutcome),
}

impl Address {
    fn code(&self) -> &'static str {
        match self {
            Self::At(_) => "address",
            Self::Not(outcome) => outcome.code(),
        }
    }
}

impl Request<'_> {
    fn bill(day: BillDay) -> Self {
        let content = BillContent { bill_type: BILL_TYPE, bill_date: day.to_string() };
        Self {
            name: "bill",
            method: "alipay.data.dataservice.bill.downloadurl.query",
            node: "alipay_data_dataservice_bill_downloadurl_query_response",
            out_trade_no: "",
            biz_content: to_json(&content),
            notify_url: "",
        }
    }
}

/// Asks where the bill of a day is, fetches it at once, and reads it. Lines about numbers that
/// don't start with `prefix` are only counted.
pub(super) async fn fetch_bill(
    caller: &Caller,
    day: BillDay,
    prefix: &str,
    now: DateTime<Utc>,
) -> BillOutcome {
    let mut tries = 0;
    let archive = loop {
        tries += 1;
        let address = match caller
            .call((Request::bill(day), Priority::Background), now, read_address, Address::code)
            .await
        {
            Address::At(address) => address,
            Address::Not(outcome) => return outcome,
        };
        match download(caller, &address).await {
            Ok(archive) => break archive,
            Err(reason) if tries >= TRIES_MAX => return BillOutcome::Unknown(reason),
            Err(reason) => tracing::debug!(reason = reason.code(), "the bill is asked for again"),
        }
    };
    let prefix = prefix.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        reader::read_bill(Cursor::new(archive), day, |number| number.starts_with(&prefix))
    });
    match reading.await {
        Ok(Ok(bill)) => BillOutcome::Bill(bill),
        Ok(Err(error)) => BillOutcome::Unreadable(error.to_string()),
        Err(error) => BillOutcome::Unreadable(format!("reading it broke off: {error}")),
    }
}

fn read_address(reply: Result<Reply, UnknownReason>) -> Address {
    let reply = match reply {
        Ok(reply) => reply,
        Err(reason) => return Address::Not(BillOutcome::Unknown(reason)),
    };
    let ends = |code: &str, end: &str| code.to_ascii_uppercase().ends_with(end);
    let outcome = match reply.told_of_no_trade() {
        Ok(Told::Done(reply)) => match &reply.bill_download_url {
            Some(address) if !address.is_empty() => return Address::At(address.clone()),
            _ => BillOutcome::Unknown(UnknownReason::Malformed {
                detail: "an answer without bill_download_url".to_owned(),
            }),
        },
        Ok(Told::Refused(code)) if ends(code, NOT_EXIST) => BillOutcome::NotExist,
        Ok(Told::Refused(code)) if ends(code, UNKNOWN_ERROR) => {
            let Refusal { code, sub_code, .. } = reply.refusal();
            BillOutcome::Unknown(UnknownReason::Unavailable { code, sub_code })
        }
        Ok(Told::Refused(_)) => BillOutcome::Refused(reply.refusal()),
        Err(UnknownReason::AccountBroken { .. }) => BillOutcome::AccountBroken(reply.refusal()),
        Err(reason) => BillOutcome::Unknown(reason),
    };
    Address::Not(outcome)
}

/// Fetches the archive. Its address was signed; it needs no key, and it leads nowhere else.
async fn download(caller: &Caller, address: &str) -> Result<Vec<u8>, UnknownReason> {
    let malformed = || UnknownReason::Malformed { detail: "the bill's address is none".to_owned() };
    let url: Url = address.parse().map_err(|_| malformed())?;
    let secure = caller.account().gateway_url.scheme() == "https";
    if url.scheme() != "https" && (secure || url.scheme() != "http") {
        return Err(malformed());
    }
    let request = caller.http().get(url).timeout(DOWNLOAD_BUDGET);
    let response = request.send().await.map_err(transport)?;
    if response.status() != StatusCode::OK {
        return Err(UnknownReason::HttpStatus { status: response.status().as_u16() });
    }
    read_up_to(response, ARCHIVE_BYTES_MAX).await
}
