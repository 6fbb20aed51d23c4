//! From a decision to a completion: asks the chosen arm, then the fallbacks, until one answers.
//!
//! The rule that everything here serves: while no content has gone out, the next target may be asked; after the first content never
//! again, because a second model's words must not follow the first's. So a stream is read up to its first content here, and what
//! came before it (role, empty deltas) waits in a bounded buffer. Whether the client's *status* has gone out is another matter,
//! and not known here.
//!
//! Invariants: no target is asked twice; every call is recorded as an [`Attempt`](crate::domain::Attempt), the failed ones too;
//! dropping the future or the reply closes the upstream call. Nothing here knows why a target was chosen, and none of our
//! statuses is chosen here.

mod failure;
mod health;
mod plan;
mod run;
#[cfg(test)]
mod tests;

pub use failure::DispatchFailed;
pub use health::{Health, HealthSnapshot};
pub use plan::{Plan, Target};
pub use run::{Dispatched, run};
