//! Units that a bare number would leave open. Other quantities carry theirs in the name: `_usd`, `_tokens`, `_ms`.

use serde::{Deserialize, Serialize};

/// Wall-clock time in milliseconds since 1970-01-01 UTC. Rows are ordered by [`super::Seq`], never by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// Milliseconds from `earlier` to `self`, and 0 when the clock went backwards.
    pub fn since_ms(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}
