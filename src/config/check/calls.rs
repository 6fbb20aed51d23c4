//! `timeouts`, `retry` and the limits of a provider.

use std::time::Duration;

use super::Check;
use super::sections::millis;
use crate::config::raw::{RawCalls, RawHedge, RawProvider, RawRetry, RawTimeouts};
use crate::config::read::WordOrNumber;
use crate::dispatch::{Conduct, Hedge, RetrySettings, UpstreamLimits};
use crate::provider::Timeouts;

/// How calls are made.
pub(super) fn conduct(raw: &RawCalls) -> Conduct {
    Conduct { timeouts: timeouts(&raw.timeouts), retry: retry(&raw.retry), hedge: None }
}

fn timeouts(raw: &RawTimeouts) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: millis(raw.connect_ms.as_ref(), default.connect),
        first_byte: millis(raw.first_byte_ms.as_ref(), default.first_byte),
        idle: millis(raw.idle_ms.as_ref(), default.idle),
        total: millis(raw.total_ms.as_ref(), default.total),
    }
}

fn retry(raw: &RawRetry) -> RetrySettings {
    let default = RetrySettings::default();
    RetrySettings {
        most: raw.max.as_ref().and_then(|at| u32::try_from(at.value).ok()).unwrap_or(default.most),
        base: millis(raw.base_ms.as_ref(), default.base),
        max_wait: millis(raw.max_wait_ms.as_ref(), default.max_wait),
    }
}

impl Check<'_> {
    pub(super) fn hedge(&self, raw: &RawHedge) -> Option<Hedge> {
        let after = raw.after.as_ref()?;
        match &after.value {
            WordOrNumber::Word(word) if word == "p95" => return Some(Hedge::AfterP95),
            WordOrNumber::Number(seconds) if *seconds > 0.0 && *seconds <= 3600.0 => {
                return Some(Hedge::After(Duration::from_secs_f64(*seconds)));
            }
            other => {
                let found = match other {
                    WordOrNumber::Word(word) => format!("{word:?}"),
                    WordOrNumber::Number(number) => format!("{number}"),
                };
                let message =
                    format!("must be \"p95\" or a number of seconds above 0 and at most 3600, got {found}");
                self.source.fault(&after.place, message);
            }
        }
        None
    }

    pub(super) fn upstream_limits(&self, raw: &RawProvider) -> UpstreamLimits {
        let default = UpstreamLimits::default();
        let most = raw.max_in_flight.as_ref().and_then(|at| usize::try_from(at.value).ok());
        UpstreamLimits {
            max_in_flight: most.unwrap_or(default.max_in_flight),
            retry_budget: self.within(raw.retry_budget.as_ref(), 1.0, default.retry_budget),
        }
    }
}
