//! The fold: rows of the log into a learner, one after the other. The actor and offline replays share it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Joiner, Unusable};
use crate::domain::{AdminEvent, Event, EventBody, PolicyVersion, Seq};
use crate::policy::Learner;
use crate::store::{ScannedRow, Store, StoreError};

/// Rows that are read at once.
pub(super) const SCAN: usize = 256;

/// How far a fold came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    /// The last row that was looked at.
    pub applied: Seq,
    /// Rows that could not be used.
    pub set_aside: u64,
}

/// Folds the log from its beginning to `upto` into `learner`; rows that cannot be used are counted.
///
/// # Errors
/// When the log cannot be read. A panic of the learner is the caller's.
pub fn fold(store: &Store, learner: &mut dyn Learner, upto: Seq) -> Result<Folded, StoreError> {
    let mut joiner = Joiner::default();
    let mut folded = Folded::default();
    while folded.applied < upto {
        let rows = store.scan(folded.applied, SCAN)?;
        if rows.is_empty() {
            break;
        }
        for row in rows.iter().take_while(|row| row.seq <= upto) {
            let used = take(&mut joiner, row, store, learner)?;
            folded.applied = row.seq;
            folded.set_aside += u64::from(used.is_err());
        }
        if rows.last().is_some_and(|row| row.seq > upto) {
            break;
        }
    }
    Ok(folded)
}

/// One row into the learner. A promotion replaces its state by the bundle's and what the log says after the bundle's cut.
fn take(
    joiner: &mut Joiner,
    row: &ScannedRow,
    store: &Store,
    learner: &mut dyn Learner,
) -> Result<Result<(), Unusable>, StoreError> {
    match &row.event {
        Ok(Event { body: EventBody::Admin(AdminEvent::PolicyPromoted { policy }), .. }) => {
            promote(policy, row.seq, store, learner)
        }
        _ => joiner.observe(row, store, &mut |o| learner.apply(o)),
    }
}

/// Earlier promotions after the cut count for nothing: the bundle takes over from them too.
fn promote(
    policy: &PolicyVersion,
    at: Seq,
    store: &Store,
    learner: &mut dyn Learner,
) -> Result<Result<(), Unusable>, StoreError> {
    let refused = |why: String| Ok(Err(Unusable::Bundle { policy: policy.clone(), why }));
    let Some(kept) = store.policy(policy)? else { return refused("the store does not have it".to_owned()) };
    if let Err(why) = learner.adopt(&kept.state) {
        return refused(why);
    }
    let (mut joiner, mut done) = (Joiner::default(), kept.cut);
    while done < at {
        let rows = store.scan(done, SCAN)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            done = row.seq;
            if done < at
                && let Err(unusable) = joiner.observe(row, store, &mut |o| learner.apply(o))?
            {
                tracing::debug!(seq = done.0, %unusable, "passed over while a bundle takes over");
            }
        }
    }
    Ok(Ok(()))
}

/// What became of one row.
pub(super) enum Step {
    /// It is in the state, or holds nothing to learn.
    Used,
    /// It was left out; the state is as it was.
    SetAside(String),
    /// The learner panicked; the state cannot be trusted any more.
    Panicked(String),
}

/// Folds one row in and catches a panic of the learner.
pub(super) fn step(
    joiner: &mut Joiner,
    row: &ScannedRow,
    store: &Store,
    learner: &mut dyn Learner,
) -> Result<Step, StoreError> {
    let caught = catch_unwind(AssertUnwindSafe(|| take(joiner, row, store, learner)));
    match caught {
        Ok(Ok(Ok(()))) => Ok(Step::Used),
        Ok(Ok(Err(unusable))) => Ok(Step::SetAside(unusable.to_string())),
        Ok(Err(error)) => Err(error),
        Err(panic) => Ok(Step::Panicked(panic_text(panic.as_ref()))),
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
