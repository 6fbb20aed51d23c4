//! From a prompt's vector and statistics to the context that policies read: `x = [z; h; 1]`.
//!
//! z: whitened principal components of the encoder's vector; h: scored prompt statistics; the last feature is 1. The numbers are
//! fitted once by `pointsman train features`, kept under `models/features/`, and built into the binary. They are never refitted
//! online: that would change what every learned weight means. The schema's name holds a hash of all of them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::statistics::{COUNT, NAMES, Scale, scores, statistics};
use crate::domain::{Context, ContextError, FeatureSchema, Prompt, hex};
use crate::embed::ENCODER_SHA256;

const MANIFEST: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/features/manifest.json"));
const COMPONENTS: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/features/components.f32"));

/// Whitened components are clipped to this many standard deviations: an odd prompt must not outweigh a hundred usual ones.
const CLIP: f32 = 4.0;

/// What the numbers are and where they come from; `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureManifest {
    /// Name of the schema; see [`schema_name`].
    pub schema: String,
    /// When it was fitted, for example `2026-11-23`.
    pub date: String,
    /// SHA-256 of the encoder's weights.
    pub encoder_sha256: String,
    /// Most tokens that the encoder read of a prompt.
    pub max_tokens: usize,
    /// Width of the encoder's vector.
    pub dim: usize,
    /// Prompts of each set that were fitted on.
    pub sources: Vec<FeatureSource>,
    /// Prompts together.
    pub rows: usize,
    /// Share of the vectors' variance that the components hold.
    pub explained_variance: f64,
    /// Variance along each component, falling, shape `[k]`.
    pub variances: Vec<f64>,
    /// Constants of the statistics, in their order.
    pub statistics: Vec<Scale>,
    /// SHA-256 of `components.f32`: mean `[d]`, then whitened components `[k, d]`, f32 little endian.
    pub components_sha256: String,
}

/// A set of prompts and how many of it were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSource {
    /// The set's name.
    pub name: String,
    /// Prompts used.
    pub rows: usize,
}

/// Why there is no featurizer or no context.
#[derive(Debug, thiserror::Error)]
pub enum FeaturizeError {
    /// The manifest is not of the format.
    #[error("features manifest: {0}")]
    Manifest(#[from] serde_json::Error),
    /// The manifest does not fit the components, the encoder or this version.
    #[error(
        "features manifest: {field} is {found:?}, expected {expected:?}; run `pointsman train features` anew"
    )]
    Mismatch {
        /// Which field.
        field: &'static str,
        /// What this version or the other file has.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The student predicts the components of other features.
    #[error(
        "models/student was fitted to {found:?}, the features are {expected:?}; run `pointsman train encoder` anew"
    )]
    Student {
        /// This version's features.
        expected: String,
        /// The student's.
        found: String,
    },
    /// A vector of another encoder, or components of other features.
    #[error("{found} numbers, the features want {wanted}")]
    Width {
        /// How many there were at the fit.
        wanted: usize,
        /// What came.
        found: usize,
    },
    /// A feature is not finite.
    #[error(transparent)]
    Context(#[from] ContextError),
}

/// Makes contexts of one schema.
#[derive(Debug, Clone)]
pub struct Featurizer {
    schema: FeatureSchema,
    /// Shape `[d]`.
    mean: Vec<f32>,
    /// Whitened, shape `[k * d]`.
    components: Vec<f32>,
    scales: Vec<Scale>,
}

impl Featurizer {
    /// The one that is built into the binary.
    ///
    /// # Errors
    /// When the built-in files do not fit each other, which a test rules out.
    pub fn built_in() -> Result<Self, FeaturizeError> {
        Self::parse(MANIFEST, COMPONENTS)
    }

    /// From a `manifest.json` and its `components.f32`.
    ///
    /// # Errors
    /// When they do not fit each other, the encoder or this version's statistics.
    pub fn parse(manifest: &[u8], components: &[u8]) -> Result<Self, FeaturizeError> {
        let manifest: FeatureManifest = serde_json::from_slice(manifest)?;
        check(&manifest, components)?;
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let mut mean: Vec<f32> = components.chunks_exact(4).map(number).collect();
        let components = mean.split_off(manifest.dim);
        Ok(Self {
            schema: FeatureSchema::new(manifest.schema),
            mean,
            components,
            scales: manifest.statistics,
        })
    }

    /// What the features mean.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// Whether a student's components are these.
    ///
    /// # Errors
    /// When it was fitted to other features.
    pub fn check_student(&self, schema: &str) -> Result<(), FeaturizeError> {
        if schema == self.schema.as_str() {
            return Ok(());
        }
        Err(FeaturizeError::Student { expected: self.schema.to_string(), found: schema.to_owned() })
    }

    /// Features of a context: components, statistics and the constant.
    pub fn dim(&self) -> usize {
        self.components.len() / self.mean.len() + COUNT + 1
    }

    /// The context of a prompt with this vector, shape `[dim]`.
    ///
    /// # Errors
    /// When the vector is of another width or not finite.
    pub fn context(&self, vector: &[f32], prompt: &Prompt) -> Result<Context, FeaturizeError> {
        self.context_of_components(&self.components(vector)?, prompt)
    }

    /// Whitened components of a vector, shape `[k]`, not clipped.
    ///
    /// # Errors
    /// When the vector is of another width.
    pub fn components(&self, vector: &[f32]) -> Result<Vec<f32>, FeaturizeError> {
        let wanted = self.mean.len();
        if vector.len() != wanted {
            return Err(FeaturizeError::Width { wanted, found: vector.len() });
        }
        let centred: Vec<f32> = vector.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        Ok(self.components.chunks_exact(wanted).map(|c| dot(c, &centred)).collect())
    }

    /// The context of a prompt whose components are known otherwise, shape `[k]`: the student's.
    ///
    /// # Errors
    /// When there are more or fewer components, or one is not finite.
    pub fn context_of_components(&self, z: &[f32], prompt: &Prompt) -> Result<Context, FeaturizeError> {
        let wanted = self.components.len() / self.mean.len();
        if z.len() != wanted {
            return Err(FeaturizeError::Width { wanted, found: z.len() });
        }
        let mut features = Vec::with_capacity(self.dim());
        // A NaN passes the clamp and is refused by the context.
        features.extend(z.iter().map(|z| z.clamp(-CLIP, CLIP)));
        features.extend(scores(&statistics(prompt), &self.scales));
        features.push(1.0);
        Ok(Context::new(self.schema.clone(), features)?)
    }
}

/// A name that changes with every number that features are made with, for example `minilm-pca32-stats12-1f0c9a3b`.
pub fn schema_name(components: &[u8], dim: usize, scales: &[Scale]) -> String {
    let mut hash = Sha256::new();
    hash.update(components);
    for scale in scales {
        hash.update(&scale.name);
        hash.update(scale.mean.to_le_bytes());
        hash.update(scale.sd.to_le_bytes());
    }
    let count = (components.len() / 4 / dim.max(1)).saturating_sub(1);
    format!("minilm-pca{count}-stats{}-{}", scales.len(), &hex(&hash.finalize())[..8])
}

/// SHA-256 in hex, as manifests hold it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn check(manifest: &FeatureManifest, components: &[u8]) -> Result<(), FeaturizeError> {
    let same = |field, expected: String, found: &str| {
        if expected == found {
            Ok(())
        } else {
            Err(FeaturizeError::Mismatch { field, expected, found: found.to_owned() })
        }
    };
    same("components_sha256", sha256_hex(components), &manifest.components_sha256)?;
    same("encoder_sha256", ENCODER_SHA256.into(), &manifest.encoder_sha256)?;
    let names: Vec<&str> = manifest.statistics.iter().map(|s| s.name.as_str()).collect();
    same("statistics", NAMES.join(" "), &names.join(" "))?;
    let bytes = (manifest.variances.len() + 1) * manifest.dim * 4;
    same("dim", components.len().to_string(), &bytes.to_string())?;
    same("schema", schema_name(components, manifest.dim, &manifest.statistics), &manifest.schema)
}

/// Eight sums side by side, which the compiler can keep in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chat::prompt_of_text;

    fn unit(seed: usize) -> Vec<f32> {
        let raw: Vec<f32> = (0..384).map(|i| ((i * 37 + seed * 101) % 97) as f32 - 48.0).collect();
        let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
        raw.iter().map(|x| x / length).collect()
    }

    #[test]
    fn the_built_in_numbers_fit_each_other() {
        let featurizer = Featurizer::built_in().unwrap();
        assert_eq!(featurizer.dim(), 45);
        assert!(featurizer.schema().as_str().starts_with("minilm-pca32-stats12-"));
    }

    #[test]
    fn a_context_is_components_statistics_and_one() {
        let featurizer = Featurizer::built_in().unwrap();
        let context = featurizer.context(&unit(1), &prompt_of_text("What is 2 + 2?")).unwrap();
        assert_eq!(context.features().len(), 45);
        assert_eq!(context.features()[44], 1.0);
        assert!(context.features()[..32].iter().all(|z| z.abs() <= 4.0));
        assert_eq!(context.schema(), featurizer.schema());
        let at_mean = featurizer.context(&featurizer.mean.clone(), &prompt_of_text("")).unwrap();
        assert!(at_mean.features()[..32].iter().all(|z| *z == 0.0));
    }

    #[test]
    fn vectors_of_another_width_or_with_a_nan_are_refused() {
        let featurizer = Featurizer::built_in().unwrap();
        let prompt = prompt_of_text("x");
        let short = featurizer.context(&[1.0; 383], &prompt);
        assert!(matches!(short, Err(FeaturizeError::Width { wanted: 384, found: 383 })));
        let mut vector = unit(1);
        vector[5] = f32::NAN;
        assert!(matches!(featurizer.context(&vector, &prompt), Err(FeaturizeError::Context(_))));
    }

    #[test]
    fn any_change_to_the_files_is_noticed() {
        let mut components = COMPONENTS.to_vec();
        components[1000] ^= 1;
        let error = Featurizer::parse(MANIFEST, &components).unwrap_err();
        assert!(error.to_string().contains("components_sha256"), "{error}");
        let mut manifest: FeatureManifest = serde_json::from_slice(MANIFEST).unwrap();
        manifest.statistics[0].mean += 0.25;
        let error = Featurizer::parse(&serde_json::to_vec(&manifest).unwrap(), COMPONENTS).unwrap_err();
        assert!(error.to_string().contains("schema"), "{error}");
    }
}
