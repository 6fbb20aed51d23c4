//! Whether a bundle may enter a store: it has this version's features, and it was trained on this log or on none.

use super::bundle::{Bundle, Origin};
use crate::domain::Seq;
use crate::routing::Featurizer;
use crate::store::{NewPolicy, Store, StoreError};

/// Why it may not.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// Other features.
    #[error("the bundle has features of schema {found}, this version makes {wanted}: train it anew")]
    Features {
        /// The bundle's.
        found: String,
        /// This version's.
        wanted: String,
    },
    /// Another log.
    #[error(
        "the bundle was trained on another log (event {cut} differs here): promote it in the store that it was trained on"
    )]
    OtherLog {
        /// The last event in it.
        cut: Seq,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest cannot be written down.
    #[error("manifest.json: {0}")]
    Manifest(#[from] serde_json::Error),
}

/// The bundle as the store keeps it.
///
/// # Errors
/// When it has other features or is of another log, or the log cannot be read.
pub fn admitted(
    bundle: &Bundle,
    store: &Store,
    featurizer: &Featurizer,
) -> Result<NewPolicy, AdmissionError> {
    let (found, wanted) = (bundle.state.schema(), featurizer.schema());
    if found != wanted || bundle.state.dim() != featurizer.dim() {
        return Err(AdmissionError::Features { found: found.to_string(), wanted: wanted.to_string() });
    }
    let cut = match &bundle.manifest.origin {
        Origin::Data { .. } => Seq(0),
        Origin::Traces { cut, cut_sha256, .. } => {
            if store.fingerprint(*cut)?.as_ref() != Some(cut_sha256) {
                return Err(AdmissionError::OtherLog { cut: *cut });
            }
            *cut
        }
    };
    let manifest = serde_json::to_string(&bundle.manifest)?;
    Ok(NewPolicy { version: bundle.version(), cut, manifest, state: bundle.bytes.clone() })
}
