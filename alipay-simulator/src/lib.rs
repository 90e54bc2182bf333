//! The Alipay gateway, offline: stateful, signed and durable, for development and tests.
//!
//! Reading order: [`start`] (`server`) wires everything; `gateway` answers `/gateway.do`, `control`
//! answers `/_ctl`, `buyer` shows the page behind a QR code and `notify` tells the merchant. They
//! all change `books` (trades and notifications, ruled by `trade`) through `store`, which returns
//! only once the `journal` has everything they saw on disk. `faults` spoils answers on request.
//!
//! The crate shares no code with the client it is there to test: parsing, signing and amounts are
//! its own, and its cryptography comes from another library.

mod bill;
mod books;
mod buyer;
mod cashier;
mod certificates;
mod clock;
mod control;
mod der;
mod faults;
mod fields;
mod gateway;
mod html;
mod journal;
mod keys;
mod money;
mod notify;
mod params;
mod rsa2;
mod rules;
mod server;
mod store;
mod trade;

pub use certificates::{CertificateError, Certificates};
pub use keys::KeyError;
pub use server::{Settings, Simulator, StartError, start, start_quietly};

/// The application id that the simulator knows unless told otherwise.
pub const DEFAULT_APP_ID: &str = "2021000000000001";
/// The seller that owns every trade unless told otherwise.
pub const DEFAULT_SELLER_ID: &str = "2088000000000001";

/// Key pairs for trying things out: published in the source, so worth nothing anywhere else.
pub mod development_keys {
    /// What a merchant signs its requests with.
    pub const APP_PRIVATE_KEY: &str = include_str!("../keys/app_private_key.pem");
    /// What the simulator checks requests with.
    pub const APP_PUBLIC_KEY: &str = include_str!("../keys/app_public_key.pem");
    /// What the simulator signs answers and notifications with.
    pub const GATEWAY_PRIVATE_KEY: &str = include_str!("../keys/gateway_private_key.pem");
    /// "Alipay's public key": what a merchant checks answers and notifications with.
    pub const GATEWAY_PUBLIC_KEY: &str = include_str!("../keys/gateway_public_key.pem");
    /// The key of the fault `other_key`, which nobody should trust before it is announced.
    pub(crate) const OTHER_PRIVATE_KEY: &str = include_str!("../keys/other_private_key.pem");
    /// Its public half, for a merchant who is to trust it: the key after a change.
    pub const OTHER_PUBLIC_KEY: &str = include_str!("../keys/other_public_key.pem");

    /// The certificate of the application's key.
    pub const APP_CERT: &str = include_str!("../keys/app_cert.crt");
    /// The certificate of the gateway's key: "Alipay's certificate".
    pub const GATEWAY_CERT: &str = include_str!("../keys/gateway_cert.crt");
    /// The certificate of the key of the fault `other_key`.
    pub const OTHER_CERT: &str = include_str!("../keys/other_cert.crt");
    /// The file of root certificates: one with an elliptic curve, and two with RSA.
    pub const ROOT_CERT: &str = include_str!("../keys/root_cert.crt");
}
