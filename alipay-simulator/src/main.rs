//! The gateway alone, for use from any language.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alipay_simulator::{
    Certificates, DEFAULT_APP_ID, DEFAULT_SELLER_ID, Settings, Simulator, development_keys, start,
};
use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The offline Alipay gateway for development and tests.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where to keep the state; without it, the state ends with the process
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The only application that may call
    #[arg(long, default_value = DEFAULT_APP_ID)]
    app_id: String,
    /// The seller that owns every trade
    #[arg(long, default_value = DEFAULT_SELLER_ID)]
    seller_id: String,
    /// PEM file of the application's public key; without it, the published development key
    #[arg(long, value_name = "FILE")]
    app_public_key: Option<PathBuf>,
    /// PEM file of the gateway's private key; without it, the published development key
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// PEM file of the application's certificate: with the next two, certificate mode
    #[arg(long, value_name = "FILE", requires_all = ["alipay_cert", "alipay_root_cert"])]
    app_cert: Option<PathBuf>,
    /// PEM file of the gateway's certificate, to which its private key belongs
    #[arg(long, value_name = "FILE", requires = "app_cert")]
    alipay_cert: Option<PathBuf>,
    /// PEM file of the root certificates
    #[arg(long, value_name = "FILE", requires = "app_cert")]
    alipay_root_cert: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let simulator = start(settings(options)?).await?;
    greet(&simulator);
    ended().await?;
    simulator.shutdown().await;
    Ok(())
}

fn settings(options: Options) -> anyhow::Result<Settings> {
    let certificates = match (options.app_cert, options.alipay_cert, options.alipay_root_cert) {
        (Some(app), Some(alipay), Some(root)) => Some(Certificates {
            app_cert_pem: read(&app)?,
            alipay_cert_pem: read(&alipay)?,
            alipay_root_cert_pem: read(&root)?,
        }),
        _ => None,
    };
    Ok(Settings {
        listen: options.listen,
        data_dir: options.data_dir,
        app_id: options.app_id,
        seller_id: options.seller_id,
        app_public_key_pem: key(options.app_public_key, development_keys::APP_PUBLIC_KEY)?,
        private_key_pem: key(options.private_key, development_keys::GATEWAY_PRIVATE_KEY)?,
        certificates,
    })
}

fn key(file: Option<PathBuf>, default: &str) -> anyhow::Result<String> {
    let Some(file) = file else { return Ok(default.to_owned()) };
    read(&file)
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("can't read the file {}", file.display()))
}

#[expect(clippy::print_stdout, reason = "the start line is for whoever started it, also scripts")]
fn greet(simulator: &Simulator) {
    let address = simulator.address();
    println!("alipay-simulator: {} (control API http://{address}/_ctl)", simulator.gateway_url());
}

/// Returns at ctrl-c or SIGTERM.
async fn ended() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// One clear sentence with its causes.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
fn complain(error: &anyhow::Error) {
    eprintln!("alipay-simulator: {error:#}");
}
