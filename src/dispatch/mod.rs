//! From a decision to a completion: asks the chosen arm, then the fallbacks, until one answers.
//!
//! The rule that everything here serves: while no content has gone out, the next target may be asked; after the first content never
//! again, because a second model's words must not follow the first's. So a stream is read up to its first content here, and what
//! came before it (role, empty deltas) waits in a bounded buffer. Whether the client's *status* has gone out is another matter,
//! and not known here.
//!
//! Fallbacks come before second attempts: another target is asked at once, the same one only when all have failed, after a pause,
//! and within a budget per provider. Who is asked at all is a matter of its breaker and of its provider's places.
//!
//! Invariants: no target is asked a second time before all have failed; every call is recorded as an [`Attempt`](crate::domain::Attempt), the failed ones too;
//! dropping the future or the reply closes the upstream call. Nothing here knows why a target was chosen, and none of our
//! statuses is chosen here.

mod breaker;
mod call;
mod failure;
mod health;
mod hedge;
mod plan;
mod recent;
mod retry;
mod run;
#[cfg(test)]
mod tests;
mod upstream;

pub use breaker::{BreakerState, Hindrance, Refused};
pub use failure::{Cause, DispatchFailed};
pub use health::{Admission, Health, HealthSnapshot};
pub use plan::{Conduct, Hedge, Plan, Target};
pub use retry::RetrySettings;
pub use run::{Dispatched, run};
pub use upstream::{Upstream, UpstreamLimits};
