//! Why nothing can be made of a log.

use super::estimate::EstimateError;
use super::scenario::ScenarioError;
use crate::policy::StateError;
use crate::store::StoreError;

/// Why a log can be neither trained on nor replayed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no heads over these features with these settings.
    #[error(transparent)]
    State(#[from] StateError),
    /// Nothing can be asked.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Nothing can be estimated.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
    /// The configuration has none of the log's routes.
    #[error("the configuration has none of the log's routes: {routes}")]
    NoRoute {
        /// The log's.
        routes: String,
    },
    /// No candidate has a finite score.
    #[error("no candidate has a finite score: the log holds no decision with both quality and cost")]
    NoScore,
    /// Nothing was reported.
    #[error("the log holds no quality report that can be learned from: nothing to train on")]
    NoReport,
}
