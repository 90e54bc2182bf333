//! A demo's data directory: its lock, its keys, its effective configuration.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::config_file;
use crate::alipay::keys;
use crate::config::Config;

/// Only the owner may read files that hold secrets.
const SECRET_MODE: u32 = 0o600;

/// A data directory that belongs to this process as long as this lives. The lock is the operating
/// system's: it ends with its holder, however that dies.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The keys of the two sides of the simulated gateway.
#[derive(Debug)]
pub(super) struct DemoKeys {
    pub app_private: PathBuf,
    pub app_public_pem: String,
    pub gateway_private_pem: String,
    pub gateway_public: PathBuf,
}

impl DataDir {
    /// Makes the directory if needed and takes its lock.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let refused = || format!("the data directory {} can't be written", path.display());
        fs::create_dir_all(path).with_context(refused)?;
        let path = path.canonicalize().with_context(refused)?;
        let lock_file = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_file)
            .with_context(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&lock_file).unwrap_or_default();
                anyhow::bail!(
                    "the data directory {} is used by the running process {}",
                    path.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(refused),
        }
        lock.set_len(0).with_context(refused)?;
        writeln!(lock, "{}", std::process::id()).with_context(refused)?;
        Ok(Self { path, _lock: lock })
    }

    /// A path inside it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The demo's throwaway keys, made at the first start.
    pub(super) fn keys(&self) -> anyhow::Result<DemoKeys> {
        let (app_private, app_public_pem) = self.key_pair("app")?;
        let (gateway_private, gateway_public_pem) = self.key_pair("gateway")?;
        let gateway_public = self.join("gateway.pub.pem");
        write_secret(&gateway_public, &gateway_public_pem)?;
        let gateway_private_pem = fs::read_to_string(&gateway_private)
            .with_context(|| format!("can't read {}", gateway_private.display()))?;
        Ok(DemoKeys { app_private, app_public_pem, gateway_private_pem, gateway_public })
    }

    fn key_pair(&self, name: &str) -> anyhow::Result<(PathBuf, String)> {
        let file = self.join(&format!("{name}.key.pem"));
        if !file.exists() {
            let fresh = keys::generate().context("a key pair can't be made")?;
            write_secret(&file, &fresh.private_pem)?;
        }
        let text =
            fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        let key = keys::AppPrivateKey::parse(&text)
            .with_context(|| format!("{} is not a private key", file.display()))?;
        Ok((file, key.public_pem()))
    }

    /// Writes the effective configuration, so that the tools find this demo by its directory.
    pub(super) fn write_config(&self, config: &Config) -> anyhow::Result<()> {
        let text = toml::to_string(config).context("the configuration can't be written")?;
        write_secret(&config_file(&self.path), &text)
    }
}

/// Writes a file completely or not at all: a kill in between leaves the old one.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(SECRET_MODE)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, path));
    written.with_context(|| format!("can't write {}", path.display()))
}
