//! Where the run keeps its log: a folder that the caller names and that stays, or a temporary one that goes.
//!
//! Beside the log (`pointsman.db`) a kept folder gets `decisions.jsonl` (prompt, decision and completion id, in the order of the
//! answers) and `truth.jsonl` (quality and cost of every model on every prompt), so that others can recompute the summary.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use crate::sim::playbook::Playbook;
use crate::sim::traffic::Record;

/// The run's folder.
pub(super) struct Workplace {
    folder: PathBuf,
    decisions: Option<BufWriter<File>>,
    fault: Option<io::Error>,
}

impl Workplace {
    /// # Errors
    /// When the folder cannot be made or written to, or already holds a log.
    pub(super) fn prepare(keep: Option<&Path>, playbook: &Playbook) -> anyhow::Result<Self> {
        let Some(folder) = keep else {
            let folder =
                std::env::temp_dir().join(format!("pointsman-demo-{}", uuid::Uuid::now_v7().simple()));
            fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            return Ok(Self { folder, decisions: None, fault: None });
        };
        let write = |name: &str| File::create(keep_path(keep, name)).map(BufWriter::new);
        fs::create_dir_all(folder).with_context(|| format!("--keep: cannot create {}", folder.display()))?;
        let database = keep_path(keep, DATABASE);
        ensure!(!database.exists(), "--keep: {} exists already; name an empty folder", database.display());
        let in_folder = || format!("--keep: cannot write to {}", folder.display());
        write_truth(write("truth.jsonl").with_context(in_folder)?, playbook).with_context(in_folder)?;
        let decisions = Some(write("decisions.jsonl").with_context(in_folder)?);
        Ok(Self { folder: folder.to_owned(), decisions, fault: None })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Notes an answer; a fault is kept for [`Self::finish`].
    pub(super) fn note(&mut self, record: &Record, playbook: &Playbook) {
        let Some(file) = &mut self.decisions else { return };
        let line = json!({
            "prompt_id": playbook.plays[record.play].id,
            "decision_id": record.decision,
            "completion_id": record.completion,
        });
        if let Err(error) = writeln!(file, "{line}") {
            self.fault.get_or_insert(error);
        }
    }

    /// # Errors
    /// When a line could not be written.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(file) = &mut self.decisions {
            file.flush().context("cannot write decisions.jsonl")?;
        }
        self.fault.take().map_or(Ok(()), |fault| Err(fault).context("cannot write decisions.jsonl"))
    }
}

const DATABASE: &str = "pointsman.db";

fn keep_path(keep: Option<&Path>, name: &str) -> PathBuf {
    keep.unwrap_or(Path::new("")).join(name)
}

fn write_truth(mut file: BufWriter<File>, playbook: &Playbook) -> io::Result<()> {
    for play in &playbook.plays {
        let models: Map<String, Value> = playbook
            .models
            .iter()
            .zip(&play.truths)
            .map(|(m, t)| (m.name.clone(), json!({"quality": t.quality, "cost_usd": t.cost_usd})))
            .collect();
        writeln!(file, "{}", json!({"prompt_id": play.id, "kind": play.kind, "models": models}))?;
    }
    file.flush()
}

impl Drop for Workplace {
    /// Only a kept folder has a list of decisions; the temporary one goes with all that is in it.
    fn drop(&mut self) {
        if self.decisions.is_none()
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(%error, folder = %self.folder.display(), "the temporary folder stays");
        }
    }
}
