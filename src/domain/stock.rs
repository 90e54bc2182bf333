//! Stock of one SKU: three counters that always add up to its total.

use serde::Serialize;

use super::ids::SkuId;
use super::money::Fen;

/// Most pieces of one SKU that the service counts.
pub const STOCK_MAX: i64 = 1_000_000_000;

/// A SKU with its counters: `available + locked + sold` is its total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sku {
    /// The storefront's name of it.
    pub sku_id: SkuId,
    /// What the buyer sees.
    pub title: String,
    /// Price of one piece.
    pub price_fen: Fen,
    /// Pieces that can be ordered.
    pub available: i64,
    /// Pieces that open orders hold.
    pub locked: i64,
    /// Pieces that were sold.
    pub sold: i64,
}
