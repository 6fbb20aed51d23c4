//! How long each phase of an upstream call may take.

use std::time::Duration;

/// Bounds on the phases of one call. `total` is generous and covers all attempts of a request; the others fail fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From the request sent to the first byte of the body (on a stream: the first content). A plain answer sends nothing until it is whole, so this bounds its generation.
    pub first_byte: Duration,
    /// Between two lines once the answer has begun (or two times 4 KiB, where no line ends).
    pub idle: Duration,
    /// The whole request, all attempts included.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}
