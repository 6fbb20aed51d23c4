//! `pointsman serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::follow::follow;
use super::output;
use crate::app;
use crate::config::{self, ConfigFaults, Settings};
use crate::telemetry;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The configuration; without it `pointsman.toml` in this folder, else the provider keys found in the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write logs as JSON lines.
    #[arg(long)]
    log_json: bool,
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let format = if args.log_json { telemetry::LogFormat::Json } else { telemetry::LogFormat::Text };
    telemetry::init_tracing(format, std::env::var("RUST_LOG").ok().as_deref())?;
    let file = file(args.config.as_deref());
    let settings = match settings(file.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            output::problem(&anyhow::Error::new(faults));
            return Ok(ExitCode::from(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings, file))?;
    Ok(ExitCode::SUCCESS)
}

/// The file that a command works with: the named one, else the usual one where it is there.
fn file(named: Option<&Path>) -> Option<PathBuf> {
    named.or(Some(Path::new(config::DEFAULT_FILE)).filter(|usual| usual.exists())).map(Path::to_owned)
}

/// The settings that a command works with: the named file, else the usual one, else the environment.
pub(super) fn settings(named: Option<&Path>) -> Result<Settings, ConfigFaults> {
    match file(named) {
        Some(file) => config::load(&file, &config::process_env),
        None => config::from_environment(&config::process_env),
    }
}

async fn serve(settings: Settings, file: Option<PathBuf>) -> anyhow::Result<()> {
    let routes: Vec<_> = settings.routes.iter().map(|r| r.name.to_string()).collect();
    let models = settings.catalog.arms().len();
    let again = |file: PathBuf| -> app::ReadAgain {
        Box::new(move |before| config::reload(&file, &config::process_env, before))
    };
    // From the first moment on: whoever asks for a reload while the service starts does not end it.
    let hangups = signal(SignalKind::hangup())?;
    let running = app::start_from(settings, file.clone().map(again)).await?;
    let follower = tokio::spawn(follow(Arc::clone(&running.live), hangups, file));
    tracing::info!(addr = %running.addr, routes = routes.join(","), models, "serving");
    stopped().await?;
    follower.abort();
    tracing::info!("stopping: requests in flight may end");
    let checkpoint = running.stop().await;
    tracing::info!(checkpoint = checkpoint.map(|seq| seq.0), "stopped");
    Ok(())
}

/// Returns at Ctrl-C or SIGTERM.
async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
