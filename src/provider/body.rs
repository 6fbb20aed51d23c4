//! Reading bodies under timers and caps.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{Fault, ProviderCall, ProviderError};

/// Largest whole answer, decompressed.
pub(super) const MAX_BODY: usize = 32 * 1024 * 1024;
/// Largest error answer that is read; the rest is not looked at.
pub(super) const MAX_ERROR_BODY: usize = 64 * 1024;
/// Largest stream in total, decompressed.
pub(super) const MAX_STREAM: usize = 256 * 1024 * 1024;

/// Bytes that count as progress even when no line ends.
const MUCH: usize = 4 * 1024;

/// The timers of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    first_byte_at: Instant,
    deadline: Instant,
    idle: Duration,
    /// Time that was waited, and bytes that came, since the last progress: the end of a line, or many bytes. One byte now and
    /// then is none. Time in which nobody waits, because the client reads slowly, does not count.
    waited: Duration,
    came: usize,
    /// Whether the answer has begun: then silence is measured, not the start.
    pub(super) has_begun: bool,
}

impl Clock {
    /// Starts the timers of `call` now.
    pub(super) fn start(call: &ProviderCall) -> Self {
        Self {
            first_byte_at: Instant::now() + call.timeouts.first_byte,
            deadline: call.deadline,
            idle: call.timeouts.idle,
            waited: Duration::ZERO,
            came: 0,
            has_begun: false,
        }
    }

    /// Waits for `work` no longer than the phase allows.
    ///
    /// # Errors
    /// The time-out of the phase.
    pub(super) async fn limit<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ProviderError> {
        let now = Instant::now();
        let phase_end =
            if self.has_begun { now + self.idle.saturating_sub(self.waited) } else { self.first_byte_at };
        let at = phase_end.min(self.deadline);
        let result = tokio::time::timeout_at(at, work).await;
        self.waited += now.elapsed();
        result.map_err(|_| match () {
            () if at == self.deadline => ProviderError::TotalTimeout,
            () if self.has_begun => ProviderError::Idle,
            () => ProviderError::FirstByteTimeout,
        })
    }

    fn note(&mut self, piece: &[u8]) {
        self.came += piece.len();
        if self.came >= MUCH || piece.contains(&b'\n') || !self.has_begun {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
    }
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub(super) struct Body {
    response: reqwest::Response,
    left: usize,
}

impl Body {
    pub(super) fn new(response: reqwest::Response, max_bytes: usize) -> Self {
        Self { response, left: max_bytes }
    }

    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// A time-out, a lost connection, bytes that cannot be decompressed, or more than the cap.
    pub(super) async fn next(&mut self, clock: &mut Clock) -> Result<Option<Bytes>, ProviderError> {
        let status = Some(self.response.status().as_u16());
        let piece = clock.limit(self.response.chunk()).await?.map_err(|e| of_read(&e, status))?;
        let Some(piece) = piece else { return Ok(None) };
        let too_large = ProviderError::Malformed { fault: Fault::TooLarge, status };
        clock.note(&piece);
        self.left = self.left.checked_sub(piece.len()).ok_or(too_large)?;
        Ok(Some(piece))
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) async fn read_all(mut self, mut clock: Clock) -> Result<Bytes, ProviderError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next(&mut clock).await? {
            clock.has_begun = true;
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// What there is of an error answer, up to the cap; whatever goes wrong here does not matter any more.
    pub(super) async fn read_error(mut self, mut clock: Clock) -> Bytes {
        let mut all = BytesMut::new();
        while let Ok(Some(piece)) = self.next(&mut clock).await {
            clock.has_begun = true;
            all.extend_from_slice(&piece);
        }
        all.freeze()
    }
}

fn of_read(error: &reqwest::Error, status: Option<u16>) -> ProviderError {
    if error.is_decode() && !is_io(error) {
        return ProviderError::Malformed { fault: Fault::Encoding, status };
    }
    ProviderError::Cut
}

/// Whether the cause is the connection: a cut body shows as a decode error whose root is hyper's.
fn is_io(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<reqwest::Error>()
            && inner.is_body()
        {
            return true;
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            if matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) {
                return true;
            }
        }
        cause = inner.source();
    }
    false
}
