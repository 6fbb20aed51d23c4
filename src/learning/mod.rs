//! Learning: from the event log to the policy that requests read.
//!
//! One thread owns the learner. It scans the log from its high-water mark, joins each event with its decision, folds the
//! observations in, and from time to time publishes a frozen policy and saves a checkpoint. The order is the log's, whatever
//! the timing of requests; so the same log gives the same bits, and a checkpoint plus the rest of the log is worth the whole
//! log. Batch sizes and the cadence of publishing have no influence on the state.
//!
//! It fails open. A row that cannot be used is set aside with one log line; a checkpoint that cannot be trusted is passed
//! over for an older one or for the whole log; a learner that panics leaves the last good policy in place and reports
//! itself unwell. Nothing on the request path waits for any of this.
//!
//! This module does not know which learner it drives ([`crate::policy::Learner`]), what requests look like, or SQL.

mod actor;
mod canary;
mod checkpoint;
mod fold;
mod joiner;

#[cfg(test)]
mod tests;

pub use actor::{Actor, LearningHandle, LearningOptions, LearningStatus};
pub use canary::Challenger;
pub use checkpoint::{LearnerSource, Restore};
pub use fold::{Folded, fold};
pub use joiner::{Joiner, Unusable};

use crate::store::StoreError;

/// Why learning could not start or stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum LearningError {
    /// The log could not be read, or the checkpoint not written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread could not be started.
    #[error("cannot start the learning thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The learner had panicked; its state is not worth a checkpoint.
    #[error("the learner is unwell and saved nothing: {0}")]
    Unwell(String),
}
