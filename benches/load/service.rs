//! The binary in a folder of its own, and what its process holds.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::Options;
use crate::http::{Connection, get};

/// A running service; ended when dropped.
pub(crate) struct Service {
    process: Child,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) rss_mib: f64,
    pub(crate) descriptors: usize,
    /// Tasks of the runtime.
    pub(crate) tasks: u64,
    /// The log, its journal included.
    pub(crate) log_mib: f64,
}

impl Service {
    /// `server`: lines of `[server]`. `--binary` names another binary than the one that was built with this bench, `--embedder` another
    /// reader than the student.
    pub(crate) async fn start(options: &Options, upstream: SocketAddr, server: &str) -> anyhow::Result<Self> {
        let built = option_env!("CARGO_BIN_EXE_pointsman").unwrap_or("target/release/pointsman");
        let binary: String = options.get("binary", built.to_owned())?;
        let embedder: String = options.get("embedder", "student".to_owned())?;
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let arm = |name: &str, price: &str| {
            format!("[models.\"mock/{name}\"]\nprovider = \"mock\"\nmodel = \"{name}\"\nprice = {price}\n")
        };
        let config = format!(
            "schema_version = 1\n[server]\nlisten = \"{address}\"\n{server}\n[store]\nurl = \"sqlite:log.db\"\n[embedder]\nkind = \"{embedder}\"\n\
             [providers.mock]\nformat = \"openai-compatible\"\nbase_url = \"http://{upstream}/v1\"\n{}{}{}\
             [routes.auto]\nmodels = [\"mock/large\", \"mock/small\"]\ndefault = \"mock/large\"\n",
            arm("large", "{ input = 2.0, output = 8.0 }"),
            arm("small", "{ input = 0.1, output = 0.4 }"),
            arm("limited", "{ input = 0.1, output = 0.4 }"),
        );
        std::fs::write(folder.path().join("pointsman.toml"), config)?;
        let process = Command::new(std::path::absolute(&binary)?)
            .arg("serve")
            .current_dir(folder.path())
            .env("RUST_LOG", options.get("log", "error".to_owned())?)
            .spawn()
            .with_context(|| format!("{binary} cannot be started"))?;
        let mut service = Self { process, address, folder };
        service.until_ready().await?;
        Ok(service)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        loop {
            ensure!(self.process.try_wait()?.is_none(), "the service ended at its start");
            if let Ok(mut connection) = Connection::open(self.address).await
                && connection.ask(&get("/readyz")).await?.status == 200
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let text = Connection::open(self.address).await?.ask(&get("/metrics")).await?.body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no metric {name}"))?.parse()?)
    }

    /// Resident memory, MiB.
    pub(crate) fn rss_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|text| text.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(rss.trim().parse::<f64>()? / 1024.0)
    }

    /// All that it holds. Asking for it is a connection and a task too.
    pub(crate) async fn held(&self) -> anyhow::Result<Held> {
        let files = std::fs::read_dir(self.folder.path())?.filter_map(Result::ok);
        let log: u64 = files.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
        Ok(Held {
            rss_mib: self.rss_mib()?,
            descriptors: std::fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count(),
            tasks: self.metric("pointsman_tasks").await?,
            log_mib: log as f64 / f64::from(1 << 20),
        })
    }

    /// What it holds once it is back at `idle`, or after `time`.
    pub(crate) async fn back_to(&self, idle: Held, time: Duration) -> anyhow::Result<Held> {
        let until = tokio::time::Instant::now() + time;
        loop {
            let held = self.held().await?;
            let is_back = held.descriptors <= idle.descriptors && held.tasks <= idle.tasks;
            if is_back || tokio::time::Instant::now() > until {
                return Ok(held);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Tells it to stop and waits for the end.
    pub(crate) fn stop(mut self) -> anyhow::Result<ExitStatus> {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        Ok(self.process.wait()?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
