//! Logs and metrics: what an operator sees from outside.
//!
//! Logs go to standard error, as text or one JSON object per line. Metrics are a fixed set of families under `pointsman_`;
//! every label value is from a closed set (an enum, or the configured routes and arms), so their number is bounded whatever clients send.
//!
//! What it must not know: requests, policies, the store. It is told numbers and names of the domain.

mod logs;
mod metrics;

pub use logs::{LogFormat, TelemetryError, init_tracing};
pub use metrics::{
    EmbedReason, FeedbackResult, METRICS_CONTENT_TYPE, Metrics, ReloadResult, RequestEnd, Shed,
};
