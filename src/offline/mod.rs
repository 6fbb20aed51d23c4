//! Work on recorded data, away from requests: folders of outcomes, their vectors, the fit of the features, the routing benchmark.
//!
//! Invariant: what is tuned here is tuned on fold 1 and trained on folds 2 to 4; no prompt's text leaves this module for a file.
//! Nothing on the path of a request imports it.

pub mod admission;
pub mod bundle;
pub mod dataset;
mod error;
pub mod estimate;
pub mod exact;
pub mod features;
pub mod plots;
pub mod poisoning;
pub mod prior;
pub mod replay;
pub mod report;
pub mod routing_bench;

pub mod scenario;
pub mod student;
pub mod synthetic;
pub mod traces;
pub mod train;
pub mod vectors;

#[cfg(test)]
mod canary_tests;
#[cfg(test)]
mod promotion_tests;

pub use error::LogError;

use std::fs::File;
use std::path::Path;

/// Writes a file whole or not at all: beside it under a name of its own, then renamed over it. Makes the folder.
fn replace_file(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside)
        .and_then(|mut file| fill(&mut file).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}
