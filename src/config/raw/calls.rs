//! How calls are made: keys that routes and providers have in common.

use super::DAY_MS;
use crate::config::read::{At, Section, WordOrNumber};

pub(in crate::config) struct RawTimeouts {
    pub(in crate::config) connect_ms: Option<At<u64>>,
    pub(in crate::config) first_byte_ms: Option<At<u64>>,
    pub(in crate::config) idle_ms: Option<At<u64>>,
    pub(in crate::config) total_ms: Option<At<u64>>,
}

impl RawTimeouts {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            connect_ms: keys.whole("connect_ms", 1, DAY_MS),
            first_byte_ms: keys.whole("first_byte_ms", 1, DAY_MS),
            idle_ms: keys.whole("idle_ms", 1, DAY_MS),
            total_ms: keys.whole("total_ms", 1, DAY_MS),
        };
        keys.finish();
        raw
    }
}

pub(in crate::config) struct RawRetry {
    pub(in crate::config) max: Option<At<u64>>,
    pub(in crate::config) base_ms: Option<At<u64>>,
    pub(in crate::config) max_wait_ms: Option<At<u64>>,
}

impl RawRetry {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            max: keys.whole("max", 0, 10),
            base_ms: keys.whole("base_ms", 1, 60_000),
            max_wait_ms: keys.whole("max_wait_ms", 1, 300_000),
        };
        keys.finish();
        raw
    }
}

pub(in crate::config) struct RawHedge {
    pub(in crate::config) after: Option<At<WordOrNumber>>,
}

impl RawHedge {
    pub(super) fn read(mut keys: Section<'_>) -> Self {
        let raw = Self { after: keys.word_or_number("after") };
        keys.finish();
        raw
    }
}

/// `timeouts` and `retry` of a route or a provider.
pub(in crate::config) struct RawCalls {
    pub(in crate::config) timeouts: RawTimeouts,
    pub(in crate::config) retry: RawRetry,
}

impl RawCalls {
    /// Reads them among the other keys of `keys`.
    pub(super) fn read(keys: &mut Section<'_>) -> Self {
        Self {
            timeouts: RawTimeouts::read(keys.section("timeouts")),
            retry: RawRetry::read(keys.section("retry")),
        }
    }
}
