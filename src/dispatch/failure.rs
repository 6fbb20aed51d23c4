//! When nobody answered.

use crate::domain::Attempt;
use crate::provider::ProviderError;

/// Every target failed, or the request itself is at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("no answer after {} attempts: {cause}", attempts.len())]
pub struct DispatchFailed {
    /// All calls in order.
    pub attempts: Vec<Attempt>,
    /// The failure to tell the client: the request's own fault if there is one, else the last.
    pub cause: ProviderError,
}
