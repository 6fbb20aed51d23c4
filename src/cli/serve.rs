//! `pointsman serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::output;
use crate::app;
use crate::config::{self, ConfigFaults, Settings};
use crate::telemetry;

/// Read when no config is named and it is there.
const USUAL_FILE: &str = "pointsman.toml";

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
    let settings = match settings(args.config.as_deref()) {
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
    runtime.block_on(serve(settings))?;
    Ok(ExitCode::SUCCESS)
}

/// The settings that a command works with: the named file, else the usual one, else the environment.
pub(super) fn settings(file: Option<&Path>) -> Result<Settings, ConfigFaults> {
    let env = |name: &str| std::env::var(name).ok();
    match file {
        Some(file) => config::load(file, &env),
        None if Path::new(USUAL_FILE).exists() => config::load(Path::new(USUAL_FILE), &env),
        None => config::from_environment(&env),
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let routes: Vec<_> = settings.routes.iter().map(|r| r.name.to_string()).collect();
    let models = settings.catalog.arms().len();
    let running = app::start(settings).await?;
    tracing::info!(addr = %running.addr, routes = routes.join(","), models, "serving");
    stopped().await?;
    tracing::info!("stopping: requests in flight may end");
    let checkpoint = running.stop().await;
    tracing::info!(checkpoint = checkpoint.map(|seq| seq.0), "stopped");
    Ok(())
}

/// Returns at Ctrl-C or SIGTERM.
async fn stopped() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
