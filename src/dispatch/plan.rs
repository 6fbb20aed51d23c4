//! Whom to ask, in which order, within which time.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::Health;
use crate::domain::Arm;
use crate::provider::{Provider, Timeouts};

/// One arm and the provider that serves it.
#[derive(Clone)]
pub struct Target {
    /// Who answers.
    pub arm: Arc<Arm>,
    /// Through whom.
    pub provider: Arc<dyn Provider>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("arm", &self.arm.id).finish_non_exhaustive()
    }
}

/// The order of calls for one request.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The chosen arm first, then the fallbacks; each is asked at most once.
    pub targets: Vec<Target>,
    /// Bounds on the phases of each call.
    pub timeouts: Timeouts,
    /// When the request as a whole is over; usually its arrival plus `timeouts.total`.
    pub deadline: Instant,
    /// Where failures are noted for the requests that come after.
    pub health: Arc<Health>,
}

impl Plan {
    /// A plan whose time begins now.
    pub fn starting_now(targets: Vec<Target>, timeouts: Timeouts, health: Arc<Health>) -> Self {
        Self { targets, timeouts, deadline: Instant::now() + timeouts.total, health }
    }
}
