//! Where a learner comes from at start: the newest checkpoint that can be trusted, or nothing at all.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fold::panic_text;
use crate::domain::Seq;
use crate::policy::Learner;
use crate::store::{Store, StoreError};

/// Builds a learner from the bytes of its checkpoint; the error says why they are no good.
pub type Restore = dyn Fn(&[u8]) -> Result<Box<dyn Learner>, String>;

/// Makes learners. The actor knows no other way to get one.
pub struct LearnerSource<'a> {
    /// A learner that has seen nothing.
    pub make: &'a dyn Fn() -> Box<dyn Learner>,
    /// A learner from a checkpoint.
    pub restore: &'a Restore,
}

/// The newest usable state and the last event in it. Each checkpoint that is passed over is told once.
pub(super) fn restore(
    store: &Store,
    source: &LearnerSource<'_>,
) -> Result<(Box<dyn Learner>, Seq), StoreError> {
    let end = *store.committed().borrow();
    for saved in store.checkpoints()? {
        let learner = match saved.state {
            Ok(_) if saved.seq > end => Err(format!("it is ahead of the log, which ends at {end}")),
            Ok(state) => catch_unwind(AssertUnwindSafe(|| (source.restore)(&state)))
                .unwrap_or_else(|panic| Err(format!("reading it panicked: {}", panic_text(panic.as_ref())))),
            Err(why) => Err(why),
        };
        match learner {
            Ok(learner) => return Ok((learner, saved.seq)),
            Err(why) => tracing::warn!(
                seq = saved.seq.0,
                why,
                "checkpoint passed over; learning resumes from an older one or from the whole log"
            ),
        }
    }
    Ok(((source.make)(), Seq(0)))
}
