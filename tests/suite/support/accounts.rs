//! Accounts at the gateway that change while the service goes on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alipay_simulator::{Certificates, Settings, development_keys};
use checkback::config::{Account, Config};
use checkback::ids::Ids;
use checkback::run::{Environment, HttpSockets, Service};

use super::engines::MysqlDatabase;
use super::{TestApp, shared_broker};

/// Writes a file of a configuration.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    std::fs::write(&file, text).expect("a file");
    file
}

/// Puts certificates in the place of the bare key.
pub(crate) fn use_certificates(config: &mut Config, dir: &Path) {
    let alipay = &mut config.alipay;
    alipay.alipay_public_key_file = None;
    alipay.app_cert_file = Some(write(dir, "app.crt", development_keys::APP_CERT));
    alipay.alipay_cert_file = Some(write(dir, "alipay.crt", development_keys::GATEWAY_CERT));
    alipay.alipay_root_cert_file = Some(write(dir, "root.crt", development_keys::ROOT_CERT));
}

/// The account of this configuration gives way to another one and is remembered.
pub(crate) fn move_to(config: &mut Config, next: &Account) {
    let previous = config.alipay.current();
    config.alipay.gateway_url.clone_from(&next.gateway_url);
    config.alipay.app_id.clone_from(&next.app_id);
    config.alipay.seller_id.clone_from(&next.seller_id);
    config.alipay.private_key_file.clone_from(&next.private_key_file);
    config.alipay.alipay_public_key_file.clone_from(&next.alipay_public_key_file);
    config.alipay.previous.insert(0, previous);
}

impl TestApp {
    /// In certificate mode, service and gateway.
    pub(crate) async fn start_with_certificates() -> Self {
        let certificates = Some(Certificates::development());
        let gateway = Settings { certificates, ..Settings::default() };
        let (broker, database) = (shared_broker().await, MysqlDatabase::create().await);
        Self::start_as(broker, database, gateway, use_certificates).await
    }

    /// Stops the service and starts it with a changed configuration, at the same address.
    pub(crate) async fn restart(&mut self, configure: impl FnOnce(&mut Config, &Path)) {
        let mut config = self.app().config.clone();
        configure(&mut config, self.dir.path());
        config.validate().expect("a valid configuration");
        let service = self.running.take().expect("it runs until finish()");
        service.shutdown().await;
        let address: SocketAddr =
            self.base.trim_start_matches("http://").parse().expect("an address");
        let sockets = HttpSockets::bind(address, None).expect("the port is free again");
        let environment =
            Environment { clock: Arc::clone(&self.clock) as Arc<_>, ids: Ids::from_entropy() };
        let started = Service::start(config, sockets, environment).await;
        self.running = Some(started.expect("the service starts again"));
    }
}
