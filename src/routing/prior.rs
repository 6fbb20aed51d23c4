//! The prior that is built into the binary: `models/prior/prior.json`, made by `pointsman train prior` from recorded outcomes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::featurize::sha256_hex;
use crate::domain::FeatureSchema;
use crate::policy::{LevelPrior, Prior};

const BUILT_IN: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/prior/prior.json"));

/// The numbers and where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorManifest {
    /// What the features mean.
    pub schema: String,
    /// When it was fitted.
    pub date: String,
    /// What it was fitted on.
    pub sources: Vec<PriorSource>,
    /// The numbers; its name holds a hash of them.
    pub prior: Prior,
}

/// A set of recorded outcomes and how much of it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSource {
    /// The set's name.
    pub name: String,
    /// Prompts used.
    pub rows: usize,
    /// Models with outcomes on them.
    pub models: usize,
    /// SHA-256 over the used prompts' ids and qualities.
    pub sha256: String,
}

/// Why there is no prior.
#[derive(Debug, thiserror::Error)]
pub enum PriorError {
    /// The file is not of the format.
    #[error("prior: {0}")]
    Form(#[from] serde_json::Error),
    /// The file does not fit the features, or its numbers their name.
    #[error("prior: {field} is {found:?}, expected {expected:?}; run `pointsman train prior` anew")]
    Mismatch {
        /// Which field.
        field: &'static str,
        /// What this version has.
        expected: String,
        /// What stands there.
        found: String,
    },
}

/// The built-in prior, for features of `schema`.
///
/// # Errors
/// When it was fitted on other features, which a test rules out for the built-in ones.
pub fn shipped(schema: &FeatureSchema) -> Result<Prior, PriorError> {
    parse(BUILT_IN, schema)
}

/// The built-in prior where it is one for these features, else one that supposes nothing of prompts.
pub fn shipped_or_none(schema: &FeatureSchema, dim: usize) -> Prior {
    shipped(schema).ok().filter(|prior| prior.is_sound(dim)).unwrap_or_else(|| Prior::none(dim))
}

/// A prior from the bytes of its file.
///
/// # Errors
/// When the bytes are not of the format, of other features, or altered.
pub fn parse(bytes: &[u8], schema: &FeatureSchema) -> Result<Prior, PriorError> {
    let manifest: PriorManifest = serde_json::from_slice(bytes)?;
    let same = |field, expected: &str, found: &str| {
        let fault = || PriorError::Mismatch { field, expected: expected.into(), found: found.into() };
        if expected == found { Ok(()) } else { Err(fault()) }
    };
    same("schema", schema.as_str(), &manifest.schema)?;
    same("name", &name_of(&manifest.prior), &manifest.prior.name)?;
    Ok(manifest.prior)
}

/// A name that changes with every number, for example `prior-1f0c9a3b`. Numbers count as f32, as text may round the last bit of f64.
pub fn name_of(prior: &Prior) -> String {
    let LevelPrior { level, level_sd, per_log_usd, per_log_usd_sd, own_sd } = &prior.levels;
    let levels = [level, level_sd, per_log_usd, per_log_usd_sd, own_sd];
    let numbers = prior.quality.iter().chain(&prior.length).chain(levels);
    let bytes: Vec<u8> = numbers.flat_map(|x| (*x as f32).to_le_bytes()).collect();
    format!("prior-{}", &sha256_hex(&Sha256::digest(bytes))[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::featurize::Featurizer;

    #[test]
    fn the_built_in_prior_fits_the_built_in_features() {
        let featurizer = Featurizer::built_in().unwrap();
        let prior = shipped(featurizer.schema()).unwrap();
        assert!(prior.is_sound(featurizer.dim()));
        assert!(prior.levels.per_log_usd >= 0.0, "dearer models are not supposed to be worse");
    }

    #[test]
    fn other_features_and_altered_numbers_are_noticed() {
        let schema = Featurizer::built_in().unwrap().schema().clone();
        let error = parse(BUILT_IN, &FeatureSchema::new("other")).unwrap_err();
        assert!(error.to_string().contains("schema"), "{error}");
        let mut manifest: PriorManifest = serde_json::from_slice(BUILT_IN).unwrap();
        manifest.prior.quality[3] += 0.01;
        let error = parse(&serde_json::to_vec(&manifest).unwrap(), &schema).unwrap_err();
        assert!(error.to_string().contains("name"), "{error}");
    }
}
