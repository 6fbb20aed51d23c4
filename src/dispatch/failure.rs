//! When nobody answered.

use std::fmt;

use super::breaker::{Hindrance, Refused};
use crate::domain::{Arm, Attempt};
use crate::provider::ProviderError;

/// Every target failed or was passed over, or the request itself is at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("no answer after {} attempts: {cause}", attempts.len())]
pub struct DispatchFailed {
    /// All calls in order.
    pub attempts: Vec<Attempt>,
    /// What to tell the client.
    pub cause: Cause,
}

/// Why nobody answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// A call's failure: the request's own fault if there is one, else the last.
    Call(ProviderError),
    /// Nobody was asked at all.
    PassedOver(Refused),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::PassedOver(refused) => f.write_str(match refused.why {
                Hindrance::Down => "its breaker is open",
                Hindrance::RateLimited => "its provider asked to wait",
                Hindrance::Credentials => "its provider refused our key a moment ago",
                Hindrance::Busy => "its provider has as many calls in flight as it may",
            }),
        }
    }
}

/// What failed so far, and what that means for the targets left.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// The request's own fault, which the client must hear of rather than of what came after it.
    of_request: Option<ProviderError>,
    last: Option<ProviderError>,
    untranslatable: Option<ProviderError>,
    passed_over: Option<Refused>,
    /// The largest window that was too small.
    too_small_window: u32,
    is_final: bool,
}

impl Failures {
    pub(super) fn add(&mut self, arm: &Arm, error: ProviderError) {
        match &error {
            _ if error.is_context_length() => {
                self.too_small_window = self.too_small_window.max(arm.limits.context_window);
                self.of_request = Some(error);
                return;
            }
            // Another format may have the words, or another arm be up.
            ProviderError::Untranslatable(_) => {
                self.untranslatable = Some(error);
                return;
            }
            ProviderError::BadRequest { .. } => {
                self.of_request = Some(error.clone());
                self.is_final = true;
            }
            ProviderError::TotalTimeout => self.is_final = true,
            _ => {}
        }
        self.last = Some(error);
    }

    /// A target was not asked. Of several the one that may be asked first counts; when their reasons differ they are just down.
    pub(super) fn pass_over(&mut self, refused: Refused) {
        self.passed_over = Some(match self.passed_over {
            None => refused,
            Some(known) => Refused {
                why: if known.why == refused.why { known.why } else { Hindrance::Down },
                left: known.left.min(refused.left),
            },
        });
    }

    /// Whether asking `arm` may be of use.
    pub(super) fn allow(&self, arm: &Arm) -> bool {
        !self.is_final && arm.limits.context_window > self.too_small_window
    }

    pub(super) fn into_cause(self) -> Cause {
        let call = self.of_request.or(self.last);
        let passed_over = || self.passed_over.map(Cause::PassedOver);
        call.map(Cause::Call)
            .or_else(passed_over)
            .unwrap_or(Cause::Call(self.untranslatable.unwrap_or(ProviderError::Connect)))
    }
}
