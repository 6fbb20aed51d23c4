//! Whom to ask, in which order, within which time, and how often.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Health, RetrySettings, Upstream};
use crate::domain::Arm;
use crate::provider::Timeouts;

/// One arm and the upstream that serves it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Who answers.
    pub arm: Arc<Arm>,
    /// Through whom.
    pub upstream: Arc<Upstream>,
    /// The most tokens that may be asked of it; `None`: as the client says.
    pub output_cap: Option<u32>,
}

/// When a second target is asked while the first is still silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// After the time within which 95 % of the first target's answers of late began; until enough of them are known, never.
    AfterP95,
    /// After this time.
    After(Duration),
}

/// How calls are made: of a route, or of a provider's models asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conduct {
    /// Bounds on the phases of each call.
    pub timeouts: Timeouts,
    /// Asking again.
    pub retry: RetrySettings,
    /// Asking a second target at the same time; `None`: never.
    pub hedge: Option<Hedge>,
}

/// The order of calls for one request.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The chosen arm first, then the fallbacks; none is asked a second time before all have failed.
    pub targets: Vec<Target>,
    /// How they are asked.
    pub conduct: Conduct,
    /// When the request as a whole is over; usually its arrival plus `timeouts.total`.
    pub deadline: Instant,
    /// Where failures are noted for the requests that come after.
    pub health: Arc<Health>,
}

impl Plan {
    /// A plan whose time begins now.
    pub fn starting_now(targets: Vec<Target>, conduct: Conduct, health: Arc<Health>) -> Self {
        Self { targets, conduct, deadline: Instant::now() + conduct.timeouts.total, health }
    }
}
