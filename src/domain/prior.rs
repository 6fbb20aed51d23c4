//! What a new arm starts from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ArmId, FeatureSchema};

/// Rated prompts summed up over their features, as the quality head sums reports; `d` features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatedSums {
    /// What the features mean.
    pub schema: FeatureSchema,
    /// `sum x x'`, the lower triangle row by row, shape `[d (d + 1) / 2]`.
    pub xx: Vec<f64>,
    /// `sum y x`, shape `[d]`.
    pub xy: Vec<f64>,
    /// `sum y^2`.
    pub yy: f64,
    /// How many prompts.
    pub rows: f64,
}

/// Where the first expectation of an arm's quality comes from. It stands in the log, so a replay starts from the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum ArmPrior {
    /// Nowhere: it starts as any arm that nothing is known of.
    Unknown,
    /// What has been learned of another arm by now, with less certainty.
    Like {
        /// Which.
        arm: ArmId,
    },
    /// A sheet of prompts on which its quality is known.
    Sheet(Box<RatedSums>),
    /// What arms of about its price have turned out to be.
    Price {
        /// USD per million tokens, above 0; for a declared tier what such a model typically costs.
        usd: f64,
        /// The same of the other arms.
        peers: BTreeMap<ArmId, f64>,
    },
}
