//! From a prompt to a decision: who is eligible, what the policy makes of it, the draw, and why.
//!
//! Pure but for the policy it is handed: no I/O, no clock, no randomness (the uniform number is a hash of the decision's id).
//! Routing never fails for the policy's sake: whatever is wrong with it, the route's default serves and the decision says why.
//! The one error is an empty set of arms.

mod decide;
mod eligibility;
mod explain;
pub mod featurize;
pub mod prior;
mod route;
pub mod statistics;

pub use decide::{Candidates, Circumstances, decide, decide_explicit};
pub use eligibility::{ArmPatterns, Eligible, PatternError, Standing, eligible};
pub use explain::{Alternative, Explanation, explain};
pub use featurize::{FeaturizeError, Featurizer};
pub use route::{Retirement, Route, RouteStrategy, SessionSettings};
