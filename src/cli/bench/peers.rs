//! Asks other routers: writes the world into a folder of its own, runs the script over it, reads what it found.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::offline::routing_bench::{Peers, World, export};

/// The script of this repository, from its root.
pub(super) const SCRIPT: &str = "benches/peers/run.py";

/// The peers' curves on the first `seeds` streams of `world`, over the preferences of `grid`.
pub(super) fn ask(script: &Path, world: &World, grid: &[f64], seeds: u64) -> anyhow::Result<Peers> {
    ensure!(
        script.is_file(),
        "--peers: there is no {}; run in the repository's root or name the script",
        script.display()
    );
    let folder = Folder::new()?;
    export(world, grid, seeds, &folder.0)
        .with_context(|| format!("cannot write the peers' data into {}", folder.0.display()))?;
    let result = folder.0.join("result.json");
    let status = Command::new("python3")
        .arg(script)
        .args([&folder.0, &result])
        .status()
        .context("--peers: cannot start python3")?;
    ensure!(status.success(), "--peers: {} ended with {status}", script.display());
    let text =
        std::fs::read(&result).with_context(|| format!("--peers: no result of {}", script.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("--peers: the result of {}", script.display()))
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("pointsman-peers-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
