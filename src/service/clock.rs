//! The one place between the wire and the store where the wall clock is read.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::UnixMs;

/// Now. A clock before 1970 reads as 0.
pub fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
