//! A policy bundle: the learner's state, and a manifest that says what it is and where it comes from.
//!
//! A bundle is a folder, `manifest.json` and `state.bin`, written beside under another name, synced and renamed: it is there whole
//! or not at all. What is read is checked: the state against its hash, the numbers by decoding them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{PolicyVersion, Seq, UnixMs, hex};
use crate::policy::{LearnedState, Learner, Settings, StateError};

/// Version of the manifest's form.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.bin";

/// What a state was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    /// An event log, from its beginning.
    Traces {
        /// The last event in the state.
        cut: Seq,
        /// SHA-256 over that event's row: the bundle belongs to the log that has it.
        cut_sha256: String,
        /// Time of the first event.
        from: UnixMs,
        /// Time of the last one.
        to: UnixMs,
    },
    /// A folder of recorded outcomes.
    Data {
        /// Its name.
        name: String,
        /// Prompts learned from.
        prompts: usize,
        /// SHA-256 over the prompts' ids, folds and outcomes.
        sha256: String,
    },
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub format: u32,
    /// Names the bundle: date and the head of the state's hash.
    pub version: String,
    /// When it was trained, for example `2026-11-27`.
    pub date: String,
    /// Which pointsman trained it.
    pub pointsman: String,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Meaning of the features.
    pub schema: String,
    /// Features of a context.
    pub dim: usize,
    /// What the state was tuned to.
    pub settings: Settings,
    /// What it was trained on.
    pub origin: Origin,
    /// Quality reports in the state, by arm.
    pub reports: Vec<(String, u64)>,
    /// SHA-256 of `state.bin`.
    pub state_sha256: String,
    /// Scores on data that the state had not seen when it was scored.
    pub metrics: serde_json::Value,
}

/// A bundle in memory, checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// What it is.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they decode to.
    pub state: LearnedState,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is missing or cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not of the form.
    #[error("manifest.json: {0}")]
    Manifest(#[from] serde_json::Error),
    /// A manifest of another version.
    #[error("manifest.json: format is {found}, this version reads {FORMAT}")]
    Format {
        /// What stands there.
        found: u32,
    },
    /// The state is not the manifest's.
    #[error(
        "the state's SHA-256 is {found}, manifest.json says {wanted}: the bundle was cut short or altered"
    )]
    Hash {
        /// What the manifest says.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The state is none.
    #[error(transparent)]
    State(#[from] StateError),
    /// The manifest tells another story than the state.
    #[error("manifest.json: {field} does not fit the state")]
    Mismatch {
        /// Which field.
        field: &'static str,
    },
}

/// What training found out beside the state.
#[derive(Debug, Clone)]
pub struct Account {
    /// When.
    pub date: String,
    /// Of the bootstrap.
    pub seed: u64,
    /// On what.
    pub origin: Origin,
    /// How good.
    pub metrics: serde_json::Value,
}

impl Bundle {
    /// Names and describes a state. Its bytes are decoded again, so that what is not sound is found here.
    ///
    /// # Errors
    /// When the state does not survive the round trip.
    pub fn new(state: &LearnedState, settings: Settings, account: Account) -> Result<Self, BundleError> {
        let bytes = state.to_bytes();
        let state = LearnedState::from_bytes(&bytes)?;
        let hash = hex(&Sha256::digest(&bytes));
        let manifest = Manifest {
            format: FORMAT,
            version: format!("{}-{}", account.date, &hash[..8]),
            date: account.date,
            pointsman: env!("CARGO_PKG_VERSION").to_owned(),
            seed: account.seed,
            schema: state.schema().to_string(),
            dim: state.dim(),
            settings,
            origin: account.origin,
            reports: reports(&state),
            state_sha256: hash,
            metrics: account.metrics,
        };
        Ok(Self { manifest, bytes, state })
    }

    /// Checks a manifest and its state against each other.
    ///
    /// # Errors
    /// When they do not fit, or the state is not sound.
    pub fn checked(manifest: Manifest, bytes: Vec<u8>) -> Result<Self, BundleError> {
        if manifest.format != FORMAT {
            return Err(BundleError::Format { found: manifest.format });
        }
        let found = hex(&Sha256::digest(&bytes));
        if found != manifest.state_sha256 {
            return Err(BundleError::Hash { wanted: manifest.state_sha256, found });
        }
        let state = LearnedState::from_bytes(&bytes)?;
        let fields = [
            ("schema", manifest.schema == state.schema().as_str()),
            ("dim", manifest.dim == state.dim()),
            ("reports", manifest.reports == reports(&state)),
            ("version", is_name(&manifest.version)),
        ];
        match fields.iter().find(|(_, fits)| !fits) {
            Some((field, _)) => Err(BundleError::Mismatch { field }),
            None => Ok(Self { manifest, bytes, state }),
        }
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// When a file is missing, or as [`Self::checked`].
    pub fn load(folder: &Path) -> Result<Self, BundleError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| BundleError::Io { path, source })
        };
        Self::checked(serde_json::from_slice(&read(MANIFEST)?)?, read(STATE)?)
    }

    /// Writes the folder `under/VERSION` with these files beside the two; gives its path. The same version again is left alone.
    ///
    /// # Errors
    /// When it cannot be written; nothing is left then.
    pub fn save(&self, under: &Path, others: &[(&str, Vec<u8>)]) -> Result<PathBuf, BundleError> {
        let folder = under.join(&self.manifest.version);
        if Self::load(&folder).is_ok() {
            return Ok(folder);
        }
        let beside = under.join(format!(".{}.{}.tmp", self.manifest.version, std::process::id()));
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Io { path, source }
        };
        let mut manifest = serde_json::to_vec_pretty(&self.manifest)?;
        manifest.push(b'\n');
        let files = [(MANIFEST, manifest.as_slice()), (STATE, self.bytes.as_slice())];
        let others = others.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
        let written = fs::create_dir_all(&beside).map_err(fault(&beside)).and_then(|()| {
            for (name, bytes) in files.into_iter().chain(others) {
                let path = beside.join(name);
                File::create(&path)
                    .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
                    .map_err(fault(&path))?;
            }
            sync(&beside).map_err(fault(&beside))?;
            fs::rename(&beside, &folder).map_err(fault(&folder))?;
            sync(under).map_err(fault(under))
        });
        if written.is_err() {
            let _ = fs::remove_dir_all(&beside);
        }
        written.map(|()| folder)
    }

    /// Its name as decisions carry it.
    pub fn version(&self) -> PolicyVersion {
        PolicyVersion::new(self.manifest.version.as_str())
    }
}

/// Quality reports in a state, by arm.
fn reports(state: &LearnedState) -> Vec<(String, u64)> {
    state.quality_feedbacks().map(|(arm, n)| (arm.to_string(), n)).collect()
}

/// The name becomes a folder's and a policy's.
fn is_name(version: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&version.len()) && version.chars().all(plain) && !version.starts_with('.')
}

/// A folder's entries are on disk only after the folder itself was synced.
fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
