//! The routing benchmark: the learned policy over recorded outcomes, in process, beside what it has to beat.
//!
//! The policy sees folds 2 to 4 once, as a shuffled stream with bandit feedback: it draws an arm and is told what that arm did,
//! nothing else. Each request of the stream has a preference of its own, from the same grid that is swept later, as the callers
//! of one service do. Then it is frozen and routes fold 1 greedily under every preference of the grid, which gives a curve of
//! quality over spend. The baselines `knn`, `k-means`, `ridge`, `MLP` and `task table` are told what *every* arm did on folds 2 to 4; they are
//! swept in the same way. `fixed mix` is the upper hull of the single arms, measured on fold 1 itself: the best that any mix of
//! two arms without a look at the prompt could have done there.
//!
//! Numbers are reported for fold 1, so what is tuned here must be confirmed on rows that nobody has seen.

mod clusters;
mod cold;
mod curve;
mod join;
mod live;
mod mlp;
mod newarm;
mod paced;
mod peers;
mod predict;
mod readers;
mod report;
mod stream;
mod table;
mod weights;
mod windows;
mod world;

pub use cold::{chosen, cold};
pub use curve::{Curve, Point, Span};
pub use join::join;
pub use live::{AsRecorded, Asked, Live, LiveOptions, Script, Step, shuffled};
pub use newarm::newarm;
pub use paced::{paced, regression};
pub use peers::{PeerCurves, Peers, export};
pub use predict::Predictions;
pub use readers::readers;
pub use report::{Gain, Interval, Report, Row};
pub use stream::{StreamOptions, ask, charged, rated};
pub use table::{Figure, Goal, Line, Table};
pub use weights::weights;
pub use windows::windows;
pub use world::{Case, Outcome, Parting, World, WorldError};

use crate::policy::{Settings, StateError};

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchOptions {
    /// Shuffles of the stream.
    pub seeds: u64,
    /// How the stream is learned from.
    pub stream: StreamOptions,
    /// Of the policy.
    pub settings: Settings,
    /// Preferences in the sweep.
    pub grid: usize,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self { seeds: 5, stream: StreamOptions::default(), settings: Settings::DEFAULT, grid: 61 }
    }
}

/// Runs the benchmark on one world. `progress` gets (seeds done, seeds).
///
/// # Errors
/// When the settings give no policy.
pub fn run(
    world: &World,
    options: &BenchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, StateError> {
    let grid = world.grid(options.grid);
    let baselines = predict::baselines(world, &options.settings)?;
    let mut ours = Vec::new();
    for seed in 0..options.seeds {
        let policy = stream::learn(world, options, &grid, seed)?;
        ours.push(predict::learned(world, &policy).sweep(world, &grid));
        progress(seed + 1, options.seeds);
    }
    Ok(report::report(world, &grid, &ours, &baselines))
}

#[cfg(test)]
mod tests;
